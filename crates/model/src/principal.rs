//! The members that a policy can name, and the principals that can make a request.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::name::{NameError, ProjectId};

/// The reasons why a member or a service account is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalError {
    /// The text is not a member of a known kind.
    #[error(
        "member {0:?} is not valid: it must be user:EMAIL, serviceAccount:EMAIL, group:EMAIL, domain:DOMAIN, allUsers or allAuthenticatedUsers"
    )]
    Member(String),
    /// The text is not the address of a service account.
    #[error(
        "{0:?} is not the address of a service account: it must be NAME@PROJECT.iam.gserviceaccount.com"
    )]
    Account(String),
    /// The text is not the address of a person.
    #[error("{0:?} is not the e-mail address of a person: it must be NAME@DOMAIN")]
    User(String),
    /// The text is not the id of a service account.
    #[error(
        "account id {0:?} is not valid: 6 to 30 lower-case letters, digits and hyphens, beginning with a letter and ending with a letter or digit"
    )]
    AccountId(String),
}

/// The address of a service account: `NAME@PROJECT.iam.gserviceaccount.com`, or
/// `NAME@PROJECT.DOMAIN.iam.gserviceaccount.com` in a domain-scoped project.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountEmail(Arc<str>);

const ACCOUNT_SUFFIX: &str = ".iam.gserviceaccount.com";

impl AccountEmail {
    /// Creates the address of the account `id` in a project.
    pub fn new(id: &str, project: &ProjectId) -> Result<Self, PrincipalError> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let valid = (6..=30).contains(&id.len())
            && id.bytes().all(is_allowed)
            && id.as_bytes()[0].is_ascii_lowercase()
            && !id.ends_with('-');
        if !valid {
            return Err(PrincipalError::AccountId(id.to_owned()));
        }
        let host = match project.as_str().split_once(':') {
            Some((domain, project)) => format!("{project}.{domain}"),
            None => project.as_str().to_owned(),
        };
        Ok(Self(format!("{id}@{host}{ACCOUNT_SUFFIX}").into()))
    }

    /// Returns the address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the project that the account belongs to.
    pub fn project(&self) -> ProjectId {
        project_of(&self.0).expect("the address was checked when it was created")
    }
}

fn project_of(email: &str) -> Option<ProjectId> {
    let (_, host) = email.split_once('@')?;
    let host = host.strip_suffix(ACCOUNT_SUFFIX)?;
    let project: Result<ProjectId, NameError> = match host.split_once('.') {
        Some((project, domain)) => format!("{domain}:{project}").parse(),
        None => host.parse(),
    };
    project.ok()
}

impl FromStr for AccountEmail {
    type Err = PrincipalError;

    fn from_str(text: &str) -> Result<Self, PrincipalError> {
        let refused = || PrincipalError::Account(text.to_owned());
        let (id, _) = text.split_once('@').ok_or_else(refused)?;
        let project = project_of(text).ok_or_else(refused)?;
        let email = Self::new(id, &project).map_err(|_| refused())?;
        if email.as_str() == text { Ok(email) } else { Err(refused()) }
    }
}

impl fmt::Display for AccountEmail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The e-mail address of a person, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserEmail(Arc<str>);

impl UserEmail {
    /// Returns the address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the person as one that makes requests.
    pub fn principal(&self) -> Principal {
        Principal::User(self.0.clone())
    }

    /// Returns the person as a member of policies.
    pub fn member(&self) -> PolicyMember {
        PolicyMember::User(self.0.clone())
    }
}

impl FromStr for UserEmail {
    type Err = PrincipalError;

    /// Parses an address in any case. An address of service accounts is none of a person: where only addresses are shown,
    /// a person could be taken for an account.
    fn from_str(text: &str) -> Result<Self, PrincipalError> {
        let lower = text.to_ascii_lowercase();
        if is_email(&lower) && !lower.ends_with(".gserviceaccount.com") {
            return Ok(Self(lower.into()));
        }
        Err(PrincipalError::User(text.chars().take(100).collect()))
    }
}

impl fmt::Display for UserEmail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity that a request is made with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// No identity: the request has no credential.
    Anonymous,
    /// A person, with their email address in lower case.
    User(Arc<str>),
    /// A service account.
    ServiceAccount(AccountEmail),
    /// The registry itself, by a name such as `system:cleanup-policy`. No policy names it.
    System(&'static str),
}

