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
pub struct Permit(#[expect(dead_code, reason = "held, never looked at")] OwnedSemaphorePermit);

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
}
