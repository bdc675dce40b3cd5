//! The resources that permissions are checked on, and the policies that apply to each of them. Resources have the names
//! of Google's APIs.

use std::fmt;
use std::str::FromStr;

use crate::name::{Location, NameError, ProjectId, RepositoryName};
use crate::principal::{AccountEmail, PrincipalError};

/// The name of the only organization. All projects belong to it.
pub const ORGANIZATION_NAME: &str = "organizations/1";

/// The reasons why a resource's name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// The project, location or repository is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The service account is not valid.
    #[error(transparent)]
    Account(#[from] PrincipalError),
    /// There are no resources with such names.
    #[error("{0:?} is not the name of a resource that this registry knows")]
    Unknown(String),
}

/// A resource that permissions are checked on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Resource {
    /// The organization, with all projects.
    Organization,
    /// A project, with everything in it.
    Project(ProjectId),
    /// A location of a project. It has no policy of its own.
    Location(ProjectId, Location),
    /// A repository, with everything in it.
    Repository(RepositoryName),
    /// A service account, with its keys.
    ServiceAccount(AccountEmail),
}

impl Resource {
    /// Returns the names of the resources whose policies apply to this resource: first its own, then those above.
    pub fn policy_names(&self) -> Vec<String> {
        let mut names = match self {
            Self::Organization => vec![],
            Self::Project(project) | Self::Location(project, _) => {
                vec![format!("projects/{project}")]
            }
            Self::Repository(name) => {
                vec![name.to_string(), format!("projects/{}", name.project)]
            }
            Self::ServiceAccount(_) => {
                let project = self.project().expect("every account belongs to a project");
                vec![self.to_string(), format!("projects/{project}")]
            }
        };
        names.push(ORGANIZATION_NAME.to_owned());
        names
    }

    /// Returns the project of the resource. The organization has none.
    pub fn project(&self) -> Option<ProjectId> {
        match self {
            Self::Organization => None,
            Self::Project(project) | Self::Location(project, _) => Some(project.clone()),
            Self::Repository(name) => Some(name.project.clone()),
            Self::ServiceAccount(email) => Some(email.project()),
        }
    }

    /// Returns the beginning of the names of the permissions to read and write the resource's policy
    /// (`….getIamPolicy` and `….setIamPolicy`), or `None` if the resource has no policy.
    pub fn policy_permission_prefix(&self) -> Option<&'static str> {
        match self {
            Self::Organization => Some("resourcemanager.organizations"),
            Self::Project(_) => Some("resourcemanager.projects"),
            Self::Location(..) => None,
            Self::Repository(_) => Some("artifactregistry.repositories"),
            Self::ServiceAccount(_) => Some("iam.serviceAccounts"),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization => f.write_str(ORGANIZATION_NAME),
            Self::Project(project) => write!(f, "projects/{project}"),
            Self::Location(project, location) => {
                write!(f, "projects/{project}/locations/{location}")
            }
            Self::Repository(name) => fmt::Display::fmt(name, f),
            Self::ServiceAccount(email) => {
                write!(f, "projects/{}/serviceAccounts/{email}", email.project())
            }
        }
    }
}

impl FromStr for Resource {
    type Err = ResourceError;

    /// Parses the name of a resource, or of something in it. Permissions on an image are checked on its repository,
    /// those on a key on its service account, and those on a role on its project or on the organization.
    ///
    /// The project before a service account is ignored: gcloud sends `-` or its default project there, and the address
    /// of the account names the right project.
    fn from_str(text: &str) -> Result<Self, ResourceError> {
        let unknown = || ResourceError::Unknown(text.chars().take(200).collect());
        if let Some(rest) = text.strip_prefix(ORGANIZATION_NAME)
            && (rest.is_empty() || rest.starts_with("/roles/"))
        {
            return Ok(Self::Organization);
        }
        let mut parts = text.split('/');
        let (Some("projects"), Some(project)) = (parts.next(), parts.next()) else {
            return Err(unknown());
        };
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (None, ..) | (Some("projectSettings" | "services" | "roles"), ..) => {
                Ok(Self::Project(project.parse()?))
            }
            (Some("serviceAccounts"), Some(account), ..) => {
                Ok(Self::ServiceAccount(account.parse()?))
            }
            (Some("locations"), Some(location), Some("repositories"), Some(repository)) => {
                Ok(Self::Repository(RepositoryName {
                    project: project.parse()?,
                    location: location.parse()?,
                    repository: repository.parse()?,
                }))
            }
            (Some("locations"), Some(location), ..) => {
                Ok(Self::Location(project.parse()?, location.parse()?))
            }
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual = text.parse::<Resource>().map_or("none".to_owned(), |name| name.to_string());
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn names() {
        check("organizations/1", "organizations/1");
        check("organizations/2", "none");
        check("organizations/1/roles/own", "organizations/1");
        check("organizations/1/other", "none");
        check("organizations/10", "none");
        check("projects/p/roles/own", "projects/p");
        check("projects/p", "projects/p");
        check("projects/example.com:p", "projects/example.com:p");
        check("projects/P", "none");
        check("projects/p/projectSettings", "projects/p");
        check("projects/p/locations/us", "projects/p/locations/us");
        check("projects/p/locations/us/operations/x", "projects/p/locations/us");
        let repository = "projects/p/locations/us/repositories/r";
        check(repository, repository);
        check("projects/p/locations/us/repositories/r/packages/a%2Fb", repository);
        check("projects/p/locations/us/repositories/R", "none");
        let account =
            "projects/my-project/serviceAccounts/builder@my-project.iam.gserviceaccount.com";
        check(account, account);
        check(&format!("{account}/keys/x"), account);
        check(&account.replacen("my-project", "-", 1), account);
        check(&account.replacen("my-project", "other", 1), account);
        check("projects/p/serviceAccounts", "none");
        check("folders/1", "none");
        check("", "none");
    }

    #[test]
    fn policies_are_asked_from_the_inside_out() {
        let repository: Resource = "projects/p/locations/us/repositories/r".parse().expect("valid");
        assert_eq!(
            repository.policy_names(),
            ["projects/p/locations/us/repositories/r", "projects/p", "organizations/1"]
        );
        let account: Resource =
            "projects/-/serviceAccounts/builder@p1.iam.gserviceaccount.com".parse().expect("valid");
        assert_eq!(
            account.policy_names(),
            [
                "projects/p1/serviceAccounts/builder@p1.iam.gserviceaccount.com",
                "projects/p1",
                "organizations/1"
            ]
        );
        assert_eq!(Resource::Organization.policy_names(), ["organizations/1"]);
    }
}
