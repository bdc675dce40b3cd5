-- A search by digest goes on after the last image that it has looked at.
DROP INDEX versions_by_content;
CREATE INDEX versions_by_content ON versions (digest, package_id);

-- Counts of old days are deleted, the oldest first.
CREATE INDEX image_days_by_day ON image_days (day);
CREATE INDEX repository_days_by_day ON repository_days (day);
CREATE INDEX pull_counts_by_day ON pull_counts (day);
