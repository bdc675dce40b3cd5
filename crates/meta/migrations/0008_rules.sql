-- What may be done with the artifacts of a repository, or of one image of it, whatever the caller's permissions.
CREATE TABLE rules (
  repository_id BYTEA NOT NULL REFERENCES repositories (id),
  name TEXT NOT NULL,
  action TEXT NOT NULL,
  operation TEXT NOT NULL,
  -- the image; empty is the whole repository
  package TEXT NOT NULL,
  expression TEXT NOT NULL,
  title TEXT NOT NULL,
  description TEXT NOT NULL,
  location TEXT NOT NULL,
  PRIMARY KEY (repository_id, name),
  UNIQUE (repository_id, operation, package)
);

-- How many rules of each kind a repository has: where it has none, nobody looks for one.
ALTER TABLE repositories ADD COLUMN download_rules BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN tag_rules BIGINT NOT NULL DEFAULT 0;

-- A JSON object of texts that the API sets; of a version NULL is what its manifest says.
ALTER TABLE packages ADD COLUMN annotations TEXT NOT NULL DEFAULT '{}';
ALTER TABLE versions ADD COLUMN set_annotations TEXT;
