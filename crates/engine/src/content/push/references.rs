//! Binding what a manifest names to the content that is here.

use std::collections::BTreeMap;

use meta::versions::{self, ContentReference, ReferenceBinding};
use meta::{Id, MetaError, Tx, blobs};
use model::digest::Digest;
use model::manifest::{ContentLookup, Descriptor, NamedContent, RequiredContent};

use crate::error::EngineError;

/// The image that a manifest belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImageRows<'a> {
    pub(crate) repository: &'a Id,
    pub(crate) package: &'a Id,
}

/// Whether a repository takes manifests that name missing content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingContent {
    Accepted,
    Refused,
}

impl MissingContent {
    pub(crate) fn in_repository(sparse: bool) -> Self {
        if sparse { Self::Accepted } else { Self::Refused }
    }

    /// Whether a foreign key finds out that the content is missing, so that nobody has to look.
    fn is_found_by_key(self, named: &NamedContent<'_>) -> bool {
        self == Self::Refused && named.need == RequiredContent::Blob
    }
}

/// The content that is here of what a manifest names.
#[derive(Debug)]
pub(crate) struct FoundContent {
    /// The sizes of blobs.
    blobs: BTreeMap<Digest, i64>,
    /// The ids and sizes of manifests.
    versions: BTreeMap<Digest, (Id, i64)>,
    missing: MissingContent,
}

impl FoundContent {
    /// Looks for `named`, but for what a foreign key finds out.
    pub(crate) fn look_up(
        tx: &mut Tx<'_>,
        image: ImageRows<'_>,
        named: &[NamedContent<'_>],
        missing: MissingContent,
    ) -> Result<Self, MetaError> {
        let digests = |wanted: &dyn Fn(&NamedContent<'_>) -> bool| -> Vec<&str> {
            let wanted = named.iter().filter(|named| wanted(named));
            wanted.map(|named| named.descriptor.digest.as_str()).collect()
        };
        let blobs = digests(&|named| named.may_be_blob() && !missing.is_found_by_key(named));
        let manifests = digests(&|named| named.may_be_manifest());
        Ok(Self {
            blobs: blobs::find_sizes(tx, image.repository, &blobs)?,
            versions: versions::find_all_in_package(tx, image.package, &manifests)?,
            missing,
        })
    }

    /// Refuses a manifest that names what is not here, or what is here with another size.
    pub(crate) fn check(&self, named: &[NamedContent<'_>]) -> Result<(), EngineError> {
        let mut missing = Vec::new();
        for named in named {
            let digest = &named.descriptor.digest;
            if !named.may_be_manifest() || named.need != RequiredContent::Any {
                continue;
            }
            let manifest = self.versions.get(digest).map(|(_, size)| *size);
            let takes_blob = named.may_be_blob() && self.missing == MissingContent::Refused;
            let blob = self.blobs.get(digest).copied().filter(|_| takes_blob);
            match manifest.or(blob) {
                Some(actual) if actual as u64 != named.descriptor.size => {
                    return Err(another_size(named.descriptor, actual));
                }
                Some(_) => {}
                None => missing.push(digest.clone()),
            }
        }
        if self.missing == MissingContent::Refused && !missing.is_empty() {
            return Err(EngineError::ReferencesUnknown(missing));
        }
        Ok(())
    }

    /// The references of what is named: one to a blob, one to a manifest, or both, for whichever is here or comes.
    pub(crate) fn references(&self, named: &NamedContent<'_>) -> Vec<ContentReference> {
        let mut references = Vec::new();
        let Descriptor { digest, size, .. } = named.descriptor;
        let reference = |size: i64, binding: ReferenceBinding| ContentReference {
            digest: digest.clone(),
            size,
            binding,
        };
        let stated = *size as i64;
        if named.may_be_blob() {
            references.push(match self.blobs.get(digest) {
                _ if self.missing.is_found_by_key(named) => {
                    reference(stated, ReferenceBinding::Blob)
                }
                // Kept under its true size, whatever the manifest says of it.
                Some(actual) => reference(*actual, ReferenceBinding::Blob),
                None => reference(stated, ReferenceBinding::MissingBlob),
            });
        }
        if named.may_be_manifest() {
            references.push(match self.versions.get(digest) {
                Some((id, _)) => reference(stated, ReferenceBinding::Manifest(*id)),
                None => reference(stated, ReferenceBinding::MissingManifest),
            });
        }
        references
    }

    /// Whether an entry of an index is a manifest, or is to become one.
    pub(crate) fn is_manifest(&self, entry: &NamedContent<'_>) -> bool {
        entry.lookup == ContentLookup::Manifests
            || self.versions.contains_key(&entry.descriptor.digest)
    }
}

fn another_size(descriptor: &Descriptor, actual: i64) -> EngineError {
    EngineError::SizeMismatch {
        digest: descriptor.digest.clone(),
        stated: descriptor.size,
        actual: actual as u64,
    }
}
