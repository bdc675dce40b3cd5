//! IAM: service accounts and their keys. The methods about roles are in `roles`.

use identity::{AccountChange, AccountKeyRow, AccountRow, Authorized, KeyKind, NewAccount};
use proto::google::iam::admin::v1::iam_server::Iam;
use proto::google::iam::admin::v1::list_service_account_keys_request::KeyType;
use proto::google::iam::admin::v1::*;
use proto::google::iam::v1::{
    GetIamPolicyRequest, Policy, SetIamPolicyRequest, TestIamPermissionsRequest,
    TestIamPermissionsResponse,
};
use tonic::{Request, Response, Status};

use super::{
    ApiServices, ListIdentity, ServiceAnswer, admitted, bad_field, base_url, failed, names,
    page_size, roles, timestamp, trail,
};
use model::permissions::iam;

#[tonic::async_trait]
impl Iam for ApiServices {
    async fn list_service_accounts(
        &self,
        request: Request<ListServiceAccountsRequest>,
    ) -> Result<Response<ListServiceAccountsResponse>, Status> {
        let admitted = admitted(&request)?;
        let ListServiceAccountsRequest { name, page_size: wanted, page_token: token } =
            request.into_inner();
        let list = ListIdentity::new(admitted.caller(), &["accounts", &name]);
        let (start, size) = (self.page_start(&list, &token)?, page_size(wanted, 100)?);
        let accounts = self.app.engine.identity().list_accounts(&admitted, &start, size);
        let (found, more) = accounts.await.map_err(failed)?;
        let next = found.last().filter(|_| more).map(|account| account.email.as_str());
        let next_page_token = self.page_token(&list, next)?;
        let accounts = found.into_iter().map(account).collect();
        Ok(Response::new(ListServiceAccountsResponse { accounts, next_page_token }))
    }

    async fn get_service_account(
        &self,
        request: Request<GetServiceAccountRequest>,
    ) -> Result<Response<ServiceAccount>, Status> {
        let found =
            self.app.engine.identity().find_account(&admitted(&request)?).await.map_err(failed)?;
        Ok(Response::new(account(found)))
    }

    async fn create_service_account(
        &self,
        request: Request<CreateServiceAccountRequest>,
    ) -> Result<Response<ServiceAccount>, Status> {
        let (admitted, trail) = (admitted(&request)?, trail(&request));
        let CreateServiceAccountRequest { account_id, service_account, .. } = request.into_inner();
        let new = service_account.unwrap_or_default();
        check_names(&new)?;
        let ServiceAccount { display_name, description, .. } = new;
        let new = NewAccount { id: account_id, display_name, description };
        let created =
            self.app.engine.identity().create_account(&admitted, new).await.map_err(failed)?;
        let created = account(created);
        trail.note_resource(&created.name);
        Ok(Response::new(created))
    }

    async fn update_service_account(
        &self,
        request: Request<ServiceAccount>,
    ) -> Result<Response<ServiceAccount>, Status> {
        let admitted = admitted(&request)?;
        let new = request.into_inner();
        check_names(&new)?;
        let change = AccountChange {
            display_name: Some(new.display_name),
            description: Some(new.description),
            disabled: None,
        };
        let changed = self.change_account(&admitted, iam::SERVICE_ACCOUNTS_UPDATE, change).await?;
        Ok(Response::new(changed))
    }

    async fn patch_service_account(
        &self,
        request: Request<PatchServiceAccountRequest>,
    ) -> Result<Response<ServiceAccount>, Status> {
        let admitted = admitted(&request)?;
        let PatchServiceAccountRequest { service_account, update_mask } = request.into_inner();
        let new = service_account.unwrap_or_default();
        check_names(&new)?;
        let mask = update_mask.map(|mask| mask.paths);
        let masked =
            |field: &str| mask.as_ref().is_none_or(|paths| paths.iter().any(|path| path == field));
        for path in mask.iter().flatten() {
            if !["display_name", "description", "etag"].contains(&path.as_str()) {
                return Err(bad_field("update_mask", format!("{path} cannot be changed")));
            }
        }
        let change = AccountChange {
            display_name: masked("display_name").then_some(new.display_name),
            description: masked("description").then_some(new.description),
            disabled: None,
        };
        let changed = self.change_account(&admitted, iam::SERVICE_ACCOUNTS_UPDATE, change).await?;
        Ok(Response::new(changed))
    }

