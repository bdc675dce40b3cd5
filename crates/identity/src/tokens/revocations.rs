//! The revocation of tokens, and how processes learn of it.
//!
//! Revoking a token changes no rights of other callers, and everybody may revoke their own tokens as often as they
//! like. So it does not raise the epoch of access, and caches stay valid. Each process reads the new revocations once a
//! second, and asks its own list of them whenever it takes a caller from the cache.

use std::time::Instant;

use meta::{epochs, revoked_tokens};
use model::principal::Principal;

use crate::credentials::jwt::UnverifiedToken;
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::tokens::issue::{TokenClaims, TokenPurpose};
use crate::tokens::revoked::MAX_PER_READING;

/// The outcome of a revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationOutcome {
    /// The token of this principal is revoked now.
    Revoked(Principal),
    /// The token was not good before.
    AlreadyInvalid,
    /// The token cannot be revoked, for this reason.
    Unsupported(&'static str),
}

impl Identity {
    /// Reads the new revocations from the database. A job calls this once a second, and this process after each of its
    /// own revocations.
    pub async fn poll_revocations(&self) -> Result<(), IdentityError> {
        let started = Instant::now();
        let newest = self.revoked.lock().newest;
        let reading = self.read_by_key(move |tx| {
            // Before its first reading, this process has no caller in its cache, so older revocations concern none.
            let Some(newest) = newest else {
                return Ok((Some(epochs::get(tx, epochs::REVOCATIONS)?), Vec::new()));
            };
            Ok((None, revoked_tokens::list_since(tx, newest, MAX_PER_READING as i64)?))
        });
        let (begin, revocations) = reading.await?;
        let mut list = self.revoked.lock();
        list.record(begin, revocations);
        list.read_at = list.read_at.max(Some(started));
        Ok(())
    }

    /// Returns the generation of the list of revoked tokens, under which callers go into the cache now.
    pub(crate) async fn revocation_generation(&self) -> Result<u64, IdentityError> {
        if let Some(generation) = self.revoked.trusted() {
            return Ok(generation);
        }
        self.poll_revocations().await?;
        Ok(self.revoked.lock().generation)
    }

    /// Revokes a token, and with it all tokens that were made from it. A token that is not good needs no revocation.
    pub async fn revoke_token(&self, token: &str) -> Result<RevocationOutcome, IdentityError> {
        match self.check_revocable(token).await {
            Ok(Ok((holder, claims))) => self.revoke(holder, claims).await,
            Ok(Err(reason)) => Ok(RevocationOutcome::Unsupported(reason)),
            Err(IdentityError::Credential(_)) => Ok(RevocationOutcome::AlreadyInvalid),
            Err(error) => Err(error),
        }
    }

    /// Returns the holder and the claims of a token, or the reason for which it cannot be revoked. The token need not
    /// be good now: a disabled key or account may be enabled again, and a token that was made from this one may live
    /// longer.
    async fn check_revocable(
        &self,
        token: &str,
    ) -> Result<Result<(Principal, TokenClaims), &'static str>, IdentityError> {
        let unverified = UnverifiedToken::parse(token)?;
        let purpose = match (unverified.header.alg.as_str(), unverified.header.typ.as_deref()) {
            ("ES256", Some("registry+jwt")) => TokenPurpose::Registry,
            ("ES256", Some("JWT")) => {
                return Ok(Err(
                    "An ID token is for other servers, which do not ask this registry about it.",
                ));
            }
            ("ES256", _) => TokenPurpose::Access,
            _ => {
                self.check_assertion(&unverified).await?;
                return Ok(Err("A token that an account signed itself goes with its key: \
                    disable or delete the key, or wait until the token has expired."));
            }
        };
        let claims = self.check_signed(&unverified, purpose).await?;
        let holder = claims.principal()?;
        if holder == Principal::Anonymous {
            return Ok(Err("The token is of an anonymous caller, and proves nothing."));
        }
        Ok(Ok((holder, claims)))
    }

    async fn revoke(
        &self,
        holder: Principal,
        claims: TokenClaims,
    ) -> Result<RevocationOutcome, IdentityError> {
        let (now, expires_at) = (self.clock.now(), claims.exp.saturating_mul(1_000_000));
        let writing =
            self.write(move |tx| Ok(revoked_tokens::revoke(tx, &claims.jti, now, expires_at)?));
        let is_new = writing.await?;
        self.poll_revocations().await?;
        match is_new {
            true => Ok(RevocationOutcome::Revoked(holder)),
            false => Ok(RevocationOutcome::AlreadyInvalid),
        }
    }
}
