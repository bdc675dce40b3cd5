//! Looks of remote repositories for tags and digests of their upstreams (table `upstream_tags`).

use model::digest::Digest;

use crate::versions::{ImageAddress, VersionRow, read_content};
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

/// Returns the version that a tag of an image names, with the bytes of the manifest and the last look for the tag. Returns
/// `None` if there was no look.
pub fn find_content(
    tx: &mut Tx<'_>,
    at: ImageAddress<'_>,
    tag: &str,
) -> Result<Option<(VersionRow, Vec<u8>, UpstreamLook)>, MetaError> {
    let sql = "SELECT v.id, v.package_id, v.digest, v.media_type, v.manifest_bytes, v.subject, c.bytes, u.found, u.checked_at
         FROM packages p JOIN tags t ON t.package_id = p.id JOIN versions v ON v.id = t.version_id
         JOIN manifest_contents c ON c.digest = v.digest
         JOIN upstream_tags u ON u.repository_id = p.repository_id AND u.image = p.name AND u.reference = t.name
         WHERE p.repository_id = ?1 AND p.name = ?2 AND t.name = ?3";
    tx.query_first(sql, params![at.repository, at.image, tag], |row| {
        let (version, bytes) = read_content(row)?;
        Ok((version, bytes, UpstreamLook { found: row.bool(7)?, checked_at: row.int(8)? }))
    })
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

/// The statement of [`list_found`]. A test checks its query plan.
pub(crate) const FOUND_SQL: &str = "SELECT reference FROM upstream_tags
     WHERE repository_id = ?1 AND image = ?2 AND reference > ?3 AND found
     ORDER BY reference LIMIT ?4";

/// Lists tags that the upstream has, after the tag `after`.
pub fn list_found(
    tx: &mut Tx<'_>,
    at: ImageAddress<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<String>, MetaError> {
    // Looks for lists begin with a character before those of tags.
    let after = if after.is_empty() { LIST_PREFIX_END } else { after };
    tx.query(FOUND_SQL, params![at.repository, at.image, after, limit], |row| row.text(0))
}

/// The beginning of the references of looks for whole lists. No tag begins so.
pub const LIST_PREFIX: &str = "!";

/// Returns the reference of looks for the list of the manifests that refer to a subject.
pub fn referrers_list(subject: &Digest) -> String {
    format!("{LIST_PREFIX}{subject}")
}

/// A text after all references that begin with [`LIST_PREFIX`], and before all tags.
const LIST_PREFIX_END: &str = "\"";

/// Records a tag that the upstream lists. If it was not confirmed by a look before, it has no time.
pub fn add_listed(tx: &mut Tx<'_>, at: ImageAddress<'_>, tag: &str) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO upstream_tags (repository_id, image, reference, found, checked_at)
         VALUES (?1, ?2, ?3, ?4, 0)
         ON CONFLICT (repository_id, image, reference)
         DO UPDATE SET found = excluded.found, checked_at = 0 WHERE NOT upstream_tags.found",
        params![at.repository, at.image, tag, true],
    )?;
    Ok(())
}

/// Forgets what was found at the last look for a tag.
pub fn forget(tx: &mut Tx<'_>, at: ImageAddress<'_>, tag: &str) -> Result<(), MetaError> {
    tx.execute(
        "DELETE FROM upstream_tags WHERE repository_id = ?1 AND image = ?2 AND reference = ?3",
        params![at.repository, at.image, tag],
    )?;
    Ok(())
}
