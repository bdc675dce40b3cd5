//! The evaluation of policies for every request, and the methods that read and change policies.

use std::sync::Arc;

use meta::events::{self, EventAction};
use meta::policies::{self, PolicyRow};
use meta::{Id, Tx, accounts, epochs, repositories, users};
use model::effective_policy::EffectivePolicy;
use model::iam_policy::{IamPolicy, RoleBinding};
use model::permission::Permission;
use model::principal::{AccountEmail, PolicyMember, Principal};
use model::resource::{ORGANIZATION_NAME, Resource};
use model::role::RoleName;

use crate::admitted::Authorized;
use crate::caller::{AuthorizationMode, Caller};
use crate::credentials::account_key::KeyKind;
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::policies::cached::CachedPolicy;
use crate::policies::role_permissions::{check_roles, granted_permissions};
use model::permissions::resourcemanager;

/// A policy, with the etag of this version of it.
#[derive(Debug, Clone)]
pub struct StoredPolicy {
    /// The policy.
    pub policy: IamPolicy,
    /// The etag, another one after each change.
    pub etag: Vec<u8>,
}

impl Identity {
    /// Checks that the caller has a permission on a resource, and returns the proof. The resource need not exist.
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

    /// Returns whether the caller has a permission on a resource. The scope of a registry token is not looked at.
    pub async fn may(
        &self,
        caller: &Caller,
        permission: Permission,
        resource: &Resource,
    ) -> Result<bool, IdentityError> {
        match caller.mode {
            AuthorizationMode::Everything => Ok(true),
            AuthorizationMode::Policies if !caller.oauth_scopes.allows(permission) => Ok(false),
            AuthorizationMode::Policies => {
                let epoch = self.epoch().await?;
                if caller.recent_grants.contains(epoch, permission, resource) {
                    return Ok(true);
                }
                let allowed =
                    self.policies_allow(&caller.principal, epoch, permission, resource).await?;
                if allowed {
                    caller.recent_grants.insert(epoch, permission, resource);
                }
                Ok(allowed)
            }
        }
    }

    /// Returns whether policies grant a principal a permission on a resource, whatever its credential allows.
    pub async fn may_principal(
        &self,
        principal: &Principal,
        permission: Permission,
        resource: &Resource,
    ) -> Result<bool, IdentityError> {
        self.policies_allow(principal, self.epoch().await?, permission, resource).await
    }

    async fn policies_allow(
        &self,
        principal: &Principal,
        epoch: i64,
        permission: Permission,
        resource: &Resource,
    ) -> Result<bool, IdentityError> {
        let mut allowed = false;
        for name in resource.policy_names() {
            let cached = match self.policies.get(&name, epoch) {
                Some(cached) => cached,
                None => self.load_policy(name, epoch).await?,
            };
            if cached.is_project_deleted {
                return Ok(false);
            }
            allowed = allowed || cached.policy.allows(principal, permission);
        }
        Ok(allowed)
    }

    async fn load_policy(&self, name: String, epoch: i64) -> Result<CachedPolicy, IdentityError> {
        let resource = name.clone();
        let loading = self.read(move |tx| {
            let stored = policies::find(tx, &resource)?;
            let project_id = resource.strip_prefix("projects/").filter(|id| !id.contains('/'));
            let is_project_deleted = match project_id {
                Some(id) => meta::projects::find(tx, id)?.is_some_and(|project| !project.active),
                None => false,
            };
            let policy = parse_stored(stored)?.policy;
            // The permissions of custom roles are kept with the policy: requests cost no more than by predefined roles.
            let policy = EffectivePolicy::new(policy, |role| granted_permissions(tx, role))?;
            Ok(CachedPolicy { policy: Arc::new(policy), is_project_deleted })
        });
        let loaded = loading.await?;
        self.policies.put(name, epoch, loaded.clone());
        Ok(loaded)
    }

