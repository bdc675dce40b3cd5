//! IAM Credentials: acting as a service account.

use std::time::Duration;

use engine::EngineError;
use identity::{Caller, IdTokenRequest, ImpersonationChain};
use model::resource::Resource;
use proto::google::iam::credentials::v1::iam_credentials_server::IamCredentials;
use proto::google::iam::credentials::v1::{
    GenerateAccessTokenRequest, GenerateAccessTokenResponse, GenerateIdTokenRequest,
    GenerateIdTokenResponse, SignBlobRequest, SignBlobResponse, SignJwtRequest, SignJwtResponse,
};
use tonic::{Request, Response, Status};

use super::{ApiServices, bad_field, base_url, caller, failed, names, timestamp, trail};
use model::permission::Permission;
use model::permissions::iam;
use web::audit::AuditRecorder;

fn chain(name: &str, delegates: &[String]) -> Result<ImpersonationChain, Status> {
    let delegates: Result<_, _> =
        delegates.iter().map(|delegate| names::account("delegates", delegate)).collect();
    Ok(ImpersonationChain { delegates: delegates?, account: names::account("name", name)? })
}

/// Notes the account that the caller acted as, the delegates, and the permissions for the audit log. The gate does not
/// ask for these permissions: `identity` asks for one after the other along the chain.
fn note_impersonation<T>(
    trail: &AuditRecorder,
    chain: &ImpersonationChain,
    permission: Permission,
    outcome: Result<T, impl Into<EngineError>>,
) -> Result<T, Status> {
    let outcome = outcome.map_err(Into::into);
    let resource = Resource::ServiceAccount(chain.account.clone());
    trail.note_resource(&resource);
    for delegate in chain.delegates.iter().filter(|_| outcome.is_ok()) {
        let delegate = Resource::ServiceAccount(delegate.clone());
        trail.note_check(iam::SERVICE_ACCOUNTS_IMPLICIT_DELEGATION, &delegate, &outcome);
    }
    trail.note_check(permission, &resource, &outcome);
    outcome.map_err(failed)
}

impl ApiServices {
    /// Signs the claims in `payload` as an account. Returns the id of its key and the token.
    async fn sign_claims(
        &self,
        caller: &Caller,
        chain: &ImpersonationChain,
        payload: String,
    ) -> Result<(String, String), EngineError> {
        let engine = &self.app.engine;
        let signer = engine.identity().jwt_signer(caller, chain).await?;
        let key_id = signer.key_id.clone();
        let length = payload.len();
        let token = engine.parsing().run(length, move || signer.sign(&payload)).await??;
        Ok((key_id, token))
    }
}

#[tonic::async_trait]
impl IamCredentials for ApiServices {
    async fn generate_access_token(
        &self,
        request: Request<GenerateAccessTokenRequest>,
    ) -> Result<Response<GenerateAccessTokenResponse>, Status> {
        let (caller, trail) = (caller(&request), trail(&request));
        let GenerateAccessTokenRequest { name, delegates, scope, lifetime } = request.into_inner();
        let chain = chain(&name, &delegates)?;
        let lifetime: Option<Duration> = lifetime
            .map(|lifetime| lifetime.try_into().map_err(|_| bad_field("lifetime", "is negative")))
            .transpose()?;
        let issued = self
            .app
            .engine
            .identity()
            .generate_access_token(&caller, &chain, &scope, lifetime)
            .await;
        let issued =
            note_impersonation(&trail, &chain, iam::SERVICE_ACCOUNTS_GET_ACCESS_TOKEN, issued)?;
        let expires_at = issued.issued_at.saturating_add(issued.expires_in);
        Ok(Response::new(GenerateAccessTokenResponse {
            access_token: issued.token,
            expire_time: Some(timestamp(expires_at.saturating_mul(1_000_000))),
        }))
    }

    async fn generate_id_token(
        &self,
        request: Request<GenerateIdTokenRequest>,
    ) -> Result<Response<GenerateIdTokenResponse>, Status> {
        let (caller, trail) = (caller(&request), trail(&request));
        // The issuer is the same in all tokens, whatever host a request names, because programs that check a token
        // compare it.
        let issuer = self.app.origin.fixed().unwrap_or_else(|| base_url(&request, &self.app));
        let GenerateIdTokenRequest { name, delegates, audience, include_email } =
            request.into_inner();
        let chain = chain(&name, &delegates)?;
        let id_token = IdTokenRequest { audience: &audience, issuer: &issuer, include_email };
        let token = self.app.engine.identity().generate_id_token(&caller, &chain, id_token).await;
        let token =
            note_impersonation(&trail, &chain, iam::SERVICE_ACCOUNTS_GET_OPEN_ID_TOKEN, token)?;
        Ok(Response::new(GenerateIdTokenResponse { token }))
    }

    async fn sign_blob(
        &self,
        request: Request<SignBlobRequest>,
    ) -> Result<Response<SignBlobResponse>, Status> {
        let (caller, trail) = (caller(&request), trail(&request));
        let SignBlobRequest { name, delegates, payload } = request.into_inner();
        let chain = chain(&name, &delegates)?;
        let signed = self.app.engine.identity().sign_blob(&caller, &chain, &payload).await;
        let signed = note_impersonation(&trail, &chain, iam::SERVICE_ACCOUNTS_SIGN_BLOB, signed);
        let (key_id, signed_blob) = signed?;
        Ok(Response::new(SignBlobResponse { key_id, signed_blob }))
    }

    async fn sign_jwt(
        &self,
        request: Request<SignJwtRequest>,
    ) -> Result<Response<SignJwtResponse>, Status> {
        let (caller, trail) = (caller(&request), trail(&request));
        let SignJwtRequest { name, delegates, payload } = request.into_inner();
        let chain = chain(&name, &delegates)?;
        let signed = self.sign_claims(&caller, &chain, payload).await;
        let signed = note_impersonation(&trail, &chain, iam::SERVICE_ACCOUNTS_SIGN_JWT, signed);
        let (key_id, signed_jwt) = signed?;
        Ok(Response::new(SignJwtResponse { key_id, signed_jwt }))
    }
}
