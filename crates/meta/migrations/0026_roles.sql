-- Custom roles of the organization and of projects. A deleted one can be restored for some days, and keeps its id for some
-- more. Then its row goes, and its bindings with it: a later role of that name is another one.
CREATE TABLE roles (
  -- the name of the organization or of the project
  parent TEXT NOT NULL,
  id TEXT NOT NULL,
  title TEXT NOT NULL,
  description TEXT NOT NULL,
  stage TEXT NOT NULL,
  -- the names of the permissions, as JSON
  permissions TEXT NOT NULL,
  etag BYTEA NOT NULL,
  updated_at BIGINT NOT NULL,
  -- NULL unless it was deleted
  deleted_at BIGINT,
  PRIMARY KEY (parent, id)
);
CREATE INDEX roles_by_deletion ON roles (deleted_at) WHERE deleted_at IS NOT NULL;
