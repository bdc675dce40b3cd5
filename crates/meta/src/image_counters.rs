//! The counters of images (table `image_counters`). Only work in the background changes existing rows.

use crate::usage_deltas::UsageDelta;
use crate::{Id, MetaError, Tx, params};

/// Inserts the counters of an image, at zero. Does nothing for an image that has some, or that is being deleted. Until a
/// push is counted, the last one is taken to be the one that created the image.
pub fn insert(tx: &mut Tx<'_>, package: &Id) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO image_counters (package_id, repository_id, versions, tags, untagged, manifest_bytes,
           stored_bytes, pushed_at, measured_at, measure_due)
         SELECT id, repository_id, 0, 0, 0, 0, 0, created_at, 0, 0 FROM packages
         WHERE id = ?1 AND name > '/' ON CONFLICT (package_id) DO NOTHING",
        params![package],
    )?;
    Ok(())
}

/// Deletes the counters of an image.
pub fn delete(tx: &mut Tx<'_>, package: &Id) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM image_counters WHERE package_id = ?1", params![package])
}

/// The time after the last measurement of an image before which it is not measured again, for each of its versions, in
/// microseconds. A measurement takes less than a hundredth of that.
const REST_PER_VERSION: i64 = 10_000;

/// Adds folded changes to the counters of an image. If its content has changed, it is measured again.
pub(crate) fn add(
    tx: &mut Tx<'_>,
    package: &Id,
    delta: &UsageDelta,
    now: i64,
) -> Result<(), MetaError> {
    tx.execute(
        "UPDATE image_counters SET versions = versions + ?2, tags = tags + ?3, untagged = untagged + ?4,
           manifest_bytes = manifest_bytes + ?5, pushed_at = CASE WHEN pushed_at < ?6 THEN ?6 ELSE pushed_at END
         WHERE package_id = ?1",
        params![
            package,
            delta.versions,
            delta.tags,
            delta.untagged,
            delta.manifest_bytes,
            delta.pushed_at
        ],
    )?;
    if delta.content_changed {
        tx.execute(
            "UPDATE image_counters SET measure_due =
               CASE WHEN measured_at + versions * ?3 > ?2 THEN measured_at + versions * ?3 ELSE ?2 END
             WHERE package_id = ?1",
            params![package, now, REST_PER_VERSION],
        )?;
    }
    Ok(())
}

/// An image whose stored bytes are to be added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueMeasurement {
    /// The id of the image.
    pub package: Id,
    /// The time from which on the measurement is due.
    pub due: i64,
}

/// The statement of [`find_due`]. A test checks its query plan.
pub(crate) const DUE_SQL: &str = "SELECT package_id, measure_due FROM image_counters
     WHERE measure_due <= ?1 ORDER BY measure_due, package_id LIMIT 1";

/// Returns the image that has been due for the longest time to be measured.
pub fn find_due(tx: &mut Tx<'_>, now: i64) -> Result<Option<DueMeasurement>, MetaError> {
    tx.query_first(DUE_SQL, params![now], |row| {
        Ok(DueMeasurement { package: row.id(0)?, due: row.int(1)? })
    })
}

/// The statement of [`list_blob_sizes`]. It steps from each blob to the next one, because any number of manifests may
/// name the same blob. A test checks its query plan.
pub(crate) const BLOB_SIZES_SQL: &str =
    "WITH RECURSIVE found (digest) AS (
       SELECT min(blob_digest) FROM manifest_refs WHERE package_id = ?1 AND blob_digest > ?2
       UNION ALL SELECT
         (SELECT min(r.blob_digest) FROM manifest_refs r WHERE r.package_id = ?1 AND r.blob_digest > found.digest)
       FROM found WHERE found.digest IS NOT NULL)
     SELECT few.digest,
       (SELECT r.size FROM manifest_refs r WHERE r.package_id = ?1 AND r.blob_digest = few.digest LIMIT 1)
     FROM (SELECT digest FROM found WHERE digest IS NOT NULL LIMIT ?3) few";

/// Returns up to `limit` of the blobs that the manifests of an image name and that are stored, with their sizes: those
/// that sort after `last`, each once and in their order.
pub fn list_blob_sizes(
    tx: &mut Tx<'_>,
    package: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<(String, i64)>, MetaError> {
    tx.query(BLOB_SIZES_SQL, params![package, last, limit], |row| Ok((row.text(0)?, row.int(1)?)))
}

/// Stores the bytes of the blobs of an image as they were added up at `now`, together with those of its manifests. The
/// image is measured again later if its content has changed meanwhile.
pub fn set_measured(
    tx: &mut Tx<'_>,
    measured: DueMeasurement,
    blob_bytes: i64,
    now: i64,
) -> Result<(), MetaError> {
    tx.execute(
        "UPDATE image_counters SET stored_bytes = manifest_bytes + ?2, measured_at = ?3,
           measure_due = CASE WHEN measure_due = ?4 THEN NULL ELSE measure_due END
         WHERE package_id = ?1",
        params![&measured.package, blob_bytes, now, measured.due],
    )?;
    Ok(())
}
