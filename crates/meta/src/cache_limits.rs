//! Remote repositories with a bound of what they keep (table `cache_limits`), the content that they may delete,
//! and the reads of their blobs (table `cache_reads`). The last use of a version is its last pull, or the fetch that stored
//! it.

use model::digest::Digest;
use model::name::RepositoryName;

use crate::repositories::repository_name_at;
use crate::versions::ImageAddress;
use crate::{Id, MetaError, SqlRow, Tx, digest_at, params};

/// A repository with a bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitedRepository {
    /// The id of the repository.
    pub id: Id,
    /// The name of the repository.
    pub name: RepositoryName,
}

/// Records that a repository has a bound.
pub fn insert(tx: &mut Tx<'_>, repository: &Id) -> Result<u64, MetaError> {
    tx.execute(
        "INSERT INTO cache_limits (repository_id) VALUES (?1) ON CONFLICT (repository_id) DO NOTHING",
        params![repository],
    )
}

/// Records that a repository has no bound.
pub fn delete(tx: &mut Tx<'_>, repository: &Id) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM cache_limits WHERE repository_id = ?1", params![repository])
}

/// The statement of [`find_next`]. A test checks its query plan.
pub(crate) const NEXT_SQL: &str = "SELECT c.repository_id, r.project, r.location, r.name
     FROM cache_limits c JOIN repositories r ON r.id = c.repository_id
     WHERE c.repository_id > ?1 AND r.state = 'live' ORDER BY c.repository_id LIMIT 1";

/// Returns the first repository with a bound whose id sorts after `last`.
pub fn find_next(tx: &mut Tx<'_>, last: &Id) -> Result<Option<LimitedRepository>, MetaError> {
    tx.query_first(NEXT_SQL, params![last], |row| {
        Ok(LimitedRepository { id: row.id(0)?, name: repository_name_at(row, 1)? })
    })
}

/// A version of a remote repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedVersion {
    /// The id of the version.
    pub id: Id,
    /// The name of the image.
    pub image: String,
    /// The digest of the manifest.
    pub digest: Digest,
    /// The time of the fetch that stored it.
    pub uploaded_at: i64,
    /// The time of the last use.
    pub used_at: i64,
}

/// Reads a version from the first five columns.
fn read_cached(row: &SqlRow<'_>) -> Result<CachedVersion, MetaError> {
    let uploaded_at = row.int(3)?;
    Ok(CachedVersion {
        id: row.id(0)?,
        image: row.text(1)?,
        digest: digest_at(row, 2)?,
        uploaded_at,
        used_at: uploaded_at.max(row.int(4)?),
    })
}

/// Makes a query for versions with their last use.
macro_rules! select {
    ($columns:literal, $from:literal) => {
        concat!(
            "SELECT v.id, p.name, v.digest, v.uploaded_at, coalesce(u.last_pulled_at, 0)",
            $columns,
            " FROM ",
            $from
        )
    };
}

/// A version in the order of the fetches.
#[derive(Debug, Clone)]
pub struct ListedVersion {
    /// The version.
    pub version: CachedVersion,
    /// True if an index names it.
    pub is_named: bool,
}

/// A range of the versions of a repository in the order of the fetches.
#[derive(Debug, Clone, Copy)]
pub struct FetchedRange {
    /// The fetch of the version before the range: its time, and the id of the version.
    pub after: (i64, Id),
    /// The latest time of a fetch.
    pub until: i64,
}

/// The statement of [`list`]. A test checks its query plan.
pub(crate) const LIST_SQL: &str = select!(
    ", CASE WHEN EXISTS (SELECT 1 FROM manifest_refs r WHERE r.child_id = v.id) THEN 1 ELSE 0 END",
    "versions v JOIN packages p ON p.id = v.package_id LEFT JOIN version_usage u ON u.version_id = v.id
     WHERE v.repository_id = ?1 AND (v.uploaded_at, v.id) > (?2, ?3) AND v.uploaded_at <= ?4
     ORDER BY v.uploaded_at, v.id LIMIT ?5"
);

/// Returns versions of a repository, in the order of the fetches.
pub fn list(
    tx: &mut Tx<'_>,
    repository: &Id,
    range: FetchedRange,
    limit: i64,
) -> Result<Vec<ListedVersion>, MetaError> {
    let FetchedRange { after: (at, id), until } = range;
    tx.query(LIST_SQL, params![repository, at, &id, until, limit], |row| {
        Ok(ListedVersion { version: read_cached(row)?, is_named: row.int(5)? == 1 })
    })
}

