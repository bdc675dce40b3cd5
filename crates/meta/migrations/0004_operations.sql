-- Operations are forgotten by their age.
CREATE INDEX operations_by_age ON operations (created_at, name);
