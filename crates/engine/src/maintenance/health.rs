//! The readiness of a registry, and its orderly end.

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Checks that both stores work: the answer of the readiness probe.
    pub async fn ready(&self) -> Result<(), EngineError> {
        if !self.blobs.is_healthy() {
            return Err(EngineError::Unavailable(
                "the blob store failed to sync and takes no writes until a restart".to_owned(),
            ));
        }
        self.check_stores().await?;
        self.meta.ping().await?;
        Ok(())
    }

    /// Writes the counts that are only in memory, and closes the database.
    pub async fn close(&self) {
        if let Err(error) = self.flush_pulls().await {
            tracing::warn!(%error, "pull counts of the last seconds are lost");
        }
        self.meta.close().await;
    }
}
