//! Fetches of blobs by remote repositories (table `remote_fetches`). A row says which process fetches a blob now, and by
//! which upload. The process renews it; if the process ends, another one goes on with the upload.

use model::digest::Digest;

use crate::versions::ImageAddress;
use crate::{Id, MetaError, Tx, params};

/// The fetch of a blob.
#[derive(Debug, Clone)]
pub struct RemoteFetch {
    /// The id of the upload that receives the bytes.
    pub upload_id: Id,
    /// The name of the process that fetches.
    pub holder: String,
    /// The time until which no other process fetches.
    pub expires_at: i64,
}

/// Returns the fetch of a blob, whether it runs or not.
pub fn find(
    tx: &mut Tx<'_>,
    at: ImageAddress<'_>,
    digest: &Digest,
) -> Result<Option<RemoteFetch>, MetaError> {
    tx.query_first(
        "SELECT upload_id, holder, expires_at FROM remote_fetches
         WHERE repository_id = ?1 AND image = ?2 AND digest = ?3",
        params![at.repository, at.image, digest.as_str()],
        |row| {
            Ok(RemoteFetch { upload_id: row.id(0)?, holder: row.text(1)?, expires_at: row.int(2)? })
        },
    )
}

/// Sets the fetch of a blob, in place of the one before.
pub fn set(
    tx: &mut Tx<'_>,
    at: ImageAddress<'_>,
    digest: &Digest,
    fetch: &RemoteFetch,
) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO remote_fetches (repository_id, image, digest, upload_id, holder, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (repository_id, image, digest) DO UPDATE SET
           upload_id = excluded.upload_id, holder = excluded.holder, expires_at = excluded.expires_at",
        params![
            at.repository,
            at.image,
            digest.as_str(),
            &fetch.upload_id,
            fetch.holder.as_str(),
            fetch.expires_at
        ],
    )?;
    Ok(())
}

/// Renews a fetch, or ends it by a time in the past. Returns the number of fetches changed: 0 if another process has it
/// now, or the upload has ended.
pub fn set_expiry(
    tx: &mut Tx<'_>,
    upload_id: &Id,
    holder: &str,
    expires_at: i64,
) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE remote_fetches SET expires_at = ?3 WHERE upload_id = ?1 AND holder = ?2",
        params![upload_id, holder, expires_at],
    )
}
