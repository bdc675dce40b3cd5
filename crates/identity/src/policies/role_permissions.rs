//! The custom roles that policies name: the permissions that they grant, and which policies may name them.

use meta::Tx;
use meta::roles::{self, RoleRow};
use model::custom_role::{CustomRoleName, RoleDefinition, RoleStage};
use model::iam_policy::{IamPolicy, RoleBinding};
use model::permission_set::PermissionSet;
use model::resource::Resource;
use model::role::RoleName;

use crate::error::IdentityError;

/// Returns the permissions that a binding of a custom role grants. A role that is disabled, deleted or gone grants none.
pub(crate) fn granted_permissions(
    tx: &mut Tx<'_>,
    name: &CustomRoleName,
) -> Result<PermissionSet, IdentityError> {
    match find_live(tx, name)? {
        Some(row) => Ok(parse_definition(&row)?.granted_permissions()),
        None => Ok(PermissionSet::default()),
    }
}

/// Returns a role that is not deleted.
fn find_live(tx: &mut Tx<'_>, name: &CustomRoleName) -> Result<Option<RoleRow>, IdentityError> {
    let row = roles::find(tx, &name.parent().to_string(), name.id())?;
    Ok(row.filter(|row| row.deleted_at.is_none()))
}

/// Reads the definition of a stored role. A permission that this version of the registry does not know is left out.
pub(crate) fn parse_definition(row: &RoleRow) -> Result<RoleDefinition, IdentityError> {
    let unreadable = || IdentityError::Internal(format!("the stored role {}", row.id));
    let names: Vec<String> = serde_json::from_str(&row.permissions).map_err(|_| unreadable())?;
    Ok(RoleDefinition {
        title: row.title.clone(),
        description: row.description.clone(),
        stage: RoleStage::parse(&row.stage).ok_or_else(unreadable)?,
        permissions: names.iter().filter_map(|name| name.parse().ok()).collect(),
    })
}

/// Refuses a policy that grants a custom role which does not exist, or not on this resource. Members that have a deleted
/// role by the stored policy may keep it, so that a change of other bindings is possible.
pub(crate) fn check_roles(
    tx: &mut Tx<'_>,
    resource: &Resource,
    policy: &IamPolicy,
    stored: &IamPolicy,
) -> Result<(), IdentityError> {
    for RoleBinding { role, members } in policy.bindings() {
        let RoleName::Custom(name) = role else { continue };
        let is_kept = || members.iter().all(|member| stored.has_member(name.as_str(), member));
        if name.is_grantable_on(resource) && (is_kept() || find_live(tx, name)?.is_some()) {
            continue;
        }
        let problem = format!("Role ({name}) does not exist in the resource's hierarchy.");
        return Err(IdentityError::InvalidArgument { field: "policy", problem });
    }
    Ok(())
}
