//! Which manifests of an image refer to a digest by their `subject`.

use meta::versions::Referrer;
use meta::{packages, versions};
use model::digest::Digest;

use crate::{EngineError, Pull, RepoAccess};

/// A page of referrers.
#[derive(Debug, Default)]
pub struct ReferrersPage {
    /// The referring manifests, by digest.
    pub referrers: Vec<Referrer>,
    /// Where the next page begins, if there is one.
    pub next: Option<Digest>,
}

impl RepoAccess<Pull> {
    /// The manifests that refer to `subject`, after `last`. A subject that is not here has none, or some
    /// that came before it: that is no error.
    pub async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
    ) -> Result<ReferrersPage, EngineError> {
        // A page stays well under the 4 MiB that clients read of a manifest.
        const PAGE: usize = 500;
        let (at, subject) = (self.at.clone(), subject.clone());
        let last = last.map(|last| last.to_string()).unwrap_or_default();
        let mut referrers = self
            .engine
            .meta
            .read(move |tx| {
                let Some(package) = packages::find(tx, &at.repository.id, at.image())? else {
                    return Ok(Vec::new());
                };
                let from = (last.as_str(), PAGE as i64 + 1);
                Ok::<_, EngineError>(versions::referrers(tx, &package, &subject, from)?)
            })
            .await?;
        let more = referrers.len() > PAGE;
        referrers.truncate(PAGE);
        let next = referrers.last().filter(|_| more).map(|referrer| referrer.digest.clone());
        if let Some(wanted) = artifact_type {
            referrers.retain(|referrer| referrer.artifact_type.as_deref() == Some(wanted));
        }
        Ok(ReferrersPage { referrers, next })
    }
}
