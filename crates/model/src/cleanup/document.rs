//! Cleanup policies as they are stored: within the document of a repository's settings, in the JSON of the API, which also
//! has much that is none of this module's business.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{
    Action, Condition, MOST_KEPT, MOST_POLICIES, MOST_PREFIXES, Policies, Policy, Rule, Tags,
};
use crate::artifact::unescaped;

/// Why policies were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CleanupError {
    /// There are too many.
    #[error("at most {MOST_POLICIES}")]
    TooMany,
    /// A policy is filed under another id than its own, or its id is none.
    #[error("each has its own id, of less than 128 characters, as its key")]
    Id,
    /// Something within a policy.
    #[error("policy {id:?}: {problem}")]
    Policy {
        /// The policy.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The document cannot be read.
    #[error("cannot be read: {0}")]
    Document(String),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Document {
    cleanup_policies: BTreeMap<String, PolicyDocument>,
    cleanup_policy_dry_run: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PolicyDocument {
    id: String,
    action: Value,
    condition: Option<ConditionDocument>,
    most_recent_versions: Option<MostRecentDocument>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ConditionDocument {
    tag_state: Value,
    tag_prefixes: Vec<String>,
    version_name_prefixes: Vec<String>,
    package_name_prefixes: Vec<String>,
    older_than: Option<String>,
    newer_than: Option<String>,
    more_stale_than: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct MostRecentDocument {
    package_name_prefixes: Vec<String>,
    keep_count: i64,
}

impl Policies {
    /// Reads the policies that are in a repository's settings.
    pub fn parse(settings: &str) -> Result<Self, CleanupError> {
        let document: Document = serde_json::from_str(settings)
            .map_err(|error| CleanupError::Document(error.to_string()))?;
        if document.cleanup_policies.len() > MOST_POLICIES {
            return Err(CleanupError::TooMany);
        }
        let read = |(key, policy): (String, PolicyDocument)| {
            if key != policy.id || key.is_empty() || key.chars().count() >= 128 {
                return Err(CleanupError::Id);
            }
            policy.read().map_err(|problem| CleanupError::Policy { id: key, problem })
        };
        let policies = document.cleanup_policies.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { dry_run: document.cleanup_policy_dry_run, policies })
    }
}

impl PolicyDocument {
    fn read(self) -> Result<Policy, String> {
        let action = match self.action.as_str() {
            Some("DELETE") => Action::Delete,
            Some("KEEP") => Action::Keep,
            Some(_) | None => return Err("it needs an action: DELETE or KEEP".to_owned()),
        };
        let rule = match (self.condition, self.most_recent_versions, action) {
            (Some(condition), None, _) => {
                let condition = condition.read()?;
                if action == Action::Delete && condition == Condition::default() {
                    return Err(
                        "its condition sets nothing; tag_state ANY deletes everything".into()
                    );
                }
                Rule::Condition(condition)
            }
            (None, Some(most_recent), Action::Keep) => most_recent.read()?,
            (None, Some(_), Action::Delete) => {
                return Err("most_recent_versions goes with KEEP only".to_owned());
            }
            (None, None, _) | (Some(_), Some(_), _) => {
                return Err("it needs a condition or most_recent_versions, and not both".to_owned());
            }
        };
        Ok(Policy { id: self.id, action, rule })
    }
}

impl ConditionDocument {
    fn read(self) -> Result<Condition, String> {
        let tags = match self.tag_state.as_str() {
            Some("TAGGED") => Tags::Some,
            Some("UNTAGGED") => Tags::None,
            Some("ANY") => Tags::Any,
            Some("TAG_STATE_UNSPECIFIED") => Tags::Unsaid,
            None if self.tag_state.is_null() => Tags::Unsaid,
            Some(_) | None => {
                return Err("its tag_state is none of TAGGED, UNTAGGED, ANY".to_owned());
            }
        };
        Ok(Condition {
            tags,
            tag_prefixes: prefixes("tag_prefixes", self.tag_prefixes)?,
            versions: prefixes("version_name_prefixes", self.version_name_prefixes)?,
            packages: packages(self.package_name_prefixes)?,
            older_than: span("older_than", self.older_than)?,
            newer_than: span("newer_than", self.newer_than)?,
            more_stale_than: span("more_stale_than", self.more_stale_than)?,
        })
    }
}

impl MostRecentDocument {
    fn read(self) -> Result<Rule, String> {
        let count =
            u32::try_from(self.keep_count).ok().filter(|count| (1..=MOST_KEPT).contains(count));
        let count = count.ok_or(format!("its keep_count is from 1 to {MOST_KEPT}"))?;
        Ok(Rule::MostRecent { packages: packages(self.package_name_prefixes)?, count })
    }
}

fn prefixes(field: &str, list: Vec<String>) -> Result<Vec<String>, String> {
    // The longest name is an image's.
    if list.len() > MOST_PREFIXES || list.iter().any(|prefix| prefix.len() > 255) {
        return Err(format!(
            "its {field} are at most {MOST_PREFIXES}, each of at most 255 characters"
        ));
    }
    if list.iter().any(|prefix| prefix.contains('\0')) {
        return Err(format!("a NUL is in its {field}, and in no name"));
    }
    Ok(list)
}

/// Images are named as Docker has them, or as the names of resources do.
fn packages(list: Vec<String>) -> Result<Vec<String>, String> {
    let list = prefixes("package_name_prefixes", list)?;
    Ok(list.iter().map(|prefix| unescaped(prefix)).collect())
}

/// `86400s`, `0.500s`.
fn span(field: &str, text: Option<String>) -> Result<Option<Duration>, String> {
    let Some(text) = text else { return Ok(None) };
    let read = || {
        let (seconds, fraction) = {
            let number = text.strip_suffix('s')?;
            number.split_once('.').unwrap_or((number, ""))
        };
        let nanos = format!("{fraction:0<9}").parse().ok()?;
        Some(Duration::new(seconds.parse().ok()?, nanos))
    };
    match read() {
        Some(span) => Ok(Some(span)),
        None => {
            Err(format!("its {field} is {text:?}, and should be a length of time, of 0s or more"))
        }
    }
}
