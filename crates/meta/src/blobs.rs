//! Tables `copies`, `blobs` and `repository_blobs`: bytes, their digests, and who may read them.

use std::collections::BTreeMap;

use model::digest::Digest;

use crate::{Id, KeyList, MetaError, Row, Tx, digest_at, params};

/// A blob as a pull needs it: its one live copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Names the file.
    pub copy_id: Id,
    /// How long it is.
    pub size: i64,
    /// The file's modification time when its bytes were last right.
    pub mtime_ns: i64,
    /// The file's change time when its bytes were last right.
    pub ctime_ns: i64,
    /// When its bytes were last read and found right.
    pub verified_at: i64,
}

impl Blob {
    fn read(row: &Row<'_>) -> Result<Self, MetaError> {
        Ok(Self {
            copy_id: row.id(0)?,
            size: row.int(1)?,
            mtime_ns: row.int(2)?,
            ctime_ns: row.int(3)?,
            verified_at: row.int(4)?,
        })
    }
}

/// The blob, if this repository may read it and its copy is sound.
pub fn find(tx: &mut Tx<'_>, repository: &Id, digest: &Digest) -> Result<Option<Blob>, MetaError> {
    tx.opt(
        "SELECT c.id, c.size, c.mtime_ns, c.ctime_ns, c.verified_at FROM repository_blobs l
         JOIN blobs b ON b.digest = l.digest JOIN copies c ON c.id = b.copy_id
         WHERE l.repository_id = ?1 AND l.digest = ?2 AND c.state = 'live'",
        params![repository, digest.as_str()],
        Blob::read,
    )
}

/// The blob, if this repository may read it and its copy was taken out of service.
pub fn find_quarantined(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
) -> Result<Option<Blob>, MetaError> {
    tx.opt(
        "SELECT c.id, c.size, c.mtime_ns, c.ctime_ns, c.verified_at FROM repository_blobs l
         JOIN blobs b ON b.digest = l.digest JOIN copies c ON c.id = b.copy_id
         WHERE l.repository_id = ?1 AND l.digest = ?2 AND c.state = 'quarantined'",
        params![repository, digest.as_str()],
        Blob::read,
    )
}

/// A repository of the project that holds the blob, and its name: where a mount without `from` may look.
pub fn holders(
    tx: &mut Tx<'_>,
    (project, location): (&str, &str),
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

/// Announces a copy before its file exists.
pub fn insert_copy(tx: &mut Tx<'_>, id: &Id, now: i64) -> Result<(), MetaError> {
    tx.exec(
        "INSERT INTO copies (id, state, digest, size, mtime_ns, ctime_ns, verified_at, created_at)
         VALUES (?1, 'uploading', NULL, 0, 0, 0, 0, ?2)",
        params![id, now],
    )?;
    Ok(())
}

/// What is known of a finished copy.
#[derive(Debug, Clone)]
pub struct Finished<'a> {
    /// The copy.
    pub id: &'a Id,
    /// What its bytes hash to.
    pub digest: &'a Digest,
    /// How long it is.
    pub size: i64,
    /// The file's modification time.
    pub mtime_ns: i64,
    /// The file's change time.
    pub ctime_ns: i64,
    /// When it was hashed.
    pub now: i64,
}

/// Makes the copy the one of its digest: its bytes were hashed just now, those of another one some time ago. Answers
/// which copy it replaces, for the caller to put to the trash.
pub fn make_live(tx: &mut Tx<'_>, copy: &Finished<'_>) -> Result<Option<Id>, MetaError> {
    let former = tx.opt(
        "SELECT copy_id FROM blobs WHERE digest = ?1",
        params![copy.digest.as_str()],
        |row| row.id(0),
    )?;
    let made = tx.exec(
        "UPDATE copies SET state = 'live', digest = ?2, size = ?3, mtime_ns = ?4, ctime_ns = ?5, verified_at = ?6
         WHERE id = ?1 AND state = 'uploading'",
        params![copy.id, copy.digest.as_str(), copy.size, copy.mtime_ns, copy.ctime_ns, copy.now],
    )?;
    if made == 0 {
        return Err(MetaError::corrupt("a copy that its upload still fills"));
    }
    tx.exec(
        "INSERT INTO blobs (digest, copy_id, size) VALUES (?1, ?2, ?3)
         ON CONFLICT (digest) DO UPDATE SET copy_id = excluded.copy_id, size = excluded.size",
        params![copy.digest.as_str(), copy.id, copy.size],
    )?;
    Ok(former)
}

