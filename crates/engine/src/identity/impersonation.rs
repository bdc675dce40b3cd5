//! Acting as a service account: tokens and signatures for those who may make them.

use std::time::Duration;

use meta::accounts::{self, Key};
use model::json;
use model::permission::Permission;
use model::principal::{AccountEmail, Principal};
use model::resource::Resource;

use super::account_keys::KeyKind;
use super::ancestry::Ancestry;
use super::crypto::AccountKey;
use super::exchange::{IncludeEmail, LIFETIME};
use super::jwt::{self, Header};
use super::tokens::{Bearer, IssuedToken, Limits, Purpose};
use crate::{Caller, Engine, EngineError, Rights};

/// An account, and those through whom the caller acts as it.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Accounts that hand the right on, the caller's own next one first.
    pub delegates: Vec<AccountEmail>,
    /// The account itself.
    pub account: AccountEmail,
}

impl Engine {
    /// Makes an access token for an account.
    pub async fn generate_access_token(
        &self,
        caller: &Caller,
        chain: &Chain,
        (scope, lifetime): (&[String], Option<Duration>),
    ) -> Result<IssuedToken, EngineError> {
        if scope.is_empty() {
            return Err(EngineError::InvalidArgument {
                field: "scope",
                problem: "at least one scope must be given".to_owned(),
            });
        }
        let lifetime = lifetime.unwrap_or(LIFETIME);
        if lifetime.is_zero() || lifetime > LIFETIME {
            return Err(EngineError::InvalidArgument {
                field: "lifetime",
                problem: "a token lives for more than 0 and at most 3600 seconds".to_owned(),
            });
        }
        let (bearer, _) =
            self.impersonate(caller, chain, "iam.serviceAccounts.getAccessToken").await?;
        let limits = Limits { scope: Some(scope.join(" ")), ..Limits::default() };
        self.issue((Purpose::Access, &bearer), lifetime, limits).await
    }

    /// Makes an ID token for an account.
    pub async fn generate_id_token(
        &self,
        caller: &Caller,
        chain: &Chain,
        (audience, issuer, include_email): (&str, &str, bool),
    ) -> Result<String, EngineError> {
        if audience.is_empty() {
            return Err(EngineError::InvalidArgument {
                field: "audience",
                problem: "an audience must be given".to_owned(),
            });
        }
        let (bearer, _) =
            self.impersonate(caller, chain, "iam.serviceAccounts.getOpenIdToken").await?;
        let include = if include_email { IncludeEmail::Yes } else { IncludeEmail::No };
        self.id_token(&bearer, (audience, issuer), include).await
    }

    /// Signs bytes with the account's own key. Answers the key's id and the signature.
    pub async fn sign_blob(
        &self,
        caller: &Caller,
        chain: &Chain,
        bytes: &[u8],
    ) -> Result<(String, Vec<u8>), EngineError> {
        let (_, key) = self.impersonate(caller, chain, "iam.serviceAccounts.signBlob").await?;
        let pair = self.open_key(&key)?;
        let signature = pair.sign(bytes).map_err(|_| unusable())?;
        Ok((key.id, signature))
    }

    /// Signs claims with the account's own key. Answers the key's id and the token.
    pub async fn sign_jwt(
        &self,
        caller: &Caller,
        chain: &Chain,
        payload: &str,
    ) -> Result<(String, String), EngineError> {
        let (_, key) = self.impersonate(caller, chain, "iam.serviceAccounts.signJwt").await?;
        let (pair, key) = (self.open_key(&key)?, key.id);
        let (length, payload, kid) = (payload.len(), payload.to_owned(), key.clone());
        let token = self.parsing.run(length, move || sign_claims(&pair, kid, &payload)).await??;
        Ok((key, token))
    }

    fn open_key(&self, key: &Key) -> Result<AccountKey, EngineError> {
        let sealed = key.sealed_private_key.as_deref().ok_or_else(unusable)?;
        let private = self.identity.master.open(&key.id, sealed).map_err(|_| unusable())?;
        AccountKey::from_pkcs8(&private).map_err(|_| unusable())
    }

    /// Checks every link of the chain: each may hand on the right to the next, and the last one may use it. What the
    /// account's bearer gets rests on all of them.
    async fn impersonate(
        &self,
        caller: &Caller,
        chain: &Chain,
        permission: &str,
    ) -> Result<(Bearer, Key), EngineError> {
        const LONGEST: usize = 10;
        if chain.delegates.len() > LONGEST {
            return Err(EngineError::InvalidArgument {
                field: "delegates",
                problem: format!("a chain has at most {LONGEST} delegates"),
            });
        }
        let (mut acting, mut delegates) = (caller.clone(), Vec::new());
        for delegate in &chain.delegates {
            let resource = Resource::ServiceAccount(delegate.clone());
            self.admit(&acting, Permission::IMPLICIT_DELEGATION, resource).await?;
            let (bearer, _) = self.own_key(delegate).await?;
            acting = as_account(&bearer, caller);
            delegates.extend(bearer.uid);
        }
        let permission = permission.parse().expect("a permission of the role data");
        self.admit(&acting, permission, Resource::ServiceAccount(chain.account.clone())).await?;
        let (bearer, key) = self.own_key(&chain.account).await?;
        let ancestry = Ancestry::after(&caller.proof, delegates)?;
        Ok((Bearer { ancestry, ..bearer }, key))
    }

    /// An account that is switched on, and the key that never leaves.
    async fn own_key(&self, email: &AccountEmail) -> Result<(Bearer, Key), EngineError> {
        let wanted = email.clone();
        self.meta
            .read(move |tx| {
                super::accounts::find(tx, &wanted)?;
                // Not the caller's credential: signing in again would change nothing.
                let account = accounts::standing(tx, wanted.as_str())?.ok_or_else(|| {
                    EngineError::Precondition(format!("Service account {wanted} is disabled."))
                })?;
                let key = accounts::keys_of(tx, wanted.as_str())?
                    .into_iter()
                    .find(|key| KeyKind::of(key) == KeyKind::SystemManaged)
                    .ok_or_else(unusable)?;
                let bearer = Bearer {
                    principal: Principal::ServiceAccount(wanted.clone()),
                    uid: Some(account.unique_id),
                    key: None,
                    ancestry: Ancestry::default(),
                };
                Ok((bearer, key))
            })
            .await
    }
}

/// Returns a token with the claims that are in `payload`, signed by the key of that id.
fn sign_claims(pair: &AccountKey, kid: String, payload: &str) -> Result<String, EngineError> {
    let claims: serde_json::Map<String, serde_json::Value> =
        json::parse_document(payload.as_bytes(), &jwt::CLAIMS)
            .map_err(|error| EngineError::invalid("payload", json::describe(&error)))?;
    let header = Header { alg: "RS256".to_owned(), typ: Some("JWT".to_owned()), kid: Some(kid) };
    jwt::encode(&header, &claims, |message| pair.sign(message)).map_err(|_| unusable())
}

/// A delegate, in place of the caller. In `--dev` everybody may do everything, whoever they act as.
fn as_account(bearer: &Bearer, caller: &Caller) -> Caller {
    let rights = match &caller.rights {
        Rights::All => Rights::All,
        Rights::Listed(_) | Rights::Policies => Rights::Policies,
    };
    Caller { reach: caller.reach, ..Caller::new(bearer.principal.clone(), rights) }
}

fn unusable() -> EngineError {
    EngineError::Internal("an account's own key cannot be used".to_owned())
}