/// Returns manifests that an index names.
pub fn list_children(
    tx: &mut Tx<'_>,
    index: &Id,
    limit: i64,
) -> Result<Vec<CachedVersion>, MetaError> {
    let sql = select!(
        "",
        "manifest_refs r JOIN versions v ON v.id = r.child_id JOIN packages p ON p.id = v.package_id
         LEFT JOIN version_usage u ON u.version_id = v.id WHERE r.version_id = ?1 LIMIT ?2"
    );
    tx.query(sql, params![index, limit], read_cached)
}

/// Returns a version as it is now.
pub fn find(tx: &mut Tx<'_>, version: &Id) -> Result<Option<CachedVersion>, MetaError> {
    let sql = select!(
        "",
        "versions v JOIN packages p ON p.id = v.package_id
         LEFT JOIN version_usage u ON u.version_id = v.id WHERE v.id = ?1"
    );
    tx.query_first(sql, params![version], read_cached)
}

/// The use of a blob that a version names, under the name of the version's image.
#[derive(Debug, Clone)]
pub struct BlobUse {
    /// The digest of the blob.
    pub digest: Digest,
    /// The time at which it was read last.
    pub read_at: i64,
    /// The time until which a process fetches it.
    pub fetched_until: i64,
}

/// Returns the uses of the blobs that a version names.
pub fn list_blob_uses(tx: &mut Tx<'_>, version: &CachedVersion) -> Result<Vec<BlobUse>, MetaError> {
    tx.query(
        "SELECT r.digest, coalesce(c.read_at, 0), coalesce(f.expires_at, 0) FROM manifest_refs r
         LEFT JOIN cache_reads c ON c.repository_id = r.repository_id AND c.image = ?2 AND c.digest = r.digest
         LEFT JOIN remote_fetches f ON f.repository_id = r.repository_id AND f.image = ?2 AND f.digest = r.digest
         WHERE r.version_id = ?1 AND NOT r.is_manifest",
        params![&version.id, version.image.as_str()],
        |row| {
            let (read_at, fetched_until) = (row.int(1)?, row.int(2)?);
            Ok(BlobUse { digest: digest_at(row, 0)?, read_at, fetched_until })
        },
    )
}

/// Records when a blob of an image was read, unless a later time is recorded or the repository has no bound any more.
pub fn record_read(
    tx: &mut Tx<'_>,
    at: ImageAddress<'_>,
    digest: &Digest,
    read_at: i64,
) -> Result<(), MetaError> {
    let limited = "SELECT 1 FROM cache_limits WHERE repository_id = ?1";
    if tx.query_first(limited, params![at.repository], |row| row.int(0))?.is_none() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO cache_reads (repository_id, image, digest, read_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (repository_id, image, digest) DO UPDATE SET read_at = excluded.read_at
         WHERE cache_reads.read_at < excluded.read_at",
        params![at.repository, at.image, digest.as_str(), read_at],
    )?;
    Ok(())
}

/// Forgets up to `limit` reads of a repository's blobs that were before a time. Returns how many were forgotten.
pub fn forget_reads(
    tx: &mut Tx<'_>,
    repository: &Id,
    before: i64,
    limit: i64,
) -> Result<u64, MetaError> {
    tx.execute(
        "DELETE FROM cache_reads WHERE (repository_id, image, digest) IN
         (SELECT repository_id, image, digest FROM cache_reads
          WHERE repository_id = ?1 AND read_at < ?2 LIMIT ?3)",
        params![repository, before, limit],
    )
}

/// A blob of a repository.
#[derive(Debug, Clone)]
pub struct CachedBlob {
    /// The digest.
    pub digest: Digest,
    /// The time at which it was fetched.
    pub fetched_at: i64,
    /// True if a manifest of the repository names it.
    pub is_named: bool,
}

/// The statement of [`list_blobs`]. A test checks its query plan.
pub(crate) const BLOBS_SQL: &str = "SELECT l.digest, l.created_at,
       CASE WHEN EXISTS (SELECT 1 FROM manifest_refs r
         WHERE r.repository_id = l.repository_id AND r.blob_digest = l.digest) THEN 1 ELSE 0 END
     FROM repository_blobs l WHERE l.repository_id = ?1 AND l.digest > ?2 ORDER BY l.digest LIMIT ?3";

/// Returns the blobs of a repository whose digests sort after `last`.
pub fn list_blobs(
    tx: &mut Tx<'_>,
    repository: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<CachedBlob>, MetaError> {
    tx.query(BLOBS_SQL, params![repository, last, limit], |row| {
        Ok(CachedBlob {
            digest: digest_at(row, 0)?,
            fetched_at: row.int(1)?,
            is_named: row.int(2)? == 1,
        })
    })
}