/// Lets a repository read a blob. Answers whether that is new.
pub fn link(
    tx: &mut Tx<'_>,
    repository: &Id,
    (digest, size): (&Digest, i64),
    now: i64,
) -> Result<bool, MetaError> {
    let linked = tx.exec(
        "INSERT INTO repository_blobs (repository_id, digest, size, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (repository_id, digest, size) DO NOTHING",
        params![repository, digest.as_str(), size, now],
    )?;
    Ok(linked == 1)
}

/// Takes a blob from a repository, and answers its size if the repository held it.
/// The foreign key refuses it while a manifest there needs it.
pub fn unlink(tx: &mut Tx<'_>, repository: &Id, digest: &Digest) -> Result<Option<i64>, MetaError> {
    tx.opt(
        "DELETE FROM repository_blobs WHERE repository_id = ?1 AND digest = ?2 RETURNING size",
        params![repository, digest.as_str()],
        |row| row.int(0),
    )
}

/// Whether any repository can read the blob.
pub fn is_linked(tx: &mut Tx<'_>, digest: &Digest) -> Result<bool, MetaError> {
    let found = tx.opt(
        "SELECT 1 FROM repository_blobs WHERE digest = ?1 LIMIT 1",
        params![digest.as_str()],
        |row| row.int(0),
    )?;
    Ok(found.is_some())
}

/// Forgets a blob that nothing links, and answers which copy it had.
pub fn delete(tx: &mut Tx<'_>, digest: &Digest) -> Result<Option<Id>, MetaError> {
    tx.opt(
        "DELETE FROM blobs WHERE digest = ?1 RETURNING copy_id",
        params![digest.as_str()],
        |row| row.id(0),
    )
}

/// A copy's state and digest, as far as known.
pub fn copy_state(tx: &mut Tx<'_>, id: &Id) -> Result<Option<String>, MetaError> {
    tx.opt("SELECT state FROM copies WHERE id = ?1", params![id], |row| row.text(0))
}

/// Puts a copy to the trash that no blob came of. One that a blob came of stays what it is.
pub fn trash_unfinished(tx: &mut Tx<'_>, id: &Id) -> Result<u64, MetaError> {
    tx.exec("UPDATE copies SET state = 'trash' WHERE id = ?1 AND state = 'uploading'", params![id])
}

/// Puts a copy to the trash that its blob has no more.
pub fn trash_former(tx: &mut Tx<'_>, id: &Id) -> Result<u64, MetaError> {
    tx.exec(
        "UPDATE copies SET state = 'trash' WHERE id = ?1 AND state IN ('live', 'quarantined')",
        params![id],
    )
}

/// Takes a live copy out of service. It stays its blob's until another replaces it, or it turns out to be right.
pub fn quarantine(tx: &mut Tx<'_>, id: &Id, now: i64) -> Result<u64, MetaError> {
    tx.exec(
        "UPDATE copies SET state = 'quarantined', verified_at = ?2 WHERE id = ?1 AND state = 'live'",
        params![id, now],
    )
}

/// Writes down that a copy's bytes were read and are right. One that was out of service is back in it, as long as it is
/// its blob's.
pub fn set_verified(
    tx: &mut Tx<'_>,
    id: &Id,
    (mtime_ns, ctime_ns): (i64, i64),
    now: i64,
) -> Result<u64, MetaError> {
    tx.exec(
        "UPDATE copies SET state = 'live', verified_at = ?2, mtime_ns = ?3, ctime_ns = ?4
         WHERE id = ?1 AND state IN ('live', 'quarantined')
           AND EXISTS (SELECT 1 FROM blobs b WHERE b.copy_id = copies.id)",
        params![id, now, mtime_ns, ctime_ns],
    )
}

