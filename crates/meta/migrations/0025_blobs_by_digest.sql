-- The repositories that may read a blob, without a look at the table. A blob of a virtual repository is found by it.
DROP INDEX repository_blobs_by_digest;
CREATE INDEX repository_blobs_by_digest ON repository_blobs (digest, repository_id);
