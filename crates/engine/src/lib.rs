//! What a registry does: access, push, pull, tags, delete, collection of what nothing needs.
//!
//! Knows the database by `meta` and the bytes by `blob`; knows no HTTP and writes no SQL. Every operation on
//! content starts at [`Engine::open`], which hands out a [`RepoAccess`] when the caller may do what it asks.

mod access;
mod annotations;
mod attach;
mod attachments;
mod catalog;
mod checks;
mod cleanup;
mod clock;
mod complete_list;
mod create_on_push;
mod delete;
mod error;
mod events;
mod files;
mod gc;
mod identity;
mod images;
mod immutability;
mod leases;
mod listing;
mod operations;
mod parsing;
mod preconditions;
mod pull;
mod push;
mod receive;
mod referrers;
mod repositories;
mod reserve;
mod rules;
mod scrub;
mod shared_manifests;
mod stores;
mod tagging;
mod tags;
mod uploads;
mod usage;

use std::sync::Arc;
use std::time::Duration;

pub use access::{Caller, Delete, Grant, Kind, Pull, Push, RepoAccess, Rights, Target};
pub use annotations::{Annotations, annotations};
pub use attach::NewAttachment;
pub use checks::{CheckCounts, CheckOutcome};
pub use cleanup::{
    Cleaned, CleanupMode, CleanupReport, CleanupRun, CleanupStep, PRINCIPAL as CLEANUP_PRINCIPAL,
};
pub use clock::{Clock, Micros, SystemClock, micros};
pub use complete_list::{CompleteList, ListPart};
pub use create_on_push::CreateOnPush;
pub use delete::Tagged;
pub use delete::several::DeleteMode;
pub use error::{BodyError, EngineError};
pub use events::{Settled, Webhook};
pub use gc::{GcMode, GcReport};
pub use identity::{
    AccountChange, Admitted, Chain, CredentialError, Exchanged, Introspection, IssuedToken,
    JwtError, KeyKind, LostSeals, MasterKey, NewKey, NewProject, OPERATOR as OPERATOR_PRINCIPAL,
    Owner, Project, Proof, RestoredOwner, Revocation, StoredPolicy, Surface, WrongTimes,
    claimed_account, holds_sealed_keys, self_signed_token,
};
pub use images::{ImageOrder, NameOrder, TagOf, Tags, VersionOrder};
pub use listing::ListPage;
pub use operations::new_operation_id;
pub use parsing::ParsingPlaces;
pub use pull::{Content, PulledManifest};
pub use push::{NewManifest, PushedManifest, ReceivedManifest};
pub use receive::{Body, Chunk};
pub use referrers::ReferrersPage;
pub use repositories::{NewRepository, RepositoryChange};
pub use reserve::{DiskReserve, DiskRoom};
pub use rules::RuleChange;
pub use scrub::{ScrubReport, ScrubScope};
pub use shared_manifests::SHARED_FROM;
pub use stores::{StoreFindings, StoreRefusal, StoreVerdict};
pub use tags::{NamePage, TagPage};
pub use uploads::{MountFrom, UploadProgress};

use blob::{BlobStore, UploadBudget};
pub use blob::{BlobStream as ContentStream, with_frame_room};
use meta::Meta;
pub use meta::accounts::{Account, Key};
pub use meta::attachments::Attachment;
pub use meta::capacity::Capacity;
pub use meta::complete_list::TaggedVersion;
pub use meta::files::{File, Owner as FileOwner};
pub use meta::images::Image;
pub use meta::outbox::Message as Notification;
pub use meta::packages::Package;
pub use meta::repositories::Described as Repository;
pub use meta::rules::Rule;
pub use meta::tags::{Listed, ListedVersion};
pub use meta::versions::Referrer;
pub use meta::{ErrorKind, LatencyObserver, TransactionKind};

/// How the registry is set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether a repository that appears on push accepts manifests that name missing content.
    pub new_repositories_sparse: bool,
    /// Where a push makes the repository that it goes to.
    pub create_on_push: CreateOnPush,
    /// How long something that nothing refers to is kept.
    pub gc_grace: Duration,
    /// How long a copy stays in the trash before its file is removed.
    pub trash_retention: Duration,
    /// How long an upload without a request lives.
    pub upload_expiry: Duration,
    /// How many uploads of a principal may be open in a repository, if that is bounded.
    pub open_uploads: Option<u32>,
    /// How much of the disk uploads and manifests may not use.
    pub disk_reserve: DiskReserve,
    /// After how long a blob is hashed again while it is read.
    pub verify_after: Duration,
    /// How much memory all uploads share.
    pub upload_memory: usize,
    /// How long a registry token lives, unless the credential ends sooner.
    pub registry_token_lifetime: Duration,
    /// Who is told of changes.
    pub webhooks: Arc<[Webhook]>,
}

impl Default for Settings {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            new_repositories_sparse: false,
            create_on_push: CreateOnPush::default(),
            gc_grace: 24 * HOUR,
            trash_retention: HOUR,
            upload_expiry: 24 * HOUR,
            open_uploads: Some(10_000),
            disk_reserve: DiskReserve { bytes: 256 << 20, percent: 10 },
            verify_after: 7 * 24 * HOUR,
            upload_memory: 24 << 20,
            registry_token_lifetime: HOUR,
            webhooks: Arc::default(),
        }
    }
}

/// The registry. Cheap to clone; every clone is the same one.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

/// What an engine is made of.
pub struct Inner {
    meta: Meta,
    blobs: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    budget: UploadBudget,
    disk: reserve::DiskWatch,
    parsing: parsing::ParsingPlaces,
    pulls: usage::PullCounter,
    shared_manifests: shared_manifests::SharedManifests,
    identity: identity::Identity,
    checks: checks::Checks,
    presence: stores::Presence,
    /// Names this process in leases.
    holder: String,
}

impl std::ops::Deref for Engine {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Engine {
    /// Puts a registry together from its stores.
    pub fn new(
        meta: Meta,
        blobs: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
        (settings, master): (Settings, MasterKey),
    ) -> Self {
        Self(Arc::new(Inner {
            meta,
            blobs,
            clock,
            budget: UploadBudget::new(settings.upload_memory),
            disk: reserve::DiskWatch::default(),
            parsing: parsing::ParsingPlaces::default(),
            settings,
            pulls: usage::PullCounter::default(),
            shared_manifests: Default::default(),
            identity: identity::Identity::new(master),
            checks: checks::Checks::default(),
            presence: stores::Presence::default(),
            holder: meta::Id::new().to_string(),
        }))
    }

    /// The places where long documents of strangers are read.
    pub fn parsing(&self) -> ParsingPlaces {
        self.parsing.clone()
    }

    /// Whether both stores work: the answer of the readiness probe.
    pub async fn ready(&self) -> Result<(), EngineError> {
        if !self.blobs.healthy() {
            return Err(EngineError::Unavailable(
                "the blob store failed to sync and takes no writes until a restart".to_owned(),
            ));
        }
        self.look_at_stores().await?;
        self.meta.ping().await?;
        Ok(())
    }

    /// Writes down what is only in memory, and closes the database.
    pub async fn close(&self) {
        if let Err(error) = self.flush_pulls().await {
            tracing::warn!(%error, "pull counts of the last seconds are lost");
        }
        self.meta.close().await;
    }
}
