-- The upload by which a remote repository fetches a blob, and the process that does it now. It goes with the upload.
CREATE TABLE remote_fetches (
  repository_id BYTEA NOT NULL,
  image TEXT NOT NULL,
  digest TEXT NOT NULL,
  upload_id BYTEA NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
  holder TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (repository_id, image, digest)
);
CREATE INDEX remote_fetches_by_upload ON remote_fetches (upload_id);
