//! What this process remembers of identities and policies, and how it learns that it is out of date.
//!
//! Every transaction that changes who may do what raises an epoch. Each process looks at it once a second;
//! what was remembered under another epoch is forgotten. A process that could not look for some seconds
//! refuses, rather than let in whom another process has shut out.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use meta::epochs;

use crate::{Engine, EngineError};

/// How old the last look may be.
const TRUSTED_FOR: Duration = Duration::from_secs(4);

/// The epoch as it was last seen.
#[derive(Default)]
pub(crate) struct Epoch(Mutex<Option<(i64, Instant)>>);

impl Epoch {
    fn trusted(&self) -> Option<i64> {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.filter(|(_, at)| at.elapsed() < TRUSTED_FOR).map(|(epoch, _)| epoch)
    }
}

impl Engine {
    /// Looks at the epoch: once a second, and after each change of this process.
    pub async fn poll_epoch(&self) -> Result<i64, EngineError> {
        let started = Instant::now();
        let epoch =
            self.meta.point(|tx| Ok::<_, EngineError>(epochs::get(tx, epochs::ACCESS)?)).await?;
        let mut seen = self.identity.epoch.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two looks that overtook each other, the later one counts; an epoch never falls.
        match *seen {
            Some((known, at)) if known > epoch || at > started => {}
            Some(_) | None => *seen = Some((epoch, started)),
        }
        Ok(epoch)
    }

    /// The epoch under which what is remembered holds good.
    pub(crate) async fn epoch(&self) -> Result<i64, EngineError> {
        match self.identity.epoch.trusted() {
            Some(epoch) => Ok(epoch),
            None => self.poll_epoch().await,
        }
    }
}

/// Things remembered under an epoch.
pub(crate) struct Cache<K, V>(Mutex<HashMap<K, (i64, V)>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    /// What was remembered under this epoch.
    pub(crate) fn get(&self, key: &K, epoch: i64) -> Option<V> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|(seen, _)| *seen == epoch).map(|(_, value)| value.clone())
    }

    /// Remembers something that was looked up after this epoch was read.
    pub(crate) fn put(&self, key: K, epoch: i64, value: V) {
        /// All together a few MiB. Everything is forgotten at once: it is quickly found again.
        const MOST: usize = 10_000;
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST {
            entries.clear();
        }
        entries.insert(key, (epoch, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_holds_for_one_epoch() {
        let cache = Cache::default();
        cache.put("a", 1, "x");
        assert_eq!(cache.get(&"a", 1), Some("x"));
        assert_eq!(cache.get(&"a", 2), None);
        assert_eq!(cache.get(&"b", 1), None);
        for n in 0..20_000 {
            cache.put(Box::leak(n.to_string().into_boxed_str()), 1, "y");
        }
        assert!(cache.0.lock().expect("no panic").len() <= 10_000);
    }
}
