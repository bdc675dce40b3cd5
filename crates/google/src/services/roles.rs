//! Roles: the predefined ones, and the custom ones of projects and of the organization.

use engine::EngineError;
use identity::{
    Authorized, Caller, CustomRole, CustomRoleChange, CustomRolePage, CustomRoleVersion,
};
use model::custom_role::{
    CustomRoleName, CustomRoleNameError, RoleDefinition, RoleStage, parse_permissions,
};
use model::permission::{Permission as KnownPermission, all_permissions};
use model::permission_set::PermissionSet;
use model::permissions::iam;
use model::resource::Resource;
use model::role::{self, PredefinedRole};
use prost_types::FieldMask;
use proto::google::iam::admin::v1::role::RoleLaunchStage;
use proto::google::iam::admin::v1::{
    CreateRoleRequest, DeleteRoleRequest, GetRoleRequest, ListRolesRequest, ListRolesResponse,
    Permission, QueryGrantableRolesRequest, QueryGrantableRolesResponse,
    QueryTestablePermissionsRequest, QueryTestablePermissionsResponse, Role, RoleView,
    UndeleteRoleRequest, UpdateRoleRequest,
};
use tonic::{Code, Request, Response, Status};
use web::audit::AuditRecorder;

use super::{
    ApiServices, ListIdentity, ServiceAnswer, admitted, bad_field, caller, failed, names,
    page_size, trail,
};
use crate::GoogleError;

/// The number of roles on a page, unless the client wishes for another one.
const USUAL_PAGE: usize = 300;

/// The etag of the predefined roles, which never change. gcloud fails on one whose base64 is not padded.
const FIXED_ETAG: [u8; 8] = [0; 8];

pub(super) async fn list(
    services: &ApiServices,
    request: Request<ListRolesRequest>,
) -> ServiceAnswer<ListRolesResponse> {
    let (caller, trail) = (caller(&request), trail(&request));
    let ListRolesRequest { parent, page_size: wanted, page_token, view, show_deleted } =
        request.into_inner();
    let deleted = if show_deleted { "deleted" } else { "" };
    let list = ListIdentity::new(&caller, &["roles", &parent, deleted]);
    let (mut roles, has_more) = if parent.is_empty() {
        let (start, limit) =
            (services.page_start(&list, &page_token)?, page_size(wanted, USUAL_PAGE)?);
        page_of(role::all_roles().map(predefined_message).collect(), &start, limit)
    } else {
        let asked = AskedParent { caller: &caller, trail: &trail, name: &parent };
        let admitted = admit(services, asked, iam::ROLES_LIST).await?;
        let (start, limit) =
            (services.page_start(&list, &page_token)?, page_size(wanted, USUAL_PAGE)?);
        let page =
            CustomRolePage { last: names::last_segment(&start).to_owned(), limit, show_deleted };
        let found = services.app.engine.identity().list_custom_roles(&admitted, page).await;
        let (found, has_more) = found.map_err(failed)?;
        (found.into_iter().map(message).collect(), has_more)
    };
    let next = roles.last().filter(|_| has_more).map(|role| role.name.as_str());
    let next_page_token = services.page_token(&list, next)?;
    show_only(&mut roles, view);
    Ok(Response::new(ListRolesResponse { roles, next_page_token }))
}

pub(super) async fn get(
    services: &ApiServices,
    request: Request<GetRoleRequest>,
) -> ServiceAnswer<Role> {
    let (caller, trail) = (caller(&request), trail(&request));
    let name = request.into_inner().name;
    if name.starts_with("roles/") {
        let unknown = || GoogleError::new(Code::NotFound, not_found(&name));
        let found = role::find_role(&name).ok_or_else(unknown)?;
        return Ok(Response::new(predefined_message(found)));
    }
    let asked = AskedParent { caller: &caller, trail: &trail, name: &name };
    let admitted = admit(services, asked, iam::ROLES_GET).await?;
    let name = custom_name(&name)?;
    let found = services.app.engine.identity().find_custom_role(&admitted, &name).await;
    Ok(Response::new(message(found.map_err(failed)?)))
}

