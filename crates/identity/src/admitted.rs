//! The proof that a caller has a permission on a resource.

use meta::events::{self, EventAction};
use model::name::{ProjectId, RepositoryName};
use model::permission::Permission;
use model::resource::Resource;

use crate::caller::Caller;
use crate::error::IdentityError;

/// The proof that a caller has a permission on a resource. Only [`Identity::admit`](crate::Identity::admit) makes it.
#[derive(Debug, Clone)]
pub struct Authorized {
    caller: Caller,
    permission: Permission,
    resource: Resource,
}

impl Authorized {
    /// Makes the proof that [`Identity::admit`](crate::Identity::admit) returns.
    pub(crate) fn new(caller: Caller, permission: Permission, resource: Resource) -> Self {
        Self { caller, permission, resource }
    }

    /// Returns the caller that has the permission.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns the permission that was proven.
    pub fn permission(&self) -> Permission {
        self.permission
    }

    /// Returns the resource, for a function that needs this permission. A route that declared another permission is a
    /// fault of ours: it ends in an error, so it is no way around the check.
    pub fn resource_for(&self, permission: Permission) -> Result<&Resource, IdentityError> {
        if self.permission == permission {
            return Ok(&self.resource);
        }
        Err(IdentityError::Internal(format!(
            "authorized to {}, but {permission} is needed",
            self.permission
        )))
    }

    /// Returns what [`Authorized::resource_for`] does, if that is a project.
    pub fn project_for(&self, permission: Permission) -> Result<&ProjectId, IdentityError> {
        match self.resource_for(permission)? {
            Resource::Project(project) => Ok(project),
            other => Err(IdentityError::ResourceUnknown(other.to_string())),
        }
    }

    /// Checks that the permission was proven on exactly this repository: content of another one was not asked about.
    pub fn require_repository(
        &self,
        permission: Permission,
        name: &RepositoryName,
    ) -> Result<(), IdentityError> {
        match self.resource_for(permission)? {
            Resource::Repository(authorized) if authorized == name => Ok(()),
            other => {
                Err(IdentityError::Internal(format!("authorized on {other}, but not on {name}")))
            }
        }
    }

    /// Returns what [`Authorized::resource_for`] does, if the permission is one on the policy of such a resource. A
    /// permission on the policy of a repository must not become one on the policy of its project.
    pub(crate) fn policy_resource_for(
        &self,
        permission: Permission,
    ) -> Result<&Resource, IdentityError> {
        let resource = self.resource_for(permission)?;
        match resource.policy_permission_prefix() {
            Some(service) if permission.as_str().starts_with(&format!("{service}.")) => {
                Ok(resource)
            }
            _ => Err(IdentityError::ResourceUnknown(resource.to_string())),
        }
    }

    /// Returns the audit event of an action of this caller. It is written in the transaction that makes the change.
    pub fn event(&self, action: EventAction, resource: &str, now: i64) -> events::AuditEvent {
        events::AuditEvent {
            action,
            principal: self.caller.principal.to_string(),
            resource: resource.to_owned(),
            tag: None,
            digest: None,
            occurred_at: now,
            way: self.caller.way,
            place: None,
        }
    }
}
