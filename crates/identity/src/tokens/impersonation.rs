//! Impersonation: tokens and signatures of a service account, for callers who may act as it.

use std::time::Duration;

use meta::accounts::{self, AccountKeyRow};
use model::json;
use model::permission::Permission;
use model::principal::{AccountEmail, Principal};
use model::resource::Resource;

use crate::accounts::service_accounts::find_account;
use crate::caller::{AuthorizationMode, Caller, TokenSubject};
use crate::credentials::account_key::KeyKind;
use crate::credentials::crypto::AccountKey;
use crate::credentials::jwt::{self, TokenHeader};
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::tokens::exchange::{IncludeEmail, LIFETIME};
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
        (scope, lifetime): (&[String], Option<Duration>),
    ) -> Result<IssuedToken, IdentityError> {
        if scope.is_empty() {
            return Err(IdentityError::InvalidArgument {
                field: "scope",
                problem: "at least one scope must be given".to_owned(),
            });
        }
        let lifetime = lifetime.unwrap_or(LIFETIME);
        if lifetime.is_zero() || lifetime > LIFETIME {
            return Err(IdentityError::InvalidArgument {
                field: "lifetime",
                problem: "a token lives for more than 0 and at most 3600 seconds".to_owned(),
            });
        }
        let (bearer, _) =
            self.impersonate(caller, chain, iam::SERVICE_ACCOUNTS_GET_ACCESS_TOKEN).await?;
        let limits = TokenLimits { scope: Some(scope.join(" ")), ..TokenLimits::default() };
        self.issue((TokenPurpose::Access, &bearer), lifetime, limits).await
    }

    /// Makes an ID token for an account.
    pub async fn generate_id_token(
        &self,
        caller: &Caller,
        chain: &ImpersonationChain,
        (audience, issuer, include_email): (&str, &str, bool),
    ) -> Result<String, IdentityError> {
        if audience.is_empty() {
            return Err(IdentityError::InvalidArgument {
                field: "audience",
                problem: "an audience must be given".to_owned(),
            });
        }
        let (bearer, _) =
            self.impersonate(caller, chain, iam::SERVICE_ACCOUNTS_GET_OPEN_ID_TOKEN).await?;
        let include = if include_email { IncludeEmail::Yes } else { IncludeEmail::No };
        self.id_token(&bearer, (audience, issuer), include).await
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
        const LONGEST: usize = 10;
        if chain.delegates.len() > LONGEST {
            return Err(IdentityError::InvalidArgument {
                field: "delegates",
                problem: format!("a chain has at most {LONGEST} delegates"),
            });
        }
        let (mut acting, mut delegates) = (caller.clone(), Vec::new());
        for delegate in &chain.delegates {
            let resource = Resource::ServiceAccount(delegate.clone());
            self.admit(&acting, iam::SERVICE_ACCOUNTS_IMPLICIT_DELEGATION, resource).await?;
            let (bearer, _) = self.own_key(delegate).await?;
            acting = as_account(&bearer, caller);
            delegates.extend(bearer.uid);
        }
        self.admit(&acting, permission, Resource::ServiceAccount(chain.account.clone())).await?;
        let (bearer, key) = self.own_key(&chain.account).await?;
        let ancestry = caller.authenticated_by.provenance(delegates)?;
        Ok((TokenSubject { ancestry, ..bearer }, key))
    }

    /// Returns the subject of an account that is enabled, and its system-managed key.
    async fn own_key(
        &self,
        email: &AccountEmail,
    ) -> Result<(TokenSubject, AccountKeyRow), IdentityError> {
        let wanted = email.clone();
        self.meta
            .read(move |tx| {
                find_account(tx, &wanted)?;
                // No error of the credential: the caller's own is good, and signing in again would not help.
                let account = accounts::find_enabled(tx, wanted.as_str())?.ok_or_else(|| {
                    IdentityError::Precondition(format!("Service account {wanted} is disabled."))
                })?;
                let key = accounts::list_keys(tx, wanted.as_str())?
                    .into_iter()
                    .find(|key| KeyKind::of(key) == KeyKind::SystemManaged)
                    .ok_or_else(unusable_key)?;
                let bearer = TokenSubject {
                    principal: Principal::ServiceAccount(wanted.clone()),
                    uid: Some(account.unique_id),
                    key: None,
                    ancestry: TokenProvenance::default(),
                };
                Ok((bearer, key))
            })
            .await
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
fn as_account(bearer: &TokenSubject, caller: &Caller) -> Caller {
    let rights = match &caller.mode {
        AuthorizationMode::Everything => AuthorizationMode::Everything,
        AuthorizationMode::Listed(_) | AuthorizationMode::Policies => AuthorizationMode::Policies,
    };
    Caller { oauth_scopes: caller.oauth_scopes, ..Caller::new(bearer.principal.clone(), rights) }
}

fn unusable_key() -> IdentityError {
    IdentityError::Internal("an account's own key cannot be used".to_owned())
}
