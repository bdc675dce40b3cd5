//! Tables `versions`, `manifest_contents` and `manifest_refs`: manifests, and what they name.

use model::digest::Digest;

use crate::{Id, MetaError, Param, Row, Tx, digest_at, opt_digest_at, params};

/// A manifest as a pull sees it, without its bytes.
#[derive(Debug, Clone)]
pub struct Version {
    /// The row's id.
    pub id: Id,
    /// The image it belongs to.
    pub package_id: Id,
    /// The digest of the manifest's bytes.
    pub digest: Digest,
    /// What it is served as.
    pub media_type: String,
    /// The length of the manifest.
    pub manifest_bytes: i64,
    /// What it refers to by `subject`.
    pub subject: Option<Digest>,
}

fn version(row: &Row<'_>) -> Result<Version, MetaError> {
    Ok(Version {
        id: row.id(0)?,
        package_id: row.id(1)?,
        digest: digest_at(row, 2)?,
        media_type: row.text(3)?,
        manifest_bytes: row.int(4)?,
        subject: opt_digest_at(row, 5)?,
    })
}

/// How a version is addressed within a repository.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// The repository.
    pub repository: &'a Id,
    /// The image's name.
    pub image: &'a str,
}

/// The version that a tag names.
pub fn by_tag(tx: &mut Tx<'_>, at: Address<'_>, tag: &str) -> Result<Option<Version>, MetaError> {
    tx.opt(
        "SELECT v.id, v.package_id, v.digest, v.media_type, v.manifest_bytes, v.subject FROM packages p
         JOIN tags t ON t.package_id = p.id JOIN versions v ON v.id = t.version_id
         WHERE p.repository_id = ?1 AND p.name = ?2 AND t.name = ?3",
        params![at.repository, at.image, tag],
        version,
    )
}

/// The version with that digest, if the image holds it.
pub fn by_digest(
    tx: &mut Tx<'_>,
    at: Address<'_>,
    digest: &Digest,
) -> Result<Option<Version>, MetaError> {
    tx.opt(
        "SELECT v.id, v.package_id, v.digest, v.media_type, v.manifest_bytes, v.subject FROM packages p
         JOIN versions v ON v.package_id = p.id
         WHERE p.repository_id = ?1 AND p.name = ?2 AND v.digest = ?3",
        params![at.repository, at.image, digest.as_str()],
        version,
    )
}

/// A version with its bytes, by tag.
pub fn content_by_tag(
    tx: &mut Tx<'_>,
    at: Address<'_>,
    tag: &str,
) -> Result<Option<(Version, Vec<u8>)>, MetaError> {
    tx.opt(
        "SELECT v.id, v.package_id, v.digest, v.media_type, v.manifest_bytes, v.subject, c.bytes FROM packages p
         JOIN tags t ON t.package_id = p.id JOIN versions v ON v.id = t.version_id
         JOIN manifest_contents c ON c.digest = v.digest
         WHERE p.repository_id = ?1 AND p.name = ?2 AND t.name = ?3",
        params![at.repository, at.image, tag],
        |row| Ok((version(row)?, row.bytes(6)?)),
    )
}

/// A version with its bytes, by digest.
pub fn content_by_digest(
    tx: &mut Tx<'_>,
    at: Address<'_>,
    digest: &Digest,
) -> Result<Option<(Version, Vec<u8>)>, MetaError> {
    tx.opt(
        "SELECT v.id, v.package_id, v.digest, v.media_type, v.manifest_bytes, v.subject, c.bytes FROM packages p
         JOIN versions v ON v.package_id = p.id JOIN manifest_contents c ON c.digest = v.digest
         WHERE p.repository_id = ?1 AND p.name = ?2 AND v.digest = ?3",
        params![at.repository, at.image, digest.as_str()],
        |row| Ok((version(row)?, row.bytes(6)?)),
    )
}

