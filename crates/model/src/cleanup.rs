//! Cleanup policies, which decide what manifests of a repository are deleted.
//!
//! This module answers one question, for dry runs and for real ones: which policy deletes a manifest, and which policy
//! keeps it? A policy matches if all conditions that it sets hold. A list of prefixes holds if one of the prefixes
//! matches. KEEP beats DELETE, whatever the order of the policies is. Facts that cost a database query are read through
//! [`VersionQueries`], and only if a condition needs them.
//!
//! The other reasons to keep a manifest are not known here: an index that names it, or a tag that must stay.

mod document;

pub use document::CleanupError;

use std::time::Duration;

/// The largest number of policies that a repository has.
pub const MAX_POLICIES: usize = 10;
/// The largest number of prefixes in a list.
pub const MAX_PREFIXES: usize = 100;
/// The largest number of most recent versions that a policy keeps.
pub const MAX_KEPT: u32 = 10_000;

/// The time in microseconds that is added to `more_stale_than` of a DELETE policy: 5 minutes. Pulls are recorded some
/// time after they happened, so that the last ones may be missing.
const STALE_MARGIN: i64 = 5 * 60 * 1_000_000;

/// The cleanup policies of a repository, sorted by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CleanupPolicies {
    /// Tells whether the policies only report what they would delete.
    pub dry_run: bool,
    policies: Vec<CleanupPolicy>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct CleanupPolicy {
    id: String,
    action: CleanupAction,
    criterion: Criterion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CleanupAction {
    Delete,
    Keep,
}

/// The criterion by which a policy matches a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Criterion {
    Condition(CleanupCondition),
    /// The manifest is one of the `count` most recent ones of its image.
    MostRecent {
        package_prefixes: Vec<String>,
        count: u32,
    },
}

/// The condition of a policy. A field that is not set, or is empty, always holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct CleanupCondition {
    tag_state: TagState,
    tag_prefixes: Vec<String>,
    version_prefixes: Vec<String>,
    package_prefixes: Vec<String>,
    older_than: Option<Duration>,
    newer_than: Option<Duration>,
    more_stale_than: Option<Duration>,
}

/// The tags that a condition requires a manifest to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum TagState {
    #[default]
    Unspecified,
    Any,
    Tagged,
    Untagged,
}

/// A manifest, with the facts that are known without a query.
#[derive(Debug, Clone, Copy)]
pub struct CandidateVersion<'a> {
    /// The name of the image.
    pub package: &'a str,
    /// The name of the version, which is the digest of the manifest.
    pub name: &'a str,
    /// The time of the upload, in microseconds since 1970.
    pub uploaded_at: i64,
}

/// The facts about one manifest that cost a query.
pub trait VersionQueries {
    /// The error of a failed query.
    type Error;

    /// Returns whether the manifest has a tag with this beginning. An empty beginning matches every tag.
    fn has_tag_with_prefix(&mut self, beginning: &str) -> Result<bool, Self::Error>;
    /// Returns the time of the last pull of the manifest, in microseconds since 1970.
    fn last_pulled_at(&mut self) -> Result<Option<i64>, Self::Error>;
    /// Returns whether the image has at least `count` manifests that are newer than this one.
    fn has_newer_versions(&mut self, count: u32) -> Result<bool, Self::Error>;
}

/// The decision of all policies about one manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanupDecision<'a> {
    /// No policy deletes the manifest.
    Untouched,
    /// The manifest is deleted.
    Delete {
        /// The id of the first policy that deletes the manifest.
        by: &'a str,
    },
    /// One policy deletes the manifest, but another one keeps it.
    Keep {
        /// The id of the first policy that keeps the manifest.
        by: &'a str,
    },
}

impl CleanupPolicies {
    /// Returns whether there are no policies.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Returns whether the policies can never delete a manifest.
    pub fn can_delete_nothing(&self) -> bool {
        self.policies.iter().all(|policy| policy.action == CleanupAction::Keep)
    }

