//! The rules of a repository. They allow or deny an operation on its artifacts, whatever permissions the caller has.

use std::fmt;
use std::str::FromStr;

use crate::rule_condition::{RuleCondition, RuleSubject};

/// The length of the longest id.
const MAX_ID: usize = 256;

/// A text that is not the id of a rule. The error text is gcloud's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Names may only contain lowercase letters, numbers, hyphens, underscores and dots, and must begin with a letter and end with a letter or number; at most {MAX_ID} of them"
)]
pub struct RuleIdError;

/// The id of a rule: `[a-z]([a-z0-9._-]*[a-z0-9])?`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleId(String);

impl RuleId {
    /// Returns the id as text.
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

/// Returns whether a text matches `[a-z]([a-z0-9._-]*[a-z0-9])?`.
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

/// The effect of a rule on the operations that it applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    /// The operation is allowed.
    Allow,
    /// The operation is denied.
    Deny,
}

impl RuleAction {
    /// Returns the name of the action in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
        }
    }

    /// Returns the action with this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Allow, Self::Deny].into_iter().find(|action| action.as_str() == text)
    }
}

/// The operation that a rule allows or denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleOperation {
    /// Reading manifests.
    Download,
    /// Moving and deleting tags.
    TagMutation,
}

impl RuleOperation {
    /// Returns the name of the operation in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Download => "DOWNLOAD",
            Self::TagMutation => "TAG_MUTATION",
        }
    }

    /// Returns the operation with this name.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Download, Self::TagMutation];
        all.into_iter().find(|operation| operation.as_str() == text)
    }
}

/// The parts of a rule that are needed to evaluate it.
#[derive(Debug, Clone)]
pub struct RepositoryRule {
    /// The effect of the rule.
    pub action: RuleAction,
    /// The condition under which the rule applies. A rule without a condition always applies.
    pub condition: Option<RuleCondition>,
}

impl RepositoryRule {
    fn applies(&self, subject: RuleSubject<'_>) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition.is_true_for(subject))
    }
}

/// Returns the action of the first rule that applies, or `None` if none does. The caller puts the rule of the image
/// before that of the repository.
pub fn decide_by_rules(rules: &[RepositoryRule], subject: RuleSubject<'_>) -> Option<RuleAction> {
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

    /// Checks the decision of some rules. They are separated by `;`; each is `+` (allow) or `-` (deny), and perhaps a
    /// condition.
    #[track_caller]
    fn check(rules: &str, expected: Option<RuleAction>) {
        let rule = |text: &str| {
            let (sign, condition) = text.split_at(1);
            let action = if sign == "+" { RuleAction::Allow } else { RuleAction::Deny };
            let condition = (!condition.is_empty()).then(|| condition.parse().expect("valid"));
            RepositoryRule { action, condition }
        };
        let parsed: Vec<RepositoryRule> =
            rules.split(';').filter(|text| !text.is_empty()).map(rule).collect();
        let subject = RuleSubject { package: "web", version: "sha256:ab", tag: "dev" };
        assert_eq!(decide_by_rules(&parsed, subject), expected, "{rules}");
    }

    #[test]
    fn the_first_rule_that_applies_decides() {
        check("", None);
        check("+", Some(RuleAction::Allow));
        check("-", Some(RuleAction::Deny));
        check("+pkg.tag.id == 'dev'", Some(RuleAction::Allow));
        check("+pkg.tag.id == 'other'", None);
        check("-pkg.tag.id == 'dev';+", Some(RuleAction::Deny));
        check("-pkg.tag.id == 'other';+", Some(RuleAction::Allow));
        check("+pkg.tag.id == 'other';-pkg.id == 'other'", None);
    }
}
