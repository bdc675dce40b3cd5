-- What an attachment that the API made is called there, and whose it is. Others are called by their digest.
CREATE TABLE attachments (
  version_id BYTEA NOT NULL PRIMARY KEY REFERENCES versions (id) ON DELETE CASCADE,
  repository_id BYTEA NOT NULL,
  name TEXT NOT NULL,
  namespace TEXT NOT NULL,
  UNIQUE (repository_id, name)
);
