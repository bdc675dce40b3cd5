-- What the database knows of itself, such as the id that it shares with its folder of blobs.
CREATE TABLE settings (
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
);

-- Copies in the order in which they are checked. `verified_at` of one that is out of service is when it was last
-- looked at.
CREATE INDEX copies_by_check ON copies (verified_at, id) WHERE state IN ('live', 'quarantined');
CREATE INDEX copies_quarantined ON copies (id) WHERE state = 'quarantined';
