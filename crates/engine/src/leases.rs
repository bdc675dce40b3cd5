//! Leases, which let one process at a time do some work. A process that does not renew its lease in time loses it to
//! another one.

use std::time::Duration;

use identity::micros;
use meta::leases;

use crate::engine::Engine;
use crate::error::EngineError;

/// The length of a lease for work in the background.
pub(crate) const BACKGROUND_LEASE: Duration = Duration::from_secs(60);

impl Engine {
    /// Takes or renews a lease. Returns `false` if another process holds it.
    pub(crate) async fn hold_lease(
        &self,
        work: &str,
        length: Duration,
    ) -> Result<bool, EngineError> {
        let (work, holder, now) = (work.to_owned(), self.holder.clone(), self.clock.now());
        let expires_at = now + micros(length);
        let fence =
            self.write(move |tx| Ok(leases::acquire(tx, &work, &holder, now, expires_at)?)).await?;
        Ok(fence.is_some())
    }

    /// Gives up a lease, so that another process can take it at once.
    pub(crate) async fn release_lease(&self, work: &str) -> Result<(), EngineError> {
        let (work, holder) = (work.to_owned(), self.holder.clone());
        self.write(move |tx| Ok(leases::release(tx, &work, &holder)?)).await?;
        Ok(())
    }
}
