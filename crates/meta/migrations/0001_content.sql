-- Repositories, images, bytes and the queues that keep them tidy.
-- Ids are 16 bytes (UUIDv7), times are microseconds since 1970 in UTC, text compares byte by byte.

CREATE TABLE repositories (
  id BYTEA NOT NULL PRIMARY KEY,
  project TEXT NOT NULL,
  location TEXT NOT NULL,
  name TEXT NOT NULL,
  sparse BOOLEAN NOT NULL,
  -- the sum of folded usage_deltas; the true size is this plus the deltas not yet folded
  size_bytes BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  UNIQUE (project, location, name)
);

-- An image. `path` is PROJECT/REPOSITORY/IMAGE as the catalog lists it.
CREATE TABLE packages (
  id BYTEA NOT NULL PRIMARY KEY,
  repository_id BYTEA NOT NULL REFERENCES repositories (id),
  name TEXT NOT NULL,
  location TEXT NOT NULL,
  path TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (repository_id, name),
  UNIQUE (location, path)
);

CREATE TABLE manifest_contents (
  digest TEXT NOT NULL PRIMARY KEY,
  bytes BYTEA NOT NULL
);

-- A manifest as it belongs to one image, with everything that lists show of it.
CREATE TABLE versions (
  id BYTEA NOT NULL PRIMARY KEY,
  package_id BYTEA NOT NULL REFERENCES packages (id),
  digest TEXT NOT NULL REFERENCES manifest_contents (digest),
  media_type TEXT NOT NULL,
  manifest_bytes BIGINT NOT NULL,
  image_bytes BIGINT NOT NULL,
  artifact_type TEXT,
  subject TEXT,
  annotations TEXT NOT NULL,
  platforms TEXT NOT NULL,
  built_at BIGINT,
  uploaded_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  UNIQUE (package_id, digest)
);
CREATE INDEX versions_by_subject ON versions (package_id, subject, digest);
CREATE INDEX versions_by_content ON versions (digest);

CREATE TABLE tags (
  package_id BYTEA NOT NULL REFERENCES packages (id),
  name TEXT NOT NULL,
  version_id BYTEA NOT NULL REFERENCES versions (id),
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (package_id, name)
);
CREATE INDEX tags_by_version ON tags (version_id, name);

-- One row per change of a tag: from nothing, to nothing, or from one digest to another.
CREATE TABLE tag_history (
  id BYTEA NOT NULL PRIMARY KEY,
  package_id BYTEA NOT NULL REFERENCES packages (id),
  tag TEXT NOT NULL,
  from_digest TEXT,
  to_digest TEXT,
  principal TEXT NOT NULL,
  changed_at BIGINT NOT NULL
);
CREATE INDEX tag_history_by_tag ON tag_history (package_id, tag, id);

-- One physical copy of some bytes. The row is there before the file is.
CREATE TABLE copies (
  id BYTEA NOT NULL PRIMARY KEY,
  state TEXT NOT NULL CHECK (state IN ('uploading', 'live', 'trash', 'quarantined')),
  digest TEXT,
  size BIGINT NOT NULL,
  -- what the file's times were when its bytes were last known to be right
  mtime_ns BIGINT NOT NULL,
  ctime_ns BIGINT NOT NULL,
  verified_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE blobs (
  digest TEXT NOT NULL PRIMARY KEY,
  copy_id BYTEA NOT NULL REFERENCES copies (id),
  size BIGINT NOT NULL
);
CREATE INDEX blobs_by_copy ON blobs (copy_id);

-- A blob is readable in a repository if, and only if, this row is there. The size follows from the digest;
-- it is in the key so that a manifest's foreign key also proves the size that the manifest states.
CREATE TABLE repository_blobs (
  repository_id BYTEA NOT NULL REFERENCES repositories (id),
  digest TEXT NOT NULL REFERENCES blobs (digest),
  size BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (repository_id, digest, size)
);
CREATE INDEX repository_blobs_by_digest ON repository_blobs (digest);

-- What a manifest names. `digest` always; `blob_digest` or `child_id` where the content is here,
-- and then the foreign key keeps that content from being deleted.
CREATE TABLE manifest_refs (
  version_id BYTEA NOT NULL REFERENCES versions (id) ON DELETE CASCADE,
  position BIGINT NOT NULL,
  repository_id BYTEA NOT NULL,
  package_id BYTEA NOT NULL,
  digest TEXT NOT NULL,
  size BIGINT NOT NULL,
  is_manifest BOOLEAN NOT NULL,
  blob_digest TEXT,
  child_id BYTEA REFERENCES versions (id),
  PRIMARY KEY (version_id, position),
  FOREIGN KEY (repository_id, blob_digest, size) REFERENCES repository_blobs (repository_id, digest, size)
);
CREATE INDEX manifest_refs_by_blob ON manifest_refs (repository_id, blob_digest, size);
CREATE INDEX manifest_refs_by_child ON manifest_refs (child_id);
CREATE INDEX manifest_refs_open ON manifest_refs (repository_id, digest)
  WHERE blob_digest IS NULL AND child_id IS NULL;

-- An upload session. The id is random, not a UUIDv7: whoever knows it and is its principal may write.
-- A finished session keeps its row for a while (digest set, copy_id null), so that a repeated PUT succeeds.
CREATE TABLE uploads (
  id BYTEA NOT NULL PRIMARY KEY,
  repository_id BYTEA NOT NULL REFERENCES repositories (id),
  image TEXT NOT NULL,
  principal TEXT NOT NULL,
  copy_id BYTEA REFERENCES copies (id),
  algorithm TEXT NOT NULL,
  size BIGINT NOT NULL,
  checkpoint BYTEA,
  digest TEXT,
  started_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX uploads_by_copy ON uploads (copy_id);

-- What may have become unreferenced, and when to look.
CREATE TABLE gc_queue (
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  review_after BIGINT NOT NULL,
  PRIMARY KEY (kind, id)
);
CREATE INDEX gc_queue_due ON gc_queue (review_after, kind, id);

CREATE TABLE version_usage (
  version_id BYTEA NOT NULL PRIMARY KEY REFERENCES versions (id) ON DELETE CASCADE,
  last_pulled_at BIGINT NOT NULL
);

-- Pulls of a version by day (days since 1970 in UTC).
CREATE TABLE pull_counts (
  version_id BYTEA NOT NULL REFERENCES versions (id) ON DELETE CASCADE,
  day BIGINT NOT NULL,
  pulls BIGINT NOT NULL,
  PRIMARY KEY (version_id, day)
);

CREATE TABLE usage_deltas (
  id BYTEA NOT NULL PRIMARY KEY,
  repository_id BYTEA NOT NULL REFERENCES repositories (id),
  bytes BIGINT NOT NULL
);
CREATE INDEX usage_deltas_by_repository ON usage_deltas (repository_id, id);

-- What happened, written with the change itself.
CREATE TABLE events (
  id BYTEA NOT NULL PRIMARY KEY,
  action TEXT NOT NULL,
  principal TEXT NOT NULL,
  resource TEXT NOT NULL,
  tag TEXT,
  digest TEXT,
  occurred_at BIGINT NOT NULL
);

-- Counters that every process polls: a cache entry older than its epoch is void.
CREATE TABLE epochs (
  name TEXT NOT NULL PRIMARY KEY,
  value BIGINT NOT NULL
);

-- Work that one process at a time may do. The fence rises with each new holder.
CREATE TABLE leases (
  name TEXT NOT NULL PRIMARY KEY,
  holder TEXT NOT NULL,
  fence BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
