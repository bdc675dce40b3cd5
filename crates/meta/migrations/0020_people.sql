-- People who sign in by themselves. Whoever vouches for a person is the issuer, and the subject is the person's name there:
-- for people with a password here, that is their own id. The address is what policies name.
CREATE TABLE users (
  id BYTEA NOT NULL PRIMARY KEY,
  issuer TEXT NOT NULL,
  subject TEXT NOT NULL,
  -- in lower case
  email TEXT NOT NULL UNIQUE,
  display_name TEXT NOT NULL,
  disabled BOOLEAN NOT NULL,
  -- in the form of the password hashing competition; NULL until a password is set
  password_hash TEXT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  UNIQUE (issuer, subject)
);
-- The link by which a person sets a password, once. Its token is not here, only the hash.
CREATE TABLE password_links (
  user_id BYTEA NOT NULL PRIMARY KEY REFERENCES users (id),
  token_hash BYTEA NOT NULL UNIQUE,
  expires_at BIGINT NOT NULL
);
CREATE INDEX password_links_by_expiry ON password_links (expires_at);
-- Who is signed in. A session that was ended has no row.
CREATE TABLE sessions (
  id BYTEA NOT NULL PRIMARY KEY,
  user_id BYTEA NOT NULL REFERENCES users (id),
  secret_hash BYTEA NOT NULL UNIQUE,
  created_at BIGINT NOT NULL,
  last_seen_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  address TEXT,
  agent TEXT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE INDEX sessions_by_last_seen ON sessions (last_seen_at);
-- The roles on the organization that the setting `admins` gave, and that it takes again.
CREATE TABLE given_roles (
  member TEXT NOT NULL,
  role TEXT NOT NULL,
  given_at BIGINT NOT NULL,
  PRIMARY KEY (member, role)
);
