//! Registry tokens, access tokens and ID tokens in exchange for other credentials, and the introspection of tokens.

use std::sync::Arc;
use std::time::Duration;

use model::principal::Principal;
use model::registry_scope::{RegistryScope, ScopeEntry};
use serde::Serialize;

use crate::caller::{AuthenticatedBy, AuthorizationMode, Caller, TokenSubject};
use crate::credentials::jwt::UnverifiedToken;
use crate::error::{CredentialError, IdentityError};
use crate::identity::Identity;
use crate::tokens::issue::{IssuedToken, TokenClaims, TokenLimits, TokenPurpose};

/// The lifetime of access tokens and ID tokens.
pub(crate) const LIFETIME: Duration = Duration::from_secs(3600);

/// The audience that gcloud always names, whatever the `token_uri` of a key file is.
const GOOGLE_TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// The token that an assertion was exchanged for.
pub enum AssertionAnswer {
    /// An access token, for an assertion with scopes.
    Access {
        /// The token.
        token: IssuedToken,
        /// The scopes of the assertion.
        scope: String,
    },
    /// An ID token, for an assertion with a `target_audience`.
    Id {
        /// The ID token.
        token: String,
    },
}

/// The properties of an access token that introspection answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIntrospection {
    /// The address of its holder; empty if that is no account and no person.
    pub email: String,
    /// The unique id of the account.
    pub subject: Option<String>,
    /// The OAuth scopes.
    pub scope: String,
    /// The time at which the token expires, in seconds since 1970.
    pub expires_at: i64,
    /// The seconds until the token expires.
    pub expires_in: i64,
}

/// The claims of an ID token, as in Google's.
#[derive(Serialize)]
struct IdClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    azp: &'a str,
    sub: &'a str,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
}

impl Identity {
    /// Issues a token for `/v2/` that is limited to `access`. The token carries no permissions: every use asks the
    /// policies. It lives as long as the credential of the caller, but at most for the lifetime of the settings.
    pub async fn registry_token(
        &self,
        caller: &Caller,
        access: Vec<ScopeEntry>,
    ) -> Result<IssuedToken, IdentityError> {
        // Otherwise a token for a single image could be exchanged for one that is good for all.
        if caller.scope != RegistryScope::Unlimited {
            return Err(CredentialError::Limited.into());
        }
        let rest = caller.authenticated_by.expires_at.map(|end| end - self.clock.now() / 1_000_000);
        let rest =
            rest.map_or(Duration::MAX, |rest| Duration::from_secs(rest.max(1).unsigned_abs()));
        let lifetime = self.registry_token_lifetime.min(rest);
        let from = caller.authenticated_by.token.clone();
        let (scope, access) = (caller.oauth_scopes.to_text(), Some(access));
        let limits = TokenLimits { from, scope, access };
        self.issue((TokenPurpose::Registry, &caller.token_subject()), lifetime, limits).await
    }

    /// Issues an access token for the caller.
    pub async fn access_token(
        &self,
        caller: &Caller,
        scope: String,
    ) -> Result<IssuedToken, IdentityError> {
        let limits = TokenLimits { scope: Some(scope), ..TokenLimits::default() };
        self.issue((TokenPurpose::Access, &caller.token_subject()), LIFETIME, limits).await
    }

    /// Exchanges an assertion that a service account signed (RFC 7523, as Google has it). `urls` are the URLs of this
    /// server; the first of them is the issuer of ID tokens.
    pub async fn exchange_assertion(
        &self,
        assertion: &str,
        urls: [&str; 2],
    ) -> Result<AssertionAnswer, IdentityError> {
        let unverified = UnverifiedToken::parse(assertion)?;
        let (assertion, bearer) = self.check_assertion(&unverified).await?;
        let audience = assertion.aud.as_deref().unwrap_or_default();
        let own = urls.iter().any(|url| audience.strip_suffix("/token") == Some(url));
        if audience != GOOGLE_TOKEN_URI && !own {
            return Err(CredentialError::Audience.into());
        }
        if let Some(audience) = &assertion.target_audience {
            let token = self.id_token(&bearer, (audience, urls[0]), IncludeEmail::Yes).await?;
            return Ok(AssertionAnswer::Id { token });
        }
        let scope = assertion.scope.filter(|scope| !scope.trim().is_empty());
        let scope = scope.ok_or_else(|| IdentityError::InvalidArgument {
            field: "scope",
            problem: "Invalid OAuth scope or ID token audience provided.".to_owned(),
        })?;
        let limits = TokenLimits { scope: Some(scope.clone()), ..TokenLimits::default() };
        let token = self.issue((TokenPurpose::Access, &bearer), LIFETIME, limits).await?;
        Ok(AssertionAnswer::Access { token, scope })
    }