/// The id and manifest length of an image's version with that digest.
pub fn id_in_package(
    tx: &mut Tx<'_>,
    package: &Id,
    digest: &Digest,
) -> Result<Option<(Id, i64)>, MetaError> {
    tx.opt(
        "SELECT id, manifest_bytes FROM versions WHERE package_id = ?1 AND digest = ?2",
        params![package, digest.as_str()],
        |row| Ok((row.id(0)?, row.int(1)?)),
    )
}

/// A manifest that is about to be stored.
#[derive(Debug)]
pub struct NewVersion<'a> {
    /// The image it is pushed to.
    pub package_id: &'a Id,
    /// The digest of its bytes.
    pub digest: &'a Digest,
    /// Its bytes, as they came.
    pub bytes: &'a [u8],
    /// What it is served as.
    pub media_type: &'a str,
    /// The sizes of everything that it names, and its own.
    pub image_bytes: i64,
    /// As the referrers list shows it.
    pub artifact_type: Option<&'a str>,
    /// What it refers to.
    pub subject: Option<&'a Digest>,
    /// A JSON object.
    pub annotations: &'a str,
    /// A JSON array of platforms.
    pub platforms: &'a str,
    /// When the image was built, by its config.
    pub built_at: Option<i64>,
    /// When it came.
    pub now: i64,
}

/// Stores a manifest in its image. `None`: the image holds it already.
pub fn insert(tx: &mut Tx<'_>, new: &NewVersion<'_>) -> Result<Option<Id>, MetaError> {
    tx.exec(
        "INSERT INTO manifest_contents (digest, bytes) VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING",
        params![new.digest.as_str(), new.bytes],
    )?;
    // Random: every push reads its own new row by key, through foreign keys. Were the ids to rise, all
    // pushes would read and write the same last page of the index, and a serializable PostgreSQL would run
    // most of them again.
    let id = Id::random();
    let inserted = tx.exec(
        "INSERT INTO versions (id, package_id, digest, media_type, manifest_bytes, image_bytes, artifact_type,
           subject, annotations, platforms, built_at, uploaded_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12)
         ON CONFLICT (package_id, digest) DO NOTHING",
        params![
            &id,
            new.package_id,
            new.digest.as_str(),
            new.media_type,
            new.bytes.len() as i64,
            new.image_bytes,
            new.artifact_type,
            new.subject.map(Digest::as_str),
            new.annotations,
            new.platforms,
            new.built_at,
            new.now
        ],
    )?;
    Ok((inserted == 1).then_some(id))
}

/// What a reference is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// A blob of the repository: the foreign key refuses it when it is not there.
    Blob,
    /// A version of the same image.
    Child(Id),
    /// A blob that is not here (yet).
    OpenBlob,
    /// A manifest that is not here (yet).
    OpenChild,
}

/// One thing that a manifest names.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Its digest.
    pub digest: Digest,
    /// Its size, as the manifest states it.
    pub size: i64,
    /// What it is bound to.
    pub binding: Binding,
}

/// Stores what a version names, in one statement a slice. A blob that the repository does not hold, or
/// holds with another size, is refused by its foreign key.
pub fn insert_refs(
    tx: &mut Tx<'_>,
    version: &Id,
    (repository, package): (&Id, &Id),
    refs: &[Reference],
) -> Result<(), MetaError> {
    // In order of digest, so that two pushes of the same layers lock their blobs in the same order.
    let mut sorted: Vec<_> = refs.iter().collect();
    sorted.sort_by(|a, b| a.digest.cmp(&b.digest));
    let rows: Vec<Vec<Param<'_>>> = sorted
        .iter()
        .enumerate()
        .map(|(position, Reference { digest, size, binding })| {
            let digest = digest.as_str();
            vec![
                Param::from(version),
                Param::from(position as i64),
                Param::from(repository),
                Param::from(package),
                Param::from(digest),
                Param::from(*size),
                Param::from(matches!(binding, Binding::Child(_) | Binding::OpenChild)),
                Param::from(matches!(binding, Binding::Blob).then_some(digest)),
                match binding {
                    Binding::Child(id) => Param::from(id),
                    Binding::Blob | Binding::OpenBlob | Binding::OpenChild => Param::Null,
                },
            ]
        })
        .collect();
    tx.exec_values(
        "INSERT INTO manifest_refs (version_id, position, repository_id, package_id, digest, size, is_manifest, blob_digest, child_id)",
        "",
        &rows,
    )?;
    Ok(())
}

