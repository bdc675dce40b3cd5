-- Repositories with cleanup policies, when each is due, and how far a run has come: behind that version of that image.
-- The policies are in the repository's settings.
CREATE TABLE cleanups (
  repository_id BYTEA NOT NULL PRIMARY KEY REFERENCES repositories (id) ON DELETE CASCADE,
  due_at BIGINT NOT NULL,
  package TEXT NOT NULL,
  uploaded_at BIGINT NOT NULL,
  version_id BYTEA NOT NULL
);
CREATE INDEX cleanups_due ON cleanups (due_at, repository_id);
-- Those whose policies were set when nothing acted on them. Where the words stand elsewhere in the document, the first run
-- finds no policies.
INSERT INTO cleanups (repository_id, due_at, package, uploaded_at, version_id)
  SELECT id, 0, '', 0, id FROM repositories
  WHERE state = 'live' AND replace(settings, '"cleanupPolicies"', '') <> settings;
