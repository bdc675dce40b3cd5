//! Parsing of stored cleanup policies. They are a part of a repository's settings, a document in the JSON of the API.
//! The other parts of the document are ignored here.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{
    CleanupAction, CleanupCondition, CleanupPolicies, CleanupPolicy, Criterion, MAX_KEPT,
    MAX_POLICIES, MAX_PREFIXES, TagState,
};
use crate::artifact_name::unescape_slashes;

/// The largest number of characters of a policy's id.
const MAX_ID_CHARS: usize = 127;

/// The largest length of a prefix in bytes: that of the longest name, which is an image's.
const MAX_PREFIX_BYTES: usize = 255;

/// The reasons why cleanup policies are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CleanupError {
    /// There are more than [`MAX_POLICIES`].
    #[error("a repository has at most {MAX_POLICIES} cleanup policies")]
    TooMany,
    /// The key of a policy is not its id, or the id is empty or too long.
    #[error("the key of each policy must be its own id, which has 1 to {MAX_ID_CHARS} characters")]
    Id,
    /// A field of a policy is not valid.
    #[error("policy {id:?}: {problem}")]
    Policy {
        /// The id of the policy.
        id: String,
        /// The reason why the policy is not valid.
        problem: String,
    },
    /// The document cannot be parsed.
    #[error("the settings cannot be read: {0}")]
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

impl CleanupPolicies {
    /// Parses the policies in a repository's settings.
    pub fn parse(settings: &str) -> Result<Self, CleanupError> {
        let document: Document = serde_json::from_str(settings)
            .map_err(|error| CleanupError::Document(error.to_string()))?;
        if document.cleanup_policies.len() > MAX_POLICIES {
            return Err(CleanupError::TooMany);
        }
        let mut policies = Vec::new();
        for (key, policy) in document.cleanup_policies {
            if key != policy.id || !(1..=MAX_ID_CHARS).contains(&key.chars().count()) {
                return Err(CleanupError::Id);
            }
            let policy = policy.convert();
            policies.push(policy.map_err(|problem| CleanupError::Policy { id: key, problem })?);
        }
        Ok(Self { dry_run: document.cleanup_policy_dry_run, policies })
    }
}

impl PolicyDocument {
    fn convert(self) -> Result<CleanupPolicy, String> {
        let action = match self.action.as_str() {
            Some("DELETE") => CleanupAction::Delete,
            Some("KEEP") => CleanupAction::Keep,
            Some(_) | None => return Err("action must be DELETE or KEEP".to_owned()),
        };
        let criterion = match (self.condition, self.most_recent_versions, action) {
            (Some(condition), None, _) => {
                let condition = condition.convert()?;
                if action == CleanupAction::Delete && condition == CleanupCondition::default() {
                    let problem =
                        "the condition sets nothing; set tag_state to ANY to delete everything";
                    return Err(problem.to_owned());
                }
                Criterion::Condition(condition)
            }
            (None, Some(most_recent), CleanupAction::Keep) => most_recent.convert()?,
            (None, Some(_), CleanupAction::Delete) => {
                return Err("most_recent_versions needs the action KEEP".to_owned());
            }
            (None, None, _) | (Some(_), Some(_), _) => {
                return Err("must have either condition or most_recent_versions".to_owned());
            }
        };
        Ok(CleanupPolicy { id: self.id, action, criterion })
    }
}

impl ConditionDocument {
    fn convert(self) -> Result<CleanupCondition, String> {
        let tag_state = match self.tag_state.as_str() {
            Some("TAGGED") => TagState::Tagged,
            Some("UNTAGGED") => TagState::Untagged,
            Some("ANY") => TagState::Any,
            Some("TAG_STATE_UNSPECIFIED") => TagState::Unspecified,
            None if self.tag_state.is_null() => TagState::Unspecified,
            Some(_) | None => {
                return Err("tag_state must be TAGGED, UNTAGGED or ANY".to_owned());
            }
        };
        Ok(CleanupCondition {
            tag_state,
            tag_prefixes: check_prefixes("tag_prefixes", self.tag_prefixes)?,
            version_prefixes: check_prefixes("version_name_prefixes", self.version_name_prefixes)?,
            package_prefixes: convert_package_prefixes(self.package_name_prefixes)?,
            older_than: parse_duration("older_than", self.older_than)?,
            newer_than: parse_duration("newer_than", self.newer_than)?,
            more_stale_than: parse_duration("more_stale_than", self.more_stale_than)?,
        })
    }
}

impl MostRecentDocument {
    fn convert(self) -> Result<Criterion, String> {
        let count =
            u32::try_from(self.keep_count).ok().filter(|count| (1..=MAX_KEPT).contains(count));
        let count = count.ok_or(format!("keep_count must be from 1 to {MAX_KEPT}"))?;
        let package_prefixes = convert_package_prefixes(self.package_name_prefixes)?;
        Ok(Criterion::MostRecent { package_prefixes, count })
    }
}

fn check_prefixes(field: &str, list: Vec<String>) -> Result<Vec<String>, String> {
    let is_too_long = |prefix: &String| prefix.len() > MAX_PREFIX_BYTES;
    if list.len() > MAX_PREFIXES || list.iter().any(is_too_long) {
        return Err(format!(
            "{field} has at most {MAX_PREFIXES} entries of at most {MAX_PREFIX_BYTES} bytes each"
        ));
    }
    if list.iter().any(|prefix| prefix.contains('\0')) {
        return Err(format!("{field} has a NUL character, which no name has"));
    }
    Ok(list)
}

/// Checks prefixes of image names, and unescapes them. A client may write the names as Docker does, with slashes, or as
/// the names of resources do, with `%2F`.
fn convert_package_prefixes(list: Vec<String>) -> Result<Vec<String>, String> {
    let list = check_prefixes("package_name_prefixes", list)?;
    Ok(list.iter().map(|prefix| unescape_slashes(prefix)).collect())
}

/// Parses a duration, such as `86400s` or `0.500s`.
fn parse_duration(field: &str, text: Option<String>) -> Result<Option<Duration>, String> {
    let Some(text) = text else { return Ok(None) };
    let parse = || {
        let (seconds, fraction) = {
            let number = text.strip_suffix('s')?;
            number.split_once('.').unwrap_or((number, ""))
        };
        let nanos = format!("{fraction:0<9}").parse().ok()?;
        Some(Duration::new(seconds.parse().ok()?, nanos))
    };
    match parse() {
        Some(duration) => Ok(Some(duration)),
        None => Err(format!(
            "{field} is {text:?}, but must be a duration of 0s or more, such as 86400s"
        )),
    }
}
