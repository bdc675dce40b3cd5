//! The search for images and versions in all repositories. Who asks may see few of the results: the caller decides.

use model::digest::Digest;
use model::name::RepositoryName;

use crate::repositories::repository_name_at;
use crate::{MetaError, SqlRow, Tx, params};

/// An image that a search has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundImage {
    /// The repository.
    pub repository: RepositoryName,
    /// The name of the image.
    pub image: String,
}

/// The statement of [`list_by_prefix`]. A test checks its query plan.
pub(crate) const PREFIX_SQL: &str = "SELECT r.project, r.location, r.name, p.name
     FROM packages p JOIN repositories r ON r.id = p.repository_id AND r.state = 'live'
     WHERE p.name >= ?1 AND p.name < ?2 ORDER BY p.name, p.repository_id LIMIT ?3";

/// The statement of [`list_by_digest`]. A test checks its query plan.
pub(crate) const DIGEST_SQL: &str = "SELECT r.project, r.location, r.name, p.name
     FROM versions v JOIN packages p ON p.id = v.package_id AND p.name > '/'
     JOIN repositories r ON r.id = p.repository_id AND r.state = 'live'
     WHERE v.digest = ?1 LIMIT ?2";

fn read_found(row: &SqlRow<'_>) -> Result<FoundImage, MetaError> {
    Ok(FoundImage { repository: repository_name_at(row, 0)?, image: row.text(3)? })
}

/// Returns the images whose names begin with a text.
pub fn list_by_prefix(
    tx: &mut Tx<'_>,
    prefix: &str,
    limit: i64,
) -> Result<Vec<FoundImage>, MetaError> {
    // No name has a character after the tilde.
    let end = format!("{prefix}~");
    tx.query(PREFIX_SQL, params![prefix, end.as_str(), limit], read_found)
}

/// Returns the images that hold the manifest with this digest.
pub fn list_by_digest(
    tx: &mut Tx<'_>,
    digest: &Digest,
    limit: i64,
) -> Result<Vec<FoundImage>, MetaError> {
    tx.query(DIGEST_SQL, params![digest.as_str(), limit], read_found)
}
