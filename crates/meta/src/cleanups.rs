//! Table `cleanups`: repositories that have cleanup policies, when each is due and how far a run has come. And what a run
//! reads of the manifests that it comes by.

use model::digest::Digest;
use model::name::RepositoryName;

use crate::repositories::name_at;
use crate::versions::{self, Version};
use crate::{Id, MetaError, Row, Tx, params};

/// How far a run has come: images by name, of each its manifests from the newest on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The image's name.
    pub package: String,
    /// When the last manifest that was seen there came.
    pub uploaded_at: i64,
    /// Its id.
    pub version: Id,
}

impl Cursor {
    /// Before everything.
    pub fn start() -> Self {
        Self::before(String::new())
    }

    /// Before all manifests of an image.
    pub fn before(package: String) -> Self {
        Self { package, uploaded_at: i64::MAX, version: Id::from([0; 16]) }
    }
}

/// A repository whose time has come.
#[derive(Debug, Clone)]
pub struct Due {
    /// Its id.
    pub repository: Id,
    /// Its name.
    pub name: RepositoryName,
    /// Since when it is due. It tells this run from one that was asked for later.
    pub due_at: i64,
    /// Where the run goes on.
    pub cursor: Cursor,
}

/// Puts a repository on the list, or to its beginning once more: its policies were set.
pub fn enlist(tx: &mut Tx<'_>, repository: &Id, due_at: i64) -> Result<u64, MetaError> {
    let start = Cursor::start();
    tx.exec(
        "INSERT INTO cleanups (repository_id, due_at, package, uploaded_at, version_id) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (repository_id) DO UPDATE SET due_at = excluded.due_at, package = excluded.package,
           uploaded_at = excluded.uploaded_at, version_id = excluded.version_id",
        params![repository, due_at, start.package.as_str(), start.uploaded_at, &start.version],
    )
}

/// Takes a repository from the list.
pub fn strike(tx: &mut Tx<'_>, repository: &Id) -> Result<u64, MetaError> {
    tx.exec("DELETE FROM cleanups WHERE repository_id = ?1", params![repository])
}

/// The statement of [`due`], for the test that looks at its plan.
pub const DUE_SQL: &str =
    "SELECT c.repository_id, r.project, r.location, r.name, c.due_at, c.package, c.uploaded_at, c.version_id
     FROM cleanups c JOIN repositories r ON r.id = c.repository_id
     WHERE c.due_at <= ?1 ORDER BY c.due_at, c.repository_id LIMIT 1";

/// The repository that is due for the longest time.
pub fn due(tx: &mut Tx<'_>, now: i64) -> Result<Option<Due>, MetaError> {
    tx.opt(DUE_SQL, params![now], |row| {
        Ok(Due {
            repository: row.id(0)?,
            name: name_at(row, 1)?,
            due_at: row.int(4)?,
            cursor: Cursor { package: row.text(5)?, uploaded_at: row.int(6)?, version: row.id(7)? },
        })
    })
}

/// Writes down how far a run has come, and when the repository is due again. Nothing where its policies were set meanwhile.
pub fn advance(
    tx: &mut Tx<'_>,
    run: &Due,
    (cursor, due_at): (&Cursor, i64),
) -> Result<u64, MetaError> {
    tx.exec(
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

/// The settings of a repository, if it is there and not being removed.
pub fn settings(tx: &mut Tx<'_>, repository: &Id) -> Result<Option<String>, MetaError> {
    let sql = "SELECT settings FROM repositories WHERE id = ?1 AND state = 'live'";
    tx.opt(sql, params![repository], |row| row.text(0))
}

/// The statement of [`next_package`], for the test that looks at its plan.
pub const NEXT_PACKAGE_SQL: &str =
    "SELECT id, name FROM packages WHERE repository_id = ?1 AND name > ?2 ORDER BY name LIMIT 1";

/// The image that comes after a name.
pub fn next_package(
    tx: &mut Tx<'_>,
    repository: &Id,
    last: &str,
) -> Result<Option<(Id, String)>, MetaError> {
    // Images that are being removed stand before '/', all others behind it.
    let last = last.max("/");
    tx.opt(NEXT_PACKAGE_SQL, params![repository, last], |row| Ok((row.id(0)?, row.text(1)?)))
}

/// A manifest as policies judge it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The manifest.
    pub version: Version,
    /// The size that lists show of it.
    pub image_bytes: i64,
    /// When it came.
    pub uploaded_at: i64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, package_id, digest, media_type, manifest_bytes, subject, image_bytes, uploaded_at
             FROM versions WHERE package_id = ?1 AND ",
            $rest
        )
    };
}

fn candidate(row: &Row<'_>) -> Result<Candidate, MetaError> {
    Ok(Candidate {
        version: versions::version(row)?,
        image_bytes: row.int(6)?,
        uploaded_at: row.int(7)?,
    })
}

/// The statement of [`candidates`], for the test that looks at its plan.
pub const CANDIDATES_SQL: &str =
    select!("(uploaded_at, id) < (?2, ?3) ORDER BY uploaded_at DESC, id DESC LIMIT ?4");

/// The manifests of an image that came before the one that the cursor names, the newest first.
pub fn candidates(
    tx: &mut Tx<'_>,
    package: &Id,
    cursor: &Cursor,
    limit: i64,
) -> Result<Vec<Candidate>, MetaError> {
    let params = params![package, cursor.uploaded_at, &cursor.version, limit];
    tx.query(CANDIDATES_SQL, params, candidate)
}

/// The manifest of that digest in an image.
pub fn find(
    tx: &mut Tx<'_>,
    package: &Id,
    digest: &Digest,
) -> Result<Option<Candidate>, MetaError> {
    tx.opt(select!("digest = ?2"), params![package, digest.as_str()], candidate)
}

/// The statement of [`has_newer`], for the test that looks at its plan.
pub const NEWER_SQL: &str = "SELECT count(*) FROM (SELECT 1 FROM versions WHERE package_id = ?1
       AND (uploaded_at, id) > (?2, ?3) ORDER BY uploaded_at, id LIMIT ?4) few";

/// Whether the image has at least so many manifests that came after this one.
pub fn has_newer(tx: &mut Tx<'_>, of: &Candidate, count: i64) -> Result<bool, MetaError> {
    let params = params![&of.version.package_id, of.uploaded_at, &of.version.id, count];
    Ok(tx.opt(NEWER_SQL, params, |row| row.int(0))? == Some(count))
}
