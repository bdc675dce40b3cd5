-- A virtual repository looks which of its upstreams hold an image: few repositories hold one of the same name.
CREATE INDEX packages_by_name ON packages (name, repository_id);
