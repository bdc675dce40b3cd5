//! The references of a manifest, bound to the content that is here.

use std::collections::BTreeMap;

use meta::versions::{self, ContentReference, ReferenceBinding};
use meta::{Id, MetaError, Tx, blobs};
use model::digest::Digest;
use model::manifest::{ContentLookup, Descriptor, NamedContent, RequiredContent};

use crate::error::EngineError;

/// The ids of the image that a manifest belongs to, and of its repository.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImageRows<'a> {
    pub(crate) repository: &'a Id,
    pub(crate) package: &'a Id,
}

/// The treatment of manifests that name missing content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingContent {
    Accepted,
    Refused,
}

impl MissingContent {
    pub(crate) fn in_repository(sparse: bool) -> Self {
        if sparse { Self::Accepted } else { Self::Refused }
    }

    /// Returns whether a foreign key refuses the manifest if this content is missing, so that no lookup is needed.
    fn is_found_by_key(self, named: &NamedContent<'_>) -> bool {
        self == Self::Refused && named.need == RequiredContent::Blob
    }
}

/// The content that a manifest names and that is here.
#[derive(Debug)]
pub(crate) struct FoundContent {
    /// The sizes of the blobs.
    blobs: BTreeMap<Digest, i64>,
    /// The ids and sizes of the manifests.
    versions: BTreeMap<Digest, (Id, i64)>,
    missing: MissingContent,
}

impl FoundContent {
    /// Looks up the content that the manifest names. Leaves out the blobs of which the database says by a foreign key that
    /// they are missing.
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

    /// Refuses a manifest that names missing content, or states another size than the content has.
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

    /// Returns the references to one named content: to a blob, to a manifest, or to both if it may be either.
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
                // The reference has the true size of the blob, whatever the manifest states.
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

    /// Returns whether an entry of an index is a manifest, or can only become one.
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

/// Returns the ids of the manifests among some references.
pub(super) fn children_of(references: &[ContentReference]) -> impl Iterator<Item = Id> {
    references.iter().filter_map(|reference| match &reference.binding {
        ReferenceBinding::Manifest(child) => Some(*child),
        ReferenceBinding::Blob
        | ReferenceBinding::MissingBlob
        | ReferenceBinding::MissingManifest => None,
    })
}
