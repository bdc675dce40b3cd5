//! [`Identity`]: the state that authentication, tokens and policies share in one process.

use std::sync::Arc;
use std::time::Instant;

use meta::{Meta, Tx, epochs};
use model::digest::Digest;
use tokio::sync::Semaphore;

use crate::caller::CachedCaller;
use crate::clock::Clock;
use crate::credentials::crypto::MasterKey;
use crate::error::IdentityError;
use crate::people::password_hash::PasswordHasher;
use crate::people::sign_in_delays::SignInDelays;
use crate::people::sign_in_rates::SignInRates;
use crate::people::signed_in::CachedSession;
use crate::policies::access_epoch::AccessEpoch;
use crate::policies::cached::CachedPolicy;
use crate::policies::epoch_cache::{EpochCache, MAX_GENERATION_AGE};
use crate::settings::IdentitySettings;
use crate::tokens::revoked::RevokedTokens;
use crate::tokens::signing_keys::SigningKeys;

/// The handle by which callers are authenticated and authorized. It is cheap to clone, and all clones share one state.
#[derive(Clone)]
pub struct Identity(Arc<IdentityState>);

/// The shared state of an [`Identity`].
pub struct IdentityState {
    pub(crate) meta: Meta,
    pub(crate) clock: Arc<dyn Clock>,
    /// The key that opens the private keys in the database.
    pub(crate) master: MasterKey,
    pub(crate) settings: IdentitySettings,
    pub(crate) epoch: AccessEpoch,
    pub(crate) signing_keys: EpochCache<(), Arc<SigningKeys>>,
    pub(crate) policies: EpochCache<String, CachedPolicy>,
    /// Authenticated callers, by the hash of the credential, so that no credential is kept. This cache is smaller than
    /// the others: anybody may get a token that names very many images, and its caller takes some 20 KiB.
    pub(crate) callers: EpochCache<Digest, CachedCaller, 1_000>,
    /// The people who are signed in, by the hashes of their sessions' secrets.
    pub(crate) sessions: EpochCache<Digest, CachedSession>,
    pub(crate) revoked: RevokedTokens,
    /// The right to make a key, for two at a time: the threads that make keys also read and sync files.
    pub(crate) making_keys: Semaphore,
    pub(crate) passwords: PasswordHasher,
    pub(crate) sign_in_delays: SignInDelays,
    pub(crate) sign_in_rates: SignInRates,
}

impl std::ops::Deref for Identity {
    type Target = IdentityState;
    fn deref(&self) -> &IdentityState {
        &self.0
    }
}

impl Identity {
    /// Creates an identity that keeps its rows in `meta`, and opens sealed keys with `master`.
    pub fn new(
        meta: Meta,
        clock: Arc<dyn Clock>,
        master: MasterKey,
        settings: IdentitySettings,
    ) -> Self {
        Self(Arc::new(IdentityState {
            meta,
            clock,
            master,
            settings,
            epoch: AccessEpoch::default(),
            signing_keys: EpochCache::default(),
            policies: EpochCache::default(),
            callers: EpochCache::default(),
            sessions: EpochCache::default(),
            revoked: RevokedTokens::default(),
            making_keys: Semaphore::new(2),
            passwords: PasswordHasher::default(),
            sign_in_delays: SignInDelays::default(),
            sign_in_rates: SignInRates::default(),
        }))
    }

    /// Reads the epoch of access from the database. A job calls this once a second, and this process after each of its
    /// own changes.
    pub async fn poll_epoch(&self) -> Result<i64, IdentityError> {
        self.callers.drop_unused(MAX_GENERATION_AGE);
        self.policies.drop_unused(MAX_GENERATION_AGE);
        self.sessions.drop_unused(MAX_GENERATION_AGE);
        let started = Instant::now();
        let epoch = self.read_by_key(|tx| Ok(epochs::get(tx, epochs::ACCESS)?)).await?;
        self.epoch.record(epoch, started);
        Ok(epoch)
    }

    /// Runs a closure in a transaction that reads, as [`Meta::read`] does.
    pub(crate) async fn read<T, F>(&self, closure: F) -> Result<T, IdentityError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, IdentityError> + Send + 'static,
    {
        self.meta.read(closure).await
    }

    /// Runs a closure that reads few rows by their keys, as [`Meta::read_by_key`] does.
    pub(crate) async fn read_by_key<T, F>(&self, closure: F) -> Result<T, IdentityError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, IdentityError> + Send + 'static,
    {
        self.meta.read_by_key(closure).await
    }

    /// Runs a closure in a transaction that writes, as [`Meta::write`] does: the closure may run more than once.
    pub(crate) async fn write<T, F>(&self, closure: F) -> Result<T, IdentityError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, IdentityError> + Send + 'static,
    {
        self.meta.write(closure).await
    }

    /// Returns the current epoch of access: entries of the caches are valid only for it.
    pub async fn epoch(&self) -> Result<i64, IdentityError> {
        match self.epoch.trusted() {
            Some(epoch) => Ok(epoch),
            None => self.poll_epoch().await,
        }
    }
}
