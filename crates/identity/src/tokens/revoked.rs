//! The list of the tokens that were revoked since this process began to cache callers.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::caller::AuthenticatedBy;

/// The longest time for which the list is trusted. A process that could not read it for longer refuses requests.
const TRUSTED_FOR: Duration = Duration::from_secs(4);
/// The most revocations that are read at once.
pub(crate) const MAX_PER_READING: usize = 1000;
/// The most tokens in the list. Beyond that, a new generation begins, and all callers are looked up anew.
const MAX_LISTED: usize = 10_000;

/// The list of revoked tokens, shared by all requests.
#[derive(Default)]
pub(crate) struct RevokedTokens(Mutex<RevokedList>);

#[derive(Default)]
pub(crate) struct RevokedList {
    /// The number of the newest revocation that was read.
    pub(crate) newest: Option<i64>,
    /// The tokens whose revocation was read in this generation. A caller that was looked up in it may depend on one.
    tokens: HashSet<String>,
    /// The number of times that the list became too long, and was emptied.
    pub(crate) generation: u64,
    /// The time at which the last reading began.
    pub(crate) read_at: Option<Instant>,
}

impl RevokedList {
    /// Records revocations. `begin` counts only at the first reading: of two first readings at the same time, the
    /// second may begin too late for a caller that was cached after the first.
    pub(crate) fn record(&mut self, begin: Option<i64>, revocations: Vec<(i64, String)>) {
        let newest = revocations.last().map(|(number, _)| *number);
        self.newest = self.newest.or(begin).max(newest);
        if revocations.len() >= MAX_PER_READING
            || self.tokens.len() + revocations.len() > MAX_LISTED
        {
            self.generation += 1;
            self.tokens.clear();
        } else {
            self.tokens.extend(revocations.into_iter().map(|(_, token)| token));
        }
    }
}

impl RevokedTokens {
    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, RevokedList> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the generation of the list, if the list was read lately.
    pub(crate) fn trusted(&self) -> Option<u64> {
        let list = self.lock();
        list.read_at.filter(|read_at| read_at.elapsed() < TRUSTED_FOR).map(|_| list.generation)
    }

    /// Returns whether none of the tokens that a caller depends on was revoked since the caller was looked up.
    pub(crate) fn is_unaffected(&self, authenticated_by: &AuthenticatedBy) -> bool {
        let list = self.lock();
        let none_is_listed = list.tokens.is_empty()
            || !authenticated_by.tokens().any(|token| list.tokens.contains(token));
        authenticated_by.security_epoch.generation == list.generation && none_is_listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::SecurityEpoch;

    fn revocations(numbers: std::ops::Range<i64>) -> Vec<(i64, String)> {
        numbers.map(|number| (number, format!("token {number}"))).collect()
    }

    fn resting_on(token: i64, generation: u64) -> AuthenticatedBy {
        let security_epoch = SecurityEpoch { generation, ..SecurityEpoch::default() };
        AuthenticatedBy {
            token: Some(format!("token {token}")),
            security_epoch,
            ..AuthenticatedBy::default()
        }
    }

    #[test]
    fn who_rests_on_none_of_them_is_spared() {
        let list = RevokedTokens::default();
        assert!(list.is_unaffected(&AuthenticatedBy::default()));
        list.lock().record(None, revocations(1..3));
        list.lock().record(None, revocations(2..4));
        assert_eq!(list.lock().newest, Some(3));
        assert!(
            list.is_unaffected(&AuthenticatedBy::default())
                && list.is_unaffected(&resting_on(4, 0))
        );
        let parent =
            AuthenticatedBy { from: Some("token 2".to_owned()), ..AuthenticatedBy::default() };
        assert!(!list.is_unaffected(&parent) && !list.is_unaffected(&resting_on(3, 0)));
        // A first look that was overtaken by others.
        list.lock().record(Some(9), Vec::new());
        assert_eq!(list.lock().newest, Some(3));
    }

    #[test]
    fn where_there_are_very_many_everybody_is_looked_up_anew() {
        let list = RevokedTokens::default();
        list.lock().record(None, revocations(1..MAX_PER_READING as i64 + 1));
        assert!(!list.is_unaffected(&AuthenticatedBy::default()), "there may be more of them");
        assert!(list.is_unaffected(&resting_on(1, 1)), "looked up since, and found to be good");
        for n in 1..30 {
            list.lock().record(None, revocations(n * 900..n * 900 + 900));
            assert!(list.lock().tokens.len() <= MAX_LISTED);
        }
        assert_eq!(list.lock().generation, 3);
        assert_eq!(list.lock().newest, Some(29 * 900 + 899));
    }
}
