//! The proof of a permission: who was admitted to what.

use meta::events::{self, EventAction};
use model::name::{ProjectId, RepositoryName};
use model::permission::Permission;
use model::resource::Resource;

use crate::caller::Caller;
use crate::error::IdentityError;

/// Proof that a caller may do something with a resource. Only [`Identity::admit`] makes one.
#[derive(Debug, Clone)]
pub struct Authorized {
    caller: Caller,
    permission: Permission,
    resource: Resource,
}

impl Authorized {
    /// The proof that [`Identity::admit`](crate::Identity::admit) hands out.
    pub(crate) fn new(caller: Caller, permission: Permission, resource: Resource) -> Self {
        Self { caller, permission, resource }
    }

    /// Who was admitted.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The permission that was proven.
    pub fn permission(&self) -> Permission {
        self.permission
    }

    /// The resource, for a function that takes just this permission: a route that declares another one is
    /// a fault of ours, not a way around the check.
    pub fn resource_for(&self, permission: Permission) -> Result<&Resource, IdentityError> {
        if self.permission == permission {
            return Ok(&self.resource);
        }
        Err(IdentityError::Internal(format!(
            "admitted to {}, but {permission} is needed",
            self.permission
        )))
    }

    /// As [`Admitted::to`], of a project and nothing in it.
    pub fn project_for(&self, permission: Permission) -> Result<&ProjectId, IdentityError> {
        match self.resource_for(permission)? {
            Resource::Project(project) => Ok(project),
            other => Err(IdentityError::ResourceUnknown(other.to_string())),
        }
    }

    /// As [`Admitted::to`], of just this repository: what lies in another one was not asked about.
    pub fn require_repository(
        &self,
        permission: Permission,
        name: &RepositoryName,
    ) -> Result<(), IdentityError> {
        match self.resource_for(permission)? {
            Resource::Repository(admitted) if admitted == name => Ok(()),
            other => {
                Err(IdentityError::Internal(format!("admitted to {other}, but not to {name}")))
            }
        }
    }

    /// As [`Admitted::to`], of something whose own policy the permission is about: one on a repository must not
    /// become one on its project.
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

    /// What happened, written with the change.
    pub fn event(&self, action: EventAction, resource: &str, now: i64) -> events::AuditEvent {
        events::AuditEvent {
            action,
            principal: self.caller.principal.to_string(),
            resource: resource.to_owned(),
            tag: None,
            digest: None,
            occurred_at: now,
        }
    }
}
