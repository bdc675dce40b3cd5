//! Manifests as the lists of the API show them: the rows of `versions`, each with the name of its image and its tags.

use model::digest::Digest;
use model::list_filter::SortDirection;

use crate::{Id, MetaError, SqlRow, Tx, digest_at, opt_digest_at, params};

/// A manifest with the fields that lists show.
#[derive(Debug, Clone)]
pub struct ManifestDetails {
    /// The id of the version.
    pub id: Id,
    /// The name of the image to which the manifest belongs.
    pub package: String,
    /// The digest of the manifest.
    pub digest: Digest,
    /// The media type of the manifest.
    pub media_type: String,
    /// The sum of the sizes of the manifest and of all blobs that it names. It is 0 for an index.
    pub image_bytes: i64,
    /// The artifact type.
    pub artifact_type: Option<String>,
    /// The digest of the subject.
    pub subject: Option<Digest>,
    /// A JSON array. For an image, it holds the platform; for an index, the manifests that the index names.
    pub platforms: String,
    /// The build time of the image, according to its config.
    pub built_at: Option<i64>,
    /// The time at which the manifest was pushed.
    pub uploaded_at: i64,
    /// The time at which the manifest was pushed or last tagged.
    pub updated_at: i64,
    /// The first 100 tags, in byte order.
    pub tags: Vec<String>,
    /// The annotations as a JSON object of texts: those that were set by the API, or else those of the manifest unless
    /// they are longer than 8,192 characters.
    pub annotations: String,
}

/// Makes a query for manifests, from `versions v` and `packages p`. Images that are being deleted are left out.
macro_rules! select {
    ($($rest:literal),+) => {
        concat!(
            "SELECT v.id, p.name, v.digest, v.media_type, v.image_bytes, v.artifact_type, v.subject, v.platforms,
               v.built_at, v.uploaded_at, v.updated_at,
               (SELECT string_agg(few.name, ' ') FROM
                 (SELECT name FROM tags WHERE version_id = v.id ORDER BY name LIMIT 100) few),
               coalesce(v.set_annotations, CASE WHEN length(v.annotations) <= 8192 THEN v.annotations ELSE '{}' END)
             FROM versions v JOIN packages p ON p.id = v.package_id AND p.name > '/' ",
            $($rest),+
        )
    };
}

/// Makes the two statements of a list in the order of a time: ascending (the oldest first) and descending.
macro_rules! time_list_sql {
    ($scope:literal, $time:literal) => {
        [time_list_sql!($scope, $time, ">", "ASC"), time_list_sql!($scope, $time, "<", "DESC")]
    };
    ($scope:literal, $time:literal, $after:literal, $direction:literal) => {
        select!(
            "WHERE v.",
            $scope,
            " = ?1 AND (v.",
            $time,
            ", v.id) ",
            $after,
            " (?2, ?3) ORDER BY v.",
            $time,
            " ",
            $direction,
            ", v.id ",
            $direction,
            " LIMIT ?4"
        )
    };
}

