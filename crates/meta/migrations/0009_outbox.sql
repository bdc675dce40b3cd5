-- What webhooks are to be told, written with the change itself. A row goes when its receiver has taken it.
CREATE TABLE outbox (
  id BYTEA NOT NULL PRIMARY KEY,
  webhook TEXT NOT NULL,
  action TEXT NOT NULL,
  repository TEXT NOT NULL,
  image TEXT NOT NULL,
  tag TEXT,
  digest TEXT,
  occurred_at BIGINT NOT NULL,
  -- 0, unless the receiver refused it and takes others.
  due_at BIGINT NOT NULL,
  put_off BIGINT NOT NULL
);
CREATE INDEX outbox_due ON outbox (webhook, due_at, id);
CREATE INDEX outbox_by_age ON outbox (occurred_at, id);