    /// Returns the policy of a resource itself.
    pub async fn get_policy(
        &self,
        admitted: &Authorized,
        permission: Permission,
    ) -> Result<StoredPolicy, IdentityError> {
        let resource = admitted.policy_resource_for(permission)?.clone();
        let reading = self.read(move |tx| {
            check_exists(tx, &resource)?;
            parse_stored(policies::find(tx, &resource.to_string())?)
        });
        reading.await
    }

    /// Replaces the policy of a resource. If `etag` is not empty, the policy must still have that etag.
    pub async fn set_policy(
        &self,
        admitted: &Authorized,
        permission: Permission,
        policy: IamPolicy,
        etag: Vec<u8>,
    ) -> Result<StoredPolicy, IdentityError> {
        let resource = admitted.policy_resource_for(permission)?.clone();
        let (admitted, now) = (admitted.clone(), self.clock.now());
        let writing = self.write(move |tx| {
            check_exists(tx, &resource)?;
            let name = resource.to_string();
            let stored = parse_stored(policies::find(tx, &name)?)?;
            if !etag.is_empty() && etag != stored.etag {
                return Err(IdentityError::Conflict(
                    "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.".to_owned(),
                ));
            }
            check_roles(tx, &resource, &policy, &stored.policy)?;
            check_members(tx, &policy, &stored.policy, admitted.caller().mode)?;
            write_policy(tx, &name, &policy, now)?;
            if resource == Resource::Organization {
                check_administrator(tx)?;
            }
            events::insert(tx, &admitted.event(EventAction::SetPolicy, &name, now))?;
            parse_stored(policies::find(tx, &name)?)
        });
        let stored = writing.await?;
        self.poll_epoch().await?;
        Ok(stored)
    }

    /// Returns those of the permissions that the caller has on a resource. Unknown permissions are left out.
    pub async fn test_permissions(
        &self,
        caller: &Caller,
        resource: &Resource,
        permissions: &[String],
    ) -> Result<Vec<String>, IdentityError> {
        let mut granted = Vec::new();
        for name in permissions {
            let Ok(permission) = name.parse() else { continue };
            if self.may(caller, permission, resource).await? {
                granted.push(name.clone());
            }
        }
        Ok(granted)
    }
}

/// The etag of a resource without a policy: `ACAB` in base64, as Google's.
const NO_POLICY: &[u8] = &[0x00, 0x20, 0x01];

pub(crate) fn parse_stored(stored: Option<PolicyRow>) -> Result<StoredPolicy, IdentityError> {
    let Some(stored) = stored else {
        return Ok(StoredPolicy { policy: IamPolicy::default(), etag: NO_POLICY.to_vec() });
    };
    let policy = IamPolicy::from_json(&stored.bindings)
        .map_err(|error| IdentityError::Internal(format!("a stored policy: {error}")))?;
    Ok(StoredPolicy { policy, etag: stored.etag })
}

/// Writes a policy, and raises the epoch, so that the caches of all processes become invalid.
pub(crate) fn write_policy(
    tx: &mut Tx<'_>,
    resource: &str,
    policy: &IamPolicy,
    now: i64,
) -> Result<(), IdentityError> {
    policy.check_size().map_err(|error| IdentityError::Precondition(error.to_string()))?;
    let stored =
        PolicyRow { bindings: policy.to_json(), etag: Id::random().to_bytes()[..8].to_vec() };
    policies::set(tx, resource, &stored, now)?;
    Ok(epochs::bump(tx, epochs::ACCESS)?)
}