    async fn delete_service_account(
        &self,
        request: Request<DeleteServiceAccountRequest>,
    ) -> Result<Response<()>, Status> {
        self.app.engine.identity().delete_account(&admitted(&request)?).await.map_err(failed)?;
        Ok(Response::new(()))
    }

    async fn enable_service_account(
        &self,
        request: Request<EnableServiceAccountRequest>,
    ) -> Result<Response<()>, Status> {
        let change = AccountChange { disabled: Some(false), ..AccountChange::default() };
        let admitted = admitted(&request)?;
        self.change_account(&admitted, iam::SERVICE_ACCOUNTS_ENABLE, change).await?;
        Ok(Response::new(()))
    }

    async fn disable_service_account(
        &self,
        request: Request<DisableServiceAccountRequest>,
    ) -> Result<Response<()>, Status> {
        let change = AccountChange { disabled: Some(true), ..AccountChange::default() };
        let admitted = admitted(&request)?;
        self.change_account(&admitted, iam::SERVICE_ACCOUNTS_DISABLE, change).await?;
        Ok(Response::new(()))
    }

    async fn list_service_account_keys(
        &self,
        request: Request<ListServiceAccountKeysRequest>,
    ) -> Result<Response<ListServiceAccountKeysResponse>, Status> {
        let found =
            self.app.engine.identity().list_keys(&admitted(&request)?).await.map_err(failed)?;
        let wanted = request.into_inner().key_types;
        let mut keys: Vec<_> = found.into_iter().map(key).collect();
        keys.retain(|key| wanted.is_empty() || wanted.contains(&key.key_type));
        Ok(Response::new(ListServiceAccountKeysResponse { keys }))
    }

    async fn get_service_account_key(
        &self,
        request: Request<GetServiceAccountKeyRequest>,
    ) -> Result<Response<ServiceAccountKey>, Status> {
        let admitted = admitted(&request)?;
        let request = request.into_inner();
        let id = names::last_segment(&request.name);
        let found = self.app.engine.identity().find_key(&admitted, id).await.map_err(failed)?;
        let public = found.public_key.clone();
        let mut message = key(found);
        if request.public_key_type == ServiceAccountPublicKeyType::TypeRawPublicKey as i32 {
            message.public_key_data = pem("PUBLIC KEY", &public).into_bytes();
        }
        Ok(Response::new(message))
    }

    async fn create_service_account_key(
        &self,
        request: Request<CreateServiceAccountKeyRequest>,
    ) -> Result<Response<ServiceAccountKey>, Status> {
        let (admitted, trail) = (admitted(&request)?, trail(&request));
        let token_uri = format!("{}/token", base_url(&request, &self.app));
        let CreateServiceAccountKeyRequest { private_key_type, key_algorithm, .. } =
            request.into_inner();
        let file = ServiceAccountPrivateKeyType::TypeGoogleCredentialsFile as i32;
        if private_key_type != file && private_key_type != 0 {
            return Err(bad_field(
                "private_key_type",
                "only TYPE_GOOGLE_CREDENTIALS_FILE is supported",
            ));
        }
        let rsa_2048 = ServiceAccountKeyAlgorithm::KeyAlgRsa2048 as i32;
        if key_algorithm != rsa_2048 && key_algorithm != 0 {
            return Err(bad_field("key_algorithm", "only KEY_ALG_RSA_2048 is supported"));
        }
        let new =
            self.app.engine.identity().create_key(&admitted, &token_uri).await.map_err(failed)?;
        let mut message = key(new.key);
        trail.note_resource(&message.name);
        message.private_key_type = file;
        message.private_key_data = new.file.into_bytes();
        Ok(Response::new(message))
    }

    async fn delete_service_account_key(
        &self,
        request: Request<DeleteServiceAccountKeyRequest>,
    ) -> Result<Response<()>, Status> {
        let admitted = admitted(&request)?;
        let name = request.into_inner().name;
        self.app
            .engine
            .identity()
            .delete_key(&admitted, names::last_segment(&name))
            .await
            .map_err(failed)?;
        Ok(Response::new(()))
    }

    async fn disable_service_account_key(
        &self,
        request: Request<DisableServiceAccountKeyRequest>,
    ) -> Result<Response<()>, Status> {
        let admitted = admitted(&request)?;
        let name = request.into_inner().name;
        let switched =
            self.app.engine.identity().disable_key(&admitted, names::last_segment(&name)).await;
        switched.map(Response::new).map_err(failed)
    }

