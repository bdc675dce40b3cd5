//! Custom roles of projects and of the organization: create, read, list, update, delete and restore.

use std::time::Duration;

use meta::events::{self, EventAction};
use meta::roles::{self, RoleRow};
use meta::{Id, Tx, epochs, policies};
use model::custom_role::{CustomRoleName, RoleDefinition, RoleStage};
use model::permission::Permission;
use model::permission_set::PermissionSet;
use model::permissions::iam;
use model::resource::Resource;

use crate::accounts::projects;
use crate::admitted::Authorized;
use crate::clock::{Micros, micros};
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::policies::evaluate::{parse_stored, write_policy};
use crate::policies::role_permissions::parse_definition;

/// The most custom roles of a project or of the organization, as in Google's IAM. Those that can be restored count.
const MAX_ROLES: i64 = 300;
/// The time for which a deleted role can be restored.
const RESTORABLE_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// The time for which the id of a deleted role is taken.
const ID_TAKEN_FOR: Duration = Duration::from_secs(37 * 24 * 3600);
/// The most policies that one step changes when a deleted role is forgotten.
const MAX_POLICIES_PER_STEP: usize = 500;

/// A custom role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomRole {
    /// The name.
    pub name: CustomRoleName,
    /// The part that people set.
    pub definition: RoleDefinition,
    /// The etag, another one after each change.
    pub etag: Vec<u8>,
    /// True if the role was deleted and can be restored.
    pub deleted: bool,
}

/// The fields of a role that an update changes.
#[derive(Debug, Clone, Default)]
pub struct CustomRoleChange {
    /// The new title.
    pub title: Option<String>,
    /// The new description.
    pub description: Option<String>,
    /// The new stage.
    pub stage: Option<RoleStage>,
    /// The new permissions, in place of all others.
    pub permissions: Option<PermissionSet>,
}

/// A part of the list of custom roles.
#[derive(Debug, Clone)]
pub struct CustomRolePage {
    /// The id after which the page begins; empty for the first page.
    pub last: String,
    /// The largest number of roles.
    pub limit: usize,
    /// True if deleted roles that can be restored are listed too.
    pub show_deleted: bool,
}

/// A role that is to be changed. If `etag` is not empty, the role must still have that etag.
#[derive(Debug, Clone)]
pub struct CustomRoleVersion {
    /// The name of the role.
    pub name: CustomRoleName,
    /// The etag that the client has seen.
    pub etag: Vec<u8>,
}

/// A kind of change of a role, with the permission that it needs.
struct RoleEdit {
    permission: Permission,
    action: EventAction,
}

impl Identity {
    /// Creates a role of the project or of the organization for which the caller was admitted.
    pub async fn create_custom_role(
        &self,
        admitted: &Authorized,
        id: &str,
        definition: RoleDefinition,
    ) -> Result<CustomRole, IdentityError> {
        let parent = admitted.resource_for(iam::ROLES_CREATE)?.clone();
        let name = CustomRoleName::new(parent.clone(), id)
            .map_err(|error| IdentityError::invalid("role_id", error))?;
        check_definition(&definition)?;
        let (admitted, now) = (admitted.clone(), self.clock.now());
        let row = row_of(&name, &definition, now);
        let role = CustomRole { name, definition, etag: row.etag.clone(), deleted: false };
        let created = role.name.clone();
        let writing = self.write(move |tx| {
            require_parent(tx, &parent)?;
            if let Some(other) = roles::find(tx, &row.parent, &row.id)? {
                return Err(taken_error(&created, &other));
            }
            if roles::count(tx, &row.parent, restorable_after(now))? >= MAX_ROLES {
                return Err(IdentityError::Precondition(format!(
                    "Maximum number of roles reached. Maximum is: {MAX_ROLES}"
                )));
            }
            if !roles::insert(tx, &row)? {
                return Err(taken_error(&created, &row));
            }
            let event = admitted.event(EventAction::CreateRole, created.as_str(), now);
            Ok(events::insert(tx, &event)?)
        });
        writing.await?;
        Ok(role)
    }

    /// Returns a role. A deleted one is returned as long as it can be restored.
    pub async fn find_custom_role(
        &self,
        admitted: &Authorized,
        name: &CustomRoleName,
    ) -> Result<CustomRole, IdentityError> {
        require_same_parent(admitted, iam::ROLES_GET, name)?;
        let (name, now) = (name.clone(), self.clock.now());
        self.read(move |tx| parse_row(&find_row(tx, &name, now)?)).await
    }

