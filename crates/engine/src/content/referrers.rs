//! Which manifests of an image refer to a digest by their `subject`.

use meta::versions::{Referrer, ReferrerRange, ReferrerSize};
use meta::{packages, versions};
use model::digest::Digest;

use crate::access::{Pull, RepoAccess};
use crate::content::source::ContentSource;
use crate::error::EngineError;

/// How many referrers one page looks at.
const MAX_PAGE_LINES: usize = 500;

/// How long a page's lines may be together: under the 4 MiB that clients read of a manifest.
const MAX_PAGE_BYTES: usize = 3 << 20;

/// The most that a line takes besides its artifact type and its annotations.
const LINE_BYTES: usize = 400;

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
        let ContentSource::Local(holding) = self.source()?;
        let subject = subject.clone();
        let wanted = artifact_type.map(str::to_owned);
        let last = last.map(|last| last.to_string()).unwrap_or_default();
        self.engine
            .meta
            .read(move |tx| {
                let Some(package) = packages::find(tx, &holding.repository.id, holding.image())?
                else {
                    return Ok(ReferrersPage::default());
                };
                let (last, limit) = (last.as_str(), MAX_PAGE_LINES as i64 + 1);
                let sizes = versions::list_referrer_sizes(tx, &package, &subject, last, limit)?;
                let is_wanted = |line: &&ReferrerSize| {
                    wanted.is_none() || line.artifact_type.as_deref() == wanted.as_deref()
                };
                let (page, more) = sizes.split_at(page_length(&sizes, is_wanted));
                let next = page.last().filter(|_| !more.is_empty()).map(|line| line.digest.clone());
                // Where none is wanted, the type may be text that the database does not take.
                let referrers = match page.iter().rfind(is_wanted) {
                    Some(to) => {
                        let artifact_type = wanted.as_deref().unwrap_or_default();
                        let range = ReferrerRange { last, to: &to.digest, artifact_type };
                        versions::list_referrers(tx, &package, &subject, range)?
                    }
                    None => Vec::new(),
                };
                Ok::<_, EngineError>(ReferrersPage { referrers, next })
            })
            .await
    }
}

/// How many of these lines come in one page, of which only the wanted ones are shown: one at least.
fn page_length(lines: &[ReferrerSize], is_wanted: impl Fn(&&ReferrerSize) -> bool) -> usize {
    let mut bytes = 0;
    let fits = |(position, line): &(usize, &ReferrerSize)| {
        if is_wanted(line) {
            let artifact_type = line.artifact_type.as_ref().map_or(0, String::len);
            bytes += LINE_BYTES + artifact_type + line.annotations as usize;
        }
        *position == 0 || bytes <= MAX_PAGE_BYTES
    };
    lines.iter().take(MAX_PAGE_LINES).enumerate().take_while(fits).count()
}
