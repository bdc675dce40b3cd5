//! Versions without a tag (column `untagged` of `versions`): those without a tag and without a subject that no manifest of
//! their image names. The column is NULL for a version that was not counted yet, because an older version of Berth stored
//! it. Such a version is in no counter.

use crate::{Id, MetaError, SqlParam, Tx, params};

/// Makes a text with the condition of an untagged version, from a row of `versions`.
macro_rules! is_untagged {
    () => {
        "(versions.subject IS NULL
           AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.version_id = versions.id)
           AND NOT EXISTS (SELECT 1 FROM manifest_refs r WHERE r.child_id = versions.id))"
    };
}

/// The largest number of versions that one statement looks at.
const MAX_VERSIONS_AT_ONCE: usize = 64;

/// Makes the statement of [`recount`] for a number of versions. A test checks its query plan.
pub(crate) fn recount_sql(count: usize) -> String {
    let numbers: Vec<_> = (1..=count).map(|number| format!("?{number}")).collect();
    format!(
        concat!(
            "UPDATE versions SET untagged = NOT untagged WHERE id IN ({}) AND untagged IS NOT NULL AND untagged <> ",
            is_untagged!(),
            " RETURNING untagged"
        ),
        numbers.join(", ")
    )
}

/// Decides once more which of these versions are untagged, after their tags or the manifests that name them have
/// changed. Returns by how much the number of untagged versions has grown.
pub fn recount(tx: &mut Tx<'_>, versions: &[Id]) -> Result<i64, MetaError> {
    let mut change = 0;
    for slice in versions.chunks(MAX_VERSIONS_AT_ONCE) {
        let Some(last) = slice.last() else { break };
        // The last id is repeated, so that few different statements have to be prepared.
        let count = slice.len().next_power_of_two();
        let ids = slice.iter().chain(std::iter::repeat_n(last, count - slice.len()));
        let ids: Vec<_> = ids.map(SqlParam::from).collect();
        let changed = tx.query(&recount_sql(count), &ids, |row| row.bool(0))?;
        change += changed.iter().map(|untagged| if *untagged { 1 } else { -1 }).sum::<i64>();
    }
    Ok(change)
}

/// Returns whether a version is untagged, or `None` if it was not counted yet.
pub fn find_state(tx: &mut Tx<'_>, version: &Id) -> Result<Option<bool>, MetaError> {
    let sql =
        "SELECT CASE WHEN untagged THEN 1 WHEN NOT untagged THEN 0 END FROM versions WHERE id = ?1";
    let state = tx.query_first(sql, params![version], |row| row.opt_int(0))?;
    Ok(state.flatten().map(|state| state == 1))
}

/// Returns the ids of the manifests of the image that a manifest names.
pub fn list_children(tx: &mut Tx<'_>, version: &Id) -> Result<Vec<Id>, MetaError> {
    tx.query(
        "SELECT DISTINCT child_id FROM manifest_refs WHERE version_id = ?1 AND child_id IS NOT NULL",
        params![version],
        |row| row.id(0),
    )
}

/// A version that was not counted yet.
#[derive(Debug, Clone)]
pub struct UncountedVersion {
    /// The id of the version.
    pub id: Id,
    /// The id of the image.
    pub package: Id,
    /// The id of the repository.
    pub repository: Id,
    /// The length of the manifest.
    pub manifest_bytes: i64,
    /// The time of the push.
    pub uploaded_at: i64,
}

/// The statement of [`list_uncounted`]. A test checks its query plan.
pub(crate) const UNCOUNTED_SQL: &str =
    "SELECT few.id, few.package_id, p.repository_id, few.manifest_bytes, few.uploaded_at
     FROM (SELECT id, package_id, manifest_bytes, uploaded_at FROM versions
           WHERE untagged IS NULL ORDER BY package_id, id LIMIT ?1) few
     JOIN packages p ON p.id = few.package_id";

/// Returns up to `limit` versions that were not counted yet.
pub fn list_uncounted(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<UncountedVersion>, MetaError> {
    tx.query(UNCOUNTED_SQL, params![limit], |row| {
        Ok(UncountedVersion {
            id: row.id(0)?,
            package: row.id(1)?,
            repository: row.id(2)?,
            manifest_bytes: row.int(3)?,
            uploaded_at: row.int(4)?,
        })
    })
}

/// The counts of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionCounts {
    /// The number of tags.
    pub tags: i64,
    /// Tells whether the version is untagged.
    pub is_untagged: bool,
}

/// Decides whether a version that was not counted yet is untagged, and returns its counts.
pub fn count(tx: &mut Tx<'_>, version: &Id) -> Result<VersionCounts, MetaError> {
    let sql = concat!(
        "UPDATE versions SET untagged = ",
        is_untagged!(),
        " WHERE id = ?1 RETURNING untagged"
    );
    let is_untagged = tx.query_first(sql, params![version], |row| row.bool(0))?;
    let sql = "SELECT count(*) FROM tags WHERE version_id = ?1";
    let tags = tx.query_first(sql, params![version], |row| row.int(0))?;
    Ok(VersionCounts {
        tags: tags.unwrap_or_default(),
        is_untagged: is_untagged.unwrap_or_default(),
    })
}
