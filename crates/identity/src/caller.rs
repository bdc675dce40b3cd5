//! The caller of a request, and the credential that authenticated it.

use std::sync::Arc;

use meta::change_way::ChangeWay;
use model::oauth_scopes::OauthScopes;
use model::permission::Permission;
use model::principal::Principal;
use model::registry_scope::RegistryScope;
use model::resource::Resource;

use crate::error::IdentityError;
use crate::policies::recent_grants::RecentGrants;
use crate::tokens::provenance::TokenProvenance;

/// The way in which the permissions of a caller are decided.
#[derive(Debug, Clone, Copy)]
pub enum AuthorizationMode {
    /// Everything is allowed, everywhere. With `--dev`, every caller has this mode.
    Everything,
    /// The policies of the requested resource, and of the resources around it, decide.
    Policies,
}

/// The caller of a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The principal, as policies, audit and history show it.
    pub principal: Principal,
    /// The way in which permissions are decided.
    pub mode: AuthorizationMode,
    /// The images and actions that the credential is limited to. A request needs this besides a permission.
    pub scope: RegistryScope,
    /// The OAuth scopes of the credential. A request needs them besides a permission and `scope`.
    pub oauth_scopes: OauthScopes,
    /// The ids of the credential, key and account that authenticated the caller.
    pub authenticated_by: Arc<AuthenticatedBy>,
    /// The way by which the caller's changes come, as events and the history of tags show it.
    pub way: ChangeWay,
    /// The permissions that policies granted lately.
    pub(crate) recent_grants: RecentGrants,
}

impl Caller {
    /// Returns a caller whose credential has no limits. Its changes come by an API, unless [`Caller::with_way`] says
    /// otherwise.
    pub fn new(principal: Principal, mode: AuthorizationMode) -> Self {
        Self {
            principal,
            mode,
            scope: RegistryScope::Unlimited,
            oauth_scopes: OauthScopes::UNLIMITED,
            authenticated_by: Arc::default(),
            way: ChangeWay::Api,
            recent_grants: RecentGrants::default(),
        }
    }

    /// Returns the same caller, whose changes come by another way.
    #[must_use]
    pub fn with_way(self, way: ChangeWay) -> Self {
        Self { way, ..self }
    }

    /// Returns whether the request carried no credential.
    pub fn is_anonymous(&self) -> bool {
        self.principal == Principal::Anonymous
    }

    /// Returns the caller of a request without a credential.
    pub fn anonymous() -> Self {
        Self::new(Principal::Anonymous, AuthorizationMode::Policies)
    }

    /// Returns the caller for what the registry does by itself. No policy names this principal.
    pub fn system(name: &'static str, way: ChangeWay) -> Self {
        Self::new(Principal::System(name), AuthorizationMode::Policies).with_way(way)
    }

    /// Returns the caller for the account of `subject`, authenticated until `expires_at`.
    pub(crate) fn of_account(subject: TokenSubject, expires_at: Option<i64>) -> Self {
        let TokenSubject { principal, uid, key, provenance } = subject;
        let authenticated_by =
            AuthenticatedBy { uid, key, provenance, expires_at, ..AuthenticatedBy::default() };
        Self {
            authenticated_by: Arc::new(authenticated_by),
            ..Self::new(principal, AuthorizationMode::Policies)
        }
    }

    /// Returns the caller for a person who is signed in, with these ids.
    pub(crate) fn of_person(principal: Principal, authenticated_by: AuthenticatedBy) -> Self {
        Self {
            authenticated_by: Arc::new(authenticated_by),
            ..Self::new(principal, AuthorizationMode::Policies).with_way(ChangeWay::Console)
        }
    }

    /// Returns the error for a permission that the caller lacks on a resource.
    pub fn denied(&self, permission: Permission, resource: &Resource) -> IdentityError {
        if !self.oauth_scopes.allows(permission) {
            return IdentityError::InsufficientOauthScopes;
        }
        let (resource, anonymous) = (resource.to_string(), self.is_anonymous());
        IdentityError::Denied { permission, resource, anonymous }
    }

    /// Returns the subject of a token that is issued to this caller.
    pub(crate) fn token_subject(&self) -> TokenSubject {
        TokenSubject {
            principal: self.principal.clone(),
            uid: self.authenticated_by.uid.clone(),
            key: self.authenticated_by.key.clone(),
            provenance: self.authenticated_by.provenance.clone(),
        }
    }
}

/// The ids of the token, key and account that authenticated the caller. A token that is made for the caller carries
/// them on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthenticatedBy {
    pub(crate) uid: Option<String>,
    pub(crate) key: Option<String>,
    /// The session of a person that the caller sent. A token that is made for the caller does not depend on it.
    pub(crate) session: Option<meta::Id>,
    /// The id of our own token that the caller sent.
    pub(crate) token: Option<String>,
    /// The id of the token that our own token was made from.
    pub(crate) from: Option<String>,
    /// The tokens, keys and accounts that the token was made by way of.
    pub(crate) provenance: TokenProvenance,
    /// The end of the credential, in seconds since 1970; `None` if it has no end.
    pub(crate) expires_at: Option<i64>,
    /// The epoch at which the credential was checked.
    pub(crate) security_epoch: SecurityEpoch,
}

/// A point in time, as the epoch of access and the generation of the list of revoked tokens that this process had seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SecurityEpoch {
    pub(crate) epoch: i64,
    pub(crate) generation: u64,
}

impl AuthenticatedBy {
    /// Returns the ids of our own tokens that the caller depends on.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &str> {
        self.token.iter().chain(&self.from).chain(&self.provenance.tokens).map(String::as_str)
    }

    /// Returns the id of the account's key that the caller signed in with.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Returns the provenance of a token that is issued to this caller, who acts through the accounts with these unique
    /// ids.
    pub(crate) fn provenance_through(
        &self,
        delegates: Vec<String>,
    ) -> Result<TokenProvenance, IdentityError> {
        let mut provenance = self.provenance.clone();
        let TokenProvenance { tokens, keys, accounts } = &mut provenance;
        add_missing(tokens, self.token.iter().chain(&self.from));
        add_missing(keys, &self.key);
        add_missing(accounts, self.uid.iter().chain(&delegates));
        if tokens.len() > MAX_ANCESTORS || accounts.len() > MAX_ANCESTORS {
            return Err(IdentityError::Precondition(format!(
                "the token was made by way of {MAX_ANCESTORS} other tokens or accounts; sign in again, with a key"
            )));
        }
        Ok(provenance)
    }
}

fn add_missing<'a>(ids: &mut Vec<String>, more: impl IntoIterator<Item = &'a String>) {
    for id in more {
        if !ids.contains(id) {
            ids.push(id.clone());
        }
    }
}

/// The most tokens, and the most accounts, in the provenance of a token. So tokens stay small, and whoever no longer
/// has the key that the first of them came from cannot renew tokens for ever.
const MAX_ANCESTORS: usize = 16;

/// The subject of a token: a principal, with the ids of the account and key that it signed in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenSubject {
    pub(crate) principal: Principal,
    pub(crate) uid: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) provenance: TokenProvenance,
}

/// A caller in the cache.
#[derive(Clone)]
pub(crate) struct CachedCaller {
    pub(crate) caller: Caller,
    /// The end of the credential, in seconds since 1970.
    pub(crate) expires_at: i64,
}
