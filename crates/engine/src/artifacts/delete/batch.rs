//! Deletion of many versions of an image by one call. An index is deleted before the manifests that it names, in
//! whatever order the request has them.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::artifact_name::{PackageName, VersionName};
use model::digest::Digest;

use super::{TagHandling, check_version_deletable};
use identity::Authorized;

use crate::access::ImageContext;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::tag_write::version_unknown;
use model::permissions::artifactregistry;

/// The choice between deleting and checking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteMode {
    /// Checks whether the versions could be deleted.
    Validate,
    /// Deletes the versions.
    Delete,
}

/// The versions of one call, and how far the call has come.
struct DeleteBatch {
    /// The versions that were not tried yet.
    left: BTreeSet<Digest>,
    /// The versions that wait for others. Each waits for the one after it.
    waiting: Vec<Digest>,
    deleted: BTreeSet<Digest>,
    failed: Vec<(Digest, EngineError)>,
}

impl DeleteBatch {
    fn new(digests: Vec<Digest>) -> Self {
        let left = digests.into_iter().collect();
        Self { left, waiting: Vec::new(), deleted: BTreeSet::new(), failed: Vec::new() }
    }

    /// Returns the version to try next.
    fn next(&mut self) -> Option<Digest> {
        self.waiting.pop().or_else(|| self.left.pop_first())
    }

    /// Records the outcome for one version. An error that is not about the version, such as a failure of the
    /// database, ends the whole call.
    fn record(
        &mut self,
        digest: Digest,
        outcome: Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        match outcome {
            Ok(()) => {
                self.deleted.insert(digest);
            }
            Err(EngineError::InUse { by, .. }) if self.left.remove(&by) => {
                self.waiting.extend([digest, by]);
            }
            Err(
                error @ (EngineError::InUse { .. }
                | EngineError::ManifestUnknown(_)
                | EngineError::Precondition(_)
                | EngineError::TagImmutable { .. }),
            ) => self.failed.push((digest, error)),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Engine {
    /// Deletes versions of an image that have no tags, or only checks which ones could be deleted. Returns the
    /// versions that could not, each with the reason.
    pub async fn delete_versions(
        &self,
        authorized: &Authorized,
        package: &PackageName,
        digests: Vec<Digest>,
        mode: DeleteMode,
    ) -> Result<Vec<(Digest, EngineError)>, EngineError> {
        let image =
            self.image_to_change(authorized, artifactregistry::VERSIONS_DELETE, package).await?;
        let failed = match mode {
            DeleteMode::Validate => self.find_undeletable(image, digests).await?,
            DeleteMode::Delete => {
                let mut batch = DeleteBatch::new(digests);
                while let Some(digest) = batch.next() {
                    let outcome =
                        self.delete_by_digest(&image, &digest, TagHandling::RefuseIfTagged).await;
                    batch.record(digest, outcome)?;
                }
                batch.failed
            }
        };
        // The APIs have an error of their own for a missing version.
        let api_error = |(digest, error): (Digest, EngineError)| match error {
            EngineError::ManifestUnknown(_) => {
                let version = VersionName { package: package.clone(), digest: digest.clone() };
                (digest, version_unknown(&version))
            }
            error => (digest, error),
        };
        Ok(failed.into_iter().map(api_error).collect())
    }

    async fn find_undeletable(
        &self,
        image: Arc<ImageContext>,
        digests: Vec<Digest>,
    ) -> Result<Vec<(Digest, EngineError)>, EngineError> {
        self.read(move |tx| {
            let mut batch = DeleteBatch::new(digests.clone());
            while let Some(digest) = batch.next() {
                let handling = TagHandling::RefuseIfTagged;
                let outcome =
                    check_version_deletable(tx, &image, &digest, handling, &batch.deleted);
                batch.record(digest, outcome.map(|_| ()))?;
            }
            Ok(batch.failed)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(letter: char) -> Digest {
        Digest::of(letter.to_string().as_bytes())
    }

    /// Deletes `given`, where each of `needs` says that its first is named by its second, and some stay for another
    /// reason. Answers what went and what stayed, and how many attempts there were.
    #[track_caller]
    fn check(given: &str, needs: &[&str], stays: &str, deleted: &str, failed: &str) {
        let mut batch = DeleteBatch::new(given.chars().map(digest).collect());
        let mut attempts = 0;
        while let Some(next) = batch.next() {
            attempts += 1;
            let parent = needs.iter().map(|pair| pair.split_at(1)).find_map(|(child, parent)| {
                let (child, parent) = (child.parse().map(digest), parent.parse().map(digest));
                let (child, parent) = (child.expect("a letter"), parent.expect("a letter"));
                (child == next && !batch.deleted.contains(&parent)).then_some(parent)
            });
            let outcome = match parent {
                Some(by) => Err(EngineError::InUse { digest: next.clone(), by }),
                None if stays.chars().any(|letter| digest(letter) == next) => {
                    Err(EngineError::Precondition("it stays".to_owned()))
                }
                None => Ok(()),
            };
            batch.record(next, outcome).expect("nothing else goes wrong");
        }
        let expected: BTreeSet<_> = deleted.chars().map(digest).collect();
        let stayed: BTreeSet<_> = failed.chars().map(digest).collect();
        assert_eq!(batch.deleted, expected, "{given}");
        assert_eq!(
            batch.failed.into_iter().map(|(digest, _)| digest).collect::<BTreeSet<_>>(),
            stayed
        );
        assert!(attempts <= 2 * given.len(), "{attempts} attempts for {given}");
    }

    #[test]
    fn an_index_goes_before_what_it_names() {
        check("abc", &[], "", "abc", "");
        check("aaa", &[], "", "a", "");
        check("abc", &["ab", "bc"], "", "abc", "");
        check("cba", &["ab", "ac"], "", "abc", "");
        check("ab", &["ab", "bc"], "", "", "ab");
        check("abc", &["ab", "bc"], "c", "", "abc");
        check("abc", &["ab"], "b", "c", "ab");
        check("abcdefgh", &["ab", "bc", "cd", "de", "ef", "fg", "gh"], "", "abcdefgh", "");
    }
}
