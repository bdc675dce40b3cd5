//! The registry's own tokens, signed by keys that rotate.

use std::sync::Arc;
use std::time::Duration;

use meta::signing_keys::{self, SigningKey};
use meta::{Id, epochs};
use model::principal::Principal;
use model::registry_scope::ScopeEntry;
use serde::{Deserialize, Serialize};

use crate::caller::{AuthenticatedBy, TokenSubject};
use crate::clock::micros;
use crate::credentials::crypto::{KeyError, TokenKey, verify_es256};
use crate::credentials::jwt::{self, TokenHeader, UnverifiedToken};
use crate::error::{CredentialError, IdentityError, JwtError};
use crate::identity::Identity;
use crate::tokens::provenance::TokenProvenance;
use crate::tokens::signing_keys::SigningKeys;

const ISSUER: &str = "berth";
/// The time for which a new key signs.
const SIGNS_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// The time after that for which the key still verifies. It is longer than any token lives.
const VERIFIES_LONGER: Duration = Duration::from_secs(24 * 3600);

/// The purpose of a token. A token is good for its own purpose only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenPurpose {
    /// Use with Google's APIs, and as the password of `docker login`.
    Access,
    /// Use below `/v2/`, for the images that the token names.
    Registry,
}

impl TokenPurpose {
    fn media_type(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Registry => "registry+jwt",
        }
    }

    fn audience(self) -> &'static str {
        match self {
            Self::Access => "berth/api",
            Self::Registry => "berth/v2",
        }
    }
}

/// The claims of our own tokens. Times are whole seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenClaims {
    iss: String,
    aud: String,
    /// The principal, as policies name it.
    pub(crate) sub: String,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    pub(crate) jti: String,
    pub(crate) purpose: TokenPurpose,
    /// The unique id of the account. A later account of the same e-mail address has another one, so that the token does
    /// not work for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<String>,
    /// The id of the account's key that the caller signed in with. Without that key, the token is not good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// The id of the token that this one was made from. If that one is revoked, so is this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    /// The tokens, keys and accounts that it was made by way of, if it was made by impersonation.
    #[serde(default, skip_serializing_if = "TokenProvenance::is_empty")]
    pub(crate) via: TokenProvenance,
    /// The OAuth scopes that were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<String>,
    /// The images that a registry token is limited to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<Vec<ScopeEntry>>,
}

impl TokenClaims {
    /// Returns the principal that the token speaks for.
    pub(crate) fn principal(&self) -> Result<Principal, JwtError> {
        self.sub.parse().map_err(|_| JwtError("the subject is not a principal"))
    }

    /// Returns the principal that the token speaks for, and the ids that authenticate it.
    pub(crate) fn authenticated(self) -> Result<(Principal, AuthenticatedBy), JwtError> {
        let principal = self.principal()?;
        let Self { uid, key, jti, from, via, exp, .. } = self;
        let authenticated_by = AuthenticatedBy {
            uid,
            key,
            token: Some(jti),
            from,
            provenance: via,
            expires_at: Some(exp),
            ..AuthenticatedBy::default()
        };
        Ok((principal, authenticated_by))
    }
}

/// A new token, with its times.
#[derive(Clone)]
pub struct IssuedToken {
    /// The token.
    pub token: String,
    /// The time at which it was issued, in seconds since 1970.
    pub issued_at: i64,
    /// The lifetime, in seconds.
    pub expires_in: i64,
}

impl Identity {
    /// Returns the keys that sign and verify. If no key signs any more, a new one is made.
    pub(crate) async fn signing_keys(&self) -> Result<Arc<SigningKeys>, IdentityError> {
        let (epoch, now) = (self.epoch().await?, self.clock.now());
        if let Some(keys) = self.signing_keys.get(&(), epoch)
            && keys.signing(now).is_some()
        {
            return Ok(keys);
        }
        let mut keys = self.load_signing_keys().await?;
        if keys.signing(now).is_none() {
            self.add_signing_key().await?;
            keys = self.load_signing_keys().await?;
        }
        let keys = Arc::new(keys);
        self.signing_keys.put((), self.epoch().await?, keys.clone());
        Ok(keys)
    }

    async fn load_signing_keys(&self) -> Result<SigningKeys, IdentityError> {
        let now = self.clock.now();
        let stored = self.read(move |tx| Ok(signing_keys::list_valid(tx, now)?)).await?;
        let open = |key: SigningKey| {
            let private = self.master.open(&key.id, &key.sealed_private_key)?;
            Ok((key, TokenKey::from_pkcs8(&private)?))
        };
        let keys: Result<Vec<_>, KeyError> = stored.into_iter().map(open).collect();
        keys.map(SigningKeys).map_err(|_| {
            IdentityError::Internal("the signing keys do not open with this master key".to_owned())
        })
    }

