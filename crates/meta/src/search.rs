//! The search for images and versions in all repositories. Who asks may see few of the results: the caller decides.

use model::digest::Digest;
use model::name::RepositoryName;

use crate::repositories::repository_name_at;
use crate::{Id, MetaError, SqlRow, Tx, params};

/// An image that a search has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundImage {
    /// The id of the repository.
    pub repository_id: Id,
    /// The repository.
    pub repository: RepositoryName,
    /// The id of the image.
    pub package: Id,
    /// The name of the image.
    pub image: String,
}

/// The statement of [`list_by_prefix`]. A test checks its query plan.
pub(crate) const PREFIX_SQL: &str = "SELECT r.project, r.location, r.name, p.name, r.id, p.id
     FROM packages p JOIN repositories r ON r.id = p.repository_id AND r.state = 'live'
     WHERE (p.name, p.repository_id) > (?1, ?2) AND p.name < ?3 ORDER BY p.name, p.repository_id LIMIT ?4";

/// The statement of [`list_by_digest`]. A test checks its query plan.
pub(crate) const DIGEST_SQL: &str = "SELECT r.project, r.location, r.name, p.name, r.id, p.id
     FROM versions v JOIN packages p ON p.id = v.package_id AND p.name > '/'
     JOIN repositories r ON r.id = p.repository_id AND r.state = 'live'
     WHERE v.digest = ?1 AND v.package_id > ?2 ORDER BY v.package_id LIMIT ?3";

fn read_found(row: &SqlRow<'_>) -> Result<FoundImage, MetaError> {
    Ok(FoundImage {
        repository: repository_name_at(row, 0)?,
        image: row.text(3)?,
        repository_id: row.id(4)?,
        package: row.id(5)?,
    })
}

/// A position among the images whose names begin with a text, which are in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixPosition {
    /// The name of the image.
    pub image: String,
    /// The id of the repository.
    pub repository: Id,
}

/// Returns the images whose names begin with a text and that come after a position.
pub fn list_by_prefix(
    tx: &mut Tx<'_>,
    prefix: &str,
    last: &PrefixPosition,
    limit: i64,
) -> Result<Vec<FoundImage>, MetaError> {
    // No name has a character after the tilde.
    let end = format!("{prefix}~");
    let params = params![last.image.as_str(), &last.repository, end.as_str(), limit];
    tx.query(PREFIX_SQL, params, read_found)
}

/// Returns the images that hold the manifest with this digest, those whose ids come after `last`.
pub fn list_by_digest(
    tx: &mut Tx<'_>,
    digest: &Digest,
    last: &Id,
    limit: i64,
) -> Result<Vec<FoundImage>, MetaError> {
    tx.query(DIGEST_SQL, params![digest.as_str(), last, limit], read_found)
}
