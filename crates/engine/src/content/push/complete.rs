//! Completion of the references of manifests that an older release stored.
//!
//! That release looked for every entry of an index among manifests only, so that nothing protected the blobs that
//! indexes name. A version is completed in as many transactions as its references need. Until all are complete,
//! nothing is collected.

use std::collections::BTreeSet;

use meta::Tx;
use meta::versions::ContentReference;
use meta::versions::incomplete::{self, IncompleteVersion};
use model::digest::Digest;
use model::manifest::Manifest;
use model::media_type::ManifestKind;

use super::list_columns::ListColumns;
use super::references::{FoundContent, ImageRows, MissingContent, children_of};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::image_change::ImageChange;

/// The largest number of versions that one transaction looks at.
const MAX_VERSIONS: i64 = 100;
/// The largest sum of the lengths of their manifests. One manifest may be longer if it is alone.
const MAX_BYTES: i64 = 1 << 20;
/// The largest number of references that one transaction inserts.
const MAX_REFERENCES: usize = 400;

/// The number of transactions that a request waits for.
const MAX_TRANSACTIONS_AWAITED: usize = 50;

/// The work that a transaction may still do.
struct RowAllowance {
    references: usize,
    bytes: i64,
}

impl Engine {
    /// Completes some versions. Returns whether all versions are complete.
    pub(crate) async fn complete_references(&self) -> Result<bool, EngineError> {
        if self.are_references_complete().await? {
            return Ok(true);
        }
        self.write(complete_some).await
    }

    /// Returns whether all versions are complete.
    pub(crate) async fn are_references_complete(&self) -> Result<bool, EngineError> {
        self.read_by_key(|tx| Ok(!incomplete::exists(tx)?)).await
    }

    /// Completes all versions, if that does not take too long. A request that deletes a blob must know all manifests
    /// that name it.
    pub(crate) async fn await_complete_references(&self) -> Result<(), EngineError> {
        for _ in 0..MAX_TRANSACTIONS_AWAITED {
            if self.complete_references().await? {
                return Ok(());
            }
        }
        let why = "the references of manifests of the last release are not complete yet";
        Err(EngineError::Unavailable(why.to_owned()))
    }
}

/// Completes some versions. Returns whether none is left.
fn complete_some(tx: &mut Tx<'_>) -> Result<bool, EngineError> {
    let versions = incomplete::list(tx, MAX_VERSIONS)?;
    let mut allowance = RowAllowance { references: MAX_REFERENCES, bytes: MAX_BYTES };
    for version in &versions {
        if allowance.bytes < MAX_BYTES && version.manifest_bytes > allowance.bytes {
            return Ok(false);
        }
        allowance.bytes -= version.manifest_bytes;
        if !complete(tx, version, &mut allowance)? {
            return Ok(false);
        }
    }
    Ok((versions.len() as i64) < MAX_VERSIONS)
}

/// Completes one version within the allowance. Returns whether it is complete now.
fn complete(
    tx: &mut Tx<'_>,
    version: &IncompleteVersion,
    allowance: &mut RowAllowance,
) -> Result<bool, EngineError> {
    let bytes = incomplete::find_manifest_bytes(tx, &version.digest)?.unwrap_or_default();
    let manifest = match Manifest::parse_stored(&bytes, &version.media_type) {
        Ok(manifest) => manifest,
        Err(error) => {
            let digest = version.digest.as_str();
            tracing::warn!(manifest.digest = digest, %error, "stored manifest {digest} cannot be read");
            incomplete::set_complete(tx, &version.id)?;
            return Ok(true);
        }
    };
    let named: Vec<_> =
        manifest.named_content().filter(|named| !named.is_known_to_all_releases()).collect();
    if !named.is_empty() {
        let image = ImageRows { repository: &version.repository_id, package: &version.package_id };
        let content = FoundContent::look_up(tx, image, &named, MissingContent::Accepted)?;
        let references = named.iter().flat_map(|named| content.references(named));
        let mut missing = without_stored(tx, version, references)?;
        let is_last = missing.len() <= allowance.references;
        missing.truncate(allowance.references);
        allowance.references -= missing.len();
        incomplete::add_references(tx, version, &missing)?;
        let mut change = ImageChange::new(&version.repository_id, &version.package_id);
        children_of(&missing).for_each(|child| change.decide_again(child));
        change.content_changed();
        change.record(tx)?;
        if !is_last {
            return Ok(false);
        }
        if manifest.kind == ManifestKind::Index {
            let columns = ListColumns::new(&manifest, &content, bytes.len() as u64);
            let platforms = columns.platforms.unwrap_or_default();
            incomplete::set_index_summary(tx, &version.id, &platforms, columns.image_bytes)?;
        }
    }
    incomplete::set_complete(tx, &version.id)?;
    Ok(true)
}

/// Returns those of `references` that are not stored yet, each once.
fn without_stored(
    tx: &mut Tx<'_>,
    version: &IncompleteVersion,
    references: impl Iterator<Item = ContentReference>,
) -> Result<Vec<ContentReference>, EngineError> {
    let mut blobs: BTreeSet<Digest> = incomplete::list_referenced_digests(tx, &version.id, false)?;
    let mut manifests: BTreeSet<Digest> =
        incomplete::list_referenced_digests(tx, &version.id, true)?;
    let is_new = |reference: &ContentReference| {
        let stored = if reference.binding.is_to_manifest() { &mut manifests } else { &mut blobs };
        stored.insert(reference.digest.clone())
    };
    Ok(references.filter(is_new).collect())
}
