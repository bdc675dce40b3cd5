//! Tokens that were taken back, as far as this process has to know.
//!
//! Taking a token back changes nobody's rights, so it voids nothing that is remembered of others: everybody may do it
//! with tokens of their own, as often as they like. Each process looks once a second at which ones are new, and asks its
//! own list of them whenever it remembers a caller.

use std::time::Instant;

use meta::{epochs, revoked_tokens};
use model::principal::Principal;

use crate::credentials::jwt::UnverifiedToken;
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::tokens::issue::{TokenClaims, TokenPurpose};
use crate::tokens::revoked::PAGE;

/// What came of taking a token back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationOutcome {
    /// It was this principal's, and is good for nothing any more.
    Done(Principal),
    /// It was good for nothing before.
    Needless,
    /// It cannot be taken back, for this reason.
    Unsupported(&'static str),
}

impl Identity {
    /// Looks at which tokens were taken back: once a second, and when this process took one back.
    pub async fn poll_revocations(&self) -> Result<(), IdentityError> {
        let started = Instant::now();
        let seen = self.revoked.listed().number;
        let (number, found) = self
            .meta
            .read_by_key(move |tx| {
                // What was taken back before this process remembered anybody is not its business.
                let Some(seen) = seen else {
                    return Ok((Some(epochs::get(tx, epochs::REVOCATIONS)?), Vec::new()));
                };
                Ok::<_, IdentityError>((None, revoked_tokens::list_since(tx, seen, PAGE as i64)?))
            })
            .await?;
        let mut listed = self.revoked.listed();
        listed.record(number, found);
        listed.at = listed.at.max(Some(started));
        Ok(())
    }

    /// The generation of the list that callers who are looked up now are remembered under.
    pub(crate) async fn revocations(&self) -> Result<u64, IdentityError> {
        if let Some(generation) = self.revoked.trusted() {
            return Ok(generation);
        }
        self.poll_revocations().await?;
        Ok(self.revoked.listed().generation)
    }

    /// Takes a token back, with all that was made from it. One that is good for nothing needs no taking back.
    pub async fn revoke_token(&self, token: &str) -> Result<RevocationOutcome, IdentityError> {
        match self.revocable(token).await {
            Ok(Ok((holder, claims))) => self.revoke(holder, claims).await,
            Ok(Err(reason)) => Ok(RevocationOutcome::Unsupported(reason)),
            Err(IdentityError::Credential(_)) => Ok(RevocationOutcome::Needless),
            Err(error) => Err(error),
        }
    }

    /// Whose token it is and what it says, or why nobody can take it back. Whether it is good now is not asked: what
    /// was switched off may be switched on again, and what was made from it may live longer than it does.
    async fn revocable(
        &self,
        token: &str,
    ) -> Result<Result<(Principal, TokenClaims), &'static str>, IdentityError> {
        let unverified = UnverifiedToken::parse(token)?;
        let purpose = match (unverified.header.alg.as_str(), unverified.header.typ.as_deref()) {
            ("ES256", Some("registry+jwt")) => TokenPurpose::Registry,
            ("ES256", Some("JWT")) => {
                return Ok(Err("An ID token says who somebody is, to others than this registry."));
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
            return Ok(Err("It is nobody's, and proves nothing."));
        }
        Ok(Ok((holder, claims)))
    }

    async fn revoke(
        &self,
        holder: Principal,
        claims: TokenClaims,
    ) -> Result<RevocationOutcome, IdentityError> {
        let (now, expires_at) = (self.clock.now(), claims.exp.saturating_mul(1_000_000));
        let done = self
            .meta
            .write(move |tx| {
                Ok::<_, IdentityError>(revoked_tokens::revoke(tx, &claims.jti, now, expires_at)?)
            })
            .await?;
        self.poll_revocations().await?;
        Ok(if done { RevocationOutcome::Done(holder) } else { RevocationOutcome::Needless })
    }
}
