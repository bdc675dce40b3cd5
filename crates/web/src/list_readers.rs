//! The limits for complete lists that are being sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The largest number of complete lists that are sent at once.
const MAX_LISTS: usize = 16;
/// The largest number of complete lists for one caller, so that a slow reader leaves places to others.
const MAX_LISTS_OF_CALLER: usize = 8;

/// The number of complete lists that are being sent, for each caller.
#[derive(Debug, Default)]
pub struct ListReaders(Mutex<HashMap<String, usize>>);

/// A caller's place among the readers of complete lists, given back when dropped.
pub struct ListPlace {
    readers: Arc<ListReaders>,
    principal: String,
}

impl ListReaders {
    /// Takes a place for a caller, unless all places are taken, or all of this caller's.
    pub fn enter(self: &Arc<Self>, principal: String) -> Option<ListPlace> {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = readers.get(&principal).copied().unwrap_or_default();
        if own >= MAX_LISTS_OF_CALLER || readers.values().sum::<usize>() >= MAX_LISTS {
            return None;
        }
        readers.insert(principal.clone(), own + 1);
        Some(ListPlace { readers: self.clone(), principal })
    }
}

impl Drop for ListPlace {
    fn drop(&mut self) {
        let mut readers = self.readers.0.lock().unwrap_or_else(PoisonError::into_inner);
        match readers.get_mut(&self.principal) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => {
                readers.remove(&self.principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let readers = Arc::new(ListReaders::default());
        let enter = |principal: &str| readers.enter(principal.to_owned());
        let one: Vec<_> = (0..MAX_LISTS_OF_CALLER).map(|_| enter("a").expect("a place")).collect();
        assert!(enter("a").is_none(), "others have some left");
        let others: Vec<_> =
            (MAX_LISTS_OF_CALLER..MAX_LISTS).map(|n| enter(&n.to_string())).collect();
        assert!(others.iter().all(Option::is_some));
        assert!(enter("b").is_none(), "there are no more");
        drop(one);
        assert!(enter("b").is_some());
        drop(others);
        assert!(readers.0.lock().expect("not poisoned").is_empty());
    }
}
