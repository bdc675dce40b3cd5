//! [`Identity`]: the state that authentication, tokens and policies share in one process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use meta::{Meta, epochs};
use model::digest::Digest;
use tokio::sync::Semaphore;

use crate::caller::CachedCaller;
use crate::clock::Clock;
use crate::credentials::crypto::MasterKey;
use crate::error::IdentityError;
use crate::policies::access_epoch::AccessEpoch;
use crate::policies::cached::CachedPolicy;
use crate::policies::epoch_cache::{EpochCache, GENERATION};
use crate::tokens::revoked::RevokedTokens;
use crate::tokens::signing_keys::SigningKeys;

/// Who callers are, and what they may do. Cheap to clone; every clone is the same one.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

/// The parts of an [`Identity`].
pub struct Inner {
    pub(crate) meta: Meta,
    pub(crate) clock: Arc<dyn Clock>,
    /// Opens the private keys that are in the database.
    pub(crate) master: MasterKey,
    /// How long a registry token lives, unless the credential ends sooner.
    pub(crate) registry_token_lifetime: Duration,
    pub(crate) epoch: AccessEpoch,
    pub(crate) signing_keys: EpochCache<(), Arc<SigningKeys>>,
    pub(crate) policies: EpochCache<String, CachedPolicy>,
    /// By the hash of the credential, so that no credential is kept. Fewer than of the others: a token that anybody
    /// may have made can name very many images, which take some 20 KiB.
    pub(crate) callers: EpochCache<Digest, CachedCaller, 1_000>,
    pub(crate) revoked: RevokedTokens,
    /// Two at a time: the threads that make keys read files and sync them as well.
    pub(crate) making_keys: Semaphore,
}

impl std::ops::Deref for Identity {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Identity {
    /// An identity that keeps its rows in `meta`, and opens sealed keys with `master`.
    pub fn new(
        meta: Meta,
        clock: Arc<dyn Clock>,
        master: MasterKey,
        registry_token_lifetime: Duration,
    ) -> Self {
        Self(Arc::new(Inner {
            meta,
            clock,
            master,
            registry_token_lifetime,
            epoch: AccessEpoch::default(),
            signing_keys: EpochCache::default(),
            policies: EpochCache::default(),
            callers: EpochCache::default(),
            revoked: RevokedTokens::default(),
            making_keys: Semaphore::new(2),
        }))
    }

    /// Looks at the epoch: once a second, and after each change of this process.
    pub async fn poll_epoch(&self) -> Result<i64, IdentityError> {
        self.callers.age(GENERATION);
        self.policies.age(GENERATION);
        let started = Instant::now();
        let epoch = self
            .meta
            .read_by_key(|tx| Ok::<_, IdentityError>(epochs::get(tx, epochs::ACCESS)?))
            .await?;
        self.epoch.note(epoch, started);
        Ok(epoch)
    }

    /// The epoch under which what is remembered holds good.
    pub(crate) async fn epoch(&self) -> Result<i64, IdentityError> {
        match self.epoch.trusted() {
            Some(epoch) => Ok(epoch),
            None => self.poll_epoch().await,
        }
    }
}
