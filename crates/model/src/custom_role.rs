//! Custom roles: their names, the limits of what they say, and what they grant. A custom role belongs to the
//! organization or to a project, and can be granted there and below.

use std::fmt;
use std::str::FromStr;

use crate::permission::{Permission, UnknownPermission};
use crate::permission_set::PermissionSet;
use crate::resource::Resource;

/// The largest number of permissions that a custom role may name, as in Google's IAM.
const MAX_PERMISSIONS: usize = 3_000;
/// The longest title, in characters.
const MAX_TITLE_CHARACTERS: usize = 100;
/// The longest description, in characters.
const MAX_DESCRIPTION_CHARACTERS: usize = 256;
/// The most unknown permissions that one error names.
const MAX_REPORTED: usize = 10;

/// The reasons why the name of a custom role is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CustomRoleNameError {
    /// The id is not valid.
    #[error("the id of a role has 3 to 64 letters, digits, periods and underscores")]
    Id,
    /// The text is no name of a custom role. The words are Google's.
    #[error(
        "The role name must be in the form \"roles/{{role}}\", \"organizations/{{organization_id}}/roles/{{role}}\", or \"projects/{{project_id}}/roles/{{role}}\"."
    )]
    Form,
}

/// The name of a custom role: `projects/P/roles/ID` or `organizations/1/roles/ID`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CustomRoleName {
    text: String,
    /// The organization or the project.
    parent: Resource,
}

impl CustomRoleName {
    /// Creates the name of a role of the organization or of a project.
    pub fn new(parent: Resource, id: &str) -> Result<Self, CustomRoleNameError> {
        if !matches!(parent, Resource::Organization | Resource::Project(_)) {
            return Err(CustomRoleNameError::Form);
        }
        let is_allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.');
        if !(3..=64).contains(&id.len()) || !id.bytes().all(is_allowed) {
            return Err(CustomRoleNameError::Id);
        }
        Ok(Self { text: format!("{parent}/roles/{id}"), parent })
    }

    /// Returns the organization or the project that the role belongs to.
    pub fn parent(&self) -> &Resource {
        &self.parent
    }

    /// Returns the last part of the name.
    pub fn id(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the role can be granted on a resource: the role of a project on the project and what is in it,
    /// and the role of the organization on everything.
    pub fn is_grantable_on(&self, resource: &Resource) -> bool {
        match &self.parent {
            Resource::Project(project) => resource.project().as_ref() == Some(project),
            _ => true,
        }
    }
}

impl fmt::Display for CustomRoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for CustomRoleName {
    type Err = CustomRoleNameError;

    fn from_str(text: &str) -> Result<Self, CustomRoleNameError> {
        let form = CustomRoleNameError::Form;
        let (parent, id) = text.split_once("/roles/").ok_or(form.clone())?;
        let parent = parent.parse().map_err(|_| form.clone())?;
        let name = Self::new(parent, id)?;
        // Some resources are found by more than one text.
        if name.text == text { Ok(name) } else { Err(form) }
    }
}

/// The launch stage of a role. Only [`RoleStage::Disabled`] has an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RoleStage {
    /// In an early test. This is the stage of a role for which none is said.
    #[default]
    Alpha,
    /// In a test.
    Beta,
    /// Generally available.
    Ga,
    /// Not to be used any more.
    Deprecated,
    /// Switched off: the role grants nothing.
    Disabled,
    /// In early access.
    Eap,
}

impl RoleStage {
    /// All stages.
    pub const ALL: [Self; 6] =
        [Self::Alpha, Self::Beta, Self::Ga, Self::Deprecated, Self::Disabled, Self::Eap];

    /// Returns the name of the stage in the database and in the APIs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alpha => "ALPHA",
            Self::Beta => "BETA",
            Self::Ga => "GA",
            Self::Deprecated => "DEPRECATED",
            Self::Disabled => "DISABLED",
            Self::Eap => "EAP",
        }
    }

    /// Returns the stage with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }
}

