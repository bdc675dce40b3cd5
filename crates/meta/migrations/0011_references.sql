-- 0 where the references were made by a Berth that did not know all that a manifest names: they are completed in the
-- background, and nothing is collected before.
ALTER TABLE versions ADD COLUMN references_made BIGINT NOT NULL DEFAULT 0;
CREATE INDEX versions_incomplete ON versions (id) WHERE references_made = 0;
