-- The files of a repository and of an image, in the order of their digests.
CREATE INDEX versions_by_digest ON versions (repository_id, digest, id);
CREATE INDEX manifest_refs_of_package ON manifest_refs (package_id, blob_digest) WHERE blob_digest IS NOT NULL;
