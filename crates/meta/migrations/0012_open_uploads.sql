-- How many uploads somebody has open in a repository is counted with each that begins. Finished ones are not in it.
CREATE INDEX uploads_open ON uploads (repository_id, principal) WHERE copy_id IS NOT NULL;
