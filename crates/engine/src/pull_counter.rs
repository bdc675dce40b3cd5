//! The pulls that this process has counted since its last flush.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use identity::Micros;
use meta::Id;
use meta::versions::VersionRow;
use model::media_type::ManifestKind;

const DAY: Micros = 24 * 3600 * 1_000_000;

/// The pulls since the last flush, by version and day.
#[derive(Debug, Default)]
pub(crate) struct PullCounter {
    seen: Mutex<HashMap<(Id, i64), PullTotals>>,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct PullTotals {
    pub(crate) pulls: i64,
    pub(crate) last: Micros,
    /// `true` if the version is an index. Its pull counts as a use of the manifests that it names.
    pub(crate) is_index: bool,
}

impl PullCounter {
    pub(crate) fn count(&self, version: &VersionRow, now: Micros) {
        let is_index = ManifestKind::of(&version.media_type) == Some(ManifestKind::Index);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry((version.id, now / DAY)).or_default().add(PullTotals {
            pulls: 1,
            last: now,
            is_index,
        });
    }

    pub(crate) fn take(&self) -> HashMap<(Id, i64), PullTotals> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn give_back(&self, taken: Vec<((Id, i64), PullTotals)>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, lost) in taken {
            seen.entry(key).or_default().add(lost);
        }
    }
}

impl PullTotals {
    fn add(&mut self, more: Self) {
        self.pulls += more.pulls;
        self.last = self.last.max(more.last);
        self.is_index |= more.is_index;
    }
}
