//! The caller of a request, and the credential that authenticated it.

use std::sync::Arc;

use model::name::RepositoryName;
use model::oauth_scopes::OauthScopes;
use model::permission::Permission;
use model::principal::Principal;
use model::registry_scope::RegistryScope;
use model::resource::Resource;

use crate::error::IdentityError;
use crate::policies::recent_grants::RecentGrants;
use crate::tokens::provenance::TokenProvenance;

/// What decides about a caller.
#[derive(Debug, Clone)]
pub enum AuthorizationMode {
    /// Nothing: everything is allowed, everywhere. It is what `--dev` gives to every caller.
    Everything,
    /// These grants, and no policy: for tests that need callers without making accounts.
    Listed(Vec<Grant>),
    /// The policies of what is asked for.
    Policies,
}

/// Permissions on one repository.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The repository, whether it exists or not.
    pub repository: RepositoryName,
    /// What is allowed there.
    pub permissions: Vec<Permission>,
}

/// Who makes a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The principal, as policies, audit and history show it.
    pub principal: Principal,
    /// What decides what the principal may do.
    pub mode: AuthorizationMode,
    /// What the credential is limited to. A request needs both.
    pub scope: RegistryScope,
    /// How far the credential's OAuth scopes reach. A request needs all three.
    pub oauth_scopes: OauthScopes,
    /// What the principal was recognised by.
    pub authenticated_by: Arc<AuthenticatedBy>,
    /// What policies allowed lately.
    pub(crate) recent_grants: RecentGrants,
}

impl Caller {
    /// Somebody whose credential is limited to nothing.
    pub fn new(principal: Principal, rights: AuthorizationMode) -> Self {
        let (proof, answers) = (Arc::default(), RecentGrants::default());
        Self {
            principal,
            mode: rights,
            scope: RegistryScope::Unlimited,
            oauth_scopes: OauthScopes::UNLIMITED,
            authenticated_by: proof,
            recent_grants: answers,
        }
    }

    /// Whether the request carried no credential.
    pub fn is_anonymous(&self) -> bool {
        self.principal == Principal::Anonymous
    }

    /// A caller who sent no credential.
    pub fn anonymous() -> Self {
        Self::new(Principal::Anonymous, AuthorizationMode::Policies)
    }

    /// The registry itself, which no policy names.
    pub fn system(name: &'static str) -> Self {
        Self::new(Principal::System(name), AuthorizationMode::Policies)
    }

    /// The account that `bearer` says, authenticated until `expires_at`.
    pub(crate) fn of_account(bearer: TokenSubject, expires_at: Option<i64>) -> Self {
        let TokenSubject { principal, uid, key, ancestry } = bearer;
        let proof = AuthenticatedBy {
            uid,
            key,
            provenance: ancestry,
            expires_at,
            ..AuthenticatedBy::default()
        };
        Self {
            authenticated_by: Arc::new(proof),
            ..Self::new(principal, AuthorizationMode::Policies)
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

    /// The subject of a token that is issued to this caller.
    pub(crate) fn token_subject(&self) -> TokenSubject {
        TokenSubject {
            principal: self.principal.clone(),
            uid: self.authenticated_by.uid.clone(),
            key: self.authenticated_by.key.clone(),
            ancestry: self.authenticated_by.provenance.clone(),
        }
    }
}

/// What a caller was recognised by, as far as tokens that are made from it need to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthenticatedBy {
    pub(crate) uid: Option<String>,
    pub(crate) key: Option<String>,
    /// The id of our own token.
    pub(crate) token: Option<String>,
    /// The id of the token that our own token was made from.
    pub(crate) from: Option<String>,
    /// Whom that token comes down from.
    pub(crate) provenance: TokenProvenance,
    /// Until when the credential is good, in seconds since 1970; `None` for one without an end.
    pub(crate) expires_at: Option<i64>,
    /// When all of this stood.
    pub(crate) security_epoch: SecurityEpoch,
}

/// A moment, by what this process had seen of changes to rights and of tokens that were taken back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SecurityEpoch {
    pub(crate) epoch: i64,
    pub(crate) generation: u64,
}

impl AuthenticatedBy {
    /// Our own tokens that it rests on.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &str> {
        self.token.iter().chain(&self.from).chain(&self.provenance.tokens).map(String::as_str)
    }

    /// The account's key that it rests on.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Returns the provenance of a token that is issued to this caller, who acts through the accounts of these numbers.
    pub(crate) fn provenance(
        &self,
        delegates: Vec<String>,
    ) -> Result<TokenProvenance, IdentityError> {
        let mut ancestry = self.provenance.clone();
        let TokenProvenance { tokens, keys, accounts } = &mut ancestry;
        add(tokens, self.token.iter().chain(&self.from));
        add(keys, &self.key);
        add(accounts, self.uid.iter().chain(&delegates));
        if tokens.len() > MAX_ANCESTORS || accounts.len() > MAX_ANCESTORS {
            return Err(IdentityError::Precondition(format!(
                "the token was made by way of {MAX_ANCESTORS} others; sign in again, with a key"
            )));
        }
        Ok(ancestry)
    }
}

fn add<'a>(known: &mut Vec<String>, more: impl IntoIterator<Item = &'a String>) {
    for id in more {
        if !known.contains(id) {
            known.push(id.clone());
        }
    }
}

/// The most tokens, and the most accounts, that a token comes down from. So tokens stay small, and whoever lost the key
/// that all began with cannot renew them for ever.
const MAX_ANCESTORS: usize = 16;

/// Who a token is for, and what it was got with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenSubject {
    pub(crate) principal: Principal,
    pub(crate) uid: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) ancestry: TokenProvenance,
}

/// A caller that is remembered.
#[derive(Clone)]
pub(crate) struct CachedCaller {
    pub(crate) caller: Caller,
    /// In seconds since 1970.
    pub(crate) expires_at: i64,
}
