//! From what a client sent to who it is. Every positive answer is remembered for as long as nobody's rights
//! change, so that a request costs one look into memory.

use std::sync::Arc;

use model::digest::{Algorithm, Digest, Hasher};
use model::principal::Principal;
use model::reach::Reach;
use model::scope::Scope;

use super::ancestry::Ancestry;
use super::assertions::WrongTimes;
use super::jwt::{JwtError, Unverified};
use super::key_file;
use super::tokens::{Bearer, Claims, Purpose};
use crate::{Caller, Engine, EngineError, Micros, Rights};

/// Why a credential was refused. The texts are for the log; a client learns that it was refused, and where
/// it can do something about it, what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Its time is over: a new one will do.
    #[error("the credential has expired")]
    Expired,
    /// It was taken back.
    #[error("the credential was revoked")]
    Revoked,
    /// The key that it rests on is switched off, deleted, or past its time.
    #[error("the key is disabled, deleted or expired")]
    KeyDisabled,
    /// The account is switched off or deleted.
    #[error("the account is disabled or deleted")]
    AccountDisabled,
    /// Not a key file.
    #[error("the key file cannot be read")]
    KeyFile,
    /// A key file whose private key is not the one of that id.
    #[error("the private key is not that of the key it names")]
    OtherKey,
    /// Not a token, or not one of ours.
    #[error(transparent)]
    Token(#[from] JwtError),
    /// Signed as it should be, by who may, for times that cannot be.
    #[error(transparent)]
    Times(#[from] WrongTimes),
    /// Signed as it should be, by who may, for somebody else.
    #[error("the token names another audience than this registry")]
    Audience,
    /// A token for some images, where only one for all that its holder may makes another.
    #[error("a token that is limited makes no other")]
    Limited,
    /// Of a kind that nobody was ever given here.
    #[error("nobody was given a credential of this kind")]
    Kind,
    /// A user name that stands for no kind of credential.
    #[error("the user name stands for no kind of credential")]
    UserName,
    /// A wrong one, and not the first.
    #[error("it is wrong, as too many before it from that address or for that account")]
    TooMany,
}

impl CredentialError {
    /// Whether it never was a credential. Others were good once, and clients send them until they learn better.
    pub fn is_guess(&self) -> bool {
        match self {
            Self::KeyFile | Self::OtherKey | Self::Token(_) | Self::UserName | Self::Kind => true,
            Self::Expired
            | Self::Times(_)
            | Self::Audience
            | Self::Limited
            | Self::Revoked
            | Self::KeyDisabled
            | Self::AccountDisabled
            | Self::TooMany => false,
        }
    }
}

/// The account that a token or key file says it is of, proven by nothing.
pub fn claimed_account(credential: &str) -> Option<String> {
    if let Some(email) = key_file::claimed_account(credential) {
        return Some(email);
    }
    let claims: serde_json::Value = Unverified::parse(credential).ok()?.claims().ok()?;
    let subject = claims.get("sub").or_else(|| claims.get("iss"))?.as_str()?;
    Some(subject.trim_start_matches("serviceAccount:").to_owned())
}

impl From<JwtError> for EngineError {
    fn from(error: JwtError) -> Self {
        Self::Credential(CredentialError::Token(error))
    }
}

/// Where a credential was sent to, which decides what a self-signed token may name as its audience.
#[derive(Debug, Clone, Copy)]
pub enum Surface<'a> {
    /// `/v2/` and its token endpoint.
    Registry,
    /// The Google APIs, by their own address.
    Api {
        /// Where clients reach them, and no other server, each without a slash at the end.
        urls: [&'a str; 2],
    },
}

/// A caller that is remembered.
#[derive(Clone)]
pub(crate) struct Known {
    caller: Caller,
    /// In seconds since 1970.
    expires_at: i64,
}

impl Caller {
    /// Somebody who sent no credential.
    pub fn anonymous() -> Self {
        Self::new(Principal::Anonymous, Rights::Policies)
    }
}

/// What a caller was recognised by, as far as tokens that are made from it need to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    pub(crate) uid: Option<String>,
    pub(crate) key: Option<String>,
    /// Our own token, by its id..
    pub(crate) token: Option<String>,
    /// ..and the one that it was made from.
    pub(crate) from: Option<String>,
    /// Whom that token comes down from.
    pub(crate) ancestry: Ancestry,
    /// Until when the credential is good, in seconds since 1970; `None` for one without an end.
    pub(crate) expires_at: Option<i64>,
    /// When all of this stood.
    pub(crate) moment: Moment,
}

