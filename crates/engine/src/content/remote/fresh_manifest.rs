//! Warm pulls of a remote repository: what it has is read without a word of the upstream, by one statement.

use meta::upstream_tags::{self, UpstreamLook};
use meta::versions::{self, ImageAddress, VersionRow};
use meta::{MetaError, Tx};
use model::reference::Reference;

use super::RemoteSource;
use crate::error::EngineError;
use crate::tags::download_rules::check_download;

/// A version that a repository has.
struct CachedVersion<T> {
    row: VersionRow,
    content: T,
    /// The last look for the tag. A digest needs none.
    look: Option<UpstreamLook>,
}

/// The search of a version in the rows of an image.
type FindCached<T> =
    fn(&mut Tx<'_>, ImageAddress<'_>, &Reference) -> Result<Option<CachedVersion<T>>, MetaError>;

impl RemoteSource {
    /// Returns a manifest with its bytes, if the repository has it and need not ask the upstream.
    pub(crate) async fn find_fresh_manifest(
        &self,
        reference: &Reference,
    ) -> Result<Option<(VersionRow, Vec<u8>)>, EngineError> {
        let find = |tx: &mut Tx<'_>, at: ImageAddress<'_>, reference: &Reference| {
            Ok(match reference {
                Reference::Tag(tag) => upstream_tags::find_content(tx, at, tag.as_str())?
                    .map(|(row, content, look)| CachedVersion { row, content, look: Some(look) }),
                Reference::Digest(digest) => versions::find_content_by_digest(tx, at, digest)?
                    .map(|(row, content)| CachedVersion { row, content, look: None }),
            })
        };
        let found = self.find_fresh(reference, find).await?;
        Ok(found.map(|CachedVersion { row, content, .. }| (row, content)))
    }

    /// Returns the properties of a manifest, if the repository has it and need not ask the upstream.
    pub(crate) async fn find_fresh_version(
        &self,
        reference: &Reference,
    ) -> Result<Option<VersionRow>, EngineError> {
        let find = |tx: &mut Tx<'_>, at: ImageAddress<'_>, reference: &Reference| {
            Ok(match reference {
                Reference::Tag(tag) => upstream_tags::find_version(tx, at, tag.as_str())?
                    .map(|(row, look)| CachedVersion { row, content: (), look: Some(look) }),
                Reference::Digest(digest) => versions::find_by_digest(tx, at, digest)?
                    .map(|row| CachedVersion { row, content: (), look: None }),
            })
        };
        let found = self.find_fresh(reference, find).await?;
        Ok(found.map(|CachedVersion { row, .. }| row))
    }

    /// Returns what `find` finds, unless the upstream has to be asked about it.
    async fn find_fresh<T: Send + 'static>(
        &self,
        reference: &Reference,
        find: FindCached<T>,
    ) -> Result<Option<CachedVersion<T>>, EngineError> {
        let (holding, wanted) = (self.holding().clone(), reference.clone());
        let time = self.fresh_time();
        let read = self.engine().read_by_key(move |tx| {
            let found = find(tx, holding.address(), &wanted)?;
            let is_fresh = |found: &CachedVersion<T>| {
                found.look.as_ref().is_none_or(|look| time.is_fresh(look))
            };
            let found = found.filter(is_fresh);
            if let Some(CachedVersion { row, .. }) = &found {
                check_download(tx, &holding.repository, holding.image(), row)?;
            }
            Ok::<_, EngineError>(found)
        });
        let found = read.await?;
        if found.is_some() {
            self.hit();
        }
        Ok(found)
    }
}
