-- The way by which a change came: a push, an API, the console or the registry itself. Nobody knows it of older changes.
ALTER TABLE tag_history ADD COLUMN way TEXT NOT NULL DEFAULT 'unknown';
CREATE INDEX tag_history_of_package ON tag_history (package_id, id);
ALTER TABLE events ADD COLUMN way TEXT NOT NULL DEFAULT 'unknown';

-- The repository and the image that an event is about. Of a deleted image the events stay; a new repository of the same
-- name has another id. Events of an older Berth have neither.
ALTER TABLE events ADD COLUMN repository_id BYTEA;
ALTER TABLE events ADD COLUMN image TEXT;
CREATE INDEX events_of_repository ON events (repository_id, occurred_at, id) WHERE repository_id IS NOT NULL;
CREATE INDEX events_of_image ON events (repository_id, image, occurred_at, id) WHERE image IS NOT NULL;
