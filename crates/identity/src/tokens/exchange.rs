//! Tokens in exchange for other proofs: registry tokens, access tokens and ID tokens; and what others ask
//! about tokens.

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

/// How long tokens live.
pub(crate) const LIFETIME: Duration = Duration::from_secs(3600);

/// The audience that gcloud always names, whatever a key file says.
const GOOGLE_TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// What an assertion was exchanged for.
pub enum AssertionAnswer {
    /// It asked for access.
    Access {
        /// The token.
        token: IssuedToken,
        /// What it asked for.
        scope: String,
    },
    /// It asked to be introduced to somebody.
    Id {
        /// The ID token.
        token: String,
    },
}

/// What a token is, for those who ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIntrospection {
    /// Whose it is.
    pub email: String,
    /// The account's number.
    pub subject: Option<String>,
    /// The scopes of OAuth.
    pub scope: String,
    /// When it ends, in seconds since 1970.
    pub expires_at: i64,
    /// For how many more seconds it is good.
    pub expires_in: i64,
}

/// An ID token as Google makes them.
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
    /// A token for `/v2/`, limited to what was asked for. It carries no right: every use asks the policies.
    /// It lives as long as the credential, at most as long as is set.
    pub async fn registry_token(
        &self,
        caller: &Caller,
        access: Vec<ScopeEntry>,
    ) -> Result<IssuedToken, IdentityError> {
        // Otherwise one that was made for a single image would be good for everything.
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

    /// An access token for a caller who proved it by a key.
    pub async fn access_token(
        &self,
        caller: &Caller,
        scope: String,
    ) -> Result<IssuedToken, IdentityError> {
        let limits = TokenLimits { scope: Some(scope), ..TokenLimits::default() };
        self.issue((TokenPurpose::Access, &caller.token_subject()), LIFETIME, limits).await
    }

    /// What a service account gets for an assertion that it signed: RFC 7523 as Google has it. `urls` are ours, the
    /// first of them the one that we are known by.
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

    /// An ID token: who the account is, for somebody else to check.
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

    /// Returns whether there is a service account of that address, whether or not it may do anything.
    pub async fn has_account(&self, email: &str) -> Result<bool, IdentityError> {
        let wanted = email.to_owned();
        let found = self.meta.read_by_key(move |tx| {
            let found = meta::accounts::find(tx, &wanted)?;
            Ok::<_, IdentityError>(found.is_some())
        });
        found.await
    }

    /// A caller that stands for a service account of this registry, without a credential: for the metadata
    /// server, which its operator gave that account to.
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

    /// Who a caller is, for somebody else to check.
    pub async fn identity_token(
        &self,
        caller: &Caller,
        (audience, issuer): (&str, &str),
        include_email: bool,
    ) -> Result<String, IdentityError> {
        let include = if include_email { IncludeEmail::Yes } else { IncludeEmail::No };
        self.id_token(&caller.token_subject(), (audience, issuer), include).await
    }

    /// What an access token is. `None`: nothing that is good now.
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

    /// The public halves of the keys that sign ID tokens: id, and the point's coordinates.
    pub async fn public_keys(&self) -> Result<Vec<(String, Vec<u8>)>, IdentityError> {
        let ring = self.signing_keys().await?;
        Ok(ring.public_keys().map(|(id, point)| (id.to_owned(), point.to_vec())).collect())
    }
}

/// Whether an ID token says the account's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IncludeEmail {
    Yes,
    No,
}
