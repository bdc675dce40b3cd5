//! The runs of cleanup policies (table `cleanups`): the repositories that have policies, when each is due, and how far
//! its run has come. This module also reads the manifests that a run evaluates.

use model::digest::Digest;
use model::name::RepositoryName;

use crate::repositories::repository_name_at;
use crate::versions::{self, VersionRow};
use crate::{Id, MetaError, SqlRow, Tx, params};

/// The position of a run. A run goes through the images by name, and through the manifests of each image from the
/// newest to the oldest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupCursor {
    /// The name of the image.
    pub package: String,
    /// The push time of the last manifest that the run has evaluated there.
    pub uploaded_at: i64,
    /// The id of that manifest.
    pub version: Id,
}

impl CleanupCursor {
    /// Returns the position before all images.
    pub fn start() -> Self {
        Self::before(String::new())
    }

    /// Returns the position before all manifests of an image.
    pub fn before(package: String) -> Self {
        Self { package, uploaded_at: i64::MAX, version: Id::from([0; 16]) }
    }
}

/// A repository whose cleanup is due.
#[derive(Debug, Clone)]
pub struct DueCleanup {
    /// The id of the repository.
    pub repository: Id,
    /// The name of the repository.
    pub name: RepositoryName,
    /// The time since which the cleanup is due. It distinguishes this run from one that was scheduled later.
    pub due_at: i64,
    /// The position from which the run continues.
    pub cursor: CleanupCursor,
}

/// Schedules the cleanup of a repository, because its policies were set. A run in progress starts again from the
/// beginning.
pub fn schedule(tx: &mut Tx<'_>, repository: &Id, due_at: i64) -> Result<u64, MetaError> {
    let start = CleanupCursor::start();
    tx.execute(
        "INSERT INTO cleanups (repository_id, due_at, package, uploaded_at, version_id) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (repository_id) DO UPDATE SET due_at = excluded.due_at, package = excluded.package,
           uploaded_at = excluded.uploaded_at, version_id = excluded.version_id",
        params![repository, due_at, start.package.as_str(), start.uploaded_at, &start.version],
    )
}

/// Deletes a repository from the schedule.
pub fn unschedule(tx: &mut Tx<'_>, repository: &Id) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM cleanups WHERE repository_id = ?1", params![repository])
}

/// The statement of [`find_due`]. A test checks its query plan.
pub(crate) const DUE_SQL: &str =
    "SELECT c.repository_id, r.project, r.location, r.name, c.due_at, c.package, c.uploaded_at, c.version_id
     FROM cleanups c JOIN repositories r ON r.id = c.repository_id
     WHERE c.due_at <= ?1 ORDER BY c.due_at, c.repository_id LIMIT 1";

/// Returns the repository that has been due for the longest time.
pub fn find_due(tx: &mut Tx<'_>, now: i64) -> Result<Option<DueCleanup>, MetaError> {
    tx.query_first(DUE_SQL, params![now], |row| {
        Ok(DueCleanup {
            repository: row.id(0)?,
            name: repository_name_at(row, 1)?,
            due_at: row.int(4)?,
            cursor: CleanupCursor {
                package: row.text(5)?,
                uploaded_at: row.int(6)?,
                version: row.id(7)?,
            },
        })
    })
}

/// Records the position of a run and the next due time of its repository. If the repository was scheduled again in the
/// meantime, nothing changes. Returns the number of rows changed, 0 or 1.
pub fn advance(
    tx: &mut Tx<'_>,
    run: &DueCleanup,
    cursor: &CleanupCursor,
    due_at: i64,
) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE cleanups SET due_at = ?3, package = ?4, uploaded_at = ?5, version_id = ?6
         WHERE repository_id = ?1 AND due_at = ?2",
        params![
            &run.repository,
            run.due_at,
            due_at,
            cursor.package.as_str(),
            cursor.uploaded_at,
            &cursor.version
        ],
    )
}

/// Returns the settings of a repository, unless it is being deleted or does not exist.
pub fn find_settings(tx: &mut Tx<'_>, repository: &Id) -> Result<Option<String>, MetaError> {
    let sql = "SELECT settings FROM repositories WHERE id = ?1 AND state = 'live'";
    tx.query_first(sql, params![repository], |row| row.text(0))
}

/// The statement of [`find_next_package`]. A test checks its query plan.
pub(crate) const NEXT_PACKAGE_SQL: &str =
    "SELECT id, name FROM packages WHERE repository_id = ?1 AND name > ?2 ORDER BY name LIMIT 1";

/// Returns the id and the name of the first image whose name sorts after `last`.
pub fn find_next_package(
    tx: &mut Tx<'_>,
    repository: &Id,
    last: &str,
) -> Result<Option<(Id, String)>, MetaError> {
    // The names of images that are being deleted sort before '/', all other names after it.
    let last = last.max("/");
    tx.query_first(NEXT_PACKAGE_SQL, params![repository, last], |row| {
        Ok((row.id(0)?, row.text(1)?))
    })
}

/// A manifest as the policies evaluate it.
#[derive(Debug, Clone)]
pub struct CleanupCandidate {
    /// The manifest.
    pub version: VersionRow,
    /// The size of the image as the lists show it.
    pub image_bytes: i64,
    /// The time at which the manifest was pushed.
    pub uploaded_at: i64,
}

/// Makes a query for the manifests of an image.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, package_id, digest, media_type, manifest_bytes, subject, image_bytes, uploaded_at
             FROM versions WHERE package_id = ?1 AND ",
            $rest
        )
    };
}

fn read_candidate(row: &SqlRow<'_>) -> Result<CleanupCandidate, MetaError> {
    Ok(CleanupCandidate {
        version: versions::read_version(row)?,
        image_bytes: row.int(6)?,
        uploaded_at: row.int(7)?,
    })
}

/// The statement of [`list_candidates`]. A test checks its query plan.
pub(crate) const CANDIDATES_SQL: &str =
    select!("(uploaded_at, id) < (?2, ?3) ORDER BY uploaded_at DESC, id DESC LIMIT ?4");

/// Returns the manifests of an image that were pushed before the one at the cursor, the newest first.
pub fn list_candidates(
    tx: &mut Tx<'_>,
    package: &Id,
    cursor: &CleanupCursor,
    limit: i64,
) -> Result<Vec<CleanupCandidate>, MetaError> {
    let params = params![package, cursor.uploaded_at, &cursor.version, limit];
    tx.query(CANDIDATES_SQL, params, read_candidate)
}

/// Returns the manifest with this digest in an image.
pub fn find(
    tx: &mut Tx<'_>,
    package: &Id,
    digest: &Digest,
) -> Result<Option<CleanupCandidate>, MetaError> {
    tx.query_first(select!("digest = ?2"), params![package, digest.as_str()], read_candidate)
}

/// The statement of [`has_newer`]. A test checks its query plan.
pub(crate) const NEWER_SQL: &str =
    "SELECT count(*) FROM (SELECT 1 FROM versions WHERE package_id = ?1
       AND (uploaded_at, id) > (?2, ?3) ORDER BY uploaded_at, id LIMIT ?4) few";

/// Returns whether the image has at least `count` manifests that were pushed after this one.
pub fn has_newer(tx: &mut Tx<'_>, of: &CleanupCandidate, count: i64) -> Result<bool, MetaError> {
    let params = params![&of.version.package_id, of.uploaded_at, &of.version.id, count];
    Ok(tx.query_first(NEWER_SQL, params, |row| row.int(0))? == Some(count))
}