/// How many references are bound at once: any number may wait for the same content. Whoever asks what needs
/// that content binds the next ones first.
const BOUND_AT_ONCE: i64 = 300;

/// References that wait for this blob. One that states another size waits for another.
fn waiting_for_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    (digest, size): (&Digest, i64),
    limit: i64,
) -> Result<Vec<(Id, i64)>, MetaError> {
    tx.query(
        "SELECT version_id, position FROM manifest_refs
         WHERE repository_id = ?1 AND digest = ?2 AND size = ?3 AND blob_digest IS NULL AND child_id IS NULL
           AND NOT is_manifest LIMIT ?4",
        params![repository, digest.as_str(), size, limit],
        |row| Ok((row.id(0)?, row.int(1)?)),
    )
}

/// Whether a reference still waits for this blob.
pub fn waits_for_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    blob: (&Digest, i64),
) -> Result<bool, MetaError> {
    Ok(!waiting_for_blob(tx, repository, blob, 1)?.is_empty())
}

/// Binds references that waited for this blob. Answers how many.
pub fn bind_blob(tx: &mut Tx<'_>, repository: &Id, blob: (&Digest, i64)) -> Result<u64, MetaError> {
    let waiting = waiting_for_blob(tx, repository, blob, BOUND_AT_ONCE)?;
    for (version, position) in &waiting {
        tx.exec(
            "UPDATE manifest_refs SET blob_digest = digest WHERE version_id = ?1 AND position = ?2",
            params![version, *position],
        )?;
    }
    Ok(waiting.len() as u64)
}

/// Binds references of the image's indexes that waited for this manifest.
pub fn bind_child(
    tx: &mut Tx<'_>,
    (repository, package): (&Id, &Id),
    (digest, size): (&Digest, i64),
    child: &Id,
) -> Result<u64, MetaError> {
    let waiting = tx.query(
        "SELECT version_id, position FROM manifest_refs
         WHERE repository_id = ?1 AND digest = ?3 AND size = ?4 AND blob_digest IS NULL AND child_id IS NULL
           AND is_manifest AND package_id = ?2 LIMIT ?5",
        params![repository, package, digest.as_str(), size, BOUND_AT_ONCE],
        |row| Ok((row.id(0)?, row.int(1)?)),
    )?;
    for (version, position) in &waiting {
        tx.exec(
            "UPDATE manifest_refs SET child_id = ?3 WHERE version_id = ?1 AND position = ?2",
            params![version, *position, child],
        )?;
    }
    Ok(waiting.len() as u64)
}

/// An index of the same image that names this version.
pub fn parent_of(tx: &mut Tx<'_>, version: &Id) -> Result<Option<Digest>, MetaError> {
    tx.opt(
        "SELECT v.digest FROM manifest_refs r JOIN versions v ON v.id = r.version_id WHERE r.child_id = ?1 LIMIT 1",
        params![version],
        |row| digest_at(row, 0),
    )
}

/// A manifest of the repository that needs this blob.
pub fn user_of_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
) -> Result<Option<Digest>, MetaError> {
    tx.opt(
        "SELECT v.digest FROM manifest_refs r JOIN versions v ON v.id = r.version_id
         WHERE r.repository_id = ?1 AND r.blob_digest = ?2 LIMIT 1",
        params![repository, digest.as_str()],
        |row| digest_at(row, 0),
    )
}

