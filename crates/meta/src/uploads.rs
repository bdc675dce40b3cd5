//! Upload sessions (table `uploads`). A session receives the bytes of a blob until the client names its digest.

use model::digest::Digest;

use crate::{Id, MetaError, Tx, opt_digest_at, params};

/// An upload session.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The random id of the session.
    pub id: Id,
    /// The id of the copy that receives the bytes, or `None` after the session is finished.
    pub copy_id: Option<Id>,
    /// The digest algorithm that hashes the bytes.
    pub algorithm: String,
    /// The number of bytes that are durably stored.
    pub size: i64,
    /// The state of the stored bytes and of the hash over them, or `None` before the first bytes are stored.
    pub checkpoint: Option<Vec<u8>>,
    /// The digest of the blob, or `None` until the session is finished.
    pub digest: Option<Digest>,
    /// The time at which the session expires, unless it is used before.
    pub expires_at: i64,
}

/// The principal that may use a session, and the image for which it was started.
#[derive(Debug, Clone, Copy)]
pub struct UploadKey<'a> {
    /// The id of the repository.
    pub repository: &'a Id,
    /// The name of the image for which the session was started.
    pub image: &'a str,
    /// The principal that started the session.
    pub principal: &'a str,
}

/// Starts a session.
pub fn insert(
    tx: &mut Tx<'_>,
    owner: UploadKey<'_>,
    upload: &Upload,
    now: i64,
) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO uploads (id, repository_id, image, principal, copy_id, algorithm, size, started_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8)",
        params![
            &upload.id,
            owner.repository,
            owner.image,
            owner.principal,
            upload.copy_id.as_ref(),
            upload.algorithm.as_str(),
            now,
            upload.expires_at
        ],
    )?;
    Ok(())
}

/// The statement of [`count_open`]. A test checks its query plan.
pub(crate) const OPEN_SQL: &str = "SELECT count(*) FROM (SELECT 1 FROM uploads
     WHERE repository_id = ?1 AND principal = ?2 AND copy_id IS NOT NULL LIMIT ?3) AS few";

/// Returns the number of unfinished sessions of a principal in a repository, at most `max_count`. Callers ask this in a
/// [`Meta::read_by_key`](crate::Meta::read_by_key): a transaction that counted would be in conflict with every other
/// one that starts a session there.
pub fn count_open(
    tx: &mut Tx<'_>,
    repository: &Id,
    principal: &str,
    max_count: i64,
) -> Result<i64, MetaError> {
    let count =
        tx.query_first(OPEN_SQL, params![repository, principal, max_count], |row| row.int(0))?;
    Ok(count.unwrap_or(0))
}

/// Returns the session with this id if it belongs to `owner`.
pub fn find(tx: &mut Tx<'_>, owner: UploadKey<'_>, id: &Id) -> Result<Option<Upload>, MetaError> {
    tx.query_first(
        "SELECT id, copy_id, algorithm, size, checkpoint, digest, expires_at FROM uploads
         WHERE id = ?1 AND repository_id = ?2 AND image = ?3 AND principal = ?4",
        params![id, owner.repository, owner.image, owner.principal],
        |row| {
            Ok(Upload {
                id: row.id(0)?,
                copy_id: row.opt_id(1)?,
                algorithm: row.text(2)?,
                size: row.int(3)?,
                checkpoint: row.opt_bytes(4)?,
                digest: opt_digest_at(row, 5)?,
                expires_at: row.int(6)?,
            })
        },
    )
}

/// Returns the session with this id like [`find`], after it has waited for every transaction that advances or finishes
/// the session. Callers that are about to change the stored bytes use this in a
/// [`Meta::read_by_key`](crate::Meta::read_by_key). The lock on the bytes ends with the process that held it, but the
/// last commit of that process may still be in progress.
pub fn wait_and_find(
    tx: &mut Tx<'_>,
    owner: UploadKey<'_>,
    id: &Id,
) -> Result<Option<Upload>, MetaError> {
    tx.take_turn(id)?;
    find(tx, owner, id)
}

/// Records the stored bytes of a session, if it has not changed since it was `found`. Returns the number of sessions
/// changed, 0 or 1.
pub fn advance(
    tx: &mut Tx<'_>,
    found: &Upload,
    size: i64,
    checkpoint: &[u8],
    expires_at: i64,
) -> Result<u64, MetaError> {
    tx.take_turn(&found.id)?;
    tx.execute(
        "UPDATE uploads SET size = ?4, checkpoint = ?5, expires_at = ?6
         WHERE id = ?1 AND copy_id = ?2 AND size = ?3",
        params![&found.id, found.copy_id.as_ref(), found.size, size, checkpoint, expires_at],
    )
}

/// Sets the time at which a session expires, to keep it alive while a request runs. Returns the number of sessions
/// changed: 0 if the session ended in the meantime.
pub fn set_expiry(tx: &mut Tx<'_>, found: &Upload, expires_at: i64) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE uploads SET expires_at = ?3 WHERE id = ?1 AND copy_id = ?2",
        params![&found.id, found.copy_id.as_ref(), expires_at],
    )
}

/// Finishes a session with its digest, if it has not changed since it was `found`. The row stays until `expires_at`, so
/// that a repeated PUT succeeds. Returns the number of sessions changed, 0 or 1.
pub fn finish(
    tx: &mut Tx<'_>,
    found: &Upload,
    digest: &Digest,
    size: i64,
    expires_at: i64,
) -> Result<u64, MetaError> {
    tx.take_turn(&found.id)?;
    tx.execute(
        "UPDATE uploads SET copy_id = NULL, checkpoint = NULL, digest = ?4, size = ?5, expires_at = ?6
         WHERE id = ?1 AND copy_id = ?2 AND size = ?3",
        params![
            &found.id,
            found.copy_id.as_ref(),
            found.size,
            digest.as_str(),
            size,
            expires_at
        ],
    )
}

/// Deletes an unfinished session. Returns the number of sessions deleted: 0 if the session ended in the meantime, and
/// then the caller must not delete its copy.
pub fn delete_unfinished(tx: &mut Tx<'_>, found: &Upload) -> Result<u64, MetaError> {
    tx.execute(
        "DELETE FROM uploads WHERE id = ?1 AND copy_id = ?2",
        params![&found.id, found.copy_id.as_ref()],
    )
}

/// Returns the time at which a session expires, and the id of the copy that receives its bytes.
pub fn find_expiry(tx: &mut Tx<'_>, id: &Id) -> Result<Option<(i64, Option<Id>)>, MetaError> {
    tx.query_first("SELECT expires_at, copy_id FROM uploads WHERE id = ?1", params![id], |row| {
        Ok((row.int(0)?, row.opt_id(1)?))
    })
}

/// Deletes a session, finished or not. Returns the number of sessions deleted, 0 or 1.
pub fn delete(tx: &mut Tx<'_>, id: &Id) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM uploads WHERE id = ?1", params![id])
}
