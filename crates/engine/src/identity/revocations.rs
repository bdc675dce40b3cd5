//! Tokens that were taken back, as far as this process has to know.
//!
//! Taking a token back changes nobody's rights, so it voids nothing that is remembered of others: everybody may do it
//! with tokens of their own, as often as they like. Each process looks once a second at which ones are new, and asks its
//! own list of them whenever it remembers a caller.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use meta::{epochs, revoked_tokens};
use model::principal::Principal;

use super::credentials::Proof;
use super::jwt::Unverified;
use super::tokens::{Claims, Purpose};
use crate::{Engine, EngineError};

/// How old the last look may be: whoever could not look for longer refuses.
const TRUSTED_FOR: Duration = Duration::from_secs(4);
/// How many are read at a time.
const PAGE: usize = 1000;
/// How many are listed. Beyond that, callers are looked up anew instead.
const MOST: usize = 10_000;

/// What came of taking a token back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// It was this principal's, and is good for nothing any more.
    Done(Principal),
    /// It was good for nothing before.
    Needless,
    /// It cannot be taken back, for this reason.
    Unsupported(&'static str),
}

/// The list.
#[derive(Default)]
pub(crate) struct Revocations(Mutex<Listed>);

#[derive(Default)]
struct Listed {
    /// The number of the newest one that was seen.
    number: Option<i64>,
    /// Those that were seen in this generation: a caller that was looked up in it may rest on one.
    tokens: HashSet<String>,
    generation: u64,
    at: Option<Instant>,
}

impl Listed {
    /// Notes what was found. Only the first look says where to begin: between it and another that began beside it,
    /// callers may have been remembered.
    fn note(&mut self, begin: Option<i64>, found: Vec<(i64, String)>) {
        let newest = found.last().map(|(number, _)| *number);
        self.number = self.number.or(begin).max(newest);
        if found.len() >= PAGE || self.tokens.len() + found.len() > MOST {
            self.generation += 1;
            self.tokens.clear();
        } else {
            self.tokens.extend(found.into_iter().map(|(_, token)| token));
        }
    }
}

impl Revocations {
    fn listed(&self) -> std::sync::MutexGuard<'_, Listed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trusted(&self) -> Option<u64> {
        let listed = self.listed();
        listed.at.filter(|at| at.elapsed() < TRUSTED_FOR).map(|_| listed.generation)
    }

    /// Whether none of the tokens that a caller rests on was taken back since it was looked up.
    pub(crate) fn spare(&self, proof: &Proof) -> bool {
        let listed = self.listed();
        let untouched =
            listed.tokens.is_empty() || !proof.tokens().any(|token| listed.tokens.contains(token));
        proof.moment.generation == listed.generation && untouched
    }
}

impl Engine {
    /// Looks at which tokens were taken back: once a second, and when this process took one back.
    pub async fn poll_revocations(&self) -> Result<(), EngineError> {
        let started = Instant::now();
        let seen = self.identity.revocations.listed().number;
        let (number, found) = self
            .meta
            .point(move |tx| {
                // What was taken back before this process remembered anybody is not its business.
                let Some(seen) = seen else {
                    return Ok((Some(epochs::get(tx, epochs::REVOCATIONS)?), Vec::new()));
                };
                Ok::<_, EngineError>((None, revoked_tokens::since(tx, seen, PAGE as i64)?))
            })
            .await?;
        let mut listed = self.identity.revocations.listed();
        listed.note(number, found);
        listed.at = listed.at.max(Some(started));
        Ok(())
    }

    /// The generation of the list that callers who are looked up now are remembered under.
    pub(crate) async fn revocations(&self) -> Result<u64, EngineError> {
        if let Some(generation) = self.identity.revocations.trusted() {
            return Ok(generation);
        }
        self.poll_revocations().await?;
        Ok(self.identity.revocations.listed().generation)
    }

    /// Takes a token back, with all that was made from it. One that is good for nothing needs no taking back.
    pub async fn revoke_token(&self, token: &str) -> Result<Revocation, EngineError> {
        match self.revocable(token).await {
            Ok(Ok((holder, claims))) => self.revoke(holder, claims).await,
            Ok(Err(reason)) => Ok(Revocation::Unsupported(reason)),
            Err(EngineError::Credential(_)) => Ok(Revocation::Needless),
            Err(error) => Err(error),
        }
    }

    /// Whose token it is and what it says, or why nobody can take it back. Whether it is good now is not asked: what
    /// was switched off may be switched on again, and what was made from it may live longer than it does.
    async fn revocable(
        &self,
        token: &str,
    ) -> Result<Result<(Principal, Claims), &'static str>, EngineError> {
        let unverified = Unverified::parse(token)?;
        let purpose = match (unverified.header.alg.as_str(), unverified.header.typ.as_deref()) {
            ("ES256", Some("registry+jwt")) => Purpose::Registry,
            ("ES256", Some("JWT")) => {
                return Ok(Err("An ID token says who somebody is, to others than this registry."));
            }
            ("ES256", _) => Purpose::Access,
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

    async fn revoke(&self, holder: Principal, claims: Claims) -> Result<Revocation, EngineError> {
        let times = (self.clock.now(), claims.exp.saturating_mul(1_000_000));
        let done = self
            .meta
            .write(move |tx| Ok::<_, EngineError>(revoked_tokens::insert(tx, &claims.jti, times)?))
            .await?;
        self.poll_revocations().await?;
        Ok(if done { Revocation::Done(holder) } else { Revocation::Needless })
    }
}

#[cfg(test)]
mod tests {
    use super::super::credentials::Moment;
    use super::*;

    fn found(numbers: std::ops::Range<i64>) -> Vec<(i64, String)> {
        numbers.map(|number| (number, format!("token {number}"))).collect()
    }

    fn resting_on(token: i64, generation: u64) -> Proof {
        let moment = Moment { generation, ..Moment::default() };
        Proof { token: Some(format!("token {token}")), moment, ..Proof::default() }
    }

    #[test]
    fn who_rests_on_none_of_them_is_spared() {
        let list = Revocations::default();
        assert!(list.spare(&Proof::default()));
        list.listed().note(None, found(1..3));
        list.listed().note(None, found(2..4));
        assert_eq!(list.listed().number, Some(3));
        assert!(list.spare(&Proof::default()) && list.spare(&resting_on(4, 0)));
        let parent = Proof { from: Some("token 2".to_owned()), ..Proof::default() };
        assert!(!list.spare(&parent) && !list.spare(&resting_on(3, 0)));
        // A first look that was overtaken by others.
        list.listed().note(Some(9), Vec::new());
        assert_eq!(list.listed().number, Some(3));
    }

    #[test]
    fn where_there_are_very_many_everybody_is_looked_up_anew() {
        let list = Revocations::default();
        list.listed().note(None, found(1..PAGE as i64 + 1));
        assert!(!list.spare(&Proof::default()), "there may be more of them");
        assert!(list.spare(&resting_on(1, 1)), "looked up since, and found to be good");
        for n in 1..30 {
            list.listed().note(None, found(n * 900..n * 900 + 900));
            assert!(list.listed().tokens.len() <= MOST);
        }
        assert_eq!(list.listed().generation, 3);
        assert_eq!(list.listed().number, Some(29 * 900 + 899));
    }
}