/// The blobs that a version keeps.
pub fn blobs_of(tx: &mut Tx<'_>, version: &Id) -> Result<Vec<Digest>, MetaError> {
    tx.query(
        "SELECT DISTINCT blob_digest FROM manifest_refs WHERE version_id = ?1 AND blob_digest IS NOT NULL",
        params![version],
        |row| digest_at(row, 0),
    )
}

/// Removes a version and what it names. Its tags must be gone.
pub fn delete(tx: &mut Tx<'_>, version: &Id) -> Result<u64, MetaError> {
    tx.exec("DELETE FROM versions WHERE id = ?1", params![version])
}

/// Whether any image still holds a manifest with these bytes.
pub fn content_in_use(tx: &mut Tx<'_>, digest: &Digest) -> Result<bool, MetaError> {
    let found = tx.opt(
        "SELECT 1 FROM versions WHERE digest = ?1 LIMIT 1",
        params![digest.as_str()],
        |row| row.int(0),
    )?;
    Ok(found.is_some())
}

/// Removes a manifest's bytes. The foreign key refuses it while a version has them.
pub fn delete_content(tx: &mut Tx<'_>, digest: &Digest) -> Result<u64, MetaError> {
    tx.exec("DELETE FROM manifest_contents WHERE digest = ?1", params![digest.as_str()])
}

/// What a line of the referrers list costs, before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferrerSize {
    /// The referring manifest.
    pub digest: Digest,
    /// What it is.
    pub artifact_type: Option<String>,
    /// The length of its annotations.
    pub annotations: i64,
}

/// The statement of [`referrer_sizes`], for the test that looks at its plan.
pub const REFERRER_SIZES_SQL: &str = "SELECT digest, artifact_type, octet_length(annotations)
     FROM versions WHERE package_id = ?1 AND subject = ?2 AND digest > ?3 ORDER BY digest LIMIT ?4";

/// The manifests of an image that refer to `subject`, after `last`, by digest: how long their lines would be.
pub fn referrer_sizes(
    tx: &mut Tx<'_>,
    package: &Id,
    subject: &Digest,
    (last, limit): (&str, i64),
) -> Result<Vec<ReferrerSize>, MetaError> {
    tx.query(REFERRER_SIZES_SQL, params![package, subject.as_str(), last, limit], |row| {
        Ok(ReferrerSize {
            digest: digest_at(row, 0)?,
            artifact_type: row.opt_text(1)?,
            annotations: row.int(2)?,
        })
    })
}

/// One line of the referrers list.
#[derive(Debug, Clone)]
pub struct Referrer {
    /// The referring manifest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its length.
    pub size: i64,
    /// What it is.
    pub artifact_type: Option<String>,
    /// A JSON object.
    pub annotations: String,
}

/// The statement of [`referrers`], for the test that looks at its plan.
pub const REFERRERS_SQL: &str =
    "SELECT digest, media_type, manifest_bytes, artifact_type, annotations
     FROM versions WHERE package_id = ?1 AND subject = ?2 AND digest > ?3 AND digest <= ?4
       AND (artifact_type = ?5 OR ?5 = '') ORDER BY digest";

/// The manifests of an image that refer to `subject`, after `from` up to `to`, by digest: those of an artifact
/// type, or all where it is empty.
pub fn referrers(
    tx: &mut Tx<'_>,
    package: &Id,
    subject: &Digest,
    (from, to, artifact_type): (&str, &Digest, &str),
) -> Result<Vec<Referrer>, MetaError> {
    let params = params![package, subject.as_str(), from, to.as_str(), artifact_type];
    tx.query(REFERRERS_SQL, params, |row| {
        Ok(Referrer {
            digest: digest_at(row, 0)?,
            media_type: row.text(1)?,
            size: row.int(2)?,
            artifact_type: row.opt_text(3)?,
            annotations: row.text(4)?,
        })
    })
}
