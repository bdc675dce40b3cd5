//! Policies: asked for every request, and read and written by those who may.

use std::sync::Arc;

use meta::events::{self, EventAction};
use meta::policies::{self, PolicyRow};
use meta::{Id, Tx, accounts, epochs, repositories};
use model::iam_policy::{IamPolicy, RoleBinding};
use model::permission::Permission;
use model::principal::{AccountEmail, PolicyMember, Principal};
use model::resource::{ORGANIZATION_NAME, Resource};

use crate::admitted::Authorized;
use crate::caller::{AuthorizationMode, Caller};
use crate::credentials::account_key::KeyKind;
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::policies::cached::CachedPolicy;
use model::permissions::resourcemanager;

/// A policy, and what tells it from the one before.
#[derive(Debug, Clone)]
pub struct StoredPolicy {
    /// The policy.
    pub policy: IamPolicy,
    /// Changes with each change.
    pub etag: Vec<u8>,
}

impl Identity {
    /// Proves that the caller may do something with a resource, whether it exists or not.
    pub async fn admit(
        &self,
        caller: &Caller,
        permission: Permission,
        resource: Resource,
    ) -> Result<Authorized, IdentityError> {
        if self.may(caller, permission, &resource).await? {
            return Ok(Authorized::new(caller.clone(), permission, resource));
        }
        Err(caller.denied(permission, &resource))
    }

    /// Whether policies let the caller do something. What a token is limited to is another question.
    pub async fn may(
        &self,
        caller: &Caller,
        permission: Permission,
        resource: &Resource,
    ) -> Result<bool, IdentityError> {
        match &caller.mode {
            AuthorizationMode::Everything => Ok(true),
            AuthorizationMode::Listed(grants) => Ok(grants.iter().any(|grant| {
                *resource == Resource::Repository(grant.repository.clone())
                    && grant.permissions.contains(&permission)
            })),
            AuthorizationMode::Policies if !caller.oauth_scopes.allows(permission) => Ok(false),
            AuthorizationMode::Policies => {
                let epoch = self.epoch().await?;
                if caller.recent_grants.contains(epoch, permission, resource) {
                    return Ok(true);
                }
                let allowed =
                    self.policies_allow((&caller.principal, epoch), permission, resource).await?;
                if allowed {
                    caller.recent_grants.insert(epoch, permission, resource);
                }
                Ok(allowed)
            }
        }
    }

    async fn policies_allow(
        &self,
        (principal, epoch): (&Principal, i64),
        permission: Permission,
        resource: &Resource,
    ) -> Result<bool, IdentityError> {
        let mut allowed = false;
        for name in resource.policy_names() {
            let loaded = match self.policies.get(&name, epoch) {
                Some(loaded) => loaded,
                None => self.load_policy(name, epoch).await?,
            };
            if loaded.is_project_deleted {
                return Ok(false);
            }
            allowed = allowed || loaded.policy.allows(principal, permission);
        }
        Ok(allowed)
    }

    async fn load_policy(&self, name: String, epoch: i64) -> Result<CachedPolicy, IdentityError> {
        let wanted = name.clone();
        let loaded = self
            .meta
            .read(move |tx| {
                let stored = policies::find(tx, &wanted)?;
                let gone = match wanted.strip_prefix("projects/").filter(|id| !id.contains('/')) {
                    Some(id) => {
                        meta::projects::find(tx, id)?.is_some_and(|project| !project.active)
                    }
                    None => false,
                };
                Ok::<_, IdentityError>(CachedPolicy {
                    policy: Arc::new(parse_stored(stored)?.policy),
                    is_project_deleted: gone,
                })
            })
            .await?;
        self.policies.put(name, epoch, loaded.clone());
        Ok(loaded)
    }

    /// A resource's own policy.
    pub async fn policy(
        &self,
        admitted: &Authorized,
        permission: Permission,
    ) -> Result<StoredPolicy, IdentityError> {
        let resource = admitted.policy_resource_for(permission)?.clone();
        self.meta
            .read(move |tx| {
                check_exists(tx, &resource)?;
                parse_stored(policies::find(tx, &resource.to_string())?)
            })
            .await
    }

    /// Replaces a resource's policy. With an etag, only the one that it belongs to.
    pub async fn set_policy(
        &self,
        admitted: &Authorized,
        permission: Permission,
        (policy, etag): (IamPolicy, Vec<u8>),
    ) -> Result<StoredPolicy, IdentityError> {
        let resource = admitted.policy_resource_for(permission)?.clone();
        let (admitted, now) = (admitted.clone(), self.clock.now());
        let stored = self
            .meta
            .write(move |tx| {
                check_exists(tx, &resource)?;
                let name = resource.to_string();
                if !etag.is_empty() && etag != parse_stored(policies::find(tx, &name)?)?.etag {
                    return Err(IdentityError::Conflict(
                        "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.".to_owned(),
                    ));
                }
                check_members(tx, &policy)?;
                write(tx, &name, &policy, now)?;
                if resource == Resource::Organization {
                    check_administrator(tx)?;
                }
                events::insert(tx, &admitted.event(EventAction::SetPolicy, &name, now))?;
                parse_stored(policies::find(tx, &name)?)
            })
            .await?;
        self.poll_epoch().await?;
        Ok(stored)
    }

