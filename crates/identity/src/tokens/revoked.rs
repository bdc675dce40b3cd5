//! The tokens that were revoked lately, as far as this process has to know.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::caller::AuthenticatedBy;

/// How old the last look may be: a process that could not look for longer refuses.
const TRUSTED_FOR: Duration = Duration::from_secs(4);
/// How many are read at a time.
pub(crate) const PAGE: usize = 1000;
/// How many are listed. Beyond that, callers are looked up anew instead.
const MOST: usize = 10_000;

/// The list of revoked tokens.
#[derive(Default)]
pub(crate) struct RevokedTokens(Mutex<RevokedList>);

#[derive(Default)]
pub(crate) struct RevokedList {
    /// The number of the newest one that was seen.
    pub(crate) number: Option<i64>,
    /// Those that were seen in this generation: a caller that was looked up in it may rest on one.
    tokens: HashSet<String>,
    pub(crate) generation: u64,
    pub(crate) at: Option<Instant>,
}

impl RevokedList {
    /// Notes what was found. Only the first look says where to begin: between it and another that began beside it,
    /// callers may have been remembered.
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

    /// The generation of the list, if it was looked at lately.
    pub(crate) fn trusted(&self) -> Option<u64> {
        let listed = self.listed();
        listed.at.filter(|at| at.elapsed() < TRUSTED_FOR).map(|_| listed.generation)
    }

    /// Whether none of the tokens that a caller rests on was taken back since it was looked up.
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
