//! Blobs (tables `copies`, `blobs` and `repository_blobs`).
//!
//! A copy is a stored file. A blob is a digest and its one copy in service. A link (a row of `repository_blobs`) lets a
//! repository read a blob.

use std::collections::BTreeMap;

use model::digest::Digest;

use crate::{Id, KeyList, MetaError, SqlParam, SqlRow, Tx, digest_at, params};

/// The state of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyState {
    /// An upload still fills the file.
    Uploading,
    /// The copy is the one in service of its blob.
    Live,
    /// No pull reads the copy, because a check found wrong bytes in its file.
    Quarantined,
    /// The file is to be deleted.
    Trash,
}

impl CopyState {
    /// Returns the name of the state in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Live => "live",
            Self::Quarantined => "quarantined",
            Self::Trash => "trash",
        }
    }

    /// Returns the state with this name.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Uploading, Self::Live, Self::Quarantined, Self::Trash];
        all.into_iter().find(|state| state.as_str() == text)
    }
}

/// The copy of a blob, as a pull needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobCopy {
    /// The id of the copy, which names its file.
    pub copy_id: Id,
    /// The length in bytes.
    pub size: i64,
    /// The modification time of the file, in nanoseconds, when its bytes were last found right.
    pub mtime_ns: i64,
    /// The change time of the file, in nanoseconds, when its bytes were last found right.
    pub ctime_ns: i64,
    /// The time of the last check of the bytes.
    pub verified_at: i64,
}

impl BlobCopy {
    fn read(row: &SqlRow<'_>) -> Result<Self, MetaError> {
        Ok(Self {
            copy_id: row.id(0)?,
            size: row.int(1)?,
            mtime_ns: row.int(2)?,
            ctime_ns: row.int(3)?,
            verified_at: row.int(4)?,
        })
    }
}

/// Returns a blob if this repository may read it and its copy is live.
pub fn find(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
) -> Result<Option<BlobCopy>, MetaError> {
    tx.query_first(
        "SELECT c.id, c.size, c.mtime_ns, c.ctime_ns, c.verified_at FROM repository_blobs l
         JOIN blobs b ON b.digest = l.digest JOIN copies c ON c.id = b.copy_id
         WHERE l.repository_id = ?1 AND l.digest = ?2 AND c.state = 'live'",
        params![repository, digest.as_str()],
        BlobCopy::read,
    )
}

/// The statement of [`list_named`]. A test checks its query plan. CROSS JOIN lets SQLite read the few repositories one after
/// the other, and not write them to a table first.
pub(crate) const NAMED_SQL: &str =
    "SELECT c.id, c.size, c.mtime_ns, c.ctime_ns, c.verified_at, few.repository_id
     FROM (SELECT repository_id FROM repository_blobs WHERE digest = ?1 LIMIT ?2) few
     CROSS JOIN blobs b JOIN copies c ON c.id = b.copy_id AND c.state = 'live'
     WHERE b.digest = ?1 AND EXISTS (SELECT 1 FROM manifest_refs m
       WHERE m.repository_id = few.repository_id AND m.blob_digest = ?1)";

/// The largest number of repositories of which [`list_named`] looks for a manifest.
const MAX_LINKED: i64 = 64;

/// Returns the repositories with a manifest that names a blob, in any order, and the blob if its copy is live. If very many
/// repositories may read the blob, these are only some of them.
pub fn list_named(tx: &mut Tx<'_>, digest: &Digest) -> Result<Vec<(Id, BlobCopy)>, MetaError> {
    tx.query(NAMED_SQL, params![digest.as_str(), MAX_LINKED], |row| {
        Ok((row.id(5)?, BlobCopy::read(row)?))
    })
}

/// Returns a blob if this repository may read it and its copy is quarantined.
pub fn find_quarantined(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
) -> Result<Option<BlobCopy>, MetaError> {
    tx.query_first(
        "SELECT c.id, c.size, c.mtime_ns, c.ctime_ns, c.verified_at FROM repository_blobs l
         JOIN blobs b ON b.digest = l.digest JOIN copies c ON c.id = b.copy_id
         WHERE l.repository_id = ?1 AND l.digest = ?2 AND c.state = 'quarantined'",
        params![repository, digest.as_str()],
        BlobCopy::read,
    )
}

/// Returns the ids and names of the repositories of a project and location that hold a blob. A mount without `from`
/// takes the blob from one of them.
pub fn list_holders(
    tx: &mut Tx<'_>,
    project: &str,
    location: &str,
    digest: &Digest,
    limit: i64,
) -> Result<Vec<(Id, String)>, MetaError> {
    tx.query(
        "SELECT r.id, r.name FROM repository_blobs l JOIN repositories r ON r.id = l.repository_id
         JOIN blobs b ON b.digest = l.digest JOIN copies c ON c.id = b.copy_id
         WHERE l.digest = ?3 AND r.project = ?1 AND r.location = ?2 AND c.state = 'live' ORDER BY r.name LIMIT ?4",
        params![project, location, digest.as_str(), limit],
        |row| Ok((row.id(0)?, row.text(1)?)),
    )
}

