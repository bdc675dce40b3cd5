//! The list of the tokens that were revoked since this process began to cache callers.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::caller::AuthenticatedBy;

/// The longest time for which the list is trusted. A process that could not read it for longer refuses requests.
const TRUSTED_FOR: Duration = Duration::from_secs(4);
/// The most revocations that are read at once.
pub(crate) const PAGE: usize = 1000;
/// The most tokens in the list. Beyond that, a new generation begins, and all callers are looked up anew.
const MOST: usize = 10_000;

/// The list of revoked tokens, shared by all requests.
#[derive(Default)]
pub(crate) struct RevokedTokens(Mutex<RevokedList>);

#[derive(Default)]
pub(crate) struct RevokedList {
    /// The number of the newest revocation that was read.
    pub(crate) number: Option<i64>,
    /// The tokens whose revocation was read in this generation. A caller that was looked up in it may depend on one.
    tokens: HashSet<String>,
    pub(crate) generation: u64,
    pub(crate) at: Option<Instant>,
}

impl RevokedList {
    /// Records revocations. `begin` counts only at the first reading: of two first readings at the same time, the
    /// second may begin too late for a caller that was cached after the first.
    pub(crate) fn record(&mut self, begin: Option<i64>, found: Vec<(i64, String)>) {
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

impl RevokedTokens {
    pub(crate) fn listed(&self) -> std::sync::MutexGuard<'_, RevokedList> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the generation of the list, if the list was read lately.
    pub(crate) fn trusted(&self) -> Option<u64> {
        let listed = self.listed();
        listed.at.filter(|at| at.elapsed() < TRUSTED_FOR).map(|_| listed.generation)
    }

    /// Returns whether none of the tokens that a caller depends on was revoked since the caller was looked up.
    pub(crate) fn is_unaffected(&self, proof: &AuthenticatedBy) -> bool {
        let listed = self.listed();
        let untouched =
            listed.tokens.is_empty() || !proof.tokens().any(|token| listed.tokens.contains(token));
        proof.security_epoch.generation == listed.generation && untouched
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::SecurityEpoch;

    fn found(numbers: std::ops::Range<i64>) -> Vec<(i64, String)> {
        numbers.map(|number| (number, format!("token {number}"))).collect()
    }

    fn resting_on(token: i64, generation: u64) -> AuthenticatedBy {
        let moment = SecurityEpoch { generation, ..SecurityEpoch::default() };
        AuthenticatedBy {
            token: Some(format!("token {token}")),
            security_epoch: moment,
            ..AuthenticatedBy::default()
        }
    }

    #[test]
    fn who_rests_on_none_of_them_is_spared() {
        let list = RevokedTokens::default();
        assert!(list.is_unaffected(&AuthenticatedBy::default()));
        list.listed().record(None, found(1..3));
        list.listed().record(None, found(2..4));
        assert_eq!(list.listed().number, Some(3));
        assert!(
            list.is_unaffected(&AuthenticatedBy::default())
                && list.is_unaffected(&resting_on(4, 0))
        );
        let parent =
            AuthenticatedBy { from: Some("token 2".to_owned()), ..AuthenticatedBy::default() };
        assert!(!list.is_unaffected(&parent) && !list.is_unaffected(&resting_on(3, 0)));
        // A first look that was overtaken by others.
        list.listed().record(Some(9), Vec::new());
        assert_eq!(list.listed().number, Some(3));
    }

    #[test]
    fn where_there_are_very_many_everybody_is_looked_up_anew() {
        let list = RevokedTokens::default();
        list.listed().record(None, found(1..PAGE as i64 + 1));
        assert!(!list.is_unaffected(&AuthenticatedBy::default()), "there may be more of them");
        assert!(list.is_unaffected(&resting_on(1, 1)), "looked up since, and found to be good");
        for n in 1..30 {
            list.listed().record(None, found(n * 900..n * 900 + 900));
            assert!(list.listed().tokens.len() <= MOST);
        }
        assert_eq!(list.listed().generation, 3);
        assert_eq!(list.listed().number, Some(29 * 900 + 899));
    }
}
