//! Table `uploads`: sessions that carry a blob from its first byte to its digest.

use model::digest::Digest;

use crate::{Id, MetaError, Tx, opt_digest_at, params};

/// A session.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Its random id.
    pub id: Id,
    /// The copy that it fills; `None` once finished.
    pub copy_id: Option<Id>,
    /// The digest algorithm that runs over its bytes.
    pub algorithm: String,
    /// How many bytes are durably stored.
    pub size: i64,
    /// Where the bytes and the running hash stand; `None` while nothing was stored.
    pub checkpoint: Option<Vec<u8>>,
    /// What it became.
    pub digest: Option<Digest>,
}

/// Who may use a session, and from where.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The repository.
    pub repository: &'a Id,
    /// The image it was started for.
    pub image: &'a str,
    /// The principal that started it.
    pub principal: &'a str,
}

/// Starts a session.
pub fn insert(
    tx: &mut Tx<'_>,
    owner: Owner<'_>,
    upload: &Upload,
    (now, expires_at): (i64, i64),
) -> Result<(), MetaError> {
    tx.exec(
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
            expires_at
        ],
    )?;
    Ok(())
}

/// The owner's session of that id.
pub fn find(tx: &mut Tx<'_>, owner: Owner<'_>, id: &Id) -> Result<Option<Upload>, MetaError> {
    tx.opt(
        "SELECT id, copy_id, algorithm, size, checkpoint, digest FROM uploads
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
            })
        },
    )
}

/// Writes down how far the session has come. Nothing happens when it ended meanwhile.
pub fn advance(
    tx: &mut Tx<'_>,
    id: &Id,
    (size, checkpoint): (i64, &[u8]),
    expires_at: i64,
) -> Result<u64, MetaError> {
    tx.exec(
        "UPDATE uploads SET size = ?2, checkpoint = ?3, expires_at = ?4 WHERE id = ?1 AND copy_id IS NOT NULL",
        params![id, size, checkpoint, expires_at],
    )
}

/// Keeps a session alive while a long request runs.
pub fn touch(tx: &mut Tx<'_>, id: &Id, expires_at: i64) -> Result<u64, MetaError> {
    tx.exec("UPDATE uploads SET expires_at = ?2 WHERE id = ?1", params![id, expires_at])
}

/// Ends a session with its digest; the row stays until `expires_at`, so that a repeated PUT succeeds.
/// Nothing happens when it ended meanwhile.
pub fn finish(
    tx: &mut Tx<'_>,
    id: &Id,
    (digest, size): (&Digest, i64),
    expires_at: i64,
) -> Result<u64, MetaError> {
    tx.exec(
        "UPDATE uploads SET copy_id = NULL, checkpoint = NULL, digest = ?2, size = ?3, expires_at = ?4
         WHERE id = ?1 AND copy_id IS NOT NULL",
        params![id, digest.as_str(), size, expires_at],
    )
}

/// When a session expires, and the copy that it fills.
pub fn expiry(tx: &mut Tx<'_>, id: &Id) -> Result<Option<(i64, Option<Id>)>, MetaError> {
    tx.opt("SELECT expires_at, copy_id FROM uploads WHERE id = ?1", params![id], |row| {
        Ok((row.int(0)?, row.opt_id(1)?))
    })
}

/// Ends a session without a result.
pub fn delete(tx: &mut Tx<'_>, id: &Id) -> Result<u64, MetaError> {
    tx.exec("DELETE FROM uploads WHERE id = ?1", params![id])
}
