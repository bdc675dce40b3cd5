//! Authentication: from a credential to its caller.
//!
//! An accepted credential stays in a cache until the rights of anybody change, so that most requests cost one look into
//! memory.

use std::sync::Arc;

use meta::{Id, Tx};
use model::digest::{Digest, DigestAlgorithm, DigestHasher};
use model::oauth_scopes::OauthScopes;
use model::principal::Principal;
use model::registry_scope::RegistryScope;

use crate::caller::{AuthenticatedBy, AuthorizationMode, CachedCaller, Caller, SecurityEpoch};
use crate::clock::Micros;
use crate::credentials::jwt::UnverifiedToken;
use crate::credentials::key_file;
use crate::error::{CredentialError, IdentityError};
use crate::identity::Identity;
use crate::tokens::issue::TokenPurpose;

/// Returns the account that a token or key file claims to be of. Nothing is verified.
pub fn claimed_account(credential: &str) -> Option<String> {
    if let Some(email) = key_file::claimed_account(credential) {
        return Some(email);
    }
    let claims: serde_json::Value = UnverifiedToken::parse(credential).ok()?.claims().ok()?;
    let subject = claims.get("sub").or_else(|| claims.get("iss"))?.as_str()?;
    Some(subject.trim_start_matches("serviceAccount:").to_owned())
}

/// The address that a credential was sent to. It decides which audience a self-signed token may name.
#[derive(Debug, Clone, Copy)]
pub enum TokenAudience<'a> {
    /// The paths below `/v2/`, with their token endpoint.
    Registry,
    /// Google's APIs.
    Api {
        /// The URLs at which clients reach the APIs of this server and no other, each without a slash at the end.
        urls: [&'a str; 2],
    },
}

impl Identity {
    /// Returns the holder of a token: one of our own, or one that a service account signed itself.
    pub async fn caller_by_token(
        &self,
        token: &str,
        sent_to: TokenAudience<'_>,
    ) -> Result<Caller, IdentityError> {
        let kind = match sent_to {
            TokenAudience::Registry => "token of /v2/",
            TokenAudience::Api { .. } => "token of the APIs",
        };
        let (key, security_epoch) = (cache_key(kind, token), self.security_epoch().await?);
        if let Some(cached) = self.cached_caller(&key, security_epoch) {
            return Ok(cached);
        }
        let unverified = UnverifiedToken::parse(token)?;
        let caller = match unverified.header.alg.as_str() {
            "ES256" => self.caller_by_own_token(&unverified, sent_to).await?,
            _ => self.caller_by_self_signed(&unverified, sent_to).await?,
        };
        Ok(self.cache_caller(key, security_epoch, caller))
    }

    /// Returns the account of a key file.
    pub async fn caller_by_key_file(&self, text: &str) -> Result<Caller, IdentityError> {
        let (key, security_epoch) = (cache_key("key file", text), self.security_epoch().await?);
        if let Some(cached) = self.cached_caller(&key, security_epoch) {
            return Ok(cached);
        }
        let file = key_file::parse(text)?;
        let (account_key, subject) =
            self.account_key(&file.client_email, &file.private_key_id).await?;
        // The id and the address in a file prove nothing: anybody may write them down.
        let public_key = file.private_key()?.public_key().map_err(|_| CredentialError::OtherKey)?;
        if public_key != account_key.public_key {
            return Err(CredentialError::OtherKey.into());
        }
        Ok(self.cache_caller(key, security_epoch, Caller::of_account(subject, None)))
    }

    /// Returns the epoch under which a credential that is checked now goes into the cache.
    pub(crate) async fn security_epoch(&self) -> Result<SecurityEpoch, IdentityError> {
        Ok(SecurityEpoch {
            epoch: self.epoch().await?,
            generation: self.revocation_generation().await?,
        })
    }

    fn cached_caller(&self, key: &Digest, security_epoch: SecurityEpoch) -> Option<Caller> {
        let cached = self.callers.get(key, security_epoch.epoch)?;
        let is_good = cached.expires_at > self.clock.now() / 1_000_000
            && self.revoked.is_unaffected(&cached.caller.authenticated_by);
        is_good.then_some(cached.caller)
    }

