//! Attachments: manifests that refer to another one of their image, as lists of a repository show them.

use model::attachment::AttachmentId;
use model::digest::Digest;

use crate::{Id, MetaError, Row, Tx, digest_at, params};

/// A manifest that refers to another one.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// What it is called in its repository.
    pub id: AttachmentId,
    /// Whose it is, if its maker said so.
    pub namespace: String,
    /// Its digest.
    pub digest: Digest,
    /// The image that holds both.
    pub package: String,
    /// The digest of what it refers to.
    pub subject: Digest,
    /// What it is.
    pub artifact_type: Option<String>,
    /// A JSON object.
    pub annotations: String,
    /// When it came.
    pub created_at: i64,
    /// The first hundred blobs that it names, in the order of their digests.
    pub files: Vec<Digest>,
}

/// What is selected of each, from `versions v` and `packages p`: not of images that are being removed, and of several
/// images that hold the same one, from one. In lists, long annotations are left out.
macro_rules! select {
    ($annotations:literal, $rest:literal) => {
        concat!(
            "SELECT v.digest, p.name, v.subject, v.artifact_type, ",
            $annotations,
            ", v.uploaded_at,
               (SELECT string_agg(few.blob_digest, ' ') FROM
                 (SELECT blob_digest FROM manifest_refs
                  WHERE version_id = v.id AND blob_digest IS NOT NULL AND blob_digest <> v.subject
                  ORDER BY position LIMIT 100) few),
               (SELECT a.name FROM attachments a WHERE a.version_id = v.id),
               (SELECT a.namespace FROM attachments a WHERE a.version_id = v.id)
             FROM versions v JOIN packages p ON p.id = v.package_id AND p.name > '/' WHERE v.subject IS NOT NULL AND ",
            $rest
        )
    };
}

macro_rules! list {
    ($rest:literal) => {
        select!(
            "CASE WHEN octet_length(v.annotations) <= 16384 THEN v.annotations ELSE '{}' END",
            $rest
        )
    };
}

/// The statement of a repository's attachments.
pub const OF_REPOSITORY_SQL: &str = list!(
    "v.repository_id = ?1 AND v.id =
       (SELECT w.id FROM versions w JOIN packages q ON q.id = w.package_id AND q.name > '/'
        WHERE w.repository_id = v.repository_id AND w.digest = v.digest ORDER BY w.id LIMIT 1)
     AND v.digest > ?2 ORDER BY v.digest LIMIT ?3"
);

/// The statement of what is attached to one version.
pub const OF_TARGET_SQL: &str =
    list!("v.package_id = ?1 AND v.subject = ?4 AND v.digest > ?2 ORDER BY v.digest LIMIT ?3");

/// Which attachments a list shows.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// All of a repository.
    Repository(&'a Id),
    /// Those of one manifest of an image.
    Target(&'a Id, &'a Digest),
    /// The one of an image that has this digest itself.
    Version(&'a Id, &'a Digest),
}

fn attachment(row: &Row<'_>) -> Result<Attachment, MetaError> {
    let files = row.opt_text(6)?.unwrap_or_default();
    let digest = |text: &str| text.parse().map_err(|_| MetaError::corrupt("a digest"));
    let mut files: Vec<Digest> =
        files.split_ascii_whitespace().map(digest).collect::<Result<_, _>>()?;
    // Some are named twice, one behind the other.
    files.dedup();
    let digest = digest_at(row, 0)?;
    let id = match row.opt_text(7)? {
        Some(name) => name.parse().map_err(|_| MetaError::corrupt("an attachment's name"))?,
        None => AttachmentId::Digest(digest.clone()),
    };
    Ok(Attachment {
        id,
        namespace: row.opt_text(8)?.unwrap_or_default(),
        digest,
        package: row.text(1)?,
        subject: digest_at(row, 2)?,
        artifact_type: row.opt_text(3)?,
        annotations: row.text(4)?,
        created_at: row.int(5)?,
        files,
    })
}

/// The attachments that stand after `last`.
pub fn list(
    tx: &mut Tx<'_>,
    of: Of<'_>,
    last: &str,
    limit: i64,
) -> Result<Vec<Attachment>, MetaError> {
    match of {
        Of::Repository(id) => tx.query(OF_REPOSITORY_SQL, params![id, last, limit], attachment),
        Of::Target(package, subject) => {
            let params = params![package, last, limit, subject.as_str()];
            tx.query(OF_TARGET_SQL, params, attachment)
        }
        Of::Version(_, digest) if digest.as_str() <= last => Ok(Vec::new()),
        Of::Version(package, digest) => {
            let sql = list!("v.package_id = ?1 AND v.digest = ?2");
            tx.query(sql, params![package, digest.as_str()], attachment)
        }
    }
}

/// The statement of [`find`] by what somebody chose.
pub const BY_NAME_SQL: &str = select!(
    "v.annotations",
    "v.id = (SELECT version_id FROM attachments WHERE repository_id = ?1 AND name = ?2)"
);

/// The attachment of that id in a repository.
pub fn find(
    tx: &mut Tx<'_>,
    repository: &Id,
    id: &AttachmentId,
) -> Result<Option<Attachment>, MetaError> {
    let by_digest =
        select!("v.annotations", "v.repository_id = ?1 AND v.digest = ?2 ORDER BY v.id LIMIT 1");
    match id {
        AttachmentId::Digest(digest) => {
            tx.opt(by_digest, params![repository, digest.as_str()], attachment)
        }
        AttachmentId::Chosen(name) => {
            tx.opt(BY_NAME_SQL, params![repository, name.as_str()], attachment)
        }
    }
}

/// Names a version that refers to another one. Answers whether the name was free.
pub fn insert(
    tx: &mut Tx<'_>,
    (repository, version): (&Id, &Id),
    (id, namespace): (&AttachmentId, &str),
) -> Result<bool, MetaError> {
    let name = id.to_string();
    // The name of what goes with its image is free, though its rows are there yet.
    tx.exec(
        "DELETE FROM attachments WHERE repository_id = ?1 AND name = ?2 AND EXISTS
           (SELECT 1 FROM versions v JOIN packages p ON p.id = v.package_id
            WHERE v.id = attachments.version_id AND p.name < '/')",
        params![repository, name.as_str()],
    )?;
    let inserted = tx.exec(
        "INSERT INTO attachments (version_id, repository_id, name, namespace) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (repository_id, name) DO NOTHING",
        params![version, repository, name.as_str(), namespace],
    )?;
    Ok(inserted == 1)
}
