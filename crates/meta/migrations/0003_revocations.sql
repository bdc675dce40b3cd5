-- The order in which tokens were taken back, by which each process reads what is new to it.
ALTER TABLE revoked_tokens ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
CREATE INDEX revoked_tokens_by_number ON revoked_tokens (number);
-- Those that are old enough are forgotten by it.
CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at);
