//! The memory that all uploads share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counted in KiB, so that the semaphore's numbers suffice.
const UNIT: usize = 1 << 10;

/// How much memory batches may take at once. Who asks for more waits, in order of asking.
#[derive(Debug, Clone)]
pub struct UploadBudget {
    units: Arc<Semaphore>,
    most: usize,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Permit(OwnedSemaphorePermit);

impl Permit {
    /// Whether the part is `bytes` large now. What is missing is taken if it is there and nobody waits for it: who
    /// holds a part must not wait for more, or all might wait for each other.
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
    /// A budget of some bytes; at least one unit, or nobody could ever write.
    pub fn new(bytes: usize) -> Self {
        let most = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self { units: Arc::new(Semaphore::new(most)), most }
    }

    /// Waits for room for `bytes`. More than the whole budget waits for all of it.
    pub async fn acquire(&self, bytes: usize) -> Permit {
        let units = bytes.div_ceil(UNIT).clamp(1, self.most);
        let units = u32::try_from(units).expect("clamped to what fits");
        let permit = self.units.clone().acquire_many_owned(units).await;
        Permit(permit.expect("this semaphore is never closed"))
    }

    /// How many bytes are taken.
    pub fn taken(&self) -> u64 {
        ((self.most - self.units.available_permits()) * UNIT) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn more_than_everything_is_everything() {
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
        assert_eq!((budget.units.available_permits(), budget.taken()), (3, 5 << 10));
        assert!(!part.grow_to(9 << 10) && part.grow_to(8 << 10));
        assert_eq!(budget.units.available_permits(), 0);
        drop(part);
        assert_eq!(budget.units.available_permits(), 8);
    }
}
