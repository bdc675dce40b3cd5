-- The images of a repository, whatever their names, in the order in which they came or changed.
ALTER TABLE versions ADD COLUMN repository_id BYTEA;
UPDATE versions SET repository_id = (SELECT p.repository_id FROM packages p WHERE p.id = versions.package_id);
CREATE INDEX versions_by_upload ON versions (repository_id, uploaded_at, id);
CREATE INDEX versions_by_update ON versions (repository_id, updated_at, id);
CREATE INDEX versions_of_package_by_update ON versions (package_id, updated_at, id);
CREATE INDEX versions_of_package_by_upload ON versions (package_id, uploaded_at, id);
