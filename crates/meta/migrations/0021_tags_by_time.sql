-- The tags of an image in the order in which they were set, as the console lists them.
CREATE INDEX tags_by_update ON tags (package_id, updated_at, name);
