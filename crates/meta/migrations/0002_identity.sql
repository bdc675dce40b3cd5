-- Who may do what: projects, accounts, keys, policies; and what is set on a repository.

-- A project is created by an administrator, or with the first push in development mode.
CREATE TABLE projects (
  id TEXT NOT NULL PRIMARY KEY,
  number BIGINT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  labels TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'DELETE_REQUESTED')),
  created_at BIGINT NOT NULL
);

-- By the name of the resource that carries it. It goes with the resource: a new one of that name has none.
CREATE TABLE policies (
  resource TEXT NOT NULL PRIMARY KEY,
  bindings TEXT NOT NULL,
  etag BYTEA NOT NULL,
  updated_at BIGINT NOT NULL
);

CREATE TABLE service_accounts (
  email TEXT NOT NULL PRIMARY KEY,
  project TEXT NOT NULL REFERENCES projects (id),
  unique_id TEXT NOT NULL UNIQUE,
  display_name TEXT NOT NULL,
  description TEXT NOT NULL,
  disabled BOOLEAN NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX service_accounts_by_project ON service_accounts (project, email);

-- Of keys that clients hold, only the public half is here. Of the one that each account has here, the private
-- half is too, sealed with the data folder's master key.
CREATE TABLE account_keys (
  id TEXT NOT NULL PRIMARY KEY,
  account TEXT NOT NULL REFERENCES service_accounts (email),
  public_key BYTEA NOT NULL,
  sealed_private_key BYTEA,
  disabled BOOLEAN NOT NULL,
  valid_after BIGINT NOT NULL,
  valid_before BIGINT NOT NULL
);
CREATE INDEX account_keys_by_account ON account_keys (account, id);

-- What signs our own tokens. The newest active one signs; all that are not expired verify.
CREATE TABLE signing_keys (
  id TEXT NOT NULL PRIMARY KEY,
  public_key BYTEA NOT NULL,
  sealed_private_key BYTEA NOT NULL,
  created_at BIGINT NOT NULL,
  signs_until BIGINT NOT NULL,
  verifies_until BIGINT NOT NULL
);

-- Tokens that somebody took back before their time.
CREATE TABLE revoked_tokens (
  id TEXT NOT NULL PRIMARY KEY,
  expires_at BIGINT NOT NULL
);

-- What a long-running operation came to.
CREATE TABLE operations (
  name TEXT NOT NULL PRIMARY KEY,
  principal TEXT NOT NULL,
  content BYTEA NOT NULL,
  created_at BIGINT NOT NULL
);

ALTER TABLE repositories ADD COLUMN mode TEXT NOT NULL DEFAULT 'STANDARD_REPOSITORY';
ALTER TABLE repositories ADD COLUMN state TEXT NOT NULL DEFAULT 'live';
ALTER TABLE repositories ADD COLUMN immutable_tags BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE repositories ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE repositories ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
-- What the API sets and nothing here acts on yet, as the JSON that comes back.
ALTER TABLE repositories ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
CREATE INDEX uploads_by_repository ON uploads (repository_id, id);
