//! [`Engine`]: the stores, and the state that the requests of one process share.

use std::sync::Arc;

use blob::{BlobStore, UploadBudget};
use identity::{Clock, EpochCache, Identity, MasterKey};
use meta::{Id, Meta, Tx};
use tokio::sync::Semaphore;

use crate::cache_reads::CacheReads;
use crate::copy_checks::CopyChecks;
use crate::disk_room::DiskWatch;
use crate::error::EngineError;
use crate::flights::Flights;
use crate::parsing::ParsingPlaces;
use crate::pull_counter::PullCounter;
use crate::remote_fetch::{BlobFetchOutcome, FetchKey, FetchOutcome};
use crate::settings::Settings;
use crate::shared_manifests::SharedManifests;
use crate::store_presence::StorePresence;
use crate::upstream_set::RepositoryReads;

/// The largest number of fetches that a process runs at once.
const MAX_FETCHES: usize = 64;

/// The registry. A clone is cheap, and shares everything with the original.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

/// The parts of an engine, which all its clones share.
pub struct Inner {
    pub(crate) meta: Meta,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) budget: UploadBudget,
    pub(crate) disk: DiskWatch,
    pub(crate) parsing: ParsingPlaces,
    pub(crate) pulls: PullCounter,
    pub(crate) cache_reads: Arc<CacheReads>,
    pub(crate) shared_manifests: SharedManifests,
    pub(crate) identity: Identity,
    pub(crate) checks: CopyChecks,
    pub(crate) presence: StorePresence,
    /// The places that remote and virtual repositories read, by the ids of these repositories.
    pub(crate) upstream_sets: EpochCache<Id, RepositoryReads, 1_000>,
    /// The fetches of manifests by remote repositories that run now.
    pub(crate) manifest_fetches: Flights<FetchKey, FetchOutcome>,
    /// The fetches of blobs by remote repositories that run now.
    pub(crate) blob_fetches: Flights<FetchKey, BlobFetchOutcome>,
    /// The places for fetches, so that they leave connections and memory to others.
    pub(crate) fetch_places: Semaphore,
    /// The name of this process in leases.
    pub(crate) holder: String,
}

impl std::ops::Deref for Engine {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Engine {
    /// Makes a registry of its stores.
    pub fn new(
        meta: Meta,
        blobs: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
        settings: Settings,
        master: MasterKey,
    ) -> Self {
        let identity =
            Identity::new(meta.clone(), clock.clone(), master, settings.identity.clone());
        Self(Arc::new(Inner {
            cache_reads: CacheReads::new(clock.clone()),
            meta,
            blobs,
            clock,
            budget: UploadBudget::new(settings.upload_memory),
            disk: DiskWatch::default(),
            parsing: ParsingPlaces::default(),
            settings,
            pulls: PullCounter::default(),
            shared_manifests: Default::default(),
            identity,
            checks: CopyChecks::default(),
            presence: StorePresence::default(),
            upstream_sets: EpochCache::default(),
            manifest_fetches: Flights::default(),
            blob_fetches: Flights::default(),
            fetch_places: Semaphore::new(MAX_FETCHES),
            holder: meta::Id::new().to_string(),
        }))
    }

    /// Returns the limit on how many long documents are parsed at once.
    pub fn parsing(&self) -> ParsingPlaces {
        self.parsing.clone()
    }

    /// Returns the part that authenticates callers and decides about permissions.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Engine {
    /// Runs a transaction that writes. See [`Meta::write`].
    pub(crate) async fn write<T, F>(&self, closure: F) -> Result<T, EngineError>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, EngineError> + Send + 'static,
        T: Send + 'static,
    {
        self.meta.write(closure).await
    }

    /// Runs a transaction that only reads. See [`Meta::read`].
    pub(crate) async fn read<T, F>(&self, closure: F) -> Result<T, EngineError>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, EngineError> + Send + 'static,
        T: Send + 'static,
    {
        self.meta.read(closure).await
    }

    /// Runs a transaction that reads a few rows by their keys. See [`Meta::read_by_key`].
    pub(crate) async fn read_by_key<T, F>(&self, closure: F) -> Result<T, EngineError>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, EngineError> + Send + 'static,
        T: Send + 'static,
    {
        self.meta.read_by_key(closure).await
    }
}
