//! Referrers: the manifests of an image that name another one as their subject.

use model::digest::Digest;

use crate::{Id, MetaError, Tx, digest_at, params};

/// The size of a line of the referrers list, which is known before the line itself is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferrerSize {
    /// The digest of the manifest that refers to the subject.
    pub digest: Digest,
    /// The artifact type of that manifest.
    pub artifact_type: Option<String>,
    /// The length of its annotations in bytes.
    pub annotations: i64,
}

/// The statement of [`list_referrer_sizes`]. A test checks its query plan.
pub(crate) const REFERRER_SIZES_SQL: &str =
    "SELECT digest, artifact_type, octet_length(annotations)
     FROM versions WHERE package_id = ?1 AND subject = ?2 AND digest > ?3 ORDER BY digest LIMIT ?4";

/// Returns the sizes of the lines of the manifests that refer to `subject` and whose digests sort after `last`, in the
/// order of their digests.
pub fn list_referrer_sizes(
    tx: &mut Tx<'_>,
    package: &Id,
    subject: &Digest,
    last: &str,
    limit: i64,
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
    /// The digest of the manifest that refers to the subject.
    pub digest: Digest,
    /// The media type of that manifest.
    pub media_type: String,
    /// The length of that manifest.
    pub size: i64,
    /// The artifact type of that manifest.
    pub artifact_type: Option<String>,
    /// The annotations of that manifest as a JSON object.
    pub annotations: String,
}

/// The statement of [`list_referrers`]. A test checks its query plan.
pub(crate) const REFERRERS_SQL: &str =
    "SELECT digest, media_type, manifest_bytes, artifact_type, annotations
     FROM versions WHERE package_id = ?1 AND subject = ?2 AND digest > ?3 AND digest <= ?4
       AND (artifact_type = ?5 OR ?5 = '') ORDER BY digest";

/// A range of the list of the manifests that refer to a subject.
#[derive(Debug, Clone, Copy)]
pub struct ReferrerRange<'a> {
    /// The digest before the range, or an empty text for the beginning of the list.
    pub last: &'a str,
    /// The last digest of the range.
    pub to: &'a Digest,
    /// The artifact type of the manifests, or an empty text for all types.
    pub artifact_type: &'a str,
}

/// Returns the manifests of an image that refer to `subject` and lie in the range, in the order of their digests.
pub fn list_referrers(
    tx: &mut Tx<'_>,
    package: &Id,
    subject: &Digest,
    range: ReferrerRange<'_>,
) -> Result<Vec<Referrer>, MetaError> {
    let ReferrerRange { last, to, artifact_type } = range;
    let params = params![package, subject.as_str(), last, to.as_str(), artifact_type];
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
