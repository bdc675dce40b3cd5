//! Work that one process does at a time. Whoever shows no sign of life for as long as it asked for loses it to another.

use std::time::Duration;

use identity::micros;
use meta::leases;

use crate::engine::Engine;
use crate::error::EngineError;

/// How long work in the background is kept.
pub(crate) const BACKGROUND_LEASE: Duration = Duration::from_secs(60);

impl Engine {
    /// Takes or renews the lease of some work. `false`: another process is at it.
    pub(crate) async fn hold_lease(
        &self,
        work: &str,
        length: Duration,
    ) -> Result<bool, EngineError> {
        let (work, holder, now) = (work.to_owned(), self.holder.clone(), self.clock.now());
        let expires_at = now + micros(length);
        let fence = self
            .meta
            .write(move |tx| {
                Ok::<_, EngineError>(leases::acquire(tx, &work, &holder, now, expires_at)?)
            })
            .await?;
        Ok(fence.is_some())
    }

    /// Leaves some work to whoever comes next.
    pub(crate) async fn release_lease(&self, work: &str) -> Result<(), EngineError> {
        let (work, holder) = (work.to_owned(), self.holder.clone());
        self.meta
            .write(move |tx| Ok::<_, EngineError>(leases::release(tx, &work, &holder)?))
            .await?;
        Ok(())
    }
}