/// The reasons why the definition of a role is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleDefinitionError {
    /// The title is too long, or is not plain text.
    #[error("at most {MAX_TITLE_CHARACTERS} characters, none of which controls a terminal")]
    Title,
    /// The description is too long, or is not plain text.
    #[error("at most {MAX_DESCRIPTION_CHARACTERS} characters, none of which controls a terminal")]
    Description,
    /// There are too many permissions.
    #[error("a role has at most {MAX_PERMISSIONS} permissions")]
    TooManyPermissions,
    /// Some permissions do not exist. The text has a sentence for each, in Google's words.
    #[error("{0}")]
    UnknownPermissions(String),
}

impl RoleDefinitionError {
    /// Returns the path of the wrong field in a request.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Title => "role.title",
            Self::Description => "role.description",
            Self::TooManyPermissions | Self::UnknownPermissions(_) => "role.included_permissions",
        }
    }
}

/// The part of a role that people set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleDefinition {
    /// The name that people see.
    pub title: String,
    /// A text for people to read.
    pub description: String,
    /// The launch stage.
    pub stage: RoleStage,
    /// The permissions.
    pub permissions: PermissionSet,
}

impl RoleDefinition {
    /// Checks the texts.
    pub fn check(&self) -> Result<(), RoleDefinitionError> {
        let controls = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        if self.title.chars().count() > MAX_TITLE_CHARACTERS
            || self.title.contains(char::is_control)
        {
            return Err(RoleDefinitionError::Title);
        }
        if self.description.chars().count() > MAX_DESCRIPTION_CHARACTERS
            || self.description.contains(controls)
        {
            return Err(RoleDefinitionError::Description);
        }
        Ok(())
    }

    /// Returns the permissions that a binding of the role grants: none while it is disabled.
    pub fn granted_permissions(&self) -> PermissionSet {
        match self.stage {
            RoleStage::Disabled => PermissionSet::default(),
            RoleStage::Alpha
            | RoleStage::Beta
            | RoleStage::Ga
            | RoleStage::Deprecated
            | RoleStage::Eap => self.permissions,
        }
    }
}

