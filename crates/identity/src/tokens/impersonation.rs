//! Acting as a service account: tokens and signatures for those who may make them.

use std::time::Duration;

use meta::accounts::{self, Key};
use model::json;
use model::permission::Permission;
use model::principal::{AccountEmail, Principal};
use model::resource::Resource;

use crate::accounts::service_accounts::find as find_account;
use crate::caller::{Bearer, Caller, Rights};
use crate::credentials::account_key::KeyKind;
use crate::credentials::crypto::AccountKey;
use crate::credentials::jwt::{self, Header};
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::tokens::exchange::{IncludeEmail, LIFETIME};
use crate::tokens::issue::{IssuedToken, Limits, Purpose};
use crate::tokens::provenance::Ancestry;

/// An account, and those through whom the caller acts as it.
#[derive(Debug, Clone)]
pub struct Chain {
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
        chain: &Chain,
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
    ) -> Result<String, IdentityError> {
        if audience.is_empty() {
            return Err(IdentityError::InvalidArgument {
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
    ) -> Result<(String, Vec<u8>), IdentityError> {
        let (_, key) = self.impersonate(caller, chain, "iam.serviceAccounts.signBlob").await?;
        let pair = self.open_key(&key)?;
        let signature = pair.sign(bytes).map_err(|_| unusable())?;
        Ok((key.id, signature))
    }

    /// Returns the account's own key, to sign claims with.
    pub async fn jwt_signer(
        &self,
        caller: &Caller,
        chain: &Chain,
    ) -> Result<JwtSigner, IdentityError> {
        let (_, key) = self.impersonate(caller, chain, "iam.serviceAccounts.signJwt").await?;
        Ok(JwtSigner { pair: self.open_key(&key)?, key_id: key.id })
    }

    fn open_key(&self, key: &Key) -> Result<AccountKey, IdentityError> {
        let sealed = key.sealed_private_key.as_deref().ok_or_else(unusable)?;
        let private = self.master.open(&key.id, sealed).map_err(|_| unusable())?;
        AccountKey::from_pkcs8(&private).map_err(|_| unusable())
    }

    /// Checks every link of the chain: each may hand on the right to the next, and the last one may use it. What the
    /// account's bearer gets rests on all of them.
    async fn impersonate(
        &self,
        caller: &Caller,
        chain: &Chain,
        permission: &str,
    ) -> Result<(Bearer, Key), IdentityError> {
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
            self.admit(&acting, Permission::IMPLICIT_DELEGATION, resource).await?;
            let (bearer, _) = self.own_key(delegate).await?;
            acting = as_account(&bearer, caller);
            delegates.extend(bearer.uid);
        }
        let permission = permission.parse().expect("a permission of the role data");
        self.admit(&acting, permission, Resource::ServiceAccount(chain.account.clone())).await?;
        let (bearer, key) = self.own_key(&chain.account).await?;
        let ancestry = caller.proof.provenance(delegates)?;
        Ok((Bearer { ancestry, ..bearer }, key))
    }

    /// An account that is switched on, and the key that never leaves.
    async fn own_key(&self, email: &AccountEmail) -> Result<(Bearer, Key), IdentityError> {
        let wanted = email.clone();
        self.meta
            .read(move |tx| {
                find_account(tx, &wanted)?;
                // Not the caller's credential: signing in again would change nothing.
                let account = accounts::standing(tx, wanted.as_str())?.ok_or_else(|| {
                    IdentityError::Precondition(format!("Service account {wanted} is disabled."))
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
            .map_err(|error| IdentityError::invalid("payload", json::describe(&error)))?;
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

fn unusable() -> IdentityError {
    IdentityError::Internal("an account's own key cannot be used".to_owned())
}
