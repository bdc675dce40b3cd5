-- The files of a repository and of an image, in the order of their digests.
CREATE INDEX versions_by_digest ON versions (repository_id, digest, id);
CREATE INDEX manifest_refs_of_package ON manifest_refs (package_id, blob_digest) WHERE blob_digest IS NOT NULL;
-- What refers to something, by its own digest.
CREATE INDEX versions_with_subject ON versions (repository_id, digest) WHERE subject IS NOT NULL;
