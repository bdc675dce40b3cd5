//! Attachments: the manifests with a subject, as the lists of a repository show them.
//!
//! Every version that refers to another one is an attachment. The table `attachments` holds the names of those that the
//! API made; the others are named by their digests.

use model::attachment::AttachmentId;
use model::digest::Digest;

use crate::{Id, MetaError, SqlRow, Tx, digest_at, params};

/// A manifest with a subject.
#[derive(Debug, Clone)]
pub struct AttachmentDetails {
    /// The id in the repository.
    pub id: AttachmentId,
    /// The namespace that the creator chose, or an empty text.
    pub namespace: String,
    /// The digest of the manifest.
    pub digest: Digest,
    /// The name of the image that holds the manifest and its subject.
    pub package: String,
    /// The digest of the subject.
    pub subject: Digest,
    /// The artifact type of the manifest.
    pub artifact_type: Option<String>,
    /// The annotations as a JSON object. In lists, annotations of more than 16 KiB are left out.
    pub annotations: String,
    /// The time at which the manifest was pushed.
    pub created_at: i64,
    /// The first 100 blobs of the manifest, in the order of their digests.
    pub files: Vec<Digest>,
}

/// Makes a query for attachments, from `versions v` and `packages p`. Images that are being deleted are left out.
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

/// Makes a query for a list of attachments, without long annotations.
macro_rules! select_list {
    ($rest:literal) => {
        select!(
            "CASE WHEN octet_length(v.annotations) <= 16384 THEN v.annotations ELSE '{}' END",
            $rest
        )
    };
}

/// The statement of the attachments of a repository. If several images hold the same manifest, it returns one of them.
/// A test checks its query plan.
pub(crate) const OF_REPOSITORY_SQL: &str = select_list!(
    "v.repository_id = ?1 AND v.id =
       (SELECT w.id FROM versions w JOIN packages q ON q.id = w.package_id AND q.name > '/'
        WHERE w.repository_id = v.repository_id AND w.digest = v.digest ORDER BY w.id LIMIT 1)
     AND v.digest > ?2 ORDER BY v.digest LIMIT ?3"
);

/// The statement of the attachments of one version. A test checks its query plan.
pub(crate) const OF_TARGET_SQL: &str = select_list!(
    "v.package_id = ?1 AND v.subject = ?4 AND v.digest > ?2 ORDER BY v.digest LIMIT ?3"
);

/// The scope of a list of attachments.
#[derive(Debug, Clone, Copy)]
pub enum AttachmentScope<'a> {
    /// All attachments of a repository.
    Repository(&'a Id),
    /// The attachments whose subject is this manifest of an image.
    Target(&'a Id, &'a Digest),
    /// The one attachment of an image that has this digest.
    Version(&'a Id, &'a Digest),
}

fn read_attachment(row: &SqlRow<'_>) -> Result<AttachmentDetails, MetaError> {
    let files = row.opt_text(6)?.unwrap_or_default();
    let digest = |text: &str| text.parse().map_err(|_| MetaError::corrupt("a digest"));
    let mut files: Vec<Digest> =
        files.split_ascii_whitespace().map(digest).collect::<Result<_, _>>()?;
    // A manifest may name a blob twice. The two are neighbours, because the list is sorted.
    files.dedup();
    let digest = digest_at(row, 0)?;
    let id = match row.opt_text(7)? {
        Some(name) => name.parse().map_err(|_| MetaError::corrupt("an attachment's name"))?,
        None => AttachmentId::Digest(digest.clone()),
    };
    Ok(AttachmentDetails {
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

/// Returns the attachments whose digests sort after `last`, in the order of their digests.
pub fn list(
    tx: &mut Tx<'_>,
    scope: AttachmentScope<'_>,
    last: &str,
    limit: i64,
) -> Result<Vec<AttachmentDetails>, MetaError> {
    match scope {
        AttachmentScope::Repository(id) => {
            tx.query(OF_REPOSITORY_SQL, params![id, last, limit], read_attachment)
        }
        AttachmentScope::Target(package, subject) => {
            let params = params![package, last, limit, subject.as_str()];
            tx.query(OF_TARGET_SQL, params, read_attachment)
        }
        AttachmentScope::Version(_, digest) if digest.as_str() <= last => Ok(Vec::new()),
        AttachmentScope::Version(package, digest) => {
            let sql = select_list!("v.package_id = ?1 AND v.digest = ?2");
            tx.query(sql, params![package, digest.as_str()], read_attachment)
        }
    }
}

/// The statement of [`find`] for an id that the creator chose. A test checks its query plan.
pub(crate) const BY_NAME_SQL: &str = select!(
    "v.annotations",
    "v.id = (SELECT version_id FROM attachments WHERE repository_id = ?1 AND name = ?2)"
);

/// Returns the attachment with this id in a repository.
pub fn find(
    tx: &mut Tx<'_>,
    repository: &Id,
    id: &AttachmentId,
) -> Result<Option<AttachmentDetails>, MetaError> {
    let by_digest =
        select!("v.annotations", "v.repository_id = ?1 AND v.digest = ?2 ORDER BY v.id LIMIT 1");
    match id {
        AttachmentId::Digest(digest) => {
            tx.query_first(by_digest, params![repository, digest.as_str()], read_attachment)
        }
        AttachmentId::Chosen(name) => {
            tx.query_first(BY_NAME_SQL, params![repository, name.as_str()], read_attachment)
        }
    }
}

/// Gives a version with a subject a name and a namespace. Returns `false` if the name is taken.
pub fn insert(
    tx: &mut Tx<'_>,
    repository: &Id,
    version: &Id,
    id: &AttachmentId,
    namespace: &str,
) -> Result<bool, MetaError> {
    let name = id.to_string();
    // A name is free if its image is being deleted, even if the rows still exist.
    tx.execute(
        "DELETE FROM attachments WHERE repository_id = ?1 AND name = ?2 AND EXISTS
           (SELECT 1 FROM versions v JOIN packages p ON p.id = v.package_id
            WHERE v.id = attachments.version_id AND p.name < '/')",
        params![repository, name.as_str()],
    )?;
    let inserted = tx.execute(
        "INSERT INTO attachments (version_id, repository_id, name, namespace) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (repository_id, name) DO NOTHING",
        params![version, repository, name.as_str(), namespace],
    )?;
    Ok(inserted == 1)
}