    async fn add_signing_key(&self) -> Result<(), IdentityError> {
        let failed = |_| IdentityError::Internal("cannot make a signing key".to_owned());
        let private = TokenKey::generate().map_err(failed)?;
        let public_key = TokenKey::from_pkcs8(&private).map_err(failed)?.public_key();
        let (id, now) = (Id::new().to_string(), self.clock.now());
        let sealed_private_key = self.master.seal(&id, &private).map_err(failed)?;
        let signs_until = now + micros(SIGNS_FOR);
        let verifies_until = signs_until + micros(VERIFIES_LONGER);
        let new = SigningKey {
            id,
            public_key,
            sealed_private_key,
            created_at: now,
            signs_until,
            verifies_until,
        };
        let writing = self.write(move |tx| {
            // Another process may have inserted one meanwhile.
            let keys = signing_keys::list_valid(tx, now)?;
            if !keys.iter().any(|key| key.signs_until > now) {
                signing_keys::insert(tx, &new)?;
                epochs::bump(tx, epochs::ACCESS)?;
            }
            Ok(())
        });
        writing.await?;
        self.poll_epoch().await?;
        Ok(())
    }

    /// Issues a token for a subject that is authenticated.
    pub(crate) async fn issue(
        &self,
        purpose: TokenPurpose,
        subject: &TokenSubject,
        lifetime: Duration,
        limits: TokenLimits,
    ) -> Result<IssuedToken, IdentityError> {
        let issued_at = self.clock.now() / 1_000_000;
        let expires_in = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX / 2);
        let claims = TokenClaims {
            iss: ISSUER.to_owned(),
            aud: purpose.audience().to_owned(),
            sub: subject.principal.to_string(),
            iat: issued_at,
            exp: issued_at.saturating_add(expires_in),
            jti: Id::random().to_string(),
            purpose,
            uid: subject.uid.clone(),
            key: subject.key.clone(),
            from: limits.from,
            via: subject.provenance.clone(),
            scope: limits.scope,
            access: limits.access,
        };
        let token = self.sign(purpose.media_type(), &claims).await?;
        Ok(IssuedToken { token, issued_at, expires_in })
    }

    /// Returns a token with these claims, signed by the key that signs now.
    pub(crate) async fn sign<C: Serialize>(
        &self,
        media_type: &str,
        claims: &C,
    ) -> Result<String, IdentityError> {
        let keys = self.signing_keys().await?;
        let (key, pair) = keys
            .signing(self.clock.now())
            .ok_or_else(|| IdentityError::Internal("there is no key that signs now".to_owned()))?;
        let header = TokenHeader {
            alg: "ES256".to_owned(),
            typ: Some(media_type.to_owned()),
            kid: Some(key.id.clone()),
        };
        jwt::encode(&header, claims, |message| pair.sign(message))
            .map_err(|_| IdentityError::Internal("a token could not be signed".to_owned()))
    }

    /// Checks that a token is our own, for this purpose, and not expired. The keys and accounts behind it are not
    /// looked at.
    pub(crate) async fn check_token(
        &self,
        unverified: &UnverifiedToken<'_>,
        purpose: TokenPurpose,
    ) -> Result<TokenClaims, IdentityError> {
        let claims = self.check_signed(unverified, purpose).await?;
        if claims.exp <= self.clock.now() / 1_000_000 {
            return Err(CredentialError::Expired.into());
        }
        Ok(claims)
    }

    /// Checks that a token is our own, and for this purpose.
    pub(crate) async fn check_signed(
        &self,
        unverified: &UnverifiedToken<'_>,
        purpose: TokenPurpose,
    ) -> Result<TokenClaims, IdentityError> {
        let header = &unverified.header;
        if header.alg != "ES256" || header.typ.as_deref() != Some(purpose.media_type()) {
            return Err(JwtError("the header is not that of a token of this registry").into());
        }
        let keys = self.signing_keys().await?;
        let kid = header.kid.as_deref().unwrap_or_default();
        let (_, public) =
            keys.public_keys().find(|(id, _)| *id == kid).ok_or(JwtError("the key is unknown"))?;
        let claims: TokenClaims =
            unverified.verified(|message, signature| verify_es256(public, message, signature))?;
        if claims.iss != ISSUER || claims.aud != purpose.audience() || claims.purpose != purpose {
            return Err(JwtError("the token is for another purpose").into());
        }
        Ok(claims)
    }
}

/// The limits of a new token.
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenLimits {
    /// The id of the token that this one is made from.
    pub(crate) from: Option<String>,
    /// The OAuth scopes.
    pub(crate) scope: Option<String>,
    /// The images, and the actions on them.
    pub(crate) access: Option<Vec<ScopeEntry>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token without provenance is one of an older version, or was not made by impersonation.
    #[test]
    fn a_token_without_ancestors_says_nothing_of_them() {
        let json = r#"{"iss":"berth","aud":"berth/api","sub":"user:a@example.com","iat":1,"exp":2,"jti":"x","purpose":"access"}"#;
        let claims: TokenClaims = serde_json::from_str(json).expect("claims");
        assert!(claims.via.is_empty());
        assert_eq!(serde_json::to_string(&claims).expect("JSON"), json);
    }
}
