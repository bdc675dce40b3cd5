//! Policies: which members hold which roles, and whether that allows something.

use serde::{Deserialize, Serialize};

use crate::permission::Permission;
use crate::principal::{Member, Principal, PrincipalError};
use crate::role::{self, Role};

/// How many members one policy names at most, as in Google's IAM.
const MAX_MEMBERS: usize = 1_500;

/// Why a policy was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A role that nobody predefined.
    #[error("bindings[{position}].role: Role {role} is not supported for this resource.")]
    Role {
        /// Which binding.
        position: usize,
        /// What it names.
        role: String,
    },
    /// A member.
    #[error("bindings[{position}].members: {problem}")]
    Member {
        /// Which binding.
        position: usize,
        /// What is wrong.
        problem: PrincipalError,
    },
    /// A condition, which nobody here would evaluate.
    #[error("bindings[{position}].condition: conditions are not supported yet")]
    Condition {
        /// Which binding.
        position: usize,
    },
    /// Everybody, where that could not be meant.
    #[error(
        "bindings[{position}].members: {member} may hold Artifact Registry's roles but admin, and not {role}"
    )]
    Public {
        /// Which binding.
        position: usize,
        /// Who is everybody.
        member: Member,
        /// The role.
        role: &'static str,
    },
    /// More than [`MAX_MEMBERS`].
    #[error("bindings: a policy names at most {MAX_MEMBERS} members")]
    TooManyMembers,
    /// Not the JSON that [`Policy::to_json`] writes.
    #[error("the stored policy cannot be read")]
    Unreadable,
}

/// A role, and who holds it.
#[derive(Debug, Clone)]
pub struct Binding {
    /// The role.
    pub role: &'static Role,
    /// Who holds it, each once.
    pub members: Vec<Member>,
}

/// What a resource says about who may do what with it. The empty policy allows nothing.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    bindings: Vec<Binding>,
}

/// A binding as it is sent and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawBinding {
    /// The role's name.
    pub role: String,
    /// Members as text.
    pub members: Vec<String>,
    /// Whether there is a condition.
    #[serde(skip)]
    pub conditional: bool,
}

impl Policy {
    /// Checks bindings as they were sent. Several of one role become one, members in byte order.
    pub fn new(raw: &[RawBinding]) -> Result<Self, PolicyError> {
        if raw.iter().map(|binding| binding.members.len()).sum::<usize>() > MAX_MEMBERS {
            return Err(PolicyError::TooManyMembers);
        }
        let mut policy = Self::default();
        for (position, binding) in raw.iter().enumerate() {
            if binding.conditional {
                return Err(PolicyError::Condition { position });
            }
            let role = role::find(&binding.role).ok_or_else(|| PolicyError::Role {
                position,
                role: binding.role.chars().take(100).collect(),
            })?;
            for member in &binding.members {
                let member: Member =
                    member.parse().map_err(|problem| PolicyError::Member { position, problem })?;
                if member.is_public() && !may_be_public(role) {
                    return Err(PolicyError::Public { position, member, role: role.name });
                }
                policy.bind(role, member);
            }
        }
        Ok(policy)
    }

    /// Gives a role to a member.
    pub fn bind(&mut self, role: &'static Role, member: Member) {
        let position = match self.bindings.iter().position(|own| own.role.name == role.name) {
            Some(position) => position,
            None => {
                self.bindings.push(Binding { role, members: Vec::new() });
                self.bindings.len() - 1
            }
        };
        let members = &mut self.bindings[position].members;
        if let Err(place) = members.binary_search(&member) {
            members.insert(place, member);
        }
    }

    /// Takes all roles from a member. A role without any member is left out.
    pub fn unbind(&mut self, member: &Member) {
        for binding in &mut self.bindings {
            binding.members.retain(|own| own != member);
        }
        self.bindings.retain(|binding| !binding.members.is_empty());
    }

    /// Whether this policy alone allows it.
    pub fn allows(&self, principal: &Principal, permission: Permission) -> bool {
        self.bindings.iter().any(|binding| {
            binding.role.holds(permission)
                && binding.members.iter().any(|member| member.includes(principal))
        })
    }

