//! Impersonation: tokens and signatures of a service account, for callers who may act as it.

use std::time::Duration;

use meta::accounts::{self, AccountKeyRow};
use model::json;
use model::permission::Permission;
use model::principal::{AccountEmail, Principal};
use model::resource::Resource;

use crate::accounts::service_accounts::find_account;
use crate::caller::{Caller, TokenSubject};
use crate::credentials::account_key::KeyKind;
use crate::credentials::crypto::AccountKey;
use crate::credentials::jwt::{self, TokenHeader};
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::tokens::exchange::{IdTokenRequest, MAX_LIFETIME};
use crate::tokens::issue::{IssuedToken, TokenLimits, TokenPurpose};
use crate::tokens::provenance::TokenProvenance;
use model::permissions::iam;

/// An account that the caller acts as, and the delegates in between.
#[derive(Debug, Clone)]
pub struct ImpersonationChain {
    /// The delegates: the caller may act as the first, each as the next, and the last as `account`.
    pub delegates: Vec<AccountEmail>,
    /// The account itself.
    pub account: AccountEmail,
}

impl Identity {
    /// Makes an access token for an account.
    pub async fn generate_access_token(
        &self,
        caller: &Caller,
        chain: &ImpersonationChain,
        scopes: &[String],
        lifetime: Option<Duration>,
    ) -> Result<IssuedToken, IdentityError> {
        if scopes.is_empty() {
            return Err(IdentityError::InvalidArgument {
                field: "scope",
                problem: "at least one scope must be given".to_owned(),
            });
        }
        let lifetime = lifetime.unwrap_or(MAX_LIFETIME);
        if lifetime.is_zero() || lifetime > MAX_LIFETIME {
            return Err(IdentityError::InvalidArgument {
                field: "lifetime",
                problem: "a token lives for more than 0 and at most 3600 seconds".to_owned(),
            });
        }
        let (subject, _) =
            self.impersonate(caller, chain, iam::SERVICE_ACCOUNTS_GET_ACCESS_TOKEN).await?;
        let limits = TokenLimits { scope: Some(scopes.join(" ")), ..TokenLimits::default() };
        self.issue(TokenPurpose::Access, &subject, lifetime, limits).await
    }

    /// Makes an ID token for an account.
    pub async fn generate_id_token(
        &self,
        caller: &Caller,
        chain: &ImpersonationChain,
        request: IdTokenRequest<'_>,
    ) -> Result<String, IdentityError> {
        if request.audience.is_empty() {
            return Err(IdentityError::InvalidArgument {
                field: "audience",
                problem: "an audience must be given".to_owned(),
            });
        }
        let (subject, _) =
            self.impersonate(caller, chain, iam::SERVICE_ACCOUNTS_GET_OPEN_ID_TOKEN).await?;
        self.id_token(&subject, request).await
    }

    /// Signs bytes with the system-managed key of an account. Returns the id of the key, and the signature.
    pub async fn sign_blob(
        &self,
        caller: &Caller,
        chain: &ImpersonationChain,
        bytes: &[u8],
    ) -> Result<(String, Vec<u8>), IdentityError> {
        let (_, key) = self.impersonate(caller, chain, iam::SERVICE_ACCOUNTS_SIGN_BLOB).await?;
        let pair = self.open_key(&key)?;
        let signature = pair.sign(bytes).map_err(|_| unusable_key())?;
        Ok((key.id, signature))
    }

    /// Returns the system-managed key of an account, to sign claims with.
    pub async fn jwt_signer(
        &self,
        caller: &Caller,
        chain: &ImpersonationChain,
    ) -> Result<JwtSigner, IdentityError> {
        let (_, key) = self.impersonate(caller, chain, iam::SERVICE_ACCOUNTS_SIGN_JWT).await?;
        Ok(JwtSigner { pair: self.open_key(&key)?, key_id: key.id })
    }

    fn open_key(&self, key: &AccountKeyRow) -> Result<AccountKey, IdentityError> {
        let sealed = key.sealed_private_key.as_deref().ok_or_else(unusable_key)?;
        let private = self.master.open(&key.id, sealed).map_err(|_| unusable_key())?;
        AccountKey::from_pkcs8(&private).map_err(|_| unusable_key())
    }