impl Principal {
    /// Returns the email address, unless the principal is anonymous.
    pub fn email(&self) -> Option<&str> {
        match self {
            Self::Anonymous | Self::System(_) => None,
            Self::User(email) => Some(email),
            Self::ServiceAccount(email) => Some(email.as_str()),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("allUsers"),
            Self::User(email) => write!(f, "user:{email}"),
            Self::ServiceAccount(email) => write!(f, "serviceAccount:{email}"),
            Self::System(name) => f.write_str(name),
        }
    }
}

impl FromStr for Principal {
    type Err = PrincipalError;

    /// Parses the text that [`Principal`] prints.
    fn from_str(text: &str) -> Result<Self, PrincipalError> {
        match text.parse()? {
            PolicyMember::AllUsers => Ok(Self::Anonymous),
            PolicyMember::User(email) => Ok(Self::User(email)),
            PolicyMember::ServiceAccount(email) => Ok(Self::ServiceAccount(email)),
            PolicyMember::AllAuthenticatedUsers
            | PolicyMember::Group(_)
            | PolicyMember::Domain(_) => Err(PrincipalError::Member(text.to_owned())),
        }
    }
}

/// A member of a binding: one principal, or a set of principals.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyMember {
    /// All principals, also anonymous ones.
    AllUsers,
    /// All principals except anonymous ones.
    AllAuthenticatedUsers,
    /// A person, with their email address in lower case.
    User(Arc<str>),
    /// A service account.
    ServiceAccount(AccountEmail),
    /// The people in a group, which is named by an email address.
    Group(Box<str>),
    /// The people with email addresses in this domain.
    Domain(Box<str>),
}

impl PolicyMember {
    /// Returns whether the member is `allUsers` or `allAuthenticatedUsers`.
    pub fn is_public(&self) -> bool {
        matches!(self, Self::AllUsers | Self::AllAuthenticatedUsers)
    }

    /// Returns whether the principal is this member, or belongs to it. The people in a group are not known, so that a
    /// group includes nobody.
    pub fn includes(&self, principal: &Principal) -> bool {
        match self {
            Self::AllUsers => !matches!(principal, Principal::System(_)),
            Self::AllAuthenticatedUsers => {
                matches!(principal, Principal::User(_) | Principal::ServiceAccount(_))
            }
            Self::User(email) => matches!(principal, Principal::User(own) if own == email),
            Self::ServiceAccount(email) => {
                matches!(principal, Principal::ServiceAccount(own) if own == email)
            }
            Self::Group(_) => false,
            Self::Domain(domain) => matches!(
                principal,
                Principal::User(own) if own.rsplit_once('@').is_some_and(|(_, host)| *host == **domain)
            ),
        }
    }
}

impl fmt::Display for PolicyMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllUsers => f.write_str("allUsers"),
            Self::AllAuthenticatedUsers => f.write_str("allAuthenticatedUsers"),
            Self::User(email) => write!(f, "user:{email}"),
            Self::ServiceAccount(email) => write!(f, "serviceAccount:{email}"),
            Self::Group(email) => write!(f, "group:{email}"),
            Self::Domain(domain) => write!(f, "domain:{domain}"),
        }
    }
}

impl FromStr for PolicyMember {
    type Err = PrincipalError;

    fn from_str(text: &str) -> Result<Self, PrincipalError> {
        let refused = || PrincipalError::Member(text.chars().take(100).collect());
        match text {
            "allUsers" => return Ok(Self::AllUsers),
            "allAuthenticatedUsers" => return Ok(Self::AllAuthenticatedUsers),
            _ => {}
        }
        let (kind, name) = text.split_once(':').ok_or_else(refused)?;
        let lower = name.to_ascii_lowercase();
        match kind {
            "user" if is_email(&lower) => Ok(Self::User(lower.into())),
            "group" if is_email(&lower) => Ok(Self::Group(lower.into())),
            "domain" if is_domain(&lower) => Ok(Self::Domain(lower.into())),
            "serviceAccount" => lower.parse().map(Self::ServiceAccount),
            _ => Err(refused()),
        }
    }
}