/// A list of manifests in the order of a time: its ascending and its descending statement.
#[derive(Debug, Clone, Copy)]
pub struct TimeOrderedList(pub [&'static str; 2]);

/// The manifests of a repository in the order of their pushes.
pub const OF_REPOSITORY_BY_UPLOAD: TimeOrderedList =
    TimeOrderedList(time_list_sql!("repository_id", "uploaded_at"));
/// The manifests of a repository in the order of their updates (push or last tagging).
pub const OF_REPOSITORY_BY_UPDATE: TimeOrderedList =
    TimeOrderedList(time_list_sql!("repository_id", "updated_at"));
/// The manifests of an image in the order of their pushes.
pub const OF_PACKAGE_BY_UPLOAD: TimeOrderedList =
    TimeOrderedList(time_list_sql!("package_id", "uploaded_at"));
/// The manifests of an image in the order of their updates (push or last tagging).
pub const OF_PACKAGE_BY_UPDATE: TimeOrderedList =
    TimeOrderedList(time_list_sql!("package_id", "updated_at"));

/// The untagged manifests of an image in the order of their pushes. Those that were not counted yet are left out.
pub const UNTAGGED_BY_UPLOAD: TimeOrderedList = TimeOrderedList([
    select!(
        "WHERE v.package_id = ?1 AND v.untagged AND (v.uploaded_at, v.id) > (?2, ?3)
         ORDER BY v.uploaded_at, v.id LIMIT ?4"
    ),
    select!(
        "WHERE v.package_id = ?1 AND v.untagged AND (v.uploaded_at, v.id) < (?2, ?3)
         ORDER BY v.uploaded_at DESC, v.id DESC LIMIT ?4"
    ),
]);

/// The ascending and the descending statement of [`list_of_package`]. A test checks their query plans.
pub(crate) const OF_PACKAGE_SQL: [&str; 2] = [
    select!("WHERE v.package_id = ?1 AND v.digest > ?2 ORDER BY v.digest LIMIT ?3"),
    select!("WHERE v.package_id = ?1 AND v.digest < ?2 ORDER BY v.digest DESC LIMIT ?3"),
];

fn read_image(row: &SqlRow<'_>) -> Result<ManifestDetails, MetaError> {
    // No tag contains a space.
    let tags = row.opt_text(11)?.unwrap_or_default();
    Ok(ManifestDetails {
        id: row.id(0)?,
        package: row.text(1)?,
        digest: digest_at(row, 2)?,
        media_type: row.text(3)?,
        image_bytes: row.int(4)?,
        artifact_type: row.opt_text(5)?,
        subject: opt_digest_at(row, 6)?,
        platforms: row.text(7)?,
        built_at: row.opt_int(8)?,
        uploaded_at: row.int(9)?,
        updated_at: row.int(10)?,
        tags: tags.split_ascii_whitespace().map(str::to_owned).collect(),
        annotations: row.text(12)?,
    })
}

/// Returns the manifest with this digest in an image.
pub fn find(
    tx: &mut Tx<'_>,
    package: &Id,
    digest: &Digest,
) -> Result<Option<ManifestDetails>, MetaError> {
    let sql = select!("WHERE v.package_id = ?1 AND v.digest = ?2");
    tx.query_first(sql, params![package, digest.as_str()], read_image)
}

/// The statement of [`list_referring`]. A test checks its query plan.
pub(crate) const REFERRING_SQL: &str =
    select!("WHERE v.package_id = ?1 AND v.subject = ?2 ORDER BY v.digest LIMIT ?3");

/// Returns the manifests of an image whose subject is the manifest with this digest.
pub fn list_referring(
    tx: &mut Tx<'_>,
    package: &Id,
    subject: &Digest,
    limit: i64,
) -> Result<Vec<ManifestDetails>, MetaError> {
    tx.query(REFERRING_SQL, params![package, subject.as_str(), limit], read_image)
}

/// The statement of [`list_tagged_between`]. A test checks its query plan.
pub(crate) const TAGGED_BETWEEN_SQL: &str = select!(
    "JOIN tags f ON f.version_id = v.id
     WHERE f.package_id = ?1 AND f.name >= ?2 AND f.name < ?3 ORDER BY f.name LIMIT ?4"
);

/// Returns the manifests of an image with a tag from `first` on and before `end`, in the order of these tags. A manifest
/// with several such tags is returned as often.
pub fn list_tagged_between(
    tx: &mut Tx<'_>,
    package: &Id,
    first: &str,
    end: &str,
    limit: i64,
) -> Result<Vec<ManifestDetails>, MetaError> {
    tx.query(TAGGED_BETWEEN_SQL, params![package, first, end, limit], read_image)
}

/// The statement of [`list_children`]. A test checks its query plan.
pub(crate) const CHILDREN_SQL: &str = select!(
    "JOIN manifest_refs c ON c.child_id = v.id
     WHERE c.version_id = ?1 ORDER BY c.position LIMIT ?2"
);

/// Returns the manifests that an index names and its image holds.
pub fn list_children(
    tx: &mut Tx<'_>,
    index: &Id,
    limit: i64,
) -> Result<Vec<ManifestDetails>, MetaError> {
    tx.query(CHILDREN_SQL, params![index, limit], read_image)
}

/// Stores annotations that lists show instead of the manifest's own. Returns the number of versions changed, 0 or 1.
pub fn set_annotations(tx: &mut Tx<'_>, version: &Id, annotations: &str) -> Result<u64, MetaError> {
    let sql = "UPDATE versions SET set_annotations = ?2 WHERE id = ?1";
    tx.execute(sql, params![version, annotations])
}

/// A position in a list in the order of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimePosition {
    /// The time by which the list is ordered.
    pub time: i64,
    /// The id of the version.
    pub version: Id,
}

/// A query for manifests of a repository or an image in the order of a time.
#[derive(Debug, Clone, Copy)]
pub struct TimeOrderedQuery<'a> {
    /// The list.
    pub list: TimeOrderedList,
    /// The direction of the list.
    pub direction: SortDirection,
    /// The id of the repository or of the image, as the list needs it.
    pub scope: &'a Id,
    /// The position after which the list continues.
    pub last: TimePosition,
    /// The largest number of manifests to return.
    pub limit: i64,
}

/// Returns the manifests of a repository or an image that come after a position in the order of a time.
pub fn list_by_time(
    tx: &mut Tx<'_>,
    query: TimeOrderedQuery<'_>,
) -> Result<Vec<ManifestDetails>, MetaError> {
    let TimeOrderedQuery { list, direction, scope, last, limit } = query;
    let params = params![scope, last.time, &last.version, limit];
    tx.query(direction.choose(list.0), params, read_image)
}

/// Returns the manifests of an image that come after `last` in the given direction. `last` is a digest, or a text that
/// sorts before or after all digests.
pub fn list_of_package(
    tx: &mut Tx<'_>,
    direction: SortDirection,
    package: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<ManifestDetails>, MetaError> {
    tx.query(direction.choose(OF_PACKAGE_SQL), params![package, last, limit], read_image)
}
