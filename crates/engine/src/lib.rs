//! The rules of a registry: access, push, pull, tags, delete, and the collection of unused content.
//!
//! The engine knows the database by `meta`, the bytes by `blob` and callers by `identity`; it knows no HTTP and
//! writes no SQL. Every operation on content starts at [`Engine::open`], which returns a [`RepoAccess`] if the caller
//! has the permission. Four rooms stand on a common ground, and each uses only those before it:
//!
//! - `tags`: moving, deleting and keeping tags, and the rules about them;
//! - `content`: push, pull, uploads, referrers, lists of the registry protocol;
//! - `artifacts`: what Google's APIs administer: repositories, packages, versions, files, attachments, rules;
//! - `maintenance`: collection, cleanup, eviction, scrub, usage, operations.

mod access;
mod artifacts;
mod body_error;
mod cache_reads;
mod content;
mod copy_checks;
mod create_on_push;
mod disk_room;
mod engine;
mod error;
mod flights;
mod leases;
mod maintenance;
mod outbox;
mod page;
mod parsing;
mod pull_counter;
mod remote_credentials;
mod remote_fetch;
mod remote_registry;
mod reserve;
mod reviews;
mod settings;
mod shared_manifests;
mod store_presence;
mod stores;
mod tags;
mod upstream_registry;
mod upstream_set;
mod webhook;

pub use access::{AccessKind, Delete, ImageTarget, Pull, Push, RepoAccess};
pub use artifacts::activity::{ActivityEntry, ActivityFilter, ActivityScope};
pub use artifacts::annotations::{Annotations, annotations};
pub use artifacts::attachment_create::NewAttachment;
pub use artifacts::delete::TagHandling;
pub use artifacts::delete::batch::DeleteMode;
pub use artifacts::deletion_plan::{
    DeletionPlan, DeletionReason, DeletionSelection, KeepReason, KeptVersion, PlannedDeletion,
};
pub use artifacts::explain::{PullExplanation, UpstreamExplanation, UpstreamOutcome};
pub use artifacts::image_list::{NameOrder, TagDetail, TagTarget, VersionOrder};
pub use artifacts::image_summaries::{
    ImageCounters, ImageListSizes, ImageNameFilter, ImageSummary, ImageSummaryList,
    ImageSummaryOrder,
};
pub use artifacts::manifest_list::ImageOrder;
pub use artifacts::repositories::{NewRepository, RepositoryChange};
pub use artifacts::repository_summaries::{ProjectSummary, RepositorySummaryList};
pub use artifacts::rules::RuleChange;
pub use artifacts::search::SearchTarget;
pub use artifacts::tag_table::{FallbackTags, ListedTag, TagTableList};
pub use artifacts::upstream_check::UpstreamValidation;
pub use artifacts::upstreams::{NewUpstreams, ReaderChange};
pub use artifacts::version_content::VersionContent;
pub use artifacts::version_relations::{MAX_COUNTED_TAGS, VersionRelations};
pub use blob::{BlobStream as ContentStream, with_max_frame_bytes};
pub use body_error::BodyError;
pub use content::blob_read::OpenContent;
pub use content::complete_list::{CompleteList, ListPart};
pub use content::manifest_read::PulledManifest;
pub use content::push::{NewManifest, PushedManifest, ReceivedManifest};
pub use content::receive::{UploadBody, UploadChunk};
pub use content::referrers::ReferrersPage;
pub use content::tag_list::TagPage;
pub use content::uploads::{MountFrom, UploadProgress};
pub use copy_checks::{CheckCounts, CheckOutcome};
pub use disk_room::{DiskReserve, DiskRoom};
pub use engine::Engine;
pub use error::EngineError;
pub use maintenance::cleanup::{
    CLEANUP_PRINCIPAL, CleanedVersion, CleanupMode, CleanupReport, CleanupRun, CleanupStep,
};
pub use maintenance::eviction::EvictionReport;
pub use maintenance::gc::{GcMode, GcReport};
pub use maintenance::operations::new_operation_id;
pub use maintenance::scrub::{ScrubReport, ScrubScope};
pub use meta::attachments::AttachmentDetails;
pub use meta::capacity::CapacityReport;
pub use meta::change_way::ChangeWay;
pub use meta::complete_list::TaggedVersion;
pub use meta::day_counts::DayCounts;
pub use meta::events::EventAction;
pub use meta::files::{OwningVersion as FileOwner, RepositoryFile};
pub use meta::images::ManifestDetails;
pub use meta::outbox::{WebhookAction, WebhookMessage as Notification};
pub use meta::packages::PackageDetails;
pub use meta::repositories::RepositoryDetails as Repository;
pub use meta::repository_summaries::{ProjectContent, RepositorySummary};
pub use meta::rules::RuleRow;
pub use meta::tag_table::{TagDetails, TagTableOrder};
pub use meta::tags::{ListedVersion, TagChange, TagRow};
pub use meta::upstreams::VirtualReader;
pub use meta::versions::Referrer;
pub use meta::{ErrorKind, LatencyObserver, TransactionKind};
pub use outbox::DeliveryOutcome;
pub use page::{ListPage, ListQuery, PageRequest, SortOrder};
pub use parsing::ParsingPlaces;
pub use settings::{CreateOnPush, Settings};
pub use shared_manifests::SHARED_FROM;
pub use stores::{StoreFindings, StoreRefusal, StoreVerdict};
pub use tags::tag_write::TagSetting;
pub use upstream_registry::{
    NoUpstreams, RegistryCredentials, UpstreamBlob, UpstreamBytes, UpstreamFailure, UpstreamFuture,
    UpstreamImage, UpstreamManifest, UpstreamProblem, UpstreamProblemKind, UpstreamRateLimit,
    UpstreamRegistry, UpstreamState,
};
pub use upstream_set::UpstreamFault;
pub use webhook::Webhook;
