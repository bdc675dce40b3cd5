//! The settings of a registry.

use std::sync::Arc;
use std::time::Duration;

use crate::disk_room::DiskReserve;
use crate::webhook::Webhook;

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

/// Where a push to a repository that is missing makes it, for who may create on push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CreateOnPush {
    /// On the hosts of Container Registry, `gcr.io` and the like.
    #[default]
    RegistryHosts,
    /// Everywhere.
    Always,
}
