//! The manifests of a repository that were used least recently.
//!
//! All manifests are looked at, some at a time, and the first few in the order of their last use are kept in memory. If
//! these do not suffice, all are looked at again for those after them. Manifests that an index names are left out: they come
//! after the index.

use std::collections::BTreeMap;

use identity::Micros;
use meta::Id;
use meta::cache_limits::{self, CachedVersion, FetchedRange};

use super::EvictionRun;

use crate::error::EngineError;

/// The number of manifests that are kept in memory.
const KEPT: usize = 500;

/// The number of manifests that one transaction reads.
const ROWS_AT_ONCE: i64 = 500;

/// The place of a manifest in the order: its last use, and its id.
type UseOrder = (Micros, Id);

/// The manifests that come next in the order of their last use.
pub(super) struct LeastUsed {
    next: BTreeMap<UseOrder, CachedVersion>,
    /// The place of the last manifest that was looked for.
    end: UseOrder,
    /// The latest last use that is looked for.
    until: Micros,
}

impl LeastUsed {
    /// Returns an empty list of manifests whose last use is not after `until`.
    pub(super) fn new(until: Micros) -> Self {
        Self { next: BTreeMap::new(), end: (Micros::MIN, Id::from([0; 16])), until }
    }

    /// Takes the first manifest from the list.
    pub(super) fn pop(&mut self) -> Option<CachedVersion> {
        self.next.pop_first().map(|(_, version)| version)
    }

    /// Adds a manifest that no index names any more, unless it comes after those that were looked for: these are found
    /// when the list is filled again.
    pub(super) fn add(&mut self, version: CachedVersion) {
        let place = (version.used_at, version.id);
        if place <= self.end {
            self.next.insert(place, version);
        }
    }

    /// Adds a manifest that was found, if it is one of the first.
    fn offer(&mut self, version: CachedVersion) {
        let place = (version.used_at, version.id);
        if version.used_at <= self.until && place > self.end {
            self.next.insert(place, version);
            if self.next.len() > KEPT {
                self.next.pop_last();
            }
        }
    }
}

impl EvictionRun {
    /// Fills an empty list with the manifests that come next. Returns `false` if there are none.
    pub(super) async fn fill(&self, list: &mut LeastUsed) -> Result<bool, EngineError> {
        let mut after = (Micros::MIN, Id::from([0; 16]));
        loop {
            let (repository, until) = (self.row.id, list.until);
            let range = FetchedRange { after, until };
            let read = self
                .engine
                .read(move |tx| Ok(cache_limits::list(tx, &repository, range, ROWS_AT_ONCE)?));
            let page = read.await?;
            let Some(last) = page.last() else { break };
            after = (last.version.uploaded_at, last.version.id);
            for found in page.into_iter().filter(|found| !found.is_named) {
                list.offer(found.version);
            }
        }
        // If there are fewer than fit, all that is left was found.
        list.end = match list.next.last_key_value() {
            Some((place, _)) if list.next.len() == KEPT => *place,
            Some(_) => (list.until, Id::from([0xff; 16])),
            None => return Ok(false),
        };
        Ok(true)
    }
}
