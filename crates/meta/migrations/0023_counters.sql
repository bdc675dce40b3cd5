-- Counters of images and repositories, for lists.

-- True for a version without a tag and without a subject that no manifest of its image names. NULL where an older Berth
-- stored the version: it is counted in the background, and its image has no counters before.
ALTER TABLE versions ADD COLUMN untagged BOOLEAN;
CREATE INDEX versions_untagged ON versions (package_id, uploaded_at, id) WHERE untagged;
CREATE INDEX versions_uncounted ON versions (package_id, id) WHERE untagged IS NULL;

-- A change of the counters of a repository, and of one of its images unless that is NULL.
ALTER TABLE usage_deltas ADD COLUMN package_id BYTEA;
ALTER TABLE usage_deltas ADD COLUMN images BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_deltas ADD COLUMN versions BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_deltas ADD COLUMN tags BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_deltas ADD COLUMN untagged BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_deltas ADD COLUMN manifest_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_deltas ADD COLUMN pushes BIGINT NOT NULL DEFAULT 0;
-- when the manifest was pushed, if one was
ALTER TABLE usage_deltas ADD COLUMN pushed_at BIGINT;
-- whether the blobs that the image names are others now
ALTER TABLE usage_deltas ADD COLUMN content_changed BOOLEAN NOT NULL DEFAULT FALSE;
DROP INDEX usage_deltas_by_repository;
CREATE INDEX usage_deltas_by_image ON usage_deltas (repository_id, package_id);

-- The sums of folded usage_deltas of an image. No push reads or changes an existing row.
CREATE TABLE image_counters (
  package_id BYTEA NOT NULL PRIMARY KEY REFERENCES packages (id) ON DELETE CASCADE,
  repository_id BYTEA NOT NULL,
  versions BIGINT NOT NULL,
  tags BIGINT NOT NULL,
  untagged BIGINT NOT NULL,
  manifest_bytes BIGINT NOT NULL,
  -- of the manifests, and of the blobs that they name, each once; as of measured_at
  stored_bytes BIGINT NOT NULL,
  -- the last push of a manifest; at first, when the image was created
  pushed_at BIGINT NOT NULL,
  -- 0: never
  measured_at BIGINT NOT NULL,
  -- when the blobs are to be added up again, if they have changed
  measure_due BIGINT
);
CREATE INDEX image_counters_by_push ON image_counters (repository_id, pushed_at, package_id);
CREATE INDEX image_counters_by_size ON image_counters (repository_id, stored_bytes, package_id);
CREATE INDEX image_counters_by_tags ON image_counters (repository_id, tags, package_id);
CREATE INDEX image_counters_due ON image_counters (measure_due, package_id) WHERE measure_due IS NOT NULL;
INSERT INTO image_counters (package_id, repository_id, versions, tags, untagged, manifest_bytes, stored_bytes, pushed_at,
    measured_at, measure_due)
  SELECT id, repository_id, 0, 0, 0, 0, 0, created_at, 0, 0 FROM packages WHERE name > '/';

ALTER TABLE repositories ADD COLUMN images BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN pushed_at BIGINT;
UPDATE repositories SET images =
  (SELECT count(*) FROM packages p WHERE p.repository_id = repositories.id AND p.name > '/');
CREATE INDEX repositories_by_name ON repositories (project, name, location);
CREATE INDEX repositories_sums ON repositories (project, state, size_bytes, pushed_at);

-- Pulls and pushes by day (days since 1970 in UTC). A pull of a manifest that an index names counts as one of the index.
CREATE TABLE image_days (
  package_id BYTEA NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
  day BIGINT NOT NULL,
  pulls BIGINT NOT NULL,
  pushes BIGINT NOT NULL,
  PRIMARY KEY (package_id, day)
);
CREATE TABLE repository_days (
  repository_id BYTEA NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  day BIGINT NOT NULL,
  pulls BIGINT NOT NULL,
  pushes BIGINT NOT NULL,
  PRIMARY KEY (repository_id, day)
);
