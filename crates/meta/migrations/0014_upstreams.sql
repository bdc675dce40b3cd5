-- The upstreams of virtual repositories. Order and priorities are in the repository's settings; here is who added an
-- upstream, and whether its administrators stopped it.
CREATE TABLE upstreams (
  -- the virtual repository
  repository_id BYTEA NOT NULL REFERENCES repositories (id),
  -- the full name of the upstream
  upstream TEXT NOT NULL,
  -- the repository that had this name when it was added: one that is made later under the same name is another one
  upstream_id BYTEA NOT NULL,
  added_by TEXT NOT NULL,
  added_at BIGINT NOT NULL,
  -- NULL unless the upstream is stopped
  stopped_by TEXT,
  stopped_at BIGINT,
  PRIMARY KEY (repository_id, upstream)
);
CREATE INDEX upstreams_by_upstream ON upstreams (upstream_id, repository_id);