    fn cache_caller(
        &self,
        key: Digest,
        security_epoch: SecurityEpoch,
        mut caller: Caller,
    ) -> Caller {
        Arc::make_mut(&mut caller.authenticated_by).security_epoch = security_epoch;
        let expires_at = caller.authenticated_by.expires_at.unwrap_or(i64::MAX);
        let cached = CachedCaller { caller: caller.clone(), expires_at };
        self.callers.put(key, security_epoch.epoch, cached);
        caller
    }

    async fn caller_by_own_token(
        &self,
        unverified: &UnverifiedToken<'_>,
        sent_to: TokenAudience<'_>,
    ) -> Result<Caller, IdentityError> {
        let purpose = match (sent_to, unverified.header.typ.as_deref()) {
            (TokenAudience::Registry, Some("registry+jwt")) => TokenPurpose::Registry,
            (TokenAudience::Registry | TokenAudience::Api { .. }, _) => TokenPurpose::Access,
        };
        let mut claims = self.check_token(unverified, purpose).await?;
        let scope = match (purpose, claims.access.take()) {
            (TokenPurpose::Registry, access) => {
                RegistryScope::Listed(access.unwrap_or_default().into())
            }
            (TokenPurpose::Access, _) => RegistryScope::Unlimited,
        };
        let oauth_scopes =
            claims.scope.as_deref().map_or(OauthScopes::UNLIMITED, OauthScopes::parse);
        let (principal, authenticated_by) = claims.authenticated()?;
        self.check_standing(&principal, &authenticated_by, self.clock.now()).await?;
        Ok(Caller {
            scope,
            oauth_scopes,
            authenticated_by: Arc::new(authenticated_by),
            ..Caller::new(principal, AuthorizationMode::Policies)
        })
    }

    /// Checks once more that the credential of a caller is accepted, if any rights or tokens changed since the last
    /// check.
    pub async fn check_again(&self, caller: &Caller) -> Result<(), IdentityError> {
        /// A time before the end of every key: a request that has begun does not end when its key expires.
        const BEFORE_ALL_EXPIRY: Micros = Micros::MIN;
        let Caller { principal, mode, authenticated_by, .. } = caller;
        match mode {
            AuthorizationMode::Everything => Ok(()),
            AuthorizationMode::Policies => {
                let current = self.security_epoch().await?;
                if authenticated_by.security_epoch == current
                    && self.revoked.is_unaffected(authenticated_by)
                {
                    return Ok(());
                }
                self.check_standing(principal, authenticated_by, BEFORE_ALL_EXPIRY).await
            }
        }
    }

    /// Checks that the tokens, keys and accounts that a credential depends on are still good. A key that ended at or
    /// before `at` is not.
    pub(crate) async fn check_standing(
        &self,
        principal: &Principal,
        authenticated_by: &AuthenticatedBy,
        at: Micros,
    ) -> Result<(), IdentityError> {
        let (principal, authenticated_by) = (principal.clone(), authenticated_by.clone());
        let checked = self.read(move |tx| {
            for id in authenticated_by.tokens() {
                if meta::revoked_tokens::is_revoked(tx, id)? {
                    return Err(CredentialError::Revoked.into());
                }
            }
            for id in authenticated_by.key.iter().chain(&authenticated_by.provenance.keys) {
                let key = meta::accounts::find_key(tx, id)?
                    .filter(|key| !key.disabled && key.valid_before > at);
                key.ok_or(CredentialError::KeyDisabled)?;
            }
            check_holder(tx, &principal, &authenticated_by)?;
            for uid in &authenticated_by.provenance.accounts {
                if !is_enabled(tx, uid)? {
                    return Err(CredentialError::AccountDisabled.into());
                }
            }
            Ok(())
        });
        checked.await
    }

