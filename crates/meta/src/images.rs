//! Manifests as lists show them: table `versions`, with the image that each belongs to and its tags.

use model::digest::Digest;

use crate::{Id, MetaError, Row, Tx, digest_at, opt_digest_at, params};

/// Everything that lists show of a manifest.
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
    /// A JSON object.
    pub annotations: String,
    /// When the image was built, by its config.
    pub built_at: Option<i64>,
    /// When it came.
    pub uploaded_at: i64,
    /// When it came, or was last tagged.
    pub updated_at: i64,
    /// The first hundred of its tags, in byte order.
    pub tags: Vec<String>,
}

/// What is selected of each, from `versions v` and `packages p`.
macro_rules! select {
    ($from:literal) => {
        concat!(
            "SELECT v.id, p.name, v.digest, v.media_type, v.image_bytes, v.artifact_type, v.subject, v.annotations,
               v.built_at, v.uploaded_at, v.updated_at,
               (SELECT string_agg(few.name, ' ') FROM
                 (SELECT name FROM tags WHERE version_id = v.id ORDER BY name LIMIT 100) few)
             FROM versions v JOIN packages p ON p.id = v.package_id ",
            $from
        )
    };
}

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
        annotations: row.text(7)?,
        built_at: row.opt_int(8)?,
        uploaded_at: row.int(9)?,
        updated_at: row.int(10)?,
        tags: tags.split_ascii_whitespace().map(str::to_owned).collect(),
    })
}

/// The manifest of that digest in an image.
pub fn find(
    tx: &mut Tx<'_>,
    (repository, package): (&Id, &str),
    digest: &Digest,
) -> Result<Option<Image>, MetaError> {
    let sql = select!("WHERE p.repository_id = ?1 AND p.name = ?2 AND v.digest = ?3");
    tx.opt(sql, params![repository, package, digest.as_str()], image)
}

/// The statement of [`of_repository_by_upload`], for the test that looks at its plan.
pub const BY_UPLOAD_SQL: &str = select!(
    "WHERE v.repository_id = ?1 AND (v.uploaded_at, v.id) < (?2, ?3)
     ORDER BY v.uploaded_at DESC, v.id DESC LIMIT ?4"
);

/// The statement of [`of_repository_by_update`], for the test that looks at its plan.
pub const BY_UPDATE_SQL: &str = select!(
    "WHERE v.repository_id = ?1 AND (v.updated_at, v.id) < (?2, ?3)
     ORDER BY v.updated_at DESC, v.id DESC LIMIT ?4"
);

/// The statement of [`of_package_by_update`], for the test that looks at its plan.
pub const OF_PACKAGE_BY_UPDATE_SQL: &str = select!(
    "WHERE v.package_id = ?1 AND (v.updated_at, v.id) < (?2, ?3)
     ORDER BY v.updated_at DESC, v.id DESC LIMIT ?4"
);

/// The statement of [`of_package`], for the test that looks at its plan.
pub const OF_PACKAGE_SQL: &str =
    select!("WHERE v.package_id = ?1 AND v.digest > ?2 ORDER BY v.digest LIMIT ?3");

/// Where a list by time goes on: at those before this one.
pub type Before<'a> = (i64, &'a Id);

/// The manifests of a repository, the newest first.
pub fn of_repository_by_upload(
    tx: &mut Tx<'_>,
    repository: &Id,
    (time, id): Before<'_>,
    limit: i64,
) -> Result<Vec<Image>, MetaError> {
    tx.query(BY_UPLOAD_SQL, params![repository, time, id, limit], image)
}

/// The manifests of a repository, the last changed first.
pub fn of_repository_by_update(
    tx: &mut Tx<'_>,
    repository: &Id,
    (time, id): Before<'_>,
    limit: i64,
) -> Result<Vec<Image>, MetaError> {
    tx.query(BY_UPDATE_SQL, params![repository, time, id, limit], image)
}

/// The manifests of an image, the last changed first.
pub fn of_package_by_update(
    tx: &mut Tx<'_>,
    package: &Id,
    (time, id): Before<'_>,
    limit: i64,
) -> Result<Vec<Image>, MetaError> {
    tx.query(OF_PACKAGE_BY_UPDATE_SQL, params![package, time, id, limit], image)
}

/// The manifests of an image after `last`, by digest.
pub fn of_package(
    tx: &mut Tx<'_>,
    package: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<Image>, MetaError> {
    tx.query(OF_PACKAGE_SQL, params![package, last, limit], image)
}
