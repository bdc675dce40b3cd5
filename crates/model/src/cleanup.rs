//! Cleanup policies: which manifests of a repository are to go.
//!
//! Answers one question, for dry runs and for real ones: given the policies and what is known of a manifest, which policy
//! deletes it, and which keeps it? All conditions that a policy sets must hold; of a list of prefixes, one. KEEP beats
//! DELETE, whatever their order. What is known is asked for when a condition needs it ([`Facts`]), because some of it costs
//! a look into the database.
//!
//! What else keeps a manifest (an index that names it, a tag that stays) is not known here.

mod document;

pub use document::CleanupError;

use std::time::Duration;

/// How many policies a repository has at most.
pub const MOST_POLICIES: usize = 10;
/// How many prefixes a list has at most.
pub const MOST_PREFIXES: usize = 100;
/// How many of the most recent versions can be kept at most.
pub const MOST_KEPT: u32 = 10_000;

/// How much longer than it was asked for something is not pulled before it is stale. Pulls are written down some time
/// after they happened.
const STALE_MARGIN: i64 = 5 * 60 * 1_000_000;

/// The cleanup policies of a repository, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policies {
    /// Whether they are only to say what they would do.
    pub dry_run: bool,
    policies: Vec<Policy>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Policy {
    id: String,
    action: Action,
    rule: Rule,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Delete,
    Keep,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Condition(Condition),
    MostRecent { packages: Vec<String>, count: u32 },
}

/// What is not set always holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Condition {
    tags: Tags,
    tag_prefixes: Vec<String>,
    versions: Vec<String>,
    packages: Vec<String>,
    older_than: Option<Duration>,
    newer_than: Option<Duration>,
    more_stale_than: Option<Duration>,
}

/// Which tags a manifest has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Tags {
    #[default]
    Unsaid,
    Any,
    Some,
    None,
}

/// A manifest, and what is known of it without asking.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// Its image's name.
    pub package: &'a str,
    /// Its own name: the digest.
    pub name: &'a str,
    /// When it came, in microseconds since 1970.
    pub uploaded_at: i64,
}

/// What is known of a manifest and costs a look.
pub trait Facts {
    /// Why a look failed.
    type Error;

    /// Whether it has a tag that begins so; with an empty beginning, whether it has any.
    fn has_tag(&mut self, beginning: &str) -> Result<bool, Self::Error>;
    /// When it was last pulled.
    fn last_pulled_at(&mut self) -> Result<Option<i64>, Self::Error>;
    /// Whether its image has at least so many that came after it.
    fn has_newer(&mut self, count: u32) -> Result<bool, Self::Error>;
}

/// What the policies want with a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// No policy deletes it.
    Untouched,
    /// It goes.
    Delete {
        /// The policy that deletes it.
        by: &'a str,
    },
    /// It would go, were it not kept.
    Keep {
        /// The policy that keeps it.
        by: &'a str,
    },
}

impl Policies {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Whether nothing is ever deleted by them.
    pub fn delete_nothing(&self) -> bool {
        self.policies.iter().all(|policy| policy.action == Action::Keep)
    }

    /// Whether there are some, and none that deletes: a common mistake, because nothing happens.
    pub fn only_keep(&self) -> bool {
        !self.is_empty() && self.delete_nothing()
    }

    /// What the policies want with a manifest, at a time.
    pub fn decide<F: Facts>(
        &self,
        (version, now): (Version<'_>, i64),
        facts: &mut F,
    ) -> Result<Decision<'_>, F::Error> {
        let Some(by) = self.first(Action::Delete, (version, now), facts)? else {
            return Ok(Decision::Untouched);
        };
        Ok(match self.first(Action::Keep, (version, now), facts)? {
            Some(by) => Decision::Keep { by },
            None => Decision::Delete { by },
        })
    }

    fn first<F: Facts>(
        &self,
        action: Action,
        at: (Version<'_>, i64),
        facts: &mut F,
    ) -> Result<Option<&str>, F::Error> {
        for policy in self.policies.iter().filter(|policy| policy.action == action) {
            if policy.matches(at, facts)? {
                return Ok(Some(&policy.id));
            }
        }
        Ok(None)
    }
}

impl Policy {
    fn matches<F: Facts>(
        &self,
        (version, now): (Version<'_>, i64),
        facts: &mut F,
    ) -> Result<bool, F::Error> {
        match &self.rule {
            Rule::MostRecent { packages, count } => {
                Ok(any_begins(packages, version.package) && !facts.has_newer(*count)?)
            }
            Rule::Condition(condition) => {
                // Who keeps what is stale is served at once, who deletes it waits for pulls to be written down.
                let margin = if self.action == Action::Delete { STALE_MARGIN } else { 0 };
                Ok(condition.holds_by_itself(version, now)
                    && condition.holds_by_tags(facts)?
                    && condition.holds_by_pulls((version, now - margin), facts)?)
            }
        }
    }
}

impl Condition {
    fn holds_by_itself(&self, version: Version<'_>, now: i64) -> bool {
        let age = now.saturating_sub(version.uploaded_at);
        any_begins(&self.packages, version.package)
            && any_begins(&self.versions, version.name)
            && self.older_than.is_none_or(|least| age > micros(least))
            && self.newer_than.is_none_or(|most| age < micros(most))
    }

    fn holds_by_tags<F: Facts>(&self, facts: &mut F) -> Result<bool, F::Error> {
        let stands = match self.tags {
            Tags::Unsaid | Tags::Any => true,
            Tags::Some => facts.has_tag("")?,
            Tags::None => !facts.has_tag("")?,
        };
        if !stands || self.tag_prefixes.is_empty() {
            return Ok(stands);
        }
        for beginning in &self.tag_prefixes {
            if facts.has_tag(beginning)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn holds_by_pulls<F: Facts>(
        &self,
        (version, now): (Version<'_>, i64),
        facts: &mut F,
    ) -> Result<bool, F::Error> {
        let Some(least) = self.more_stale_than else { return Ok(true) };
        let used = facts.last_pulled_at()?.unwrap_or(i64::MIN).max(version.uploaded_at);
        Ok(now.saturating_sub(used) > micros(least))
    }
}

/// Whether the name begins with one of them, or there are none.
fn any_begins(beginnings: &[String], name: &str) -> bool {
    beginnings.is_empty() || beginnings.iter().any(|beginning| name.starts_with(beginning))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
