//! What this process remembers of identities and policies, and how it learns that it is out of date.
//!
//! Every transaction that changes who may do what raises an epoch. Each process looks at it once a second;
//! what was remembered under another epoch is forgotten. A process that could not look for some seconds
//! refuses, rather than let in whom another process has shut out.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long what was remembered waits to be asked for, at least; at most twice that. Tokens that are over go with it.
pub(crate) const GENERATION: Duration = Duration::from_secs(300);

/// Things remembered under an epoch: `MOST` of them at most, and none that nobody has asked for in a while.
///
/// They are in two generations. What is used is in the young one. Where that is full, or old, it becomes the old one, and
/// what was left in that is forgotten: so whoever comes with very many new ones pushes out none that are in use.
pub(crate) struct EpochCache<K, V, const MOST: usize = 10_000>(Mutex<Generations<K, V>>);

struct Generations<K, V> {
    young: HashMap<K, (i64, V)>,
    old: HashMap<K, (i64, V)>,
    /// When the young one began.
    began: Instant,
}

impl<K, V, const MOST: usize> Default for EpochCache<K, V, MOST> {
    fn default() -> Self {
        let (young, old) = (HashMap::new(), HashMap::new());
        Self(Mutex::new(Generations { young, old, began: Instant::now() }))
    }
}

impl<K: Hash + Eq, V: Clone, const MOST: usize> EpochCache<K, V, MOST> {
    /// What was remembered under this epoch.
    pub(crate) fn get(&self, key: &K, epoch: i64) -> Option<V> {
        let mut generations = self.lock();
        if let Some((seen, value)) = generations.young.get(key) {
            return (*seen == epoch).then(|| value.clone());
        }
        let (key, (seen, value)) = generations.old.remove_entry(key)?;
        if seen != epoch {
            return None;
        }
        generations.add::<MOST>(key, (epoch, value.clone()));
        Some(value)
    }

    /// Remembers something that was looked up after this epoch was read.
    pub(crate) fn put(&self, key: K, epoch: i64, value: V) {
        self.lock().add::<MOST>(key, (epoch, value));
    }

    /// Forgets what nobody has asked for since the last but one time.
    pub(crate) fn age(&self, generation: Duration) {
        let mut generations = self.lock();
        if generations.began.elapsed() >= generation {
            generations.turn();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generations<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, V> Generations<K, V> {
    fn add<const MOST: usize>(&mut self, key: K, entry: (i64, V)) {
        if self.young.len() >= MOST / 2 {
            self.turn();
        }
        self.young.insert(key, entry);
    }

    fn turn(&mut self) {
        self.old = std::mem::take(&mut self.young);
        self.began = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn len<const MOST: usize>(cache: &EpochCache<u32, &str, MOST>) -> usize {
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
        // The same of one that has become old.
        cache.age(Duration::ZERO);
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
            cache.age(Duration::MAX);
            assert_eq!(len(&cache), 2, "not yet");
        }
        for _ in 0..2 {
            cache.age(Duration::ZERO);
            assert_eq!(cache.get(&0, 1), Some("in use"));
        }
        assert_eq!(len(&cache), 1);
    }
}
