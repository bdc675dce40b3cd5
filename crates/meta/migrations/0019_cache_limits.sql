-- Remote repositories with a bound of what they keep. The bound itself is in the repository's settings.
CREATE TABLE cache_limits (
  repository_id BYTEA NOT NULL PRIMARY KEY REFERENCES repositories (id) ON DELETE CASCADE
);
-- When a blob of an image in such a repository was read last, if that is not long ago.
CREATE TABLE cache_reads (
  repository_id BYTEA NOT NULL REFERENCES cache_limits (repository_id) ON DELETE CASCADE,
  image TEXT NOT NULL,
  digest TEXT NOT NULL,
  read_at BIGINT NOT NULL,
  PRIMARY KEY (repository_id, image, digest)
);
