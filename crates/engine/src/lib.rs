//! What a registry does: access, push, pull, tags, delete, collection of what nothing needs.
//!
//! The engine knows the database by `meta`, the bytes by `blob` and callers by `identity`; it knows no HTTP and writes no
//! SQL. Every operation on content starts at [`Engine::open`], which hands out a [`RepoAccess`] when the caller may do what
//! it asks. Four rooms stand on a common ground, and each uses only those before it:
//!
//! - `tags`: moving, deleting and keeping tags, and the rules about them;
//! - `content`: push, pull, uploads, referrers, lists of the registry protocol;
//! - `artifacts`: what Google's APIs administer: repositories, packages, versions, files, attachments, rules;
//! - `maintenance`: collection, cleanup, scrub, usage, operations.

mod access;
mod artifacts;
mod content;
mod copy_checks;
mod create_on_push;
mod disk_room;
mod engine;
mod error;
mod leases;
mod maintenance;
mod outbox;
mod parsing;
mod pull_counter;
mod reserve;
mod reviews;
mod settings;
mod shared_manifests;
mod store_presence;
mod stores;
mod tags;
mod webhook;

pub use access::{Delete, Kind, Pull, Push, RepoAccess, Target};
pub use artifacts::annotations::{Annotations, annotations};
pub use artifacts::attachment_create::NewAttachment;
pub use artifacts::delete::Tagged;
pub use artifacts::delete::several::DeleteMode;
pub use artifacts::image_list::{ImageOrder, NameOrder, TagOf, Tags, VersionOrder};
pub use artifacts::listing::ListPage;
pub use artifacts::repositories::{NewRepository, RepositoryChange};
pub use artifacts::rules::RuleChange;
pub use blob::{BlobStream as ContentStream, with_frame_room};
pub use content::blob_read::Content;
pub use content::complete_list::{CompleteList, ListPart};
pub use content::manifest_read::PulledManifest;
pub use content::push::{NewManifest, PushedManifest, ReceivedManifest};
pub use content::receive::{Body, Chunk};
pub use content::referrers::ReferrersPage;
pub use content::tag_list::{NamePage, TagPage};
pub use content::uploads::{MountFrom, UploadProgress};
pub use copy_checks::{CheckCounts, CheckOutcome};
pub use disk_room::{DiskReserve, DiskRoom};
pub use engine::Engine;
pub use error::{BodyError, EngineError};
pub use maintenance::cleanup::{
    Cleaned, CleanupMode, CleanupReport, CleanupRun, CleanupStep, PRINCIPAL as CLEANUP_PRINCIPAL,
};
pub use maintenance::gc::{GcMode, GcReport};
pub use maintenance::operations::new_operation_id;
pub use maintenance::scrub::{ScrubReport, ScrubScope};
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
pub use outbox::Settled;
pub use parsing::ParsingPlaces;
pub use settings::{CreateOnPush, Settings};
pub use shared_manifests::SHARED_FROM;
pub use stores::{StoreFindings, StoreRefusal, StoreVerdict};
pub use webhook::Webhook;