/// A moment, by what this process had seen of changes to rights and of tokens that were taken back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) epoch: i64,
    pub(crate) generation: u64,
}

impl Proof {
    /// Our own tokens that it rests on.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &str> {
        self.token.iter().chain(&self.from).chain(&self.ancestry.tokens).map(String::as_str)
    }

    /// The account's key that it rests on.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl Engine {
    /// Who holds this token: one of ours, or one that a service account signed itself.
    pub async fn caller_by_token(
        &self,
        token: &str,
        surface: Surface<'_>,
    ) -> Result<Caller, EngineError> {
        let kind = match surface {
            Surface::Registry => "token of /v2/",
            Surface::Api { .. } => "token of the APIs",
        };
        let (remembered, moment) = (remembered_as(kind, token), self.moment().await?);
        if let Some(known) = self.remembered(&remembered, moment) {
            return Ok(known);
        }
        let unverified = Unverified::parse(token)?;
        let caller = match unverified.header.alg.as_str() {
            "ES256" => self.caller_by_own_token(&unverified, surface).await?,
            _ => self.caller_by_self_signed(&unverified, surface).await?,
        };
        Ok(self.remember((remembered, moment), caller))
    }

    /// Who holds this key file.
    pub async fn caller_by_key_file(&self, text: &str) -> Result<Caller, EngineError> {
        let (remembered, moment) = (remembered_as("key file", text), self.moment().await?);
        if let Some(known) = self.remembered(&remembered, moment) {
            return Ok(known);
        }
        let file = key_file::read(text)?;
        let (key, bearer) = self.account_key(&file.client_email, &file.private_key_id).await?;
        // The id and the address prove nothing: anybody may write them down.
        let public_key = file.private_key()?.public_key().map_err(|_| CredentialError::OtherKey)?;
        if public_key != key.public_key {
            return Err(CredentialError::OtherKey.into());
        }
        let caller = of_account(bearer, None);
        Ok(self.remember((remembered, moment), caller))
    }

    /// What is looked up now is remembered under this.
    async fn moment(&self) -> Result<Moment, EngineError> {
        Ok(Moment { epoch: self.epoch().await?, generation: self.revocations().await? })
    }

    fn remembered(&self, hash: &Digest, moment: Moment) -> Option<Caller> {
        let known = self.identity.callers.get(hash, moment.epoch)?;
        let good = known.expires_at > self.clock.now() / 1_000_000
            && self.identity.revocations.spare(&known.caller.proof);
        good.then_some(known.caller)
    }

    fn remember(&self, (hash, moment): (Digest, Moment), mut caller: Caller) -> Caller {
        Arc::make_mut(&mut caller.proof).moment = moment;
        let expires_at = caller.proof.expires_at.unwrap_or(i64::MAX);
        self.identity.callers.put(hash, moment.epoch, Known { caller: caller.clone(), expires_at });
        caller
    }

    async fn caller_by_own_token(
        &self,
        unverified: &Unverified<'_>,
        surface: Surface<'_>,
    ) -> Result<Caller, EngineError> {
        let purpose = match (surface, unverified.header.typ.as_deref()) {
            (Surface::Registry, Some("registry+jwt")) => Purpose::Registry,
            (Surface::Registry | Surface::Api { .. }, _) => Purpose::Access,
        };
        let mut claims = self.check_token(unverified, purpose).await?;
        let scope = match (purpose, claims.access.take()) {
            (Purpose::Registry, access) => Scope::Listed(access.unwrap_or_default().into()),
            (Purpose::Access, _) => Scope::All,
        };
        let reach = claims.scope.as_deref().map_or(Reach::ALL, Reach::of);
        let (principal, proof) = proven(claims)?;
        self.check_standing((&principal, &proof), self.clock.now()).await?;
        let proof = Arc::new(proof);
        Ok(Caller { scope, reach, proof, ..Caller::new(principal, Rights::Policies) })
    }

    /// Checks once more that a caller who was recognised some time ago would be now, if anything changed since.
    pub(crate) async fn check_again(&self, caller: &Caller) -> Result<(), EngineError> {
        /// Expiry never stops a request that has begun: what counts is what was taken away.
        const NO_KEY_IS_OVER: Micros = Micros::MIN;
        let Caller { principal, rights, proof, .. } = caller;
        match rights {
            Rights::All | Rights::Listed(_) => Ok(()),
            Rights::Policies => {
                let now = self.moment().await?;
                if proof.moment == now && self.identity.revocations.spare(proof) {
                    return Ok(());
                }
                self.check_standing((principal, proof), NO_KEY_IS_OVER).await
            }
        }
    }

    /// Whether what a credential rests on still stands: our own tokens, keys, accounts. A key whose own time was
    /// over at `at` does not.
    pub(crate) async fn check_standing(
        &self,
        (principal, proof): (&Principal, &Proof),
        at: Micros,
    ) -> Result<(), EngineError> {
        let (principal, proof) = (principal.clone(), proof.clone());
        self.meta
            .read(move |tx| {
                for id in proof.tokens() {
                    if meta::revoked_tokens::is_revoked(tx, id)? {
                        return Err(CredentialError::Revoked.into());
                    }
                }
                for id in proof.key.iter().chain(&proof.ancestry.keys) {
                    let key = meta::accounts::find_key(tx, id)?
                        .filter(|key| !key.disabled && key.valid_before > at);
                    key.ok_or(CredentialError::KeyDisabled)?;
                }
                if let Principal::ServiceAccount(email) = &principal {
                    let account = meta::accounts::standing(tx, email.as_str())?
                        .filter(|account| Some(&account.unique_id) == proof.uid.as_ref());
                    account.ok_or(CredentialError::AccountDisabled)?;
                }
                for number in &proof.ancestry.accounts {
                    if !meta::accounts::is_standing(tx, number)? {
                        return Err(CredentialError::AccountDisabled.into());
                    }
                }
                Ok(())
            })
            .await
    }

    async fn caller_by_self_signed(
        &self,
        unverified: &Unverified<'_>,
        surface: Surface<'_>,
    ) -> Result<Caller, EngineError> {
        let (assertion, bearer) = self.check_assertion(unverified).await?;
        let audience = assertion.aud.as_deref().unwrap_or_default();
        let meant_for_us = match surface {
            Surface::Registry => audience.is_empty(),
            Surface::Api { urls } => {
                let ours = urls.contains(&audience.trim_end_matches('/'));
                (audience.is_empty() && assertion.scope.is_some())
                    || (!audience.is_empty() && (ours || is_served_api(audience)))
            }
        };
        if !meant_for_us || assertion.target_audience.is_some() {
            return Err(CredentialError::Audience.into());
        }
        let reach = assertion.scope.as_deref().map_or(Reach::ALL, Reach::of);
        Ok(Caller { reach, ..of_account(bearer, Some(assertion.exp)) })
    }
}

/// What Google's client libraries name when they sign for an API by its usual address.
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

/// Whom the claims of one of our own tokens speak for, and by what.
pub(crate) fn proven(claims: Claims) -> Result<(Principal, Proof), JwtError> {
    let principal = claims.principal()?;
    let Claims { uid, key, jti, from, via: ancestry, exp, .. } = claims;
    let (token, expires_at) = (Some(jti), Some(exp));
    Ok((principal, Proof { uid, key, token, from, ancestry, expires_at, ..Proof::default() }))
}

fn of_account(bearer: Bearer, expires_at: Option<i64>) -> Caller {
    let Bearer { principal, uid, key, ancestry } = bearer;
    let proof = Proof { uid, key, ancestry, expires_at, ..Proof::default() };
    Caller { proof: Arc::new(proof), ..Caller::new(principal, Rights::Policies) }
}

/// What a credential is remembered as: not the credential.
fn remembered_as(kind: &str, credential: &str) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
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
