//! The cache of callers, policies and signing keys, whose entries are valid for one epoch.
//!
//! Every transaction that changes rights raises the epoch of access. Each process reads it once a second, and ignores
//! entries of another epoch. A process that could not read it for some seconds refuses requests, because another
//! process may have taken rights away meanwhile.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time after which the old generation of a cache is dropped. An entry that nobody asks for stays for at least this
/// time, and at most twice as long. Expired tokens leave the cache by this, too.
pub(crate) const MAX_GENERATION_AGE: Duration = Duration::from_secs(300);

/// A cache of at most `MAX_ENTRIES` entries, which are valid for one epoch. Entries that nobody asks for are dropped.
///
/// The entries are in two generations. An entry that is used moves into the young one. When the young generation is
/// full or old, it becomes the old one, and the entries that were left in the old one are dropped. So a client that
/// makes very many new entries pushes out none that are in use.
pub struct EpochCache<K, V, const MAX_ENTRIES: usize = 10_000>(Mutex<Generations<K, V>>);

struct Generations<K, V> {
    young: HashMap<K, (i64, V)>,
    old: HashMap<K, (i64, V)>,
    /// The time at which the young generation began.
    began_at: Instant,
}

impl<K, V, const MAX_ENTRIES: usize> Default for EpochCache<K, V, MAX_ENTRIES> {
    fn default() -> Self {
        let (young, old) = (HashMap::new(), HashMap::new());
        Self(Mutex::new(Generations { young, old, began_at: Instant::now() }))
    }
}

impl<K: Hash + Eq, V: Clone, const MAX_ENTRIES: usize> EpochCache<K, V, MAX_ENTRIES> {
    /// Returns the value of a key, if it was put in under this epoch.
    pub fn get(&self, key: &K, epoch: i64) -> Option<V> {
        let mut generations = self.lock();
        if let Some((valid_in, value)) = generations.young.get(key) {
            return (*valid_in == epoch).then(|| value.clone());
        }
        let (key, (valid_in, value)) = generations.old.remove_entry(key)?;
        if valid_in != epoch {
            return None;
        }
        generations.insert::<MAX_ENTRIES>(key, (epoch, value.clone()));
        Some(value)
    }

    /// Puts in a value that was looked up after this epoch was read.
    pub fn put(&self, key: K, epoch: i64, value: V) {
        self.lock().insert::<MAX_ENTRIES>(key, (epoch, value));
    }

    /// Starts a new generation if the young one is as old as `max_age`. This drops the entries that nobody has asked
    /// for since the start before the last.
    pub(crate) fn drop_unused(&self, max_age: Duration) {
        let mut generations = self.lock();
        if generations.began_at.elapsed() >= max_age {
            generations.start_generation();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generations<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, V> Generations<K, V> {
    fn insert<const MAX_ENTRIES: usize>(&mut self, key: K, entry: (i64, V)) {
        if self.young.len() >= MAX_ENTRIES / 2 {
            self.start_generation();
        }
        self.young.insert(key, entry);
    }

    fn start_generation(&mut self) {
        self.old = std::mem::take(&mut self.young);
        self.began_at = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn len<const MAX_ENTRIES: usize>(cache: &EpochCache<u32, &str, MAX_ENTRIES>) -> usize {
        let generations = cache.lock();
        generations.young.len() + generations.old.len()
    }

    #[test]
    fn what_is_remembered_holds_for_one_epoch() {
        let cache = EpochCache::<_, _>::default();
        cache.put(1, 1, "x");
        assert_eq!(cache.get(&1, 1), Some("x"));
        assert_eq!(cache.get(&1, 2), None);
        assert_eq!(cache.get(&2, 1), None);
        // The same for an entry of the old generation.
        cache.drop_unused(Duration::ZERO);
        assert_eq!(cache.get(&1, 2), None);
        assert_eq!(len(&cache), 0);
    }

    #[test]
    fn very_many_new_ones_push_out_none_that_is_in_use() {
        let cache = EpochCache::<_, _, 100>::default();
        cache.put(0, 1, "in use");
        for n in 1..20_000 {
            cache.put(n, 1, "used once");
            assert_eq!(cache.get(&0, 1), Some("in use"));
            assert!(len(&cache) <= 100);
        }
        assert_eq!(cache.get(&1, 1), None);
        assert_eq!(cache.get(&19_999, 1), Some("used once"));
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let cache = EpochCache::<_, _>::default();
        cache.put(0, 1, "in use");
        cache.put(1, 1, "used once");
        for _ in 0..2 {
            cache.drop_unused(Duration::MAX);
            assert_eq!(len(&cache), 2, "not yet");
        }
        for _ in 0..2 {
            cache.drop_unused(Duration::ZERO);
            assert_eq!(cache.get(&0, 1), Some("in use"));
        }
        assert_eq!(len(&cache), 1);
    }
}
