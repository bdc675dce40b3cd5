//! Files: the blobs and the manifests of a repository, as one list in the order of their digests.

use model::digest::Digest;
use model::list_filter::SortDirection;

use crate::{Id, MetaError, SqlRow, Tx, digest_at, params};

/// A blob or a manifest of a repository.
#[derive(Debug, Clone)]
pub struct RepositoryFile {
    /// The digest of its bytes.
    pub digest: Digest,
    /// The length in bytes.
    pub size: i64,
    /// The time at which the file was uploaded.
    pub created_at: i64,
    /// The manifest that the file is, or one of the manifests that name the blob.
    pub owner: Option<OwningVersion>,
}

/// The manifest to which a file belongs.
#[derive(Debug, Clone)]
pub struct OwningVersion {
    /// The name of the image.
    pub package: String,
    /// The digest of the manifest.
    pub digest: Digest,
}

/// The scope of a list of files.
#[derive(Debug, Clone, Copy)]
pub enum FileScope<'a> {
    /// All files of a repository.
    Repository(&'a Id),
    /// The manifests of an image and the blobs that they name.
    Package(&'a Id),
    /// One manifest and the blobs that it names.
    Version(&'a Id),
}

/// Makes a query for blobs, from `repository_blobs l`. The owner is one of the first 20 manifests that name the blob. A
/// manifest of an image that is being deleted is never the owner.
macro_rules! select_blob {
    ($rest:literal) => {
        concat!(
            "SELECT l.digest, l.size, l.created_at,
               (SELECT p.name || ' ' || v.digest FROM
                 (SELECT version_id FROM manifest_refs
                  WHERE repository_id = l.repository_id AND blob_digest = l.digest LIMIT 20) few
                JOIN versions v ON v.id = few.version_id JOIN packages p ON p.id = v.package_id AND p.name > '/' LIMIT 1)
             FROM repository_blobs l WHERE l.repository_id = ?1 AND ",
            $rest
        )
    };
}

/// Makes a query for manifests, from `versions v` and `packages p`. If several images hold a manifest, one of them is
/// the owner.
macro_rules! select_manifest {
    ($rest:literal) => {
        concat!(
            "SELECT v.digest, v.manifest_bytes, v.uploaded_at, p.name || ' ' || v.digest
             FROM versions v JOIN packages p ON p.id = v.package_id
             WHERE v.repository_id = ?1 AND v.id =
               (SELECT w.id FROM versions w JOIN packages q ON q.id = w.package_id AND q.name > '/'
                WHERE w.repository_id = v.repository_id AND w.digest = v.digest ORDER BY w.id LIMIT 1) AND ",
            $rest
        )
    };
}

/// The ascending and the descending statement of the blobs of a repository. A test checks their query plans.
pub(crate) const BLOBS_SQL: [&str; 2] = [
    select_blob!("l.digest > ?2 ORDER BY l.digest LIMIT ?3"),
    select_blob!("l.digest < ?2 ORDER BY l.digest DESC LIMIT ?3"),
];

/// The ascending and the descending statement of the manifests of a repository. A test checks their query plans.
pub(crate) const MANIFESTS_SQL: [&str; 2] = [
    select_manifest!("v.digest > ?2 ORDER BY v.digest LIMIT ?3"),
    select_manifest!("v.digest < ?2 ORDER BY v.digest DESC LIMIT ?3"),
];

/// Makes the query for the blobs of an image. It steps from each blob to the next one, because any number of manifests
/// may name the same blob.
macro_rules! blobs_of_package {
    ($next:literal, $after:literal) => {
        concat!(
            "WITH RECURSIVE found (digest) AS (
               SELECT ", $next, "(blob_digest) FROM manifest_refs WHERE package_id = ?1 AND blob_digest ", $after, " ?2
               UNION ALL SELECT
                 (SELECT ", $next, "(r.blob_digest) FROM manifest_refs r
                  WHERE r.package_id = ?1 AND r.blob_digest ", $after, " found.digest)
               FROM found WHERE found.digest IS NOT NULL)
             SELECT l.digest, l.size, l.created_at,
               (SELECT p.name || ' ' || v.digest FROM manifest_refs r JOIN versions v ON v.id = r.version_id
                JOIN packages p ON p.id = v.package_id WHERE r.package_id = ?1 AND r.blob_digest = few.digest LIMIT 1)
             FROM (SELECT digest FROM found WHERE digest IS NOT NULL LIMIT ?3) few
             JOIN packages i ON i.id = ?1
             JOIN repository_blobs l ON l.repository_id = i.repository_id AND l.digest = few.digest"
        )
    };
}

/// The ascending and the descending statement of the blobs of an image. A test checks their query plans.
pub(crate) const BLOBS_OF_PACKAGE_SQL: [&str; 2] =
    [blobs_of_package!("min", ">"), blobs_of_package!("max", "<")];

/// The ascending and the descending statement of the manifests of an image. A test checks their query plans.
pub(crate) const MANIFESTS_OF_PACKAGE_SQL: [&str; 2] = [
    "SELECT v.digest, v.manifest_bytes, v.uploaded_at, p.name || ' ' || v.digest
     FROM packages p JOIN versions v ON v.package_id = p.id
     WHERE p.id = ?1 AND v.digest > ?2 ORDER BY v.digest LIMIT ?3",
    "SELECT v.digest, v.manifest_bytes, v.uploaded_at, p.name || ' ' || v.digest
     FROM packages p JOIN versions v ON v.package_id = p.id
     WHERE p.id = ?1 AND v.digest < ?2 ORDER BY v.digest DESC LIMIT ?3",
];

/// The statement of a manifest and all blobs that it names. It needs no limit, because the manifest's size limits the
/// number of blobs. A test checks its query plan.
pub(crate) const OF_VERSION_SQL: &str =
    "SELECT v.digest, v.manifest_bytes, v.uploaded_at, p.name || ' ' || v.digest
     FROM versions v JOIN packages p ON p.id = v.package_id WHERE v.id = ?1
     UNION ALL SELECT l.digest, l.size, l.created_at, p.name || ' ' || v.digest
     FROM versions v JOIN packages p ON p.id = v.package_id JOIN manifest_refs r ON r.version_id = v.id
     JOIN repository_blobs l ON l.repository_id = r.repository_id AND l.digest = r.blob_digest
     WHERE v.id = ?1";

fn read_file(row: &SqlRow<'_>) -> Result<RepositoryFile, MetaError> {
    let owner = row.opt_text(3)?.map(|owner| {
        // No name contains a space.
        let (package, digest) = owner.split_once(' ').ok_or(MetaError::corrupt("an owner"))?;
        let digest = digest.parse().map_err(|_| MetaError::corrupt("a digest"))?;
        Ok::<_, MetaError>(OwningVersion { package: package.to_owned(), digest })
    });
    let (size, created_at) = (row.int(1)?, row.int(2)?);
    Ok(RepositoryFile { digest: digest_at(row, 0)?, size, created_at, owner: owner.transpose()? })
}

/// Returns the file with this digest in a repository.
pub fn find(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
) -> Result<Option<RepositoryFile>, MetaError> {
    let params = params![repository, digest.as_str()];
    match tx.query_first(select_manifest!("v.digest = ?2"), params, read_file)? {
        Some(manifest) => Ok(Some(manifest)),
        None => tx.query_first(select_blob!("l.digest = ?2"), params, read_file),
    }
}

/// Returns the names of the images of a repository that hold the manifest with this digest.
pub fn list_images_with_manifest(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
    limit: i64,
) -> Result<Vec<String>, MetaError> {
    tx.query(
        "SELECT p.name FROM versions v JOIN packages p ON p.id = v.package_id AND p.name > '/'
         WHERE v.repository_id = ?1 AND v.digest = ?2 ORDER BY v.id LIMIT ?3",
        params![repository, digest.as_str(), limit],
        |row| row.text(0),
    )
}

/// Returns the bytes of the manifest with this digest in a repository.
pub fn find_manifest_bytes(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
) -> Result<Option<Vec<u8>>, MetaError> {
    tx.query_first(
        "SELECT c.bytes FROM versions v JOIN packages p ON p.id = v.package_id AND p.name > '/'
         JOIN manifest_contents c ON c.digest = v.digest WHERE v.repository_id = ?1 AND v.digest = ?2 LIMIT 1",
        params![repository, digest.as_str()],
        |row| row.bytes(0),
    )
}

/// Returns the files whose digests come after `last` in the given direction, each digest once.
pub fn list(
    tx: &mut Tx<'_>,
    scope: FileScope<'_>,
    direction: SortDirection,
    last: &str,
    limit: i64,
) -> Result<Vec<RepositoryFile>, MetaError> {
    let mut files = match scope {
        FileScope::Repository(id) => {
            blobs_and_manifests(tx, direction, BLOBS_SQL, MANIFESTS_SQL, params![id, last, limit])?
        }
        FileScope::Package(id) => {
            let params = params![id, last, limit];
            let (blobs, manifests) = (BLOBS_OF_PACKAGE_SQL, MANIFESTS_OF_PACKAGE_SQL);
            blobs_and_manifests(tx, direction, blobs, manifests, params)?
        }
        FileScope::Version(id) => {
            let mut all = tx.query(OF_VERSION_SQL, params![id], read_file)?;
            all.retain(|file| {
                let order = file.digest.as_str().cmp(last);
                direction.choose([order.is_gt(), order.is_lt()])
            });
            all
        }
    };
    files.sort_by(|a, b| a.digest.cmp(&b.digest));
    files.dedup_by(|a, b| a.digest == b.digest);
    if direction == SortDirection::Descending {
        files.reverse();
    }
    files.truncate(limit as usize);
    Ok(files)
}

/// Reads a full page of each of the two lists, so that together they contain the first page of the combined list.
fn blobs_and_manifests(
    tx: &mut Tx<'_>,
    direction: SortDirection,
    blobs: [&str; 2],
    manifests: [&str; 2],
    params: &[crate::SqlParam<'_>],
) -> Result<Vec<RepositoryFile>, MetaError> {
    let mut files = tx.query(direction.choose(manifests), params, read_file)?;
    files.extend(tx.query(direction.choose(blobs), params, read_file)?);
    Ok(files)
}
