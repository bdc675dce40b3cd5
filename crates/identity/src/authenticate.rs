//! Authentication: from a credential to its caller.
//!
//! An accepted credential stays in a cache until the rights of anybody change, so that most requests cost one look into
//! memory.

use std::sync::Arc;

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
        surface: TokenAudience<'_>,
    ) -> Result<Caller, IdentityError> {
        let kind = match surface {
            TokenAudience::Registry => "token of /v2/",
            TokenAudience::Api { .. } => "token of the APIs",
        };
        let (remembered, moment) = (remembered_as(kind, token), self.moment().await?);
        if let Some(known) = self.remembered(&remembered, moment) {
            return Ok(known);
        }
        let unverified = UnverifiedToken::parse(token)?;
        let caller = match unverified.header.alg.as_str() {
            "ES256" => self.caller_by_own_token(&unverified, surface).await?,
            _ => self.caller_by_self_signed(&unverified, surface).await?,
        };
        Ok(self.remember((remembered, moment), caller))
    }

    /// Returns the account of a key file.
    pub async fn caller_by_key_file(&self, text: &str) -> Result<Caller, IdentityError> {
        let (remembered, moment) = (remembered_as("key file", text), self.moment().await?);
        if let Some(known) = self.remembered(&remembered, moment) {
            return Ok(known);
        }
        let file = key_file::read(text)?;
        let (key, bearer) = self.account_key(&file.client_email, &file.private_key_id).await?;
        // The id and the address in a file prove nothing: anybody may write them down.
        let public_key = file.private_key()?.public_key().map_err(|_| CredentialError::OtherKey)?;
        if public_key != key.public_key {
            return Err(CredentialError::OtherKey.into());
        }
        let caller = Caller::of_account(bearer, None);
        Ok(self.remember((remembered, moment), caller))
    }

    /// Returns the epoch under which a credential that is checked now goes into the cache.
    async fn moment(&self) -> Result<SecurityEpoch, IdentityError> {
        Ok(SecurityEpoch { epoch: self.epoch().await?, generation: self.revocations().await? })
    }

    fn remembered(&self, hash: &Digest, moment: SecurityEpoch) -> Option<Caller> {
        let known = self.callers.get(hash, moment.epoch)?;
        let good = known.expires_at > self.clock.now() / 1_000_000
            && self.revoked.is_unaffected(&known.caller.authenticated_by);
        good.then_some(known.caller)
    }

    fn remember(&self, (hash, moment): (Digest, SecurityEpoch), mut caller: Caller) -> Caller {
        Arc::make_mut(&mut caller.authenticated_by).security_epoch = moment;
        let expires_at = caller.authenticated_by.expires_at.unwrap_or(i64::MAX);
        self.callers.put(hash, moment.epoch, CachedCaller { caller: caller.clone(), expires_at });
        caller
    }

    async fn caller_by_own_token(
        &self,
        unverified: &UnverifiedToken<'_>,
        surface: TokenAudience<'_>,
    ) -> Result<Caller, IdentityError> {
        let purpose = match (surface, unverified.header.typ.as_deref()) {
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
        let reach = claims.scope.as_deref().map_or(OauthScopes::UNLIMITED, OauthScopes::parse);
        let (principal, proof) = claims.authenticated()?;
        self.check_standing((&principal, &proof), self.clock.now()).await?;
        let proof = Arc::new(proof);
        Ok(Caller {
            scope,
            oauth_scopes: reach,
            authenticated_by: proof,
            ..Caller::new(principal, AuthorizationMode::Policies)
        })
    }

    /// Checks once more that the credential of a caller is accepted, if any rights or tokens changed since the last
    /// check.
    pub async fn check_again(&self, caller: &Caller) -> Result<(), IdentityError> {
        /// Expiry never stops a request that has begun: what counts is what was taken away.
        const NO_KEY_IS_OVER: Micros = Micros::MIN;
        let Caller { principal, mode: rights, authenticated_by: proof, .. } = caller;
        match rights {
            AuthorizationMode::Everything | AuthorizationMode::Listed(_) => Ok(()),
            AuthorizationMode::Policies => {
                let now = self.moment().await?;
                if proof.security_epoch == now && self.revoked.is_unaffected(proof) {
                    return Ok(());
                }
                self.check_standing((principal, proof), NO_KEY_IS_OVER).await
            }
        }
    }

    /// Checks that the tokens, keys and accounts that a credential depends on are still good. A key that ended at or
    /// before `at` is not.
    pub(crate) async fn check_standing(
        &self,
        (principal, proof): (&Principal, &AuthenticatedBy),
        at: Micros,
    ) -> Result<(), IdentityError> {
        let (principal, proof) = (principal.clone(), proof.clone());
        self.meta
            .read(move |tx| {
                for id in proof.tokens() {
                    if meta::revoked_tokens::is_revoked(tx, id)? {
                        return Err(CredentialError::Revoked.into());
                    }
                }
                for id in proof.key.iter().chain(&proof.provenance.keys) {
                    let key = meta::accounts::find_key(tx, id)?
                        .filter(|key| !key.disabled && key.valid_before > at);
                    key.ok_or(CredentialError::KeyDisabled)?;
                }
                if let Principal::ServiceAccount(email) = &principal {
                    let account = meta::accounts::find_enabled(tx, email.as_str())?
                        .filter(|account| Some(&account.unique_id) == proof.uid.as_ref());
                    account.ok_or(CredentialError::AccountDisabled)?;
                }
                for number in &proof.provenance.accounts {
                    if !meta::accounts::is_enabled(tx, number)? {
                        return Err(CredentialError::AccountDisabled.into());
                    }
                }
                Ok(())
            })
            .await
    }

    async fn caller_by_self_signed(
        &self,
        unverified: &UnverifiedToken<'_>,
        surface: TokenAudience<'_>,
    ) -> Result<Caller, IdentityError> {
        let (assertion, bearer) = self.check_assertion(unverified).await?;
        let audience = assertion.aud.as_deref().unwrap_or_default();
        let meant_for_us = match surface {
            TokenAudience::Registry => audience.is_empty(),
            TokenAudience::Api { urls } => {
                let ours = urls.contains(&audience.trim_end_matches('/'));
                (audience.is_empty() && assertion.scope.is_some())
                    || (!audience.is_empty() && (ours || is_served_api(audience)))
            }
        };
        if !meant_for_us || assertion.target_audience.is_some() {
            return Err(CredentialError::Audience.into());
        }
        let reach = assertion.scope.as_deref().map_or(OauthScopes::UNLIMITED, OauthScopes::parse);
        Ok(Caller { oauth_scopes: reach, ..Caller::of_account(bearer, Some(assertion.exp)) })
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
fn remembered_as(kind: &str, credential: &str) -> Digest {
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
        assert_ne!(remembered_as("a", "x"), remembered_as("b", "x"));
        assert_ne!(remembered_as("a", "x"), remembered_as("a", "y"));
        assert_eq!(remembered_as("a", "x"), remembered_as("a", "x"));
    }
}
