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

/// The handle by which callers are authenticated and authorized. It is cheap to clone, and all clones share one state.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

/// The shared state of an [`Identity`].
pub struct Inner {
    pub(crate) meta: Meta,
    pub(crate) clock: Arc<dyn Clock>,
    /// The key that opens the private keys in the database.
    pub(crate) master: MasterKey,
    /// The lifetime of a registry token, unless the credential that it is made from ends sooner.
    pub(crate) registry_token_lifetime: Duration,
    pub(crate) epoch: AccessEpoch,
    pub(crate) signing_keys: EpochCache<(), Arc<SigningKeys>>,
    pub(crate) policies: EpochCache<String, CachedPolicy>,
    /// Authenticated callers, by the hash of the credential, so that no credential is kept. This cache is smaller than
    /// the others: anybody may get a token that names very many images, and its caller takes some 20 KiB.
    pub(crate) callers: EpochCache<Digest, CachedCaller, 1_000>,
    pub(crate) revoked: RevokedTokens,
    /// The right to make a key, for two at a time: the threads that make keys also read and sync files.
    pub(crate) making_keys: Semaphore,
}

impl std::ops::Deref for Identity {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Identity {
    /// Creates an identity that keeps its rows in `meta`, and opens sealed keys with `master`.
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

    /// Reads the epoch of access from the database. A job calls this once a second, and this process after each of its
    /// own changes.
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

    /// Returns the current epoch of access: entries of the caches are valid only for it.
    pub(crate) async fn epoch(&self) -> Result<i64, IdentityError> {
        match self.epoch.trusted() {
            Some(epoch) => Ok(epoch),
            None => self.poll_epoch().await,
        }
    }
}