/// Writes down that a copy that is out of service was looked at, and has to stay there.
pub fn set_looked_at(tx: &mut Tx<'_>, id: &Id, now: i64) -> Result<u64, MetaError> {
    tx.exec(
        "UPDATE copies SET verified_at = ?2 WHERE id = ?1 AND state = 'quarantined'",
        params![id, now],
    )
}

/// Forgets a copy whose file is gone.
pub fn delete_copy(tx: &mut Tx<'_>, id: &Id) -> Result<u64, MetaError> {
    tx.exec("DELETE FROM copies WHERE id = ?1", params![id])
}

/// The live copies that were begun last, and their sizes.
pub fn newest_live(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<(Id, i64)>, MetaError> {
    tx.query(
        "SELECT id, size FROM copies WHERE state = 'live' ORDER BY id DESC LIMIT ?1",
        params![limit],
        |row| Ok((row.id(0)?, row.int(1)?)),
    )
}

/// Whether the database knows of any copy.
pub fn has_copies(tx: &mut Tx<'_>) -> Result<bool, MetaError> {
    let found = tx.opt("SELECT 1 FROM copies LIMIT 1", params![], |row| row.int(0))?;
    Ok(found.is_some())
}

/// A copy whose check is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCopy {
    /// What its bytes should be.
    pub digest: Digest,
    /// The copy.
    pub blob: Blob,
}

/// The statement of [`due`], for the test that looks at its plan.
pub const DUE_SQL: &str = "SELECT id, size, mtime_ns, ctime_ns, verified_at, digest FROM copies
     WHERE state IN ('live', 'quarantined') AND verified_at <= ?1 AND (verified_at, id) > (?2, ?3)
     ORDER BY verified_at, id LIMIT ?4";

/// The copies in service, and those that were taken out of it, that were not checked after `until`; after the one that
/// `last` names, the longest unchecked first.
pub fn due(
    tx: &mut Tx<'_>,
    until: i64,
    last: (i64, &Id),
    limit: i64,
) -> Result<Vec<DueCopy>, MetaError> {
    tx.query(DUE_SQL, params![until, last.0, last.1, limit], |row| {
        Ok(DueCopy { digest: digest_at(row, 5)?, blob: Blob::read(row)? })
    })
}

/// How many copies are out of service, up to `limit`, and when the longest unchecked one was checked.
pub fn check_state(tx: &mut Tx<'_>, limit: i64) -> Result<(i64, Option<i64>), MetaError> {
    let quarantined = tx.opt(
        "SELECT count(*) FROM (SELECT 1 FROM copies WHERE state = 'quarantined' LIMIT ?1) q",
        params![limit],
        |row| row.int(0),
    )?;
    let oldest = tx.opt(
        "SELECT verified_at FROM copies WHERE state IN ('live', 'quarantined') ORDER BY verified_at LIMIT 1",
        params![],
        |row| row.int(0),
    )?;
    Ok((quarantined.unwrap_or(0), oldest))
}

/// How long the repository's blob is, if it holds it.
pub fn size_in(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
) -> Result<Option<i64>, MetaError> {
    tx.opt(
        "SELECT size FROM repository_blobs WHERE repository_id = ?1 AND digest = ?2",
        params![repository, digest.as_str()],
        |row| row.int(0),
    )
}

/// How long those of the repository's blobs are that have one of these digests.
pub fn sizes_in(
    tx: &mut Tx<'_>,
    repository: &Id,
    digests: &[&str],
) -> Result<BTreeMap<Digest, i64>, MetaError> {
    let list = KeyList {
        select: "SELECT digest, size FROM repository_blobs WHERE repository_id = ?1 AND digest IN",
        owner: repository,
        keys: digests,
    };
    let found = tx.query_keys(list, |row| Ok((digest_at(row, 0)?, row.int(1)?)))?;
    Ok(found.into_iter().collect())
}
