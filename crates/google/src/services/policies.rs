//! The methods about policies, for every kind of resource that has one.

use identity::{Caller, StoredPolicy};
use model::iam_policy::{IamPolicy, UncheckedBinding};
use model::permission::Permission;
use proto::google::iam::v1::{
    Binding, GetIamPolicyRequest, Policy as Message, SetIamPolicyRequest,
    TestIamPermissionsRequest, TestIamPermissionsResponse,
};
use tonic::{Request, Response, Status};

use super::{ApiServices, admitted, bad_field, caller, failed, names};

impl ApiServices {
    pub(super) async fn get_policy(
        &self,
        request: Request<GetIamPolicyRequest>,
        permission: Permission,
    ) -> Result<Response<Message>, Status> {
        let admitted = admitted(&request)?;
        let stored =
            self.app.engine.identity().get_policy(&admitted, permission).await.map_err(failed)?;
        Ok(Response::new(message(&stored)))
    }

    pub(super) async fn set_policy(
        &self,
        request: Request<SetIamPolicyRequest>,
        permission: Permission,
    ) -> Result<Response<Message>, Status> {
        let admitted = admitted(&request)?;
        let new = request.into_inner().policy.unwrap_or_default();
        let bindings: Vec<_> = new.bindings.into_iter().map(unchecked_binding).collect();
        let policy = IamPolicy::new(&bindings).map_err(|problem| bad_field("policy", problem))?;
        let set =
            self.app.engine.identity().set_policy(&admitted, permission, policy, new.etag).await;
        Ok(Response::new(message(&set.map_err(failed)?)))
    }

    pub(super) async fn test_permissions(
        &self,
        request: Request<TestIamPermissionsRequest>,
    ) -> Result<Response<TestIamPermissionsResponse>, Status> {
        const MAX_PERMISSIONS: usize = 100;
        let caller: Caller = caller(&request);
        let TestIamPermissionsRequest { resource, permissions } = request.into_inner();
        if permissions.len() > MAX_PERMISSIONS {
            return Err(bad_field("permissions", format!("at most {MAX_PERMISSIONS} at once")));
        }
        let resource = names::resource("resource", &resource)?;
        let held =
            self.app.engine.identity().test_permissions(&caller, &resource, &permissions).await;
        let permissions = held.map_err(failed)?;
        Ok(Response::new(TestIamPermissionsResponse { permissions }))
    }
}

fn unchecked_binding(binding: Binding) -> UncheckedBinding {
    let Binding { role, members, condition } = binding;
    UncheckedBinding { role, members, has_condition: condition.is_some() }
}

fn message(stored: &StoredPolicy) -> Message {
    let bindings = stored.policy.bindings().iter().filter(|binding| !binding.members.is_empty());
    let bindings = bindings.map(|binding| Binding {
        role: binding.role.as_str().to_owned(),
        members: binding.members.iter().map(ToString::to_string).collect(),
        condition: None,
    });
    Message {
        version: 1,
        etag: stored.etag.clone(),
        bindings: bindings.collect(),
        ..Message::default()
    }
}