/// Refuses members that do not exist: a later account or person of that name would have the role at once. A person whom
/// the stored policy names for the same role may stay there. In development mode nobody has to exist, because nobody
/// signs in.
fn check_members(
    tx: &mut Tx<'_>,
    policy: &IamPolicy,
    stored: &IamPolicy,
    mode: AuthorizationMode,
) -> Result<(), IdentityError> {
    let unknown = |problem| Err(IdentityError::InvalidArgument { field: "policy", problem });
    for binding in policy.bindings() {
        for member in &binding.members {
            match (member, mode) {
                (PolicyMember::ServiceAccount(email), _)
                    if accounts::find(tx, email.as_str())?.is_none() =>
                {
                    return unknown(format!("Service account {email} does not exist."));
                }
                (PolicyMember::User(email), AuthorizationMode::Policies)
                    if !stored.has_member(binding.role.as_str(), member)
                        && users::find(tx, email)?.is_none() =>
                {
                    return unknown(format!(
                        "User {email} does not exist. The operator of this registry adds people: berth users add {email}"
                    ));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Takes all roles from an account, in all policies: a later account of this name is another account.
pub(crate) fn unbind_from_all_policies(
    tx: &mut Tx<'_>,
    email: &AccountEmail,
    now: i64,
) -> Result<(), IdentityError> {
    let member = PolicyMember::ServiceAccount(email.clone());
    for (resource, stored) in policies::list_mentioning(tx, &member.to_string())? {
        let mut policy = parse_stored(Some(stored))?.policy;
        policy.unbind(&member);
        write_policy(tx, &resource, &policy, now)?;
    }
    Ok(())
}

/// Checks that a resource exists. Only a caller who has the permission gets this answer.
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

/// Returns whether an account may change the policy of the organization, but has no key to sign in with.
pub(crate) fn is_locked_out(tx: &mut Tx<'_>, email: &AccountEmail) -> Result<bool, IdentityError> {
    let policy = parse_stored(policies::find(tx, ORGANIZATION_NAME)?)?.policy;
    let member = PolicyMember::ServiceAccount(email.clone());
    let mut bindings = policy.bindings().iter().filter(|binding| makes_administrators(binding));
    if !bindings.any(|binding| binding.members.contains(&member)) {
        return Ok(false);
    }
    Ok(!has_usable_key(tx, email)?)
}

fn has_usable_key(tx: &mut Tx<'_>, email: &AccountEmail) -> Result<bool, IdentityError> {
    let keys = accounts::list_keys(tx, email.as_str())?;
    Ok(keys.iter().any(|key| KeyKind::of(key) == KeyKind::UserManaged && !key.disabled))
}

/// Returns whether members of the binding count as administrators. Those of a custom role do not: a later change of the
/// role could leave nobody.
fn makes_administrators(binding: &RoleBinding) -> bool {
    match &binding.role {
        RoleName::Predefined(role) => {
            role.has_permission(resourcemanager::ORGANIZATIONS_SET_IAM_POLICY)
        }
        RoleName::Custom(_) => false,
    }
}

/// Refuses the transaction if nobody is left who can change the policy of the organization, as
/// [`has_administrator`] has it.
pub(crate) fn check_administrator(tx: &mut Tx<'_>) -> Result<(), IdentityError> {
    if has_administrator(tx)? {
        return Ok(());
    }
    Err(IdentityError::Precondition(
        "an enabled account with an enabled key, or an enabled person with a password, must be left with roles/resourcemanager.organizationAdmin on the organization"
            .to_owned(),
    ))
}

/// Returns whether somebody can change the policy of the organization: an enabled account with an enabled key, or an
/// enabled person with a password. Groups and domains do not count.
pub(crate) fn has_administrator(tx: &mut Tx<'_>) -> Result<bool, IdentityError> {
    // In development mode, the organization has no policy, and everybody may do everything.
    let Some(stored) = policies::find(tx, ORGANIZATION_NAME)? else { return Ok(true) };
    let policy = parse_stored(Some(stored))?.policy;
    let bindings = policy.bindings().iter().filter(|binding| makes_administrators(binding));
    for member in bindings.flat_map(|binding| &binding.members) {
        let can_sign_in = match member {
            PolicyMember::ServiceAccount(email) => {
                accounts::find_enabled(tx, email.as_str())?.is_some() && has_usable_key(tx, email)?
            }
            PolicyMember::User(email) => users::find(tx, email)?
                .is_some_and(|user| !user.disabled && user.password_hash.is_some()),
            PolicyMember::Group(_)
            | PolicyMember::Domain(_)
            | PolicyMember::AllUsers
            | PolicyMember::AllAuthenticatedUsers => false,
        };
        if can_sign_in {
            return Ok(true);
        }
    }
    Ok(false)
}