pub(super) async fn create(
    services: &ApiServices,
    request: Request<CreateRoleRequest>,
) -> ServiceAnswer<Role> {
    let (admitted, trail) = (admitted(&request)?, trail(&request));
    let CreateRoleRequest { role_id, role, .. } = request.into_inner();
    let role = role.unwrap_or_default();
    let definition = RoleDefinition {
        stage: stage(role.stage.unwrap_or_default())?,
        permissions: included_permissions(&role.included_permissions)?,
        title: role.title,
        description: role.description,
    };
    let identity = services.app.engine.identity();
    let created = identity.create_custom_role(&admitted, &role_id, definition).await;
    let created = message(created.map_err(failed)?);
    trail.note_resource(&created.name);
    Ok(Response::new(created))
}

pub(super) async fn update(
    services: &ApiServices,
    request: Request<UpdateRoleRequest>,
) -> ServiceAnswer<Role> {
    let admitted = admitted(&request)?;
    let UpdateRoleRequest { name, role, update_mask } = request.into_inner();
    let name = custom_name(&name)?;
    let mut role = role.unwrap_or_default();
    let etag = std::mem::take(&mut role.etag);
    let (change, version) = (change(role, update_mask)?, CustomRoleVersion { name, etag });
    let changed =
        services.app.engine.identity().update_custom_role(&admitted, version, change).await;
    Ok(Response::new(message(changed.map_err(failed)?)))
}

pub(super) async fn delete(
    services: &ApiServices,
    request: Request<DeleteRoleRequest>,
) -> ServiceAnswer<Role> {
    let admitted = admitted(&request)?;
    let DeleteRoleRequest { name, etag } = request.into_inner();
    let version = CustomRoleVersion { name: custom_name(&name)?, etag };
    let deleted = services.app.engine.identity().delete_custom_role(&admitted, version).await;
    Ok(Response::new(message(deleted.map_err(failed)?)))
}

pub(super) async fn undelete(
    services: &ApiServices,
    request: Request<UndeleteRoleRequest>,
) -> ServiceAnswer<Role> {
    let admitted = admitted(&request)?;
    let UndeleteRoleRequest { name, etag } = request.into_inner();
    let version = CustomRoleVersion { name: custom_name(&name)?, etag };
    let restored = services.app.engine.identity().undelete_custom_role(&admitted, version).await;
    Ok(Response::new(message(restored.map_err(failed)?)))
}

/// Lists the roles that can be granted on a resource: the predefined ones, and those custom ones that the caller may
/// list.
pub(super) async fn list_grantable(
    services: &ApiServices,
    request: Request<QueryGrantableRolesRequest>,
) -> ServiceAnswer<QueryGrantableRolesResponse> {
    let caller = caller(&request);
    let QueryGrantableRolesRequest { full_resource_name, view, page_size: wanted, page_token } =
        request.into_inner();
    let resource = full_resource(&full_resource_name)?;
    let list = ListIdentity::new(&caller, &["grantable", &resource.to_string()]);
    let (start, limit) = (services.page_start(&list, &page_token)?, page_size(wanted, USUAL_PAGE)?);
    let mut roles = grantable_roles(services, &caller, Resource::Organization).await?;
    if let Some(project) = resource.project() {
        roles.extend(grantable_roles(services, &caller, Resource::Project(project)).await?);
    }
    roles.extend(role::all_roles().map(predefined_message));
    let (mut roles, has_more) = page_of(roles, &start, limit);
    let next = roles.last().filter(|_| has_more).map(|role| role.name.as_str());
    let next_page_token = services.page_token(&list, next)?;
    show_only(&mut roles, view);
    Ok(Response::new(QueryGrantableRolesResponse { roles, next_page_token }))
}

