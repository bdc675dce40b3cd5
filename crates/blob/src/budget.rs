//! The memory budget that all uploads share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The number of bytes of one unit: 1 KiB. Memory is counted in units, because a semaphore cannot count all bytes.
const UNIT: usize = 1 << 10;

/// The memory that the batches of all uploads may take together. Callers that need more wait, in the order of their
/// requests.
#[derive(Debug, Clone)]
pub struct UploadBudget {
    units: Arc<Semaphore>,
    max_units: usize,
}

/// A part of the budget, which is returned when the permit is dropped.
#[derive(Debug)]
pub struct BudgetPermit(OwnedSemaphorePermit);

impl BudgetPermit {
    /// Tries to grow the part to `bytes`, and returns whether the part is that large now.
    ///
    /// This never waits. Callers that keep a part while they wait for more could all wait for each other.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let missing = bytes.div_ceil(UNIT).saturating_sub(self.0.num_permits());
        if missing == 0 {
            return true;
        }
        let Ok(missing) = u32::try_from(missing) else { return false };
        match self.0.semaphore().clone().try_acquire_many_owned(missing) {
            Ok(more) => {
                self.0.merge(more);
                true
            }
            Err(_) => false,
        }
    }
}

impl UploadBudget {
    /// Creates a budget of this many bytes. It has at least one unit, because nobody could write without memory.
    pub fn new(bytes: usize) -> Self {
        let max_units = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self { units: Arc::new(Semaphore::new(max_units)), max_units }
    }

    /// Waits until `bytes` are free, and takes them. If `bytes` is more than the whole budget, this takes all of it.
    pub async fn acquire(&self, bytes: usize) -> BudgetPermit {
        let units = bytes.div_ceil(UNIT).clamp(1, self.max_units);
        let units = u32::try_from(units).expect("the budget has at most u32::MAX units");
        let permit = self.units.clone().acquire_many_owned(units).await;
        BudgetPermit(permit.expect("this semaphore is never closed"))
    }

    /// Returns the number of bytes that are taken.
    pub fn used_bytes(&self) -> u64 {
        ((self.max_units - self.units.available_permits()) * UNIT) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_above_the_budget_takes_all_of_it() {
        let budget = UploadBudget::new(8 << 10);
        let all = budget.acquire(1 << 30).await;
        assert_eq!(budget.units.available_permits(), 0);
        drop(all);
        let _some = budget.acquire(1).await;
        assert_eq!(budget.units.available_permits(), 7);
        let _none = UploadBudget::new(0).acquire(5).await;
    }

    #[tokio::test]
    async fn a_part_grows_while_there_is_room() {
        let budget = UploadBudget::new(8 << 10);
        let mut part = budget.acquire(1).await;
        assert!(part.grow_to(1 << 10) && part.grow_to(5 << 10));
        assert_eq!((budget.units.available_permits(), budget.used_bytes()), (3, 5 << 10));
        assert!(!part.grow_to(9 << 10) && part.grow_to(8 << 10));
        assert_eq!(budget.units.available_permits(), 0);
        drop(part);
        assert_eq!(budget.units.available_permits(), 8);
    }
}
