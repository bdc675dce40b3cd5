-- What a remote repository knows about tags of its upstream.
CREATE TABLE upstream_tags (
  repository_id BYTEA NOT NULL REFERENCES repositories (id),
  image TEXT NOT NULL,
  -- a tag, or a digest that the upstream does not have
  reference TEXT NOT NULL,
  -- false: the upstream does not have it
  found BOOLEAN NOT NULL,
  checked_at BIGINT NOT NULL,
  PRIMARY KEY (repository_id, image, reference)
);
CREATE INDEX upstream_tags_by_time ON upstream_tags (checked_at) WHERE NOT found;