/// Returns whether a text is a name, `@` and a domain, without characters that would need escaping in a path, a query
/// or a log.
fn is_email(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+'".contains(&byte);
    text.len() <= 254
        && text.split_once('@').is_some_and(|(name, domain)| {
            !name.is_empty() && name.bytes().all(is_name) && is_domain(domain)
        })
}

fn is_domain(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    !text.is_empty() && text.len() <= 253 && text.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, valid: bool) {
        let parsed = text.parse::<PolicyMember>();
        assert_eq!(parsed.is_ok(), valid, "{text}: {parsed:?}");
        if let Ok(member) = parsed {
            assert_eq!(member.to_string(), text);
        }
    }

    #[test]
    fn members() {
        check("allUsers", true);
        check("allAuthenticatedUsers", true);
        check("user:a.b+c@example.com", true);
        check("group:team@example.com", true);
        check("domain:example.com", true);
        check("serviceAccount:builder@my-project.iam.gserviceaccount.com", true);
        check("serviceAccount:builder@my-project.example.com.iam.gserviceaccount.com", true);
        check("serviceAccount:short@my-project.iam.gserviceaccount.com", false);
        check("serviceAccount:builder@iam.gserviceaccount.com", false);
        check("serviceAccount:builder@my-project.evil.com", false);
        check("user:", false);
        check("user:a@b@c", false);
        check("user:a b@example.com", false);
        check("user:a@exa\nmple.com", false);
        check("allusers", false);
        check("projectOwner:p", false);
        check("", false);
    }

    #[test]
    fn addresses_are_compared_in_lower_case() {
        let member: PolicyMember = "user:Somebody@Example.com".parse().expect("valid");
        assert!(member.includes(&Principal::User("somebody@example.com".into())));
    }

    #[test]
    fn addresses_of_people() {
        let parsed = |text: &str| text.parse::<UserEmail>();
        let email = parsed("Alice@Example.com").expect("valid");
        assert_eq!(email.as_str(), "alice@example.com");
        assert_eq!(email.principal().to_string(), "user:alice@example.com");
        assert_eq!(email.member().to_string(), "user:alice@example.com");
        for text in ["", "alice", "@example.com", "alice@", "a@b@c", "a b@c", "user:a@example.com"]
        {
            assert_eq!(parsed(text), Err(PrincipalError::User(text.to_owned())));
        }
        assert!(parsed("builder@my-project.iam.gserviceaccount.com").is_err());
    }

    #[test]
    fn an_account_belongs_to_a_project() {
        let project =
            |text: &str| text.parse::<AccountEmail>().expect("valid").project().to_string();
        assert_eq!(project("builder@my-project.iam.gserviceaccount.com"), "my-project");
        assert_eq!(
            project("builder@my-project.example.com.iam.gserviceaccount.com"),
            "example.com:my-project"
        );
        let domain: ProjectId = "example.com:my-project".parse().expect("valid");
        let made = AccountEmail::new("builder", &domain).expect("valid");
        assert_eq!(made.as_str(), "builder@my-project.example.com.iam.gserviceaccount.com");
    }

    #[track_caller]
    fn check_includes(member: &str, principal: &str, expected: bool) {
        let principal: Principal = principal.parse().expect("valid");
        let member: PolicyMember = member.parse().expect("valid");
        assert_eq!(member.includes(&principal), expected, "{member} {principal}");
    }

    #[test]
    fn principals_of_a_member() {
        let account = "serviceAccount:builder@my-project.iam.gserviceaccount.com";
        check_includes("allUsers", "allUsers", true);
        check_includes("allAuthenticatedUsers", "allUsers", false);
        check_includes("allAuthenticatedUsers", account, true);
        check_includes(account, account, true);
        check_includes("domain:example.com", "user:a@example.com", true);
        check_includes("domain:example.com", "user:a@sub.example.com", false);
        check_includes("domain:example.com", "user:a@notexample.com", false);
        check_includes("domain:my-project.iam.gserviceaccount.com", account, false);
        check_includes("user:a@example.com", "user:b@example.com", false);
        check_includes("group:a@example.com", "user:a@example.com", false);
    }
}