    /// Checks every link of the chain: each account may delegate to the next, and the last one has the permission on
    /// the account. A token for the returned subject depends on all of them.
    async fn impersonate(
        &self,
        caller: &Caller,
        chain: &ImpersonationChain,
        permission: Permission,
    ) -> Result<(TokenSubject, AccountKeyRow), IdentityError> {
        const MAX_DELEGATES: usize = 10;
        if chain.delegates.len() > MAX_DELEGATES {
            return Err(IdentityError::InvalidArgument {
                field: "delegates",
                problem: format!("a chain has at most {MAX_DELEGATES} delegates"),
            });
        }
        let (mut acting, mut delegates) = (caller.clone(), Vec::new());
        for delegate in &chain.delegates {
            let resource = Resource::ServiceAccount(delegate.clone());
            self.admit(&acting, iam::SERVICE_ACCOUNTS_IMPLICIT_DELEGATION, resource).await?;
            let (subject, _) = self.system_managed_key(delegate).await?;
            acting = as_account(&subject, caller);
            delegates.extend(subject.uid);
        }
        self.admit(&acting, permission, Resource::ServiceAccount(chain.account.clone())).await?;
        let (subject, key) = self.system_managed_key(&chain.account).await?;
        let provenance = caller.authenticated_by.provenance_through(delegates)?;
        Ok((TokenSubject { provenance, ..subject }, key))
    }

    /// Returns the subject of an account that is enabled, and its system-managed key.
    async fn system_managed_key(
        &self,
        email: &AccountEmail,
    ) -> Result<(TokenSubject, AccountKeyRow), IdentityError> {
        let email = email.clone();
        let reading = self.read(move |tx| {
            find_account(tx, &email)?;
            // No error of the credential: the caller's own is good, and signing in again would not help.
            let account = accounts::find_enabled(tx, email.as_str())?.ok_or_else(|| {
                IdentityError::Precondition(format!("Service account {email} is disabled."))
            })?;
            let key = accounts::list_keys(tx, email.as_str())?
                .into_iter()
                .find(|key| KeyKind::of(key) == KeyKind::SystemManaged)
                .ok_or_else(unusable_key)?;
            let subject = TokenSubject {
                principal: Principal::ServiceAccount(email.clone()),
                uid: Some(account.unique_id),
                key: None,
                provenance: TokenProvenance::default(),
            };
            Ok((subject, key))
        });
        reading.await
    }
}

/// The system-managed key of an account, for a caller who may sign tokens with it.
pub struct JwtSigner {
    pair: AccountKey,
    /// The id of the key.
    pub key_id: String,
}

impl JwtSigner {
    /// Returns a token with the claims that are in `payload`. A long payload takes long to parse.
    ///
    /// # Errors
    /// Fails if the payload is no JSON object, or has a key twice.
    pub fn sign(&self, payload: &str) -> Result<String, IdentityError> {
        sign_claims(&self.pair, self.key_id.clone(), payload)
    }
}

fn sign_claims(pair: &AccountKey, kid: String, payload: &str) -> Result<String, IdentityError> {
    let claims: serde_json::Map<String, serde_json::Value> =
        json::parse_document(payload.as_bytes(), &jwt::CLAIMS)
            .map_err(|error| IdentityError::invalid("payload", json::describe_error(&error)))?;
    let header =
        TokenHeader { alg: "RS256".to_owned(), typ: Some("JWT".to_owned()), kid: Some(kid) };
    jwt::encode(&header, &claims, |message| pair.sign(message)).map_err(|_| unusable_key())
}

/// Returns the caller for an account that `caller` acts as. With `--dev`, that one may do everything, too.
fn as_account(subject: &TokenSubject, caller: &Caller) -> Caller {
    let caller_of_account = Caller::new(subject.principal.clone(), caller.mode);
    Caller { oauth_scopes: caller.oauth_scopes, ..caller_of_account }
}

fn unusable_key() -> IdentityError {
    IdentityError::Internal("an account's system-managed key cannot be used".to_owned())
}