    /// Returns the roles of a project or of the organization on a page, and true if there are more.
    pub async fn list_custom_roles(
        &self,
        admitted: &Authorized,
        page: CustomRolePage,
    ) -> Result<(Vec<CustomRole>, bool), IdentityError> {
        let parent = admitted.resource_for(iam::ROLES_LIST)?.clone();
        let deleted_after =
            if page.show_deleted { restorable_after(self.clock.now()) } else { Micros::MAX };
        let limit = page.limit;
        let reading = self.read(move |tx| {
            require_parent(tx, &parent)?;
            let parent = parent.to_string();
            Ok(roles::list(tx, &parent, &page.last, deleted_after, limit as i64 + 1)?)
        });
        let mut rows = reading.await?;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        Ok((rows.iter().map(parse_row).collect::<Result<_, _>>()?, has_more))
    }

    /// Changes a role, in all processes within five seconds.
    pub async fn update_custom_role(
        &self,
        admitted: &Authorized,
        role: CustomRoleVersion,
        change: CustomRoleChange,
    ) -> Result<CustomRole, IdentityError> {
        let edit = RoleEdit { permission: iam::ROLES_UPDATE, action: EventAction::UpdateRole };
        self.edit_role(admitted, edit, role, move |row, _| {
            if row.deleted_at.is_some() {
                return Err(marked_for_deletion("update", &row.id));
            }
            let mut definition = parse_definition(row)?;
            let CustomRoleChange { title, description, stage, permissions } = change.clone();
            definition.title = title.unwrap_or(definition.title);
            definition.description = description.unwrap_or(definition.description);
            definition.stage = stage.unwrap_or(definition.stage);
            definition.permissions = permissions.unwrap_or(definition.permissions);
            check_definition(&definition)?;
            row.permissions = permissions_json(definition.permissions);
            row.stage = definition.stage.as_str().to_owned();
            (row.title, row.description) = (definition.title, definition.description);
            Ok(())
        })
        .await
    }

    /// Deletes a role. Its bindings stay and grant nothing. The role can be restored for seven days.
    pub async fn delete_custom_role(
        &self,
        admitted: &Authorized,
        role: CustomRoleVersion,
    ) -> Result<CustomRole, IdentityError> {
        let edit = RoleEdit { permission: iam::ROLES_DELETE, action: EventAction::DeleteRole };
        self.edit_role(admitted, edit, role, |row, now| {
            if row.deleted_at.is_some() {
                return Err(marked_for_deletion("delete", &row.id));
            }
            row.deleted_at = Some(now);
            Ok(())
        })
        .await
    }

    /// Restores a deleted role. Its bindings grant again what the role says.
    pub async fn undelete_custom_role(
        &self,
        admitted: &Authorized,
        role: CustomRoleVersion,
    ) -> Result<CustomRole, IdentityError> {
        let edit = RoleEdit { permission: iam::ROLES_UNDELETE, action: EventAction::UndeleteRole };
        self.edit_role(admitted, edit, role, |row, _| match row.deleted_at.take() {
            Some(_) => Ok(()),
            None => Err(IdentityError::Precondition(format!(
                "You can't undelete a role_id ({}) which has not been marked for deletion.",
                row.id
            ))),
        })
        .await
    }

    /// Changes the row of a role, and records who did. `change` gets the row and the time.
    async fn edit_role(
        &self,
        admitted: &Authorized,
        edit: RoleEdit,
        role: CustomRoleVersion,
        change: impl Fn(&mut RoleRow, Micros) -> Result<(), IdentityError> + Send + 'static,
    ) -> Result<CustomRole, IdentityError> {
        let CustomRoleVersion { name, etag } = role;
        require_same_parent(admitted, edit.permission, &name)?;
        let (admitted, now) = (admitted.clone(), self.clock.now());
        let writing = self.write(move |tx| {
            let mut row = find_row(tx, &name, now)?;
            if !etag.is_empty() && etag != row.etag {
                return Err(IdentityError::Conflict(
                    "There were concurrent changes of the role. Please retry the whole read-modify-write with exponential backoff.".to_owned(),
                ));
            }
            change(&mut row, now)?;
            (row.etag, row.updated_at) = (random_etag(), now);
            roles::update(tx, &row)?;
            epochs::bump(tx, epochs::ACCESS)?;
            events::insert(tx, &admitted.event(edit.action, name.as_str(), now))?;
            parse_row(&row)
        });
        let changed = writing.await?;
        self.poll_epoch().await?;
        Ok(changed)
    }