    /// Returns an ID token, by which another server can check who the account is.
    pub(crate) async fn id_token(
        &self,
        bearer: &TokenSubject,
        (audience, issuer): (&str, &str),
        include_email: IncludeEmail,
    ) -> Result<String, IdentityError> {
        let now = self.clock.now() / 1_000_000;
        let subject = bearer.uid.as_deref().unwrap_or_default();
        let email = bearer.principal.email().filter(|_| include_email == IncludeEmail::Yes);
        let claims = IdClaims {
            iss: issuer,
            aud: audience,
            azp: subject,
            sub: subject,
            iat: now,
            exp: now + LIFETIME.as_secs() as i64,
            email,
            email_verified: email.map(|_| true),
        };
        self.sign("JWT", &claims).await
    }

    /// Returns whether there is a service account of that address, even if it is disabled.
    pub async fn has_account(&self, email: &str) -> Result<bool, IdentityError> {
        let wanted = email.to_owned();
        let found = self.meta.read_by_key(move |tx| {
            let found = meta::accounts::find(tx, &wanted)?;
            Ok::<_, IdentityError>(found.is_some())
        });
        found.await
    }

    /// Returns the caller for a service account of this registry, without a credential. Only the metadata server uses
    /// it, with the account that its operator chose.
    pub async fn caller_by_account(&self, email: &str) -> Result<Caller, IdentityError> {
        let wanted = email.to_owned();
        let account = self
            .meta
            .read_by_key(move |tx| {
                Ok::<_, IdentityError>(meta::accounts::find_enabled(tx, &wanted)?)
            })
            .await?
            .ok_or(CredentialError::AccountDisabled)?;
        let principal = Principal::ServiceAccount(
            account.email.parse().map_err(|_| CredentialError::AccountDisabled)?,
        );
        let proof = AuthenticatedBy { uid: Some(account.unique_id), ..AuthenticatedBy::default() };
        Ok(Caller {
            authenticated_by: Arc::new(proof),
            ..Caller::new(principal, AuthorizationMode::Policies)
        })
    }

    /// Returns an ID token for the caller.
    pub async fn identity_token(
        &self,
        caller: &Caller,
        (audience, issuer): (&str, &str),
        include_email: bool,
    ) -> Result<String, IdentityError> {
        let include = if include_email { IncludeEmail::Yes } else { IncludeEmail::No };
        self.id_token(&caller.token_subject(), (audience, issuer), include).await
    }

    /// Returns the properties of an access token, or `None` if it is not good now.
    pub async fn introspect(
        &self,
        token: &str,
    ) -> Result<Option<TokenIntrospection>, IdentityError> {
        let claims = match self.own_access_token(token).await {
            Ok(claims) => claims,
            Err(IdentityError::Credential(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let principal: Option<Principal> = claims.sub.parse().ok();
        let email = principal.as_ref().and_then(Principal::email).unwrap_or_default().to_owned();
        Ok(Some(TokenIntrospection {
            email,
            subject: claims.uid,
            scope: claims.scope.unwrap_or_default(),
            expires_at: claims.exp,
            expires_in: claims.exp - self.clock.now() / 1_000_000,
        }))
    }

    async fn own_access_token(&self, token: &str) -> Result<TokenClaims, IdentityError> {
        let claims =
            self.check_token(&UnverifiedToken::parse(token)?, TokenPurpose::Access).await?;
        let (principal, proof) = claims.clone().authenticated()?;
        self.check_standing((&principal, &proof), self.clock.now()).await?;
        Ok(claims)
    }

    /// Returns the ids and the public halves of the keys that sign ID tokens. A public half is the uncompressed point.
    pub async fn public_keys(&self) -> Result<Vec<(String, Vec<u8>)>, IdentityError> {
        let ring = self.signing_keys().await?;
        Ok(ring.public_keys().map(|(id, point)| (id.to_owned(), point.to_vec())).collect())
    }
}

/// The choice whether an ID token has the address of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IncludeEmail {
    Yes,
    No,
}