/// Lists all permissions: a custom role can have each of them, whatever resource it is for.
pub(super) fn list_permissions(
    services: &ApiServices,
    request: Request<QueryTestablePermissionsRequest>,
) -> ServiceAnswer<QueryTestablePermissionsResponse> {
    let caller = caller(&request);
    let QueryTestablePermissionsRequest { full_resource_name, page_size: wanted, page_token } =
        request.into_inner();
    let resource = full_resource(&full_resource_name)?;
    let list = ListIdentity::new(&caller, &["permissions", &resource.to_string()]);
    let (start, limit) = (services.page_start(&list, &page_token)?, page_size(wanted, 1_000)?);
    let mut rest =
        all_permissions().iter().map(|known| known.as_str()).filter(|name| *name > &*start);
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let next = page.last().copied().filter(|_| rest.next().is_some());
    let next_page_token = services.page_token(&list, next)?;
    let permission = |name: &str| Permission { name: name.to_owned(), ..Permission::default() };
    let permissions = page.into_iter().map(permission).collect();
    Ok(Response::new(QueryTestablePermissionsResponse { permissions, next_page_token }))
}

/// A request for custom roles, and the name of a role or of its parent.
struct AskedParent<'a> {
    caller: &'a Caller,
    trail: &'a AuditRecorder,
    name: &'a str,
}

/// Proves a permission on the parent of custom roles, and notes that for the audit log. The gate does not, because
/// predefined roles need no permission.
async fn admit(
    services: &ApiServices,
    asked: AskedParent<'_>,
    permission: KnownPermission,
) -> Result<Authorized, Status> {
    let AskedParent { caller, trail, name } = asked;
    let parent = match name.parse() {
        Ok(parent @ (Resource::Organization | Resource::Project(_))) => parent,
        Ok(_) | Err(_) => return Err(bad_field("name", CustomRoleNameError::Form)),
    };
    trail.note_resource(&name);
    let admitted = services.app.engine.identity().admit(caller, permission, parent.clone()).await;
    let admitted = admitted.map_err(EngineError::from);
    trail.note_check(permission, &parent, &admitted);
    admitted.map_err(failed)
}

/// Returns the custom roles of a parent that can be granted: none for a caller who may not list them.
async fn grantable_roles(
    services: &ApiServices,
    caller: &Caller,
    parent: Resource,
) -> Result<Vec<Role>, Status> {
    let identity = services.app.engine.identity();
    if !identity.may(caller, iam::ROLES_LIST, &parent).await.map_err(failed)? {
        return Ok(Vec::new());
    }
    let admitted = identity.admit(caller, iam::ROLES_LIST, parent).await.map_err(failed)?;
    // A parent has no more roles than this.
    let page = CustomRolePage { last: String::new(), limit: 1_000, show_deleted: false };
    let (found, _) = identity.list_custom_roles(&admitted, page).await.map_err(failed)?;
    let usable = found.into_iter().filter(|role| role.definition.stage != RoleStage::Disabled);
    Ok(usable.map(message).collect())
}

/// Parses `//HOST/NAME`. gcloud sends the host of its endpoint, so that any host is good.
fn full_resource(full_name: &str) -> Result<Resource, Status> {
    const FIELD: &str = "full_resource_name";
    let name = full_name.strip_prefix("//").and_then(|rest| rest.split_once('/'));
    let (_, name) = name.ok_or_else(|| {
        bad_field(FIELD, "has to be the name of a resource after //iam.googleapis.com/")
    })?;
    names::resource(FIELD, name)
}

fn custom_name(name: &str) -> Result<CustomRoleName, Status> {
    name.parse().map_err(|problem| bad_field("name", problem))
}

fn included_permissions(names: &[String]) -> Result<PermissionSet, Status> {
    parse_permissions(names).map_err(|problem| bad_field(problem.field(), problem))
}