    /// Forgets a role that was deleted so long ago that its id is free again, with its bindings: a later role of this id
    /// is another one. Returns whether there may be more to do. A job calls this until nothing is left.
    pub async fn forget_deleted_role(&self) -> Result<bool, IdentityError> {
        let now = self.clock.now();
        let writing = self.write(move |tx| {
            let expired = now.saturating_sub(micros(ID_TAKEN_FOR));
            let Some(row) = roles::find_deleted_before(tx, expired)? else { return Ok(false) };
            let name = format!("{}/roles/{}", row.parent, row.id);
            let mut changed = 0;
            for (resource, stored) in policies::list_mentioning(tx, &name)? {
                let mut policy = parse_stored(Some(stored))?.policy;
                if policy.delete_binding(&name) {
                    write_policy(tx, &resource, &policy, now)?;
                    changed += 1;
                }
                if changed == MAX_POLICIES_PER_STEP {
                    return Ok(true);
                }
            }
            roles::delete(tx, &row.parent, &row.id)?;
            Ok(true)
        });
        writing.await
    }
}

/// Returns the time after which a role must have been deleted so that it can be restored now.
fn restorable_after(now: Micros) -> Micros {
    now.saturating_sub(micros(RESTORABLE_FOR))
}

/// Returns the row of a role that is not deleted, or can be restored.
fn find_row(tx: &mut Tx<'_>, name: &CustomRoleName, now: Micros) -> Result<RoleRow, IdentityError> {
    let row = roles::find(tx, &name.parent().to_string(), name.id())?;
    let row =
        row.filter(|row| row.deleted_at.is_none_or(|deleted| deleted > restorable_after(now)));
    row.ok_or_else(|| IdentityError::ResourceUnknown(format!("The role named {name}")))
}

fn row_of(name: &CustomRoleName, definition: &RoleDefinition, now: Micros) -> RoleRow {
    RoleRow {
        parent: name.parent().to_string(),
        id: name.id().to_owned(),
        title: definition.title.clone(),
        description: definition.description.clone(),
        stage: definition.stage.as_str().to_owned(),
        permissions: permissions_json(definition.permissions),
        etag: random_etag(),
        updated_at: now,
        deleted_at: None,
    }
}

fn parse_row(row: &RoleRow) -> Result<CustomRole, IdentityError> {
    let name = format!("{}/roles/{}", row.parent, row.id);
    let name = name.parse().map_err(|error| {
        IdentityError::Internal(format!("the stored name of a role: {name}: {error}"))
    })?;
    let (definition, etag) = (parse_definition(row)?, row.etag.clone());
    Ok(CustomRole { name, definition, etag, deleted: row.deleted_at.is_some() })
}

fn permissions_json(permissions: PermissionSet) -> String {
    let names: Vec<_> = permissions.iter().map(Permission::as_str).collect();
    serde_json::to_string(&names).expect("texts are always JSON")
}

/// Makes an etag of 8 bytes. gcloud fails on one whose base64 is not padded.
fn random_etag() -> Vec<u8> {
    Id::random().to_bytes()[..8].to_vec()
}

fn check_definition(definition: &RoleDefinition) -> Result<(), IdentityError> {
    definition.check().map_err(|error| IdentityError::invalid(error.field(), error))
}

/// Checks that the organization or the project is there.
fn require_parent(tx: &mut Tx<'_>, parent: &Resource) -> Result<(), IdentityError> {
    match parent {
        Resource::Project(project) => projects::require_active(tx, project).map(drop),
        Resource::Organization
        | Resource::Location(..)
        | Resource::Repository(_)
        | Resource::ServiceAccount(_) => Ok(()),
    }
}

/// Checks that the permission was proven on the parent of this role.
fn require_same_parent(
    admitted: &Authorized,
    permission: Permission,
    name: &CustomRoleName,
) -> Result<(), IdentityError> {
    match admitted.resource_for(permission)? {
        resource if resource == name.parent() => Ok(()),
        other => Err(IdentityError::Internal(format!("authorized on {other}, but not on {name}"))),
    }
}

/// Returns the error for a new role whose id another role has. The words are Google's.
fn taken_error(name: &CustomRoleName, other: &RoleRow) -> IdentityError {
    match other.deleted_at {
        None => IdentityError::AlreadyExists(format!(
            "A role named {} in {} already exists.",
            name.id(),
            name.parent()
        )),
        Some(_) => marked_for_deletion("create", name.id()),
    }
}

/// Returns the error for a role that was deleted. The first sentence is Google's.
fn marked_for_deletion(verb: &str, id: &str) -> IdentityError {
    IdentityError::Precondition(format!(
        "You can't {verb} a role_id ({id}) which has been marked for deletion. It can be restored for 7 days, and its id is free again after 37 days."
    ))
}
