//! Looks of remote repositories for tags and digests of their upstreams (table `upstream_tags`).

use crate::versions::ImageAddress;
use crate::{Id, MetaError, Tx, params};

/// The last look for a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamLook {
    /// True if the upstream had it.
    pub found: bool,
    /// The time of the look.
    pub checked_at: i64,
}

/// Returns what was found at the last look for a tag or a digest.
pub fn find(
    tx: &mut Tx<'_>,
    at: ImageAddress<'_>,
    reference: &str,
) -> Result<Option<UpstreamLook>, MetaError> {
    tx.query_first(
        "SELECT found, checked_at FROM upstream_tags
         WHERE repository_id = ?1 AND image = ?2 AND reference = ?3",
        params![at.repository, at.image, reference],
        |row| Ok(UpstreamLook { found: row.bool(0)?, checked_at: row.int(1)? }),
    )
}

/// Records a look.
pub fn set(
    tx: &mut Tx<'_>,
    at: ImageAddress<'_>,
    reference: &str,
    look: UpstreamLook,
) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO upstream_tags (repository_id, image, reference, found, checked_at)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (repository_id, image, reference)
         DO UPDATE SET found = excluded.found, checked_at = excluded.checked_at",
        params![at.repository, at.image, reference, look.found, look.checked_at],
    )?;
    Ok(())
}

/// Forgets all looks of a repository, whose upstream is another one from now on. There may be very many, so up to `limit`
/// are deleted. Returns how many were deleted.
pub fn forget_all(tx: &mut Tx<'_>, repository: &Id, limit: i64) -> Result<u64, MetaError> {
    tx.execute(
        "DELETE FROM upstream_tags WHERE (repository_id, image, reference) IN
         (SELECT repository_id, image, reference FROM upstream_tags WHERE repository_id = ?1 LIMIT ?2)",
        params![repository, limit],
    )
}

/// The statement of [`forget_not_found`]. A test checks its query plan.
pub(crate) const FORGET_SQL: &str =
    "DELETE FROM upstream_tags WHERE (repository_id, image, reference) IN
     (SELECT repository_id, image, reference FROM upstream_tags
      WHERE NOT found AND checked_at < ?1 ORDER BY checked_at LIMIT ?2)";

/// Forgets looks before a time that found nothing. Returns how many were forgotten.
pub fn forget_not_found(tx: &mut Tx<'_>, before: i64, limit: i64) -> Result<u64, MetaError> {
    tx.execute(FORGET_SQL, params![before, limit])
}