    /// Which of these permissions the caller has on a resource. Unknown ones nobody has.
    pub async fn test_permissions(
        &self,
        caller: &Caller,
        resource: &Resource,
        permissions: &[String],
    ) -> Result<Vec<String>, IdentityError> {
        let mut held = Vec::new();
        for name in permissions {
            let Ok(permission) = name.parse() else { continue };
            if self.may(caller, permission, resource).await? {
                held.push(name.clone());
            }
        }
        Ok(held)
    }
}

/// The etag of a resource that carries no policy: `ACAB` in base64, as Google's is.
const NO_POLICY: &[u8] = &[0x00, 0x20, 0x01];

pub(crate) fn parse_stored(stored: Option<PolicyRow>) -> Result<StoredPolicy, IdentityError> {
    let Some(stored) = stored else {
        return Ok(StoredPolicy { policy: IamPolicy::default(), etag: NO_POLICY.to_vec() });
    };
    let policy = IamPolicy::from_json(&stored.bindings)
        .map_err(|error| IdentityError::Internal(format!("a stored policy: {error}")))?;
    Ok(StoredPolicy { policy, etag: stored.etag })
}

/// Writes a policy, and voids what every process remembers.
pub(crate) fn write(
    tx: &mut Tx<'_>,
    resource: &str,
    policy: &IamPolicy,
    now: i64,
) -> Result<(), IdentityError> {
    let stored =
        PolicyRow { bindings: policy.to_json(), etag: Id::random().to_bytes()[..8].to_vec() };
    policies::set(tx, resource, &stored, now)?;
    Ok(epochs::bump(tx, epochs::ACCESS)?)
}

/// Refuses accounts that are not there: whoever made one later would find roles waiting.
fn check_members(tx: &mut Tx<'_>, policy: &IamPolicy) -> Result<(), IdentityError> {
    for member in policy.bindings().iter().flat_map(|binding| &binding.members) {
        if let PolicyMember::ServiceAccount(email) = member
            && accounts::find(tx, email.as_str())?.is_none()
        {
            return Err(IdentityError::InvalidArgument {
                field: "policy",
                problem: format!("Service account {email} does not exist."),
            });
        }
    }
    Ok(())
}

/// Takes all that an account may do from it, everywhere: the next account of this name is another one.
pub(crate) fn remove_from_all_policies(
    tx: &mut Tx<'_>,
    email: &AccountEmail,
    now: i64,
) -> Result<(), IdentityError> {
    let member = PolicyMember::ServiceAccount(email.clone());
    for (resource, stored) in policies::list_mentioning(tx, &member.to_string())? {
        let mut policy = parse_stored(Some(stored))?.policy;
        policy.unbind(&member);
        write(tx, &resource, &policy, now)?;
    }
    Ok(())
}

/// Whoever may ask is told whether the resource is there.
fn check_exists(tx: &mut Tx<'_>, resource: &Resource) -> Result<(), IdentityError> {
    let exists = match resource {
        Resource::Organization => true,
        Resource::Project(project) | Resource::Location(project, _) => {
            meta::projects::find(tx, project.as_str())?.is_some_and(|project| project.active)
        }
        Resource::Repository(name) => repositories::find(tx, name)?.is_some(),
        Resource::ServiceAccount(email) => accounts::find(tx, email.as_str())?.is_some(),
    };
    if exists { Ok(()) } else { Err(IdentityError::ResourceUnknown(resource.to_string())) }
}

/// Returns whether an account has the role by which policies of the organization are changed, and no key to use it with.
pub(crate) fn is_locked_out(tx: &mut Tx<'_>, email: &AccountEmail) -> Result<bool, IdentityError> {
    let policy = parse_stored(policies::find(tx, ORGANIZATION_NAME)?)?.policy;
    let member = PolicyMember::ServiceAccount(email.clone());
    let mut roles = policy.bindings().iter().filter(|binding| is_administrators(binding));
    if !roles.any(|binding| binding.members.contains(&member)) {
        return Ok(false);
    }
    Ok(!has_usable_key(tx, email)?)
}

fn has_usable_key(tx: &mut Tx<'_>, email: &AccountEmail) -> Result<bool, IdentityError> {
    let keys = accounts::list_keys(tx, email.as_str())?;
    Ok(keys.iter().any(|key| KeyKind::of(key) == KeyKind::UserManaged && !key.disabled))
}

fn is_administrators(binding: &RoleBinding) -> bool {
    let needed = resourcemanager::ORGANIZATIONS_SET_IAM_POLICY;
    binding.role.has_permission(needed)
}

/// Refuses what the transaction has done if it leaves nobody who could ever change anything again. Only accounts
/// with a key can sign in: a group, a domain or a person is nobody yet.
pub(crate) fn check_administrator(tx: &mut Tx<'_>) -> Result<(), IdentityError> {
    // In development mode there is none, and nobody who could be shut out.
    let Some(stored) = policies::find(tx, ORGANIZATION_NAME)? else { return Ok(()) };
    let policy = parse_stored(Some(stored))?.policy;
    let bindings = policy.bindings().iter().filter(|binding| is_administrators(binding));
    for member in bindings.flat_map(|binding| &binding.members) {
        let PolicyMember::ServiceAccount(email) = member else { continue };
        if accounts::find_enabled(tx, email.as_str())?.is_some() && has_usable_key(tx, email)? {
            return Ok(());
        }
    }
    Err(IdentityError::Precondition(
        "an account that is enabled, and has a key that is, must be left with roles/resourcemanager.organizationAdmin on the organization"
            .to_owned(),
    ))
}
