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

/// The lifetime of access tokens and ID tokens. A caller may choose a shorter one for impersonation only.
pub(crate) const MAX_LIFETIME: Duration = Duration::from_secs(3600);

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

/// The properties of an ID token that a caller chooses.
#[derive(Debug, Clone, Copy)]
pub struct IdTokenRequest<'a> {
    /// The audience: the server that will check the token.
    pub audience: &'a str,
    /// The issuer: the URL of this server.
    pub issuer: &'a str,
    /// True to have the address of the account in the token.
    pub include_email: bool,
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
        let seconds_left =
            caller.authenticated_by.expires_at.map(|end| end - self.clock.now() / 1_000_000);
        let time_left = seconds_left
            .map_or(Duration::MAX, |seconds| Duration::from_secs(seconds.max(1).unsigned_abs()));
        let lifetime = self.settings.registry_token_lifetime.min(time_left);
        let limits = TokenLimits {
            from: caller.authenticated_by.token.clone(),
            scope: caller.oauth_scopes.to_text(),
            access: Some(access),
        };
        self.issue(TokenPurpose::Registry, &caller.token_subject(), lifetime, limits).await
    }

    /// Issues an access token for the caller.
    pub async fn access_token(
        &self,
        caller: &Caller,
        scope: String,
    ) -> Result<IssuedToken, IdentityError> {
        let limits = TokenLimits { scope: Some(scope), ..TokenLimits::default() };
        self.issue(TokenPurpose::Access, &caller.token_subject(), MAX_LIFETIME, limits).await
    }

    /// Exchanges an assertion that a service account signed (RFC 7523, as Google has it). `urls` are the URLs of this
    /// server; the first of them is the issuer of ID tokens.
    pub async fn exchange_assertion(
        &self,
        assertion: &str,
        urls: [&str; 2],
    ) -> Result<AssertionAnswer, IdentityError> {
        let unverified = UnverifiedToken::parse(assertion)?;
        let (assertion, subject) = self.check_assertion(&unverified).await?;
        let audience = assertion.aud.as_deref().unwrap_or_default();
        let is_own_url = urls.iter().any(|url| audience.strip_suffix("/token") == Some(url));
        if audience != GOOGLE_TOKEN_URI && !is_own_url {
            return Err(CredentialError::Audience.into());
        }
        if let Some(audience) = &assertion.target_audience {
            let request = IdTokenRequest { audience, issuer: urls[0], include_email: true };
            let token = self.id_token(&subject, request).await?;
            return Ok(AssertionAnswer::Id { token });
        }
        let scope = assertion.scope.filter(|scope| !scope.trim().is_empty());
        let scope = scope.ok_or_else(|| IdentityError::InvalidArgument {
            field: "scope",
            problem: "Invalid OAuth scope or ID token audience provided.".to_owned(),
        })?;
        let limits = TokenLimits { scope: Some(scope.clone()), ..TokenLimits::default() };
        let token = self.issue(TokenPurpose::Access, &subject, MAX_LIFETIME, limits).await?;
        Ok(AssertionAnswer::Access { token, scope })
    }

    /// Returns an ID token, by which another server can check who the account is.
    pub(crate) async fn id_token(
        &self,
        subject: &TokenSubject,
        request: IdTokenRequest<'_>,
    ) -> Result<String, IdentityError> {
        let now = self.clock.now() / 1_000_000;
        let unique_id = subject.uid.as_deref().unwrap_or_default();
        let email = subject.principal.email().filter(|_| request.include_email);
        let claims = IdClaims {
            iss: request.issuer,
            aud: request.audience,
            azp: unique_id,
            sub: unique_id,
            iat: now,
            exp: now + MAX_LIFETIME.as_secs() as i64,
            email,
            email_verified: email.map(|_| true),
        };
        self.sign("JWT", &claims).await
    }

    /// Returns whether there is a service account of that address, even if it is disabled.
    pub async fn has_account(&self, email: &str) -> Result<bool, IdentityError> {
        let email = email.to_owned();
        self.read_by_key(move |tx| Ok(meta::accounts::find(tx, &email)?.is_some())).await
    }

    /// Returns the caller for a service account of this registry, without a credential. Only the metadata server uses
    /// it, with the account that its operator chose.
    pub async fn caller_by_account(&self, email: &str) -> Result<Caller, IdentityError> {
        let email = email.to_owned();
        let account = self
            .read_by_key(move |tx| Ok(meta::accounts::find_enabled(tx, &email)?))
            .await?
            .ok_or(CredentialError::AccountDisabled)?;
        let principal = Principal::ServiceAccount(
            account.email.parse().map_err(|_| CredentialError::AccountDisabled)?,
        );
        let authenticated_by =
            AuthenticatedBy { uid: Some(account.unique_id), ..AuthenticatedBy::default() };
        Ok(Caller {
            authenticated_by: Arc::new(authenticated_by),
            ..Caller::new(principal, AuthorizationMode::Policies)
        })
    }

    /// Returns an ID token for the caller.
    pub async fn identity_token(
        &self,
        caller: &Caller,
        request: IdTokenRequest<'_>,
    ) -> Result<String, IdentityError> {
        self.id_token(&caller.token_subject(), request).await
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
        let (principal, authenticated_by) = claims.clone().authenticated()?;
        self.check_standing(&principal, &authenticated_by, self.clock.now()).await?;
        Ok(claims)
    }

    /// Returns the ids and the public halves of the keys that sign ID tokens. A public half is the uncompressed point.
    pub async fn public_keys(&self) -> Result<Vec<(String, Vec<u8>)>, IdentityError> {
        let keys = self.signing_keys().await?;
        Ok(keys.public_keys().map(|(id, point)| (id.to_owned(), point.to_vec())).collect())
    }
}
