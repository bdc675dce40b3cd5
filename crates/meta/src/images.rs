//! Manifests as lists show them: table `versions`, with the image that each belongs to and its tags.

use model::digest::Digest;
use model::filter::Direction;

use crate::{Id, MetaError, Row, Tx, digest_at, opt_digest_at, params};

/// What lists show of a manifest.
#[derive(Debug, Clone)]
pub struct Image {
    /// The row's id.
    pub id: Id,
    /// The image that it belongs to.
    pub package: String,
    /// The digest of the manifest's bytes.
    pub digest: Digest,
    /// What it is served as.
    pub media_type: String,
    /// The sizes of everything that it names, and its own; 0 of an index.
    pub image_bytes: i64,
    /// What kind of artifact it is.
    pub artifact_type: Option<String>,
    /// What it refers to.
    pub subject: Option<Digest>,
    /// A JSON array: of an image its platform, of an index what it names.
    pub platforms: String,
    /// When the image was built, by its config.
    pub built_at: Option<i64>,
    /// When it came.
    pub uploaded_at: i64,
    /// When it came, or was last tagged.
    pub updated_at: i64,
    /// The first hundred of its tags, in byte order.
    pub tags: Vec<String>,
    /// A JSON object of texts: what was set, or else what the manifest says, where that is not very long.
    pub annotations: String,
}

/// What is selected of each, from `versions v` and `packages p`: not of images that are being removed.
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

/// A list by a time, as two statements: upwards, from the oldest on, and downwards.
macro_rules! by_time {
    ($scope:literal, $time:literal) => {
        [by_time!($scope, $time, ">", "ASC"), by_time!($scope, $time, "<", "DESC")]
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

/// Which manifests a list by time shows, and by which time: its statements.
#[derive(Debug, Clone, Copy)]
pub struct ByTime(pub [&'static str; 2]);

/// The manifests of a repository by when they came.
pub const OF_REPOSITORY_BY_UPLOAD: ByTime = ByTime(by_time!("repository_id", "uploaded_at"));
/// The manifests of a repository by when they came or were last tagged.
pub const OF_REPOSITORY_BY_UPDATE: ByTime = ByTime(by_time!("repository_id", "updated_at"));
/// The manifests of an image by when they came.
pub const OF_PACKAGE_BY_UPLOAD: ByTime = ByTime(by_time!("package_id", "uploaded_at"));
/// The manifests of an image by when they came or were last tagged.
pub const OF_PACKAGE_BY_UPDATE: ByTime = ByTime(by_time!("package_id", "updated_at"));

/// The statements of [`of_package`]: upwards and downwards.
pub const OF_PACKAGE_SQL: [&str; 2] = [
    select!("WHERE v.package_id = ?1 AND v.digest > ?2 ORDER BY v.digest LIMIT ?3"),
    select!("WHERE v.package_id = ?1 AND v.digest < ?2 ORDER BY v.digest DESC LIMIT ?3"),
];

fn image(row: &Row<'_>) -> Result<Image, MetaError> {
    // No tag holds a space.
    let tags = row.opt_text(11)?.unwrap_or_default();
    Ok(Image {
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

/// The manifest of that digest in an image.
pub fn find(tx: &mut Tx<'_>, package: &Id, digest: &Digest) -> Result<Option<Image>, MetaError> {
    let sql = select!("WHERE v.package_id = ?1 AND v.digest = ?2");
    tx.opt(sql, params![package, digest.as_str()], image)
}

/// Sets the annotations of a manifest, instead of those that it has itself.
pub fn annotate(tx: &mut Tx<'_>, version: &Id, annotations: &str) -> Result<u64, MetaError> {
    let sql = "UPDATE versions SET set_annotations = ?2 WHERE id = ?1";
    tx.exec(sql, params![version, annotations])
}

/// The manifests of a repository or an image that stand after a time and an id.
pub fn by_time(
    tx: &mut Tx<'_>,
    (list, direction): (ByTime, Direction),
    scope: &Id,
    (time, id): (i64, &Id),
    limit: i64,
) -> Result<Vec<Image>, MetaError> {
    tx.query(direction.choose(list.0), params![scope, time, id, limit], image)
}

/// The manifests of an image that stand after a digest, or a text in its place.
pub fn of_package(
    tx: &mut Tx<'_>,
    direction: Direction,
    package: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<Image>, MetaError> {
    tx.query(direction.choose(OF_PACKAGE_SQL), params![package, last, limit], image)
}
