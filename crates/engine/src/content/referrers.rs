//! The manifests of an image whose `subject` is a given digest.

use meta::versions::{self, Referrer, ReferrerRange, ReferrerSize};
use model::digest::Digest;

use crate::access::{Pull, RepoAccess};
use crate::content::remote_lists::UpstreamList;
use crate::content::tag_list::find_packages;
use crate::error::EngineError;
use crate::page::merge_lists;

/// The largest number of referrers that one page reads.
const MAX_PAGE_LINES: usize = 500;

/// The longest page in bytes: less than the 4 MiB that clients read of a manifest.
const MAX_PAGE_BYTES: usize = 3 << 20;

/// The bytes that a line takes at most, besides its artifact type and its annotations.
const LINE_BYTES: usize = 400;

/// A page of referrers.
#[derive(Debug, Default)]
pub struct ReferrersPage {
    /// The referring manifests, in the order of their digests.
    pub referrers: Vec<Referrer>,
    /// The digest after which the next page begins, if there is one.
    pub next: Option<Digest>,
}

impl RepoAccess<Pull> {
    /// Lists the manifests that refer to `subject`, after the digest `last`. A subject that is not in the image is no
    /// error: it has no referrers, or some that came before it.
    pub async fn list_referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
    ) -> Result<ReferrersPage, EngineError> {
        let (source, image) = (self.source().await?, self.image.target.path.image.to_string());
        let subject = subject.clone();
        let list = UpstreamList::Referrers(subject.clone());
        if let Some(problem) = Box::pin(source.prepare_list(&self.engine, &list)).await?
            && !problem.is_not_found()
        {
            return Err(problem.into());
        }
        let wanted = artifact_type.map(str::to_owned);
        let last = last.map(|last| last.to_string()).unwrap_or_default();
        self.engine
            .read(move |tx| {
                let packages = find_packages(tx, &source.repositories()?, &image)?;
                let limit = MAX_PAGE_LINES as i64 + 1;
                let mut lists = Vec::new();
                for package in &packages {
                    lists.push(versions::list_referrer_sizes(tx, package, &subject, &last, limit)?);
                }
                let mut sizes = merge_lists(lists, |a, b| a.digest.cmp(&b.digest));
                sizes.truncate(limit as usize);
                let is_wanted = |line: &&ReferrerSize| {
                    wanted.is_none() || line.artifact_type.as_deref() == wanted.as_deref()
                };
                let (page, more) = sizes.split_at(page_length(&sizes, is_wanted));
                let next = page.last().filter(|_| !more.is_empty()).map(|line| line.digest.clone());
                // The artifact type may be a text that the database refuses. If no line has it, the database is not
                // asked.
                let mut lists = Vec::new();
                if let Some(to) = page.iter().rfind(is_wanted) {
                    let artifact_type = wanted.as_deref().unwrap_or_default();
                    let range = ReferrerRange { last: &last, to: &to.digest, artifact_type };
                    for package in &packages {
                        lists.push(versions::list_referrers(tx, package, &subject, range)?);
                    }
                }
                let referrers = merge_lists(lists, |a, b| a.digest.cmp(&b.digest));
                Ok(ReferrersPage { referrers, next })
            })
            .await
    }
}

/// Returns how many of the lines one page takes, of which only the wanted ones are shown. One line always fits.
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
