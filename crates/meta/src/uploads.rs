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
    /// When it ends, unless it is used before.
    pub expires_at: i64,
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
    now: i64,
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
            upload.expires_at
        ],
    )?;
    Ok(())
}

/// The statement of [`open`], for the test that looks at its plan.
pub const OPEN_SQL: &str = "SELECT count(*) FROM (SELECT 1 FROM uploads
     WHERE repository_id = ?1 AND principal = ?2 AND copy_id IS NOT NULL LIMIT ?3) AS few";

/// How many sessions of a principal in a repository are not finished, as far as they are counted. To be asked
/// on a [`point`](crate::Meta::point): a transaction that counted could not run beside another that begins one.
pub fn open(
    tx: &mut Tx<'_>,
    (repository, principal): (&Id, &str),
    count_at_most: i64,
) -> Result<i64, MetaError> {
    let count =
        tx.opt(OPEN_SQL, params![repository, principal, count_at_most], |row| row.int(0))?;
    Ok(count.unwrap_or(0))
}

/// The owner's session of that id.
pub fn find(tx: &mut Tx<'_>, owner: Owner<'_>, id: &Id) -> Result<Option<Upload>, MetaError> {
    tx.opt(
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

/// The owner's session of that id, once no transaction is under way any more that moves it on or finishes it.
/// Whoever is about to change the bytes it speaks of asks so, on a [`point`](crate::Meta::point): the lock on
/// the bytes ends with the process that had it, its last commit may not.
pub fn find_settled(
    tx: &mut Tx<'_>,
    owner: Owner<'_>,
    id: &Id,
) -> Result<Option<Upload>, MetaError> {
    tx.take_turn(id)?;
    find(tx, owner, id)
}

/// Writes down how far the session has come, if it still stands where it was `found`.
pub fn advance(
    tx: &mut Tx<'_>,
    found: &Upload,
    (size, checkpoint): (i64, &[u8]),
    expires_at: i64,
) -> Result<u64, MetaError> {
    tx.take_turn(&found.id)?;
    tx.exec(
        "UPDATE uploads SET size = ?4, checkpoint = ?5, expires_at = ?6
         WHERE id = ?1 AND copy_id = ?2 AND size = ?3",
        params![&found.id, found.copy_id.as_ref(), found.size, size, checkpoint, expires_at],
    )
}

/// Keeps a session alive while a request runs. Nothing happens when it ended meanwhile.
pub fn touch(tx: &mut Tx<'_>, found: &Upload, expires_at: i64) -> Result<u64, MetaError> {
    tx.exec(
        "UPDATE uploads SET expires_at = ?3 WHERE id = ?1 AND copy_id = ?2",
        params![&found.id, found.copy_id.as_ref(), expires_at],
    )
}

/// Ends a session with its digest, if it still stands where it was `found`. The row stays until `expires_at`,
/// so that a repeated PUT succeeds.
pub fn finish(
    tx: &mut Tx<'_>,
    found: &Upload,
    (digest, size): (&Digest, i64),
    expires_at: i64,
) -> Result<u64, MetaError> {
    tx.take_turn(&found.id)?;
    tx.exec(
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

/// Ends a session without a result. Nothing happens, and its copy is not the caller's to remove, when it
/// ended meanwhile.
pub fn abandon(tx: &mut Tx<'_>, found: &Upload) -> Result<u64, MetaError> {
    tx.exec(
        "DELETE FROM uploads WHERE id = ?1 AND copy_id = ?2",
        params![&found.id, found.copy_id.as_ref()],
    )
}

/// When a session expires, and the copy that it fills.
pub fn expiry(tx: &mut Tx<'_>, id: &Id) -> Result<Option<(i64, Option<Id>)>, MetaError> {
    tx.opt("SELECT expires_at, copy_id FROM uploads WHERE id = ?1", params![id], |row| {
        Ok((row.int(0)?, row.opt_id(1)?))
    })
}

/// Removes a session, finished or not.
pub fn delete(tx: &mut Tx<'_>, id: &Id) -> Result<u64, MetaError> {
    tx.exec("DELETE FROM uploads WHERE id = ?1", params![id])
}
