//! The settings of a registry.

use std::sync::Arc;
use std::time::Duration;

use identity::IdentitySettings;

use crate::disk_room::DiskReserve;
use crate::upstream_registry::{NoUpstreams, UpstreamRegistry};
use crate::webhook::Webhook;

/// The settings of a registry.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `true` if a repository that a push creates accepts manifests that name missing content.
    pub new_repositories_sparse: bool,
    /// The hosts on which a push creates a missing repository.
    pub create_on_push: CreateOnPush,
    /// The time for which content is kept that nothing refers to.
    pub gc_grace: Duration,
    /// The time that a copy stays in the trash before its file is deleted.
    pub trash_retention: Duration,
    /// The time after which an upload without a request expires.
    pub upload_expiry: Duration,
    /// The largest number of open uploads of a principal in a repository, if there is a limit.
    pub open_uploads: Option<u32>,
    /// The part of the disk that uploads and manifests may not use.
    pub disk_reserve: DiskReserve,
    /// The time for which remote repositories keep what was pulled or fetched, whatever they may keep.
    pub cache_margin: Duration,
    /// The time for which a tag of an upstream is served without asking the upstream.
    pub fresh_for: Duration,
    /// The time for which a pull of a cached tag waits for the upstream's word.
    pub revalidation_timeout: Duration,
    /// The time for which events and changes of tags are kept; `None` for ever.
    pub history_kept: Option<Duration>,
    /// The age of its last check from which on a blob is hashed again while it is read.
    pub verify_after: Duration,
    /// The memory that all uploads share, in bytes.
    pub upload_memory: usize,
    /// The settings of credentials and sessions.
    pub identity: IdentitySettings,
    /// The webhooks that are told of changes.
    pub webhooks: Arc<[Webhook]>,
    /// The way to the registries that remote repositories fetch from.
    pub upstreams: Arc<dyn UpstreamRegistry>,
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
            cache_margin: Duration::from_secs(600),
            fresh_for: HOUR,
            revalidation_timeout: Duration::from_secs(2),
            history_kept: Some(400 * 24 * HOUR),
            verify_after: 7 * 24 * HOUR,
            upload_memory: 24 << 20,
            identity: IdentitySettings::default(),
            webhooks: Arc::default(),
            upstreams: Arc::new(NoUpstreams),
        }
    }
}

/// The hosts on which a push creates a missing repository, if the caller may create on push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CreateOnPush {
    /// The hosts of Container Registry, `gcr.io` and the like.
    #[default]
    RegistryHosts,
    /// All hosts.
    Always,
}
