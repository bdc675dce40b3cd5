//! Acting as a service account: tokens and signatures for those who may make them.

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

/// An account, and those through whom the caller acts as it.
#[derive(Debug, Clone)]
pub struct ImpersonationChain {
    /// Accounts that hand the right on, the caller's own next one first.
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

    /// Signs bytes with the account's own key. Answers the key's id and the signature.
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

    /// Returns the account's own key, to sign claims with.
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

    /// Checks every link of the chain: each may hand on the right to the next, and the last one may use it. What the
    /// account's bearer gets rests on all of them.
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

    /// An account that is switched on, and the key that never leaves.
    async fn own_key(
        &self,
        email: &AccountEmail,
    ) -> Result<(TokenSubject, AccountKeyRow), IdentityError> {
        let wanted = email.clone();
        self.meta
            .read(move |tx| {
                find_account(tx, &wanted)?;
                // Not the caller's credential: signing in again would change nothing.
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

/// The key of an account, for a caller who may have it sign a token.
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

/// A delegate, in place of the caller. In `--dev` everybody may do everything, whoever they act as.
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