/// Inserts a copy in the state `uploading`. This happens before its file exists.
pub fn insert_copy(tx: &mut Tx<'_>, id: &Id, now: i64) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO copies (id, state, digest, size, mtime_ns, ctime_ns, verified_at, created_at)
         VALUES (?1, 'uploading', NULL, 0, 0, 0, 0, ?2)",
        params![id, now],
    )?;
    Ok(())
}

/// A copy whose bytes are complete and hashed.
#[derive(Debug, Clone)]
pub struct FinishedCopy<'a> {
    /// The id of the copy.
    pub id: &'a Id,
    /// The digest of the bytes.
    pub digest: &'a Digest,
    /// The length in bytes.
    pub size: i64,
    /// The modification time of the file, in nanoseconds.
    pub mtime_ns: i64,
    /// The change time of the file, in nanoseconds.
    pub ctime_ns: i64,
    /// The time at which the bytes were hashed.
    pub now: i64,
}

/// Makes the copy the live one of its digest. It replaces an older copy, because its bytes were hashed more recently.
/// Returns the id of the replaced copy, which the caller moves to the trash.
pub fn make_live(tx: &mut Tx<'_>, copy: &FinishedCopy<'_>) -> Result<Option<Id>, MetaError> {
    let former = tx.query_first(
        "SELECT copy_id FROM blobs WHERE digest = ?1",
        params![copy.digest.as_str()],
        |row| row.id(0),
    )?;
    let made = tx.execute(
        "UPDATE copies SET state = 'live', digest = ?2, size = ?3, mtime_ns = ?4, ctime_ns = ?5, verified_at = ?6
         WHERE id = ?1 AND state = 'uploading'",
        params![copy.id, copy.digest.as_str(), copy.size, copy.mtime_ns, copy.ctime_ns, copy.now],
    )?;
    if made == 0 {
        return Err(MetaError::corrupt("a copy that its upload still fills"));
    }
    tx.execute(
        "INSERT INTO blobs (digest, copy_id, size) VALUES (?1, ?2, ?3)
         ON CONFLICT (digest) DO UPDATE SET copy_id = excluded.copy_id, size = excluded.size",
        params![copy.digest.as_str(), copy.id, copy.size],
    )?;
    Ok(former)
}

/// Lets a repository read a blob. Returns whether the link is new.
pub fn link(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
    size: i64,
    now: i64,
) -> Result<bool, MetaError> {
    let linked = tx.execute(
        "INSERT INTO repository_blobs (repository_id, digest, size, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (repository_id, digest, size) DO NOTHING",
        params![repository, digest.as_str(), size, now],
    )?;
    Ok(linked == 1)
}

/// Deletes the link of a repository to a blob. Returns the size of the blob if there was a link.
/// The foreign key refuses the deletion while a manifest of the repository needs the blob.
pub fn unlink(tx: &mut Tx<'_>, repository: &Id, digest: &Digest) -> Result<Option<i64>, MetaError> {
    tx.query_first(
        "DELETE FROM repository_blobs WHERE repository_id = ?1 AND digest = ?2 RETURNING size",
        params![repository, digest.as_str()],
        |row| row.int(0),
    )
}

/// Returns whether any repository has a link to the blob.
pub fn is_linked(tx: &mut Tx<'_>, digest: &Digest) -> Result<bool, MetaError> {
    let found = tx.query_first(
        "SELECT 1 FROM repository_blobs WHERE digest = ?1 LIMIT 1",
        params![digest.as_str()],
        |row| row.int(0),
    )?;
    Ok(found.is_some())
}

/// Deletes a blob without links. Returns the id of its copy.
pub fn delete(tx: &mut Tx<'_>, digest: &Digest) -> Result<Option<Id>, MetaError> {
    tx.query_first(
        "DELETE FROM blobs WHERE digest = ?1 RETURNING copy_id",
        params![digest.as_str()],
        |row| row.id(0),
    )
}

/// Returns the state of a copy.
pub fn find_copy_state(tx: &mut Tx<'_>, id: &Id) -> Result<Option<CopyState>, MetaError> {
    tx.query_first("SELECT state FROM copies WHERE id = ?1", params![id], |row| {
        CopyState::parse(&row.text(0)?).ok_or_else(|| MetaError::corrupt("a copy's state"))
    })
}

/// Moves a copy in the state `uploading` to the trash. A copy in another state stays as it is.
pub fn trash_unfinished(tx: &mut Tx<'_>, id: &Id) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE copies SET state = 'trash' WHERE id = ?1 AND state = 'uploading'",
        params![id],
    )
}

/// Moves a live or quarantined copy to the trash, after another copy replaced it or its blob was deleted.
pub fn trash_replaced(tx: &mut Tx<'_>, id: &Id) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE copies SET state = 'trash' WHERE id = ?1 AND state IN ('live', 'quarantined')",
        params![id],
    )
}

/// Quarantines a live copy: no pull reads it. The blob keeps the copy until another one replaces it, or until a check
/// finds its bytes right.
pub fn quarantine(tx: &mut Tx<'_>, id: &Id, now: i64) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE copies SET state = 'quarantined', verified_at = ?2 WHERE id = ?1 AND state = 'live'",
        params![id, now],
    )
}

