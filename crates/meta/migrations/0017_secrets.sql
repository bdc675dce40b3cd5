-- Passwords of other registries. The operator adds them, and remote repositories name them.
CREATE TABLE secrets (
  id BYTEA NOT NULL PRIMARY KEY,
  project TEXT NOT NULL,
  name TEXT NOT NULL,
  -- the scheme, host and port of the registry to which alone the values are sent
  origin TEXT NOT NULL,
  -- the largest number that a version has had: numbers are not used twice
  last_version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (project, name)
);
CREATE TABLE secret_versions (
  secret_id BYTEA NOT NULL REFERENCES secrets (id),
  version BIGINT NOT NULL,
  -- sealed with the master key
  sealed_value BYTEA NOT NULL,
  enabled BOOLEAN NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (secret_id, version)
);
-- The secrets that repositories name, as they were allowed to. A secret need not be there any more.
CREATE TABLE repository_secrets (
  repository_id BYTEA NOT NULL PRIMARY KEY REFERENCES repositories (id),
  project TEXT NOT NULL,
  name TEXT NOT NULL,
  added_by TEXT NOT NULL,
  added_at BIGINT NOT NULL
);
CREATE INDEX repository_secrets_by_secret ON repository_secrets (project, name, repository_id);