    /// Its bindings.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// As it is stored.
    pub fn to_json(&self) -> String {
        let raw = |binding: &Binding| RawBinding {
            role: binding.role.name.to_owned(),
            members: binding.members.iter().map(Member::to_string).collect(),
            conditional: false,
        };
        let raw: Vec<_> = self.bindings.iter().map(raw).collect();
        serde_json::to_string(&raw).expect("texts are always JSON")
    }

    /// Reads what [`Policy::to_json`] wrote.
    pub fn from_json(json: &str) -> Result<Self, PolicyError> {
        let raw: Vec<RawBinding> =
            serde_json::from_str(json).map_err(|_| PolicyError::Unreadable)?;
        Self::new(&raw)
    }
}

/// Whether a role is one for images, and makes nobody who gives roles to others.
fn may_be_public(role: &Role) -> bool {
    role.name.starts_with("roles/artifactregistry.")
        && !role.permissions().iter().any(|held| held.as_str().ends_with(".setIamPolicy"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(role: &str, members: &[&str]) -> RawBinding {
        RawBinding {
            role: role.to_owned(),
            members: members.iter().map(|member| (*member).to_owned()).collect(),
            conditional: false,
        }
    }

    #[test]
    fn what_a_policy_allows() {
        let policy = Policy::new(&[
            binding("roles/artifactregistry.reader", &["allUsers"]),
            binding("roles/artifactregistry.writer", &["user:a@example.com"]),
        ])
        .expect("valid");
        let check = |principal: &str, permission: Permission, expected: bool| {
            let principal: Principal = principal.parse().expect("valid");
            assert_eq!(policy.allows(&principal, permission), expected, "{principal} {permission}");
        };
        check("allUsers", Permission::DOWNLOAD_ARTIFACTS, true);
        check("allUsers", Permission::UPLOAD_ARTIFACTS, false);
        check("user:a@example.com", Permission::UPLOAD_ARTIFACTS, true);
        check("user:b@example.com", Permission::UPLOAD_ARTIFACTS, false);
        check("user:a@example.com", Permission::DELETE_ARTIFACTS, false);
        let nothing = Policy::default();
        assert!(!nothing.allows(&Principal::Anonymous, Permission::DOWNLOAD_ARTIFACTS));
    }

    #[test]
    fn equal_roles_become_one_and_come_back_as_stored() {
        let policy = Policy::new(&[
            binding("roles/viewer", &["user:b@example.com", "user:a@example.com"]),
            binding("roles/viewer", &["user:a@example.com"]),
        ])
        .expect("valid");
        let json = policy.to_json();
        assert_eq!(
            json,
            r#"[{"role":"roles/viewer","members":["user:a@example.com","user:b@example.com"]}]"#
        );
        assert_eq!(Policy::from_json(&json).expect("valid").to_json(), json);
    }

    #[test]
    fn who_is_unbound_is_in_no_binding() {
        let mut policy = Policy::new(&[
            binding("roles/owner", &["user:a@example.com"]),
            binding("roles/viewer", &["user:b@example.com", "user:a@example.com"]),
        ])
        .expect("valid");
        policy.unbind(&"user:a@example.com".parse().expect("valid"));
        assert_eq!(
            policy.to_json(),
            r#"[{"role":"roles/viewer","members":["user:b@example.com"]}]"#
        );
    }

    #[test]
    fn what_is_refused_is_named() {
        let refused =
            |binding: RawBinding| Policy::new(&[binding]).expect_err("not valid").to_string();
        assert!(refused(binding("roles/none", &[])).contains("Role roles/none is not supported"));
        assert!(refused(binding("roles/viewer", &["nobody"])).contains("bindings[0].members"));
        let conditional = RawBinding { conditional: true, ..binding("roles/viewer", &[]) };
        assert!(refused(conditional).contains("condition"));
        for everybody in ["allUsers", "allAuthenticatedUsers"] {
            for role in ["roles/owner", "roles/viewer", "roles/artifactregistry.admin"] {
                assert!(refused(binding(role, &[everybody])).contains(everybody), "{role}");
            }
            let reader = binding("roles/artifactregistry.reader", &[everybody]);
            assert!(Policy::new(&[reader]).is_ok());
        }
        let many: Vec<_> = (0..1_501).map(|n| format!("user:u{n}@example.com")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(refused(binding("roles/viewer", &many)).contains("1500"));
    }
}