/// Parses the permissions that a client names. One that is named twice counts once.
pub fn parse_permissions(names: &[String]) -> Result<PermissionSet, RoleDefinitionError> {
    if names.len() > MAX_PERMISSIONS {
        return Err(RoleDefinitionError::TooManyPermissions);
    }
    let (mut known, mut unknown) = (PermissionSet::default(), Vec::new());
    for name in names {
        match name.parse::<Permission>() {
            Ok(permission) => known.extend([permission]),
            Err(UnknownPermission(name)) => unknown.push(name),
        }
    }
    if unknown.is_empty() {
        return Ok(known);
    }
    let sentence = |name: &String| {
        let name: String = name.chars().take(100).collect();
        format!("Permission {name} is not valid.")
    };
    let sentences: Vec<_> = unknown.iter().take(MAX_REPORTED).map(sentence).collect();
    Err(RoleDefinitionError::UnknownPermissions(sentences.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permissions::artifactregistry;

    #[track_caller]
    fn check_name(text: &str, expected: Result<&str, CustomRoleNameError>) {
        let name = text.parse::<CustomRoleName>();
        let parts = name.as_ref().map(|name| format!("{} {}", name.parent(), name.id()));
        assert_eq!(parts.as_deref().map_err(|error| (*error).clone()), expected, "{text}");
        if let Ok(name) = name {
            assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn names() {
        check_name("projects/p/roles/own_Role.2", Ok("projects/p own_Role.2"));
        check_name("projects/example.com:p/roles/own", Ok("projects/example.com:p own"));
        check_name("organizations/1/roles/own", Ok("organizations/1 own"));
        let longest = "x".repeat(64);
        check_name(&format!("projects/p/roles/{longest}"), Ok(&format!("projects/p {longest}")));
        for id in ["", "ab", "a-b", "own/x", "own role", "öäü", &format!("{longest}x")] {
            check_name(&format!("projects/p/roles/{id}"), Err(CustomRoleNameError::Id));
        }
        for text in [
            "",
            "roles/own",
            "projects/P/roles/own",
            "organizations/2/roles/own",
            "folders/1/roles/own",
            "projects/p/projectSettings/roles/own",
            "projects/p/locations/us/roles/own",
            "projects/p/roles",
        ] {
            check_name(text, Err(CustomRoleNameError::Form));
        }
    }

    #[test]
    fn a_projects_role_stays_in_the_project() {
        let check = |name: &str, resource: &str, expected: bool| {
            let name: CustomRoleName = name.parse().expect("valid");
            let resource: Resource = resource.parse().expect("valid");
            assert_eq!(name.is_grantable_on(&resource), expected, "{name} on {resource}");
        };
        let account = "projects/p1/serviceAccounts/robot-1@p1.iam.gserviceaccount.com";
        for (resource, in_project) in [
            ("projects/p1", true),
            ("projects/p1/locations/us/repositories/r", true),
            (account, true),
            ("projects/p2", false),
            ("projects/p2/locations/us/repositories/r", false),
            ("organizations/1", false),
        ] {
            check("projects/p1/roles/own", resource, in_project);
            check("organizations/1/roles/own", resource, true);
        }
    }

    #[test]
    fn texts_have_limits() {
        let check = |title: &str, description: &str| {
            let (title, description) = (title.to_owned(), description.to_owned());
            RoleDefinition { title, description, ..RoleDefinition::default() }.check()
        };
        assert_eq!(check(&"ö".repeat(100), &"ö".repeat(256)), Ok(()));
        assert_eq!(check("", "two\nlines"), Ok(()));
        assert_eq!(check(&"x".repeat(101), ""), Err(RoleDefinitionError::Title));
        assert_eq!(check("two\nlines", ""), Err(RoleDefinitionError::Title));
        assert_eq!(check("", &"x".repeat(257)), Err(RoleDefinitionError::Description));
        assert_eq!(check("", "\u{1b}[2J"), Err(RoleDefinitionError::Description));
    }

    #[test]
    fn unknown_permissions_are_named() {
        let parse = |names: &[&str]| {
            parse_permissions(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        let pull = artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS;
        let pulls = parse(&[pull.as_str(), pull.as_str()]).expect("known");
        assert_eq!(pulls.iter().collect::<Vec<_>>(), [pull]);
        assert_eq!(parse(&[]), Ok(PermissionSet::default()));
        let refused = parse(&["a.b.c", pull.as_str(), "d"]).expect_err("unknown");
        assert_eq!(
            refused.to_string(),
            "Permission a.b.c is not valid. Permission d is not valid."
        );
        let endless = "x".repeat(100_000);
        let refused = parse(&[endless.as_str(); 3_000]).expect_err("unknown").to_string();
        assert!(refused.len() < 2_000, "{}", refused.len());
        let many = vec![pull.as_str(); 3_001];
        assert_eq!(parse(&many), Err(RoleDefinitionError::TooManyPermissions));
        assert!(parse(&many[..3_000]).is_ok());
    }

    #[test]
    fn a_disabled_role_grants_nothing() {
        let permissions = [artifactregistry::REPOSITORIES_GET].into_iter().collect();
        for stage in RoleStage::ALL {
            assert_eq!(RoleStage::parse(stage.as_str()), Some(stage));
            let definition = RoleDefinition { stage, permissions, ..RoleDefinition::default() };
            let is_off = definition.granted_permissions().is_empty();
            assert_eq!(is_off, stage == RoleStage::Disabled, "{stage:?}");
        }
        assert_eq!(RoleStage::parse("alpha"), None);
    }
}
