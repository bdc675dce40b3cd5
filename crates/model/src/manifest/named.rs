//! What a manifest names, and where among a repository's content that is looked for.

use super::{Descriptor, Manifest};
use crate::media_type::Kind;

/// Where content is looked for that a manifest names. Everything that is found there is kept for the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentLookup {
    /// Among the repository's blobs.
    Blobs,
    /// Among the image's manifests.
    Manifests,
    /// Among both: nobody can tell by the media type what it is, or clients ask for a layer as for a manifest.
    Both,
}

/// What has to be found before a manifest is accepted that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentNeed {
    /// A blob.
    Blob,
    /// Whatever is looked for.
    Any,
    /// Nothing: it may be elsewhere.
    Nothing,
}

/// One thing that a manifest names.
#[derive(Debug, Clone, Copy)]
pub struct NamedContent<'m> {
    /// How it is named.
    pub descriptor: &'m Descriptor,
    /// Where it is looked for.
    pub lookup: ContentLookup,
    /// What has to be there.
    pub need: ContentNeed,
    /// Whether it is the subject.
    pub is_subject: bool,
}

impl Manifest {
    /// Everything that the manifest names.
    pub fn named(&self) -> impl Iterator<Item = NamedContent<'_>> {
        let blobs = self.config.iter().chain(&self.layers).map(NamedContent::blob);
        let entries = self.manifests.iter().map(NamedContent::entry);
        blobs.chain(entries).chain(self.subject.as_ref().and_then(NamedContent::subject))
    }
}

impl<'m> NamedContent<'m> {
    /// A config or a layer.
    fn blob(descriptor: &'m Descriptor) -> Self {
        let lookup = match is_manifest(descriptor) {
            true => ContentLookup::Both,
            false => ContentLookup::Blobs,
        };
        let need = if is_elsewhere(descriptor) { ContentNeed::Nothing } else { ContentNeed::Blob };
        Self { descriptor, lookup, need, is_subject: false }
    }

    /// An entry of an index. Of an unknown media type it may be anything (image specification, "image index").
    fn entry(descriptor: &'m Descriptor) -> Self {
        if is_manifest(descriptor) {
            let (lookup, need) = (ContentLookup::Manifests, ContentNeed::Any);
            return Self { descriptor, lookup, need, is_subject: false };
        }
        let need = if is_elsewhere(descriptor) { ContentNeed::Nothing } else { ContentNeed::Any };
        Self { descriptor, lookup: ContentLookup::Both, need, is_subject: false }
    }

    /// A subject. A manifest that is referred to may be deleted all the same; a blob has nobody else who names it.
    fn subject(descriptor: &'m Descriptor) -> Option<Self> {
        let (lookup, need) = (ContentLookup::Blobs, ContentNeed::Nothing);
        let named = Self { descriptor, lookup, need, is_subject: true };
        Some(named).filter(|_| !is_manifest(descriptor))
    }

    /// Whether it is looked for where every Berth has looked: layers among blobs, and manifests among manifests.
    pub fn was_always_known(&self) -> bool {
        self.lookup != ContentLookup::Both && !self.is_subject
    }

    /// Whether it is looked for among blobs.
    pub fn may_be_blob(&self) -> bool {
        matches!(self.lookup, ContentLookup::Blobs | ContentLookup::Both)
    }

    /// Whether it is looked for among manifests.
    pub fn may_be_manifest(&self) -> bool {
        matches!(self.lookup, ContentLookup::Manifests | ContentLookup::Both)
    }
}

fn is_manifest(descriptor: &Descriptor) -> bool {
    Kind::of(&descriptor.media_type).is_some()
}

fn is_elsewhere(descriptor: &Descriptor) -> bool {
    !descriptor.urls.is_empty()
}