    async fn caller_by_self_signed(
        &self,
        unverified: &UnverifiedToken<'_>,
        sent_to: TokenAudience<'_>,
    ) -> Result<Caller, IdentityError> {
        let (assertion, subject) = self.check_assertion(unverified).await?;
        let audience = assertion.aud.as_deref().unwrap_or_default();
        let is_for_us = match sent_to {
            TokenAudience::Registry => audience.is_empty(),
            TokenAudience::Api { urls } => {
                let is_own_url = urls.contains(&audience.trim_end_matches('/'));
                (audience.is_empty() && assertion.scope.is_some())
                    || (!audience.is_empty() && (is_own_url || is_served_api(audience)))
            }
        };
        if !is_for_us || assertion.target_audience.is_some() {
            return Err(CredentialError::Audience.into());
        }
        let oauth_scopes =
            assertion.scope.as_deref().map_or(OauthScopes::UNLIMITED, OauthScopes::parse);
        Ok(Caller { oauth_scopes, ..Caller::of_account(subject, Some(assertion.exp)) })
    }
}

/// Checks that the account or person that a credential is of is enabled, and still the one that signed in. A person's
/// session must not have been ended.
fn check_holder(
    tx: &mut Tx<'_>,
    principal: &Principal,
    authenticated_by: &AuthenticatedBy,
) -> Result<(), IdentityError> {
    let uid = match principal {
        Principal::ServiceAccount(email) => {
            meta::accounts::find_enabled(tx, email.as_str())?.map(|account| account.unique_id)
        }
        Principal::User(email) => {
            let user = meta::users::find(tx, email)?.filter(|user| !user.disabled);
            user.map(|user| user.id.to_string())
        }
        Principal::Anonymous | Principal::System(_) => return Ok(()),
    };
    if uid.is_none() || uid != authenticated_by.uid {
        return Err(CredentialError::AccountDisabled.into());
    }
    match &authenticated_by.session {
        Some(session) if !meta::sessions::exists(tx, session)? => {
            Err(CredentialError::Revoked.into())
        }
        Some(_) | None => Ok(()),
    }
}

/// Returns whether the account or person with this unique id is enabled.
fn is_enabled(tx: &mut Tx<'_>, uid: &str) -> Result<bool, IdentityError> {
    match uid.parse::<Id>() {
        Ok(id) => Ok(meta::users::find_by_id(tx, &id)?.is_some_and(|user| !user.disabled)),
        Err(_) => Ok(meta::accounts::is_enabled(tx, uid)?),
    }
}

/// Returns whether an audience is the usual address of an API that is served here. Google's client libraries name it
/// when they sign tokens themselves.
fn is_served_api(audience: &str) -> bool {
    const SERVED: [&str; 6] = [
        "artifactregistry",
        "cloudresourcemanager",
        "containeranalysis",
        "iam",
        "iamcredentials",
        "serviceusage",
    ];
    let name = audience
        .strip_prefix("https://")
        .and_then(|rest| rest.trim_end_matches('/').strip_suffix(".googleapis.com"));
    name.is_some_and(|name| SERVED.contains(&name))
}

/// Returns the key of a credential in the cache. It is a hash, so that the credential itself is not kept.
fn cache_key(kind: &str, credential: &str) -> Digest {
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
    hasher.update(kind.as_bytes());
    hasher.update(b"\0");
    hasher.update(credential.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apis_that_are_served() {
        assert!(is_served_api("https://artifactregistry.googleapis.com/"));
        assert!(is_served_api("https://iam.googleapis.com"));
        assert!(!is_served_api("https://storage.googleapis.com/"));
        assert!(!is_served_api("https://artifactregistry.googleapis.com.evil.example/"));
        assert!(!is_served_api("http://artifactregistry.googleapis.com/"));
        assert!(!is_served_api(""));
    }

    #[test]
    fn credentials_of_two_kinds_are_two() {
        assert_ne!(cache_key("a", "x"), cache_key("b", "x"));
        assert_ne!(cache_key("a", "x"), cache_key("a", "y"));
        assert_eq!(cache_key("a", "x"), cache_key("a", "x"));
    }
}