    async fn enable_service_account_key(
        &self,
        request: Request<EnableServiceAccountKeyRequest>,
    ) -> Result<Response<()>, Status> {
        let admitted = admitted(&request)?;
        let name = request.into_inner().name;
        let switched =
            self.app.engine.identity().enable_key(&admitted, names::last_segment(&name)).await;
        switched.map(Response::new).map_err(failed)
    }

    async fn get_iam_policy(
        &self,
        request: Request<GetIamPolicyRequest>,
    ) -> Result<Response<Policy>, Status> {
        self.get_policy(request, iam::SERVICE_ACCOUNTS_GET_IAM_POLICY).await
    }

    async fn set_iam_policy(
        &self,
        request: Request<SetIamPolicyRequest>,
    ) -> Result<Response<Policy>, Status> {
        self.set_policy(request, iam::SERVICE_ACCOUNTS_SET_IAM_POLICY).await
    }

    async fn test_iam_permissions(
        &self,
        request: Request<TestIamPermissionsRequest>,
    ) -> Result<Response<TestIamPermissionsResponse>, Status> {
        self.test_permissions(request).await
    }

    async fn list_roles(
        &self,
        request: Request<ListRolesRequest>,
    ) -> ServiceAnswer<ListRolesResponse> {
        roles::list(self, request).await
    }

    async fn get_role(&self, request: Request<GetRoleRequest>) -> ServiceAnswer<Role> {
        roles::get(self, request).await
    }

    async fn create_role(&self, request: Request<CreateRoleRequest>) -> ServiceAnswer<Role> {
        roles::create(self, request).await
    }

    async fn update_role(&self, request: Request<UpdateRoleRequest>) -> ServiceAnswer<Role> {
        roles::update(self, request).await
    }

    async fn delete_role(&self, request: Request<DeleteRoleRequest>) -> ServiceAnswer<Role> {
        roles::delete(self, request).await
    }

    async fn undelete_role(&self, request: Request<UndeleteRoleRequest>) -> ServiceAnswer<Role> {
        roles::undelete(self, request).await
    }

    async fn query_grantable_roles(
        &self,
        request: Request<QueryGrantableRolesRequest>,
    ) -> ServiceAnswer<QueryGrantableRolesResponse> {
        roles::list_grantable(self, request).await
    }

    async fn query_testable_permissions(
        &self,
        request: Request<QueryTestablePermissionsRequest>,
    ) -> ServiceAnswer<QueryTestablePermissionsResponse> {
        roles::list_permissions(self, request)
    }
}

impl ApiServices {
    /// Changes the account of a request, with the permission that the gate has checked.
    async fn change_account(
        &self,
        admitted: &Authorized,
        permission: model::permission::Permission,
        change: AccountChange,
    ) -> Result<ServiceAccount, Status> {
        let changed = self.app.engine.identity().update_account(admitted, permission, change).await;
        Ok(account(changed.map_err(failed)?))
    }
}

fn check_names(account: &ServiceAccount) -> Result<(), Status> {
    for (field, text, longest) in [
        ("service_account.display_name", &account.display_name, 100),
        ("service_account.description", &account.description, 256),
    ] {
        if text.chars().count() > longest || text.contains('\0') {
            return Err(bad_field(field, format!("at most {longest} characters")));
        }
    }
    Ok(())
}

fn account(found: AccountRow) -> ServiceAccount {
    ServiceAccount {
        name: format!("projects/{}/serviceAccounts/{}", found.project, found.email),
        project_id: found.project,
        oauth2_client_id: found.unique_id.clone(),
        unique_id: found.unique_id,
        email: found.email,
        display_name: found.display_name,
        description: found.description,
        etag: found.updated_at.to_be_bytes().to_vec(),
        disabled: found.disabled,
    }
}

fn key(found: AccountKeyRow) -> ServiceAccountKey {
    let project = found.account.parse::<model::principal::AccountEmail>();
    let project = project.map(|email| email.project().to_string()).unwrap_or_default();
    let kind = match KeyKind::of(&found) {
        KeyKind::UserManaged => KeyType::UserManaged,
        KeyKind::SystemManaged => KeyType::SystemManaged,
    };
    ServiceAccountKey {
        name: format!("projects/{project}/serviceAccounts/{}/keys/{}", found.account, found.id),
        key_algorithm: ServiceAccountKeyAlgorithm::KeyAlgRsa2048 as i32,
        key_origin: ServiceAccountKeyOrigin::GoogleProvided as i32,
        key_type: kind as i32,
        valid_after_time: Some(timestamp(found.valid_after)),
        valid_before_time: Some(timestamp(found.valid_before)),
        disabled: found.disabled,
        ..ServiceAccountKey::default()
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
