//! Warm pulls of a remote repository: what it has is read without a word of the upstream, by one statement.

use meta::upstream_tags;
use meta::versions::{self, VersionRow};
use model::reference::Reference;

use super::RemoteSource;
use crate::error::EngineError;
use crate::tags::download_rules::check_download;

impl RemoteSource {
    /// Returns a manifest with its bytes, if the repository has it and need not ask the upstream.
    pub(crate) async fn find_fresh_manifest(
        &self,
        reference: &Reference,
    ) -> Result<Option<(VersionRow, Vec<u8>)>, EngineError> {
        let (holding, wanted) = (self.holding().clone(), reference.clone());
        let time = self.fresh_time();
        let read = self.engine().read_by_key(move |tx| {
            let content = match &wanted {
                Reference::Tag(tag) => {
                    upstream_tags::find_content(tx, holding.address(), tag.as_str())?
                        .filter(|(_, _, look)| time.is_fresh(look))
                        .map(|(version, bytes, _)| (version, bytes))
                }
                Reference::Digest(digest) => {
                    versions::find_content_by_digest(tx, holding.address(), digest)?
                }
            };
            if let Some((version, _)) = &content {
                check_download(tx, &holding.repository, holding.image(), version)?;
            }
            Ok::<_, EngineError>(content)
        });
        let content = read.await?;
        if content.is_some() {
            self.hit();
        }
        Ok(content)
    }
}
