//! Rules of a repository: what may be done with its artifacts, whatever the caller's permissions.

use std::fmt;
use std::str::FromStr;

use crate::condition::{Condition, Subject};

/// The longest id.
const MAX_ID: usize = 256;

/// A text that is no rule's id. The words are gcloud's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Names may only contain lowercase letters, numbers, hyphens, underscores and dots, and must begin with a letter and end with a letter or number; at most {MAX_ID} of them"
)]
pub struct RuleIdError;

/// A rule's id: `[a-z]([a-z0-9._-]*[a-z0-9])?`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleId(String);

impl RuleId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RuleId {
    type Err = RuleIdError;

    fn from_str(text: &str) -> Result<Self, RuleIdError> {
        let valid = text.len() <= MAX_ID && is_plain_name(text);
        if valid { Ok(Self(text.to_owned())) } else { Err(RuleIdError) }
    }
}

/// `[a-z]([a-z0-9._-]*[a-z0-9])?`
pub(crate) fn is_plain_name(text: &str) -> bool {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_inner = |c: char| is_end(c) || matches!(c, '.' | '_' | '-');
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.ends_with(is_end)
        && text.chars().all(is_inner)
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a rule says of what it applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It may be done.
    Allow,
    /// It may not.
    Deny,
}

impl Action {
    /// As the API has it, and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
        }
    }

    /// What was written so.
    pub fn read(text: &str) -> Option<Self> {
        [Self::Allow, Self::Deny].into_iter().find(|action| action.as_str() == text)
    }
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reading manifests.
    Download,
    /// Moving and removing tags.
    TagMutation,
}

impl Operation {
    /// As the API has it, and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Download => "DOWNLOAD",
            Self::TagMutation => "TAG_MUTATION",
        }
    }

    /// What was written so.
    pub fn read(text: &str) -> Option<Self> {
        [Self::Download, Self::TagMutation].into_iter().find(|one| one.as_str() == text)
    }
}

/// As much of a rule as decides.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What it says.
    pub action: Action,
    /// When it applies; always where there is none.
    pub condition: Option<Condition>,
}

impl Rule {
    fn applies(&self, subject: Subject<'_>) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition.holds(subject))
    }
}

/// What the rules say of a subject: the first that applies decides. The image's own rule stands before that of the
/// repository. `None`: they say nothing.
pub fn decide(rules: &[Rule], subject: Subject<'_>) -> Option<Action> {
    rules.iter().find(|rule| rule.applies(subject)).map(|rule| rule.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_id(text: &str, valid: bool) {
        assert_eq!(text.parse::<RuleId>().is_ok(), valid, "{text:?}");
    }

    #[test]
    fn ids() {
        check_id("a", true);
        check_id("allow-dev.tags_2", true);
        check_id(&"a".repeat(MAX_ID), true);
        check_id(&"a".repeat(MAX_ID + 1), false);
        for wrong in
            ["", "A", "2a", "-a", "a-", "a.", "a_", "a b", "a/b", "a%2Fb", "é", "a\0", "'--"]
        {
            check_id(wrong, false);
        }
    }

    /// Rules as `+` or `-` with a condition behind, `;` between them.
    #[track_caller]
    fn check(rules: &str, expected: Option<Action>) {
        let rule = |text: &str| {
            let (sign, condition) = text.split_at(1);
            let action = if sign == "+" { Action::Allow } else { Action::Deny };
            let condition = (!condition.is_empty()).then(|| condition.parse().expect("valid"));
            Rule { action, condition }
        };
        let read: Vec<Rule> = rules.split(';').filter(|text| !text.is_empty()).map(rule).collect();
        let subject = Subject { package: "web", version: "sha256:ab", tag: "dev" };
        assert_eq!(decide(&read, subject), expected, "{rules}");
    }

    #[test]
    fn the_first_rule_that_applies_decides() {
        check("", None);
        check("+", Some(Action::Allow));
        check("-", Some(Action::Deny));
        check("+pkg.tag.id == 'dev'", Some(Action::Allow));
        check("+pkg.tag.id == 'other'", None);
        check("-pkg.tag.id == 'dev';+", Some(Action::Deny));
        check("-pkg.tag.id == 'other';+", Some(Action::Allow));
        check("+pkg.tag.id == 'other';-pkg.id == 'other'", None);
    }
}