    /// Returns whether there are policies, but none with the action DELETE. This is a common mistake: such policies
    /// never delete anything.
    pub fn has_only_keep_policies(&self) -> bool {
        !self.is_empty() && self.can_delete_nothing()
    }

    /// Returns the decision of the policies about a manifest at the time `now`, in microseconds since 1970.
    pub fn decide<F: VersionQueries>(
        &self,
        version: CandidateVersion<'_>,
        now: i64,
        facts: &mut F,
    ) -> Result<CleanupDecision<'_>, F::Error> {
        let Some(by) = self.first_match(CleanupAction::Delete, version, now, facts)? else {
            return Ok(CleanupDecision::Untouched);
        };
        Ok(match self.first_match(CleanupAction::Keep, version, now, facts)? {
            Some(by) => CleanupDecision::Keep { by },
            None => CleanupDecision::Delete { by },
        })
    }

    /// Returns the id of the first policy with this action that matches the manifest.
    fn first_match<F: VersionQueries>(
        &self,
        action: CleanupAction,
        version: CandidateVersion<'_>,
        now: i64,
        facts: &mut F,
    ) -> Result<Option<&str>, F::Error> {
        for policy in self.policies.iter().filter(|policy| policy.action == action) {
            if policy.matches(version, now, facts)? {
                return Ok(Some(&policy.id));
            }
        }
        Ok(None)
    }
}

impl CleanupPolicy {
    fn matches<F: VersionQueries>(
        &self,
        version: CandidateVersion<'_>,
        now: i64,
        facts: &mut F,
    ) -> Result<bool, F::Error> {
        match &self.criterion {
            Criterion::MostRecent { package_prefixes, count } => {
                Ok(has_any_prefix(version.package, package_prefixes)
                    && !facts.has_newer_versions(*count)?)
            }
            Criterion::Condition(condition) => {
                // A pull that is not recorded yet must not let a manifest be deleted. A policy that keeps needs no
                // such margin.
                let margin = if self.action == CleanupAction::Delete { STALE_MARGIN } else { 0 };
                Ok(condition.name_and_age_match(version, now)
                    && condition.tags_match(facts)?
                    && condition.last_use_matches(version, now - margin, facts)?)
            }
        }
    }
}

impl CleanupCondition {
    fn name_and_age_match(&self, version: CandidateVersion<'_>, now: i64) -> bool {
        let age = now.saturating_sub(version.uploaded_at);
        has_any_prefix(version.package, &self.package_prefixes)
            && has_any_prefix(version.name, &self.version_prefixes)
            && self.older_than.is_none_or(|min| age > micros(min))
            && self.newer_than.is_none_or(|max| age < micros(max))
    }

    fn tags_match<F: VersionQueries>(&self, facts: &mut F) -> Result<bool, F::Error> {
        let state_matches = match self.tag_state {
            TagState::Unspecified | TagState::Any => true,
            TagState::Tagged => facts.has_tag_with_prefix("")?,
            TagState::Untagged => !facts.has_tag_with_prefix("")?,
        };
        if !state_matches || self.tag_prefixes.is_empty() {
            return Ok(state_matches);
        }
        for prefix in &self.tag_prefixes {
            if facts.has_tag_with_prefix(prefix)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn last_use_matches<F: VersionQueries>(
        &self,
        version: CandidateVersion<'_>,
        now: i64,
        facts: &mut F,
    ) -> Result<bool, F::Error> {
        let Some(min) = self.more_stale_than else { return Ok(true) };
        let last_used_at = facts.last_pulled_at()?.unwrap_or(i64::MIN).max(version.uploaded_at);
        Ok(now.saturating_sub(last_used_at) > micros(min))
    }
}

/// Returns whether the name begins with one of the prefixes. An empty list matches every name.
fn has_any_prefix(name: &str, prefixes: &[String]) -> bool {
    prefixes.is_empty() || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
