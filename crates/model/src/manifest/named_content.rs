//! The content that a manifest names, and where in a repository this content is looked up.

use super::{Descriptor, Manifest};
use crate::media_type::ManifestKind;

/// The places where content that a manifest names is looked up. All content that is found there is kept as long as the
/// manifest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentLookup {
    /// The blobs of the repository.
    Blobs,
    /// The manifests of the image.
    Manifests,
    /// Both. Either the media type does not say whether the content is a blob or a manifest, or it is a layer with the
    /// media type of a manifest, which clients request as a manifest.
    Both,
}

/// The content that must be found before the manifest is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequiredContent {
    /// A blob.
    Blob,
    /// A blob or a manifest: anything that the lookup finds.
    Any,
    /// Nothing: the content may be missing.
    Nothing,
}

/// One descriptor of a manifest, and the rules for the content that the descriptor names.
#[derive(Debug, Clone, Copy)]
pub struct NamedContent<'m> {
    /// The descriptor.
    pub descriptor: &'m Descriptor,
    /// The places where the content is looked up.
    pub lookup: ContentLookup,
    /// The content that must be found.
    pub need: RequiredContent,
    /// Tells whether the descriptor is the manifest's subject.
    pub is_subject: bool,
}

impl Manifest {
    /// Returns all content that the manifest names, except a subject that is a manifest.
    pub fn named_content(&self) -> impl Iterator<Item = NamedContent<'_>> {
        let blobs = self.config.iter().chain(&self.layers).map(NamedContent::blob);
        let entries = self.manifests.iter().map(NamedContent::entry);
        blobs.chain(entries).chain(self.subject.as_ref().and_then(NamedContent::subject))
    }
}

impl<'m> NamedContent<'m> {
    /// Returns the rules for a config or a layer.
    fn blob(descriptor: &'m Descriptor) -> Self {
        let lookup = match is_manifest(descriptor) {
            true => ContentLookup::Both,
            false => ContentLookup::Blobs,
        };
        let need =
            if has_urls(descriptor) { RequiredContent::Nothing } else { RequiredContent::Blob };
        Self { descriptor, lookup, need, is_subject: false }
    }

    /// Returns the rules for an entry of an index. An entry of an unknown media type may be a blob or a manifest (image
    /// specification, "image index").
    fn entry(descriptor: &'m Descriptor) -> Self {
        if is_manifest(descriptor) {
            let (lookup, need) = (ContentLookup::Manifests, RequiredContent::Any);
            return Self { descriptor, lookup, need, is_subject: false };
        }
        let need =
            if has_urls(descriptor) { RequiredContent::Nothing } else { RequiredContent::Any };
        Self { descriptor, lookup: ContentLookup::Both, need, is_subject: false }
    }

    /// Returns the rules for a subject, or `None` if the subject is a manifest: a manifest can be deleted although
    /// others refer to it. A blob that is a subject is kept, because no other manifest may name it.
    fn subject(descriptor: &'m Descriptor) -> Option<Self> {
        let (lookup, need) = (ContentLookup::Blobs, RequiredContent::Nothing);
        let named = Self { descriptor, lookup, need, is_subject: true };
        Some(named).filter(|_| !is_manifest(descriptor))
    }

    /// Returns whether every release of Berth has looked up this content in the same places: layers and configs in
    /// blobs, manifests in manifests.
    pub fn is_known_to_all_releases(&self) -> bool {
        self.lookup != ContentLookup::Both && !self.is_subject
    }

    /// Returns whether the content is looked up in the repository's blobs.
    pub fn may_be_blob(&self) -> bool {
        matches!(self.lookup, ContentLookup::Blobs | ContentLookup::Both)
    }

    /// Returns whether the content is looked up in the image's manifests.
    pub fn may_be_manifest(&self) -> bool {
        matches!(self.lookup, ContentLookup::Manifests | ContentLookup::Both)
    }
}

fn is_manifest(descriptor: &Descriptor) -> bool {
    ManifestKind::of(&descriptor.media_type).is_some()
}

fn has_urls(descriptor: &Descriptor) -> bool {
    !descriptor.urls.is_empty()
}