/// Returns the change that an update asks for. Without a mask, the fields that are not empty change.
fn change(role: Role, mask: Option<FieldMask>) -> Result<CustomRoleChange, Status> {
    const FIELDS: [&str; 4] = ["title", "description", "stage", "included_permissions"];
    let mask = mask.map(|mask| mask.paths).unwrap_or_default();
    for path in &mask {
        // Clients send the etag and the name back.
        if !FIELDS.contains(&path.as_str()) && !["etag", "name", "*"].contains(&path.as_str()) {
            return Err(bad_field("update_mask", format!("{path} cannot be changed")));
        }
    }
    let is_set = |field: &str, is_empty: bool| match mask.as_slice() {
        [] => !is_empty,
        paths => paths.iter().any(|path| path == field || path == "*"),
    };
    let permissions = &role.included_permissions;
    Ok(CustomRoleChange {
        permissions: is_set("included_permissions", permissions.is_empty())
            .then(|| included_permissions(permissions))
            .transpose()?,
        stage: is_set("stage", role.stage.is_none())
            .then(|| stage(role.stage.unwrap_or_default()))
            .transpose()?,
        title: is_set("title", role.title.is_empty()).then_some(role.title),
        description: is_set("description", role.description.is_empty()).then_some(role.description),
    })
}

fn stage(number: i32) -> Result<RoleStage, Status> {
    Ok(match RoleLaunchStage::try_from(number) {
        Ok(RoleLaunchStage::Alpha) => RoleStage::Alpha,
        Ok(RoleLaunchStage::Beta) => RoleStage::Beta,
        Ok(RoleLaunchStage::Ga) => RoleStage::Ga,
        Ok(RoleLaunchStage::Deprecated) => RoleStage::Deprecated,
        Ok(RoleLaunchStage::Disabled) => RoleStage::Disabled,
        Ok(RoleLaunchStage::Eap) => RoleStage::Eap,
        Err(_) => return Err(bad_field("role.stage", "is not a launch stage")),
    })
}

fn stage_message(stage: RoleStage) -> RoleLaunchStage {
    match stage {
        RoleStage::Alpha => RoleLaunchStage::Alpha,
        RoleStage::Beta => RoleLaunchStage::Beta,
        RoleStage::Ga => RoleLaunchStage::Ga,
        RoleStage::Deprecated => RoleLaunchStage::Deprecated,
        RoleStage::Disabled => RoleLaunchStage::Disabled,
        RoleStage::Eap => RoleLaunchStage::Eap,
    }
}

fn not_found(name: &str) -> String {
    format!("The role named {name} was not found.")
}

/// Returns the roles whose names sort after `start`, at most `limit`, and whether there are more.
fn page_of(mut roles: Vec<Role>, start: &str, limit: usize) -> (Vec<Role>, bool) {
    roles.retain(|role| role.name.as_str() > start);
    roles.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let has_more = roles.len() > limit;
    roles.truncate(limit);
    (roles, has_more)
}

/// Leaves the permissions out of a list, unless the client wants them.
fn show_only(roles: &mut [Role], view: i32) {
    if view != RoleView::Full as i32 {
        roles.iter_mut().for_each(|role| role.included_permissions.clear());
    }
}

fn permission_names(permissions: PermissionSet) -> Vec<String> {
    permissions.iter().map(|held| held.as_str().to_owned()).collect()
}

fn predefined_message(found: &PredefinedRole) -> Role {
    Role {
        name: found.name.to_owned(),
        title: found.title.to_owned(),
        included_permissions: permission_names(found.permissions()),
        stage: Some(RoleLaunchStage::Ga as i32),
        etag: FIXED_ETAG.to_vec(),
        ..Role::default()
    }
}

fn message(found: CustomRole) -> Role {
    let CustomRole { name, definition, etag, deleted } = found;
    let RoleDefinition { title, description, stage, permissions } = definition;
    Role {
        name: name.to_string(),
        title,
        description,
        included_permissions: permission_names(permissions),
        stage: Some(stage_message(stage) as i32),
        etag,
        deleted,
    }
}