/// Records that a check found the bytes of a copy right. A quarantined copy becomes live again, if it still is the copy
/// of its blob.
pub fn mark_verified(
    tx: &mut Tx<'_>,
    id: &Id,
    mtime_ns: i64,
    ctime_ns: i64,
    now: i64,
) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE copies SET state = 'live', verified_at = ?2, mtime_ns = ?3, ctime_ns = ?4
         WHERE id = ?1 AND state IN ('live', 'quarantined')
           AND EXISTS (SELECT 1 FROM blobs b WHERE b.copy_id = copies.id)",
        params![id, now, mtime_ns, ctime_ns],
    )
}

/// Records the time of a check that did not find the bytes of a quarantined copy right. The copy stays quarantined.
pub fn mark_checked(tx: &mut Tx<'_>, id: &Id, now: i64) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE copies SET verified_at = ?2 WHERE id = ?1 AND state = 'quarantined'",
        params![id, now],
    )
}

/// Deletes a copy whose file has been deleted.
pub fn delete_copy(tx: &mut Tx<'_>, id: &Id) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM copies WHERE id = ?1", params![id])
}

/// Returns the ids and sizes of the live copies that were begun last, the newest first.
pub fn list_newest_live(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<(Id, i64)>, MetaError> {
    tx.query(
        "SELECT id, size FROM copies WHERE state = 'live' ORDER BY id DESC LIMIT ?1",
        params![limit],
        |row| Ok((row.id(0)?, row.int(1)?)),
    )
}

/// Returns whether there is any copy.
pub fn has_copies(tx: &mut Tx<'_>) -> Result<bool, MetaError> {
    let found = tx.query_first("SELECT 1 FROM copies LIMIT 1", params![], |row| row.int(0))?;
    Ok(found.is_some())
}

/// A copy whose check is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCopy {
    /// The digest that the bytes must have.
    pub digest: Digest,
    /// The copy to check.
    pub blob: BlobCopy,
}

/// The statement of [`list_due_copies`]. A test checks its query plan.
pub(crate) const DUE_SQL: &str =
    "SELECT id, size, mtime_ns, ctime_ns, verified_at, digest FROM copies
     WHERE state IN ('live', 'quarantined') AND verified_at <= ?1 AND (verified_at, id) > (?2, ?3)
     ORDER BY verified_at, id LIMIT ?4";

/// A position in the list of the copies whose check is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckPosition {
    /// The time of the last check of the copy.
    pub verified_at: i64,
    /// The id of the copy.
    pub copy_id: Id,
}

impl CheckPosition {
    /// Returns the position before all copies.
    pub fn start() -> Self {
        Self { verified_at: i64::MIN, copy_id: Id::from([0; 16]) }
    }
}

/// Returns the live and quarantined copies whose last check was at `until` or before, the longest unchecked first. The
/// list continues after the position `last`.
pub fn list_due_copies(
    tx: &mut Tx<'_>,
    until: i64,
    last: CheckPosition,
    limit: i64,
) -> Result<Vec<DueCopy>, MetaError> {
    tx.query(DUE_SQL, params![until, last.verified_at, &last.copy_id, limit], |row| {
        Ok(DueCopy { digest: digest_at(row, 5)?, blob: BlobCopy::read(row)? })
    })
}

/// Returns the number of quarantined copies, up to `limit`, and the time of the oldest last check of a copy.
pub fn summarize_checks(tx: &mut Tx<'_>, limit: i64) -> Result<(i64, Option<i64>), MetaError> {
    let quarantined = tx.query_first(
        "SELECT count(*) FROM (SELECT 1 FROM copies WHERE state = 'quarantined' LIMIT ?1) q",
        params![limit],
        |row| row.int(0),
    )?;
    let oldest = tx.query_first(
        "SELECT verified_at FROM copies WHERE state IN ('live', 'quarantined') ORDER BY verified_at LIMIT 1",
        params![],
        |row| row.int(0),
    )?;
    Ok((quarantined.unwrap_or(0), oldest))
}

/// Returns the size of a blob if the repository holds it.
pub fn find_size(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
) -> Result<Option<i64>, MetaError> {
    tx.query_first(
        "SELECT size FROM repository_blobs WHERE repository_id = ?1 AND digest = ?2",
        params![repository, digest.as_str()],
        |row| row.int(0),
    )
}

/// Returns the sizes of those of the digests that are blobs of the repository.
pub fn find_sizes(
    tx: &mut Tx<'_>,
    repository: &Id,
    digests: &[&str],
) -> Result<BTreeMap<Digest, i64>, MetaError> {
    let keys: Vec<_> = digests.iter().map(|digest| SqlParam::from(*digest)).collect();
    let list = KeyList {
        select: "SELECT digest, size FROM repository_blobs WHERE repository_id = ?1 AND digest IN",
        first: repository.into(),
        keys: &keys,
    };
    let found = tx.query_keys(list, |row| Ok((digest_at(row, 0)?, row.int(1)?)))?;
    Ok(found.into_iter().collect())
}
