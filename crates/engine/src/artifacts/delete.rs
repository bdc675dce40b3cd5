//! Deletion: an object is hidden at once, and a review is enqueued for the content that only this object may have
//! needed.

pub(crate) mod batch;

use std::collections::BTreeSet;
use std::sync::Arc;

use identity::{Authorized, Micros};
use meta::events::EventAction;
use meta::gc_queue::ReviewKind;
use meta::tags::TargetVersion;
use meta::versions::{VersionRow, untagged};
use meta::{
    ErrorKind, Id, Tx, blobs, events, gc_queue, packages, tags, upstream_tags, usage_deltas,
    versions,
};
use model::artifact_name::{PackageName, VersionName};
use model::digest::Digest;
use model::precondition::Precondition;
use model::reference::Reference;
use model::repository::ModeName;

use crate::access::{Delete, ImageContext, RepoAccess};
use crate::content::preconditions::{ExpectedVersion, require};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::reviews::{self, ReviewTimes};
use crate::tags::image_change::ImageChange;
use crate::tags::immutability::check_deletable;
use crate::tags::tag_write::{
    TagDeletion, delete_tag, delete_tag_unchecked, find_package, version_unknown,
};
use model::permissions::artifactregistry;

impl RepoAccess<Delete> {
    /// Deletes a tag, or a version with its tags.
    pub async fn delete_manifest(&self, reference: &Reference) -> Result<(), EngineError> {
        self.delete_manifest_if(reference, Precondition::default()).await
    }

    /// Does the same as [`Self::delete_manifest`] if the precondition holds when it deletes.
    pub async fn delete_manifest_if(
        &self,
        reference: &Reference,
        precondition: Precondition,
    ) -> Result<(), EngineError> {
        let (image, now) = (self.image.clone(), self.engine.clock.now());
        let expected = ExpectedVersion { reference: reference.clone(), precondition };
        match reference {
            Reference::Tag(tag) => {
                let tag = tag.clone();
                self.engine
                    .write(move |tx| {
                        expected.check_delete(tx, &image)?;
                        delete_tag(tx, &image, &tag, now)
                    })
                    .await
            }
            Reference::Digest(digest) => {
                // A digest always names the same content. So only its existence is checked here, and the delete
                // checks that once more.
                if !expected.precondition.is_empty() {
                    let check = move |tx: &mut Tx<'_>| expected.check_delete(tx, &image);
                    self.engine.read_by_key(check).await?;
                }
                self.engine.delete_by_digest(&self.image, digest, TagHandling::DeleteTags).await
            }
        }
    }

    /// Deletes a blob from the repository, unless a manifest there needs it.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<(), EngineError> {
        self.engine.delete_repository_blob(&self.image.repository().id, digest).await
    }

    /// Does the same as [`Self::delete_blob`] if the precondition holds.
    pub async fn delete_blob_if(
        &self,
        digest: &Digest,
        precondition: &Precondition,
    ) -> Result<(), EngineError> {
        if let Err(refused) = require(precondition, Some(digest)) {
            // A blob that is not there is unknown, whatever the precondition says.
            self.engine.find_blob(&self.image.repository().id, digest).await?;
            return Err(refused);
        }
        self.delete_blob(digest).await
    }
}

impl Engine {
    /// Deletes a version. Its tags are deleted with it, or keep it from being deleted.
    pub async fn delete_version(
        &self,
        authorized: &Authorized,
        name: &VersionName,
        handling: TagHandling,
    ) -> Result<(), EngineError> {
        let image = self
            .image_to_change(authorized, artifactregistry::VERSIONS_DELETE, &name.package)
            .await?;
        self.delete_by_digest(&image, &name.digest, handling).await.map_err(|error| match error {
            EngineError::ManifestUnknown(_) => version_unknown(name),
            error => error,
        })
    }

    /// Deletes an image with everything in it. The image is hidden at once, and its rows are deleted afterwards.
    pub async fn delete_package(
        &self,
        authorized: &Authorized,
        package: &PackageName,
    ) -> Result<(), EngineError> {
        let image =
            self.image_to_change(authorized, artifactregistry::PACKAGES_DELETE, package).await?;
        let now = self.clock.now();
        self.write(move |tx| {
            let package = find_package(tx, &image)?;
            check_deletable(tx, image.address(), tags::TagScope::Package(&package))?;
            packages::hide(tx, &package)?;
            usage_deltas::add_images(tx, &image.repository().id, -1)?;
            gc_queue::enqueue(tx, ReviewKind::Package, &[package.to_string()], now)?;
            Ok(events::insert(tx, &image.event(EventAction::DeletePackage, now))?)
        })
        .await
    }

    /// Deletes a blob from a repository, unless a manifest there needs it.
    pub(crate) async fn delete_repository_blob(
        &self,
        repository: &Id,
        digest: &Digest,
    ) -> Result<(), EngineError> {
        self.await_complete_references().await?;
        let (repository, wanted, now) = (*repository, digest.clone(), self.clock.now());
        let deleted = self.write(move |tx| delete_blob(tx, &repository, &wanted, now)).await;
        match deleted {
            // A manifest was pushed after the check, and its foreign key protected the blob.
            Err(EngineError::Database(error)) if error.kind() == ErrorKind::ForeignKey => {
                let wanted = digest.clone();
                let by = self.read_by_key(move |tx| {
                    Ok(versions::find_manifest_with_blob(tx, &repository, &wanted)?)
                });
                let by = by.await?;
                Err(EngineError::InUse {
                    digest: digest.clone(),
                    by: by.unwrap_or_else(|| digest.clone()),
                })
            }
            deleted => deleted,
        }
    }

    /// Deletes a manifest from several images. Deletes nothing if one of them needs it or has a tag for it.
    pub(crate) async fn delete_everywhere(
        &self,
        images: &[Arc<ImageContext>],
        digest: &Digest,
    ) -> Result<(), EngineError> {
        let (all, wanted) = (images.to_vec(), digest.clone());
        self.read(move |tx| {
            for image in &all {
                check_version_deletable(
                    tx,
                    image,
                    &wanted,
                    TagHandling::RefuseIfTagged,
                    &BTreeSet::new(),
                )?;
            }
            Ok(())
        })
        .await?;
        for image in images {
            self.delete_by_digest(image, digest, TagHandling::RefuseIfTagged).await?;
        }
        Ok(())
    }

    pub(crate) async fn delete_by_digest(
        &self,
        image: &Arc<ImageContext>,
        digest: &Digest,
        handling: TagHandling,
    ) -> Result<(), EngineError> {
        let times = self.review_times();
        loop {
            let (image, digest) = (image.clone(), digest.clone());
            let deleted =
                self.write(move |tx| delete_version(tx, &image, &digest, handling, times)).await?;
            if deleted {
                return Ok(());
            }
        }
    }
}

/// The treatment of the tags of a version that is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagHandling {
    /// A tag keeps the version from being deleted.
    RefuseIfTagged,
    /// The tags are deleted with the version.
    DeleteTags,
}

/// The largest number of rows that the deletion of some tags may touch in one transaction.
const MAX_TAG_ROWS: usize = 900;

/// Checks that a version may be deleted once the versions in `deleted` are deleted, and returns it.
fn check_version_deletable(
    tx: &mut Tx<'_>,
    image: &ImageContext,
    digest: &Digest,
    handling: TagHandling,
    deleted: &BTreeSet<Digest>,
) -> Result<VersionRow, EngineError> {
    let version = versions::find_by_digest(tx, image.address(), digest)?
        .ok_or_else(|| EngineError::ManifestUnknown(Reference::Digest(digest.clone())))?;
    let parents =
        versions::list_parents(tx, &image.repository().id, &version, deleted.len() as i64 + 1)?;
    if let Some(by) = parents.into_iter().find(|parent| !deleted.contains(parent)) {
        return Err(EngineError::InUse { digest: digest.clone(), by });
    }
    match handling {
        TagHandling::DeleteTags => {
            check_deletable(tx, image.address(), tags::TagScope::Version(&version.id))?;
        }
        TagHandling::RefuseIfTagged => {
            if let [first, rest @ ..] = tags::list_first_of_version(tx, &version.id, 2)?.as_slice()
            {
                let more = if rest.is_empty() { "" } else { ", …" };
                return Err(EngineError::Precondition(format!(
                    "{digest} is tagged ({first}{more}): delete its tags first, or set force"
                )));
            }
        }
    }
    Ok(version)
}

/// Deletes a version if few tags are left, and else only its first tags. Returns whether the version is deleted.
pub(crate) fn delete_version(
    tx: &mut Tx<'_>,
    image: &ImageContext,
    digest: &Digest,
    handling: TagHandling,
    times: ReviewTimes,
) -> Result<bool, EngineError> {
    let repository = &image.repository().id;
    let now = times.now;
    let version = check_version_deletable(tx, image, digest, handling, &BTreeSet::new())?;
    // Each tag takes three rows (its own, one of its history, one event), and one for each webhook.
    let at_once = (MAX_TAG_ROWS / (3 + image.webhooks.len())).max(1);
    let tags = tags::list_first_of_version(tx, &version.id, at_once as i64)?;
    let state = untagged::find_state(tx, &version.id)?;
    let target = TargetVersion { version_id: version.id, digest: digest.clone(), untagged: state };
    let mut change = ImageChange::new(repository, &version.package_id);
    for tag in &tags {
        let deletion = TagDeletion { package: &version.package_id, tag, target: &target, now };
        delete_tag_unchecked(tx, image, deletion, &mut change)?;
    }
    if tags.len() == at_once {
        change.record(tx)?;
        return Ok(false);
    }
    change.version_deleted(version.manifest_bytes, state);
    untagged::list_children(tx, &version.id)?
        .into_iter()
        .for_each(|child| change.decide_again(child));
    let links: Vec<String> = versions::list_blobs(tx, &version.id)?
        .iter()
        .map(|blob| reviews::link_id(repository, blob))
        .collect();
    versions::delete(tx, &version.id)?;
    gc_queue::enqueue(tx, ReviewKind::Link, &links, times.review_after)?;
    gc_queue::enqueue(tx, ReviewKind::Content, &[digest.to_string()], times.review_after)?;
    change.record(tx)?;
    if let (ModeName::Remote, Some(subject)) = (image.repository().mode, &version.subject) {
        // The list of the upstream is fetched again, or it would lack this one while it is fresh.
        let list = upstream_tags::referrers_list(subject);
        upstream_tags::forget(tx, image.address(), &list)?;
    }
    let event = events::AuditEvent {
        digest: Some(digest.clone()),
        ..image.event(EventAction::Delete, now)
    };
    events::insert(tx, &event)?;
    image.enqueue_delete(tx, None, Some(digest), now)?;
    Ok(true)
}

/// Takes a blob from a repository at once, unless a manifest there names it. Returns the bytes that the repository does not
/// hold any more.
pub(crate) fn unlink_unneeded_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
    now: Micros,
) -> Result<i64, EngineError> {
    let size = blobs::find_size(tx, repository, digest)?;
    match delete_blob(tx, repository, digest, now) {
        Ok(()) => Ok(size.unwrap_or_default()),
        Err(EngineError::InUse { .. } | EngineError::BlobUnknown(_)) => Ok(0),
        Err(error) => Err(error),
    }
}

fn delete_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
    now: Micros,
) -> Result<(), EngineError> {
    if let Some(size) = blobs::find_size(tx, repository, digest)? {
        versions::bind_blob(tx, repository, digest, size)?;
    }
    if let Some(by) = versions::find_manifest_with_blob(tx, repository, digest)? {
        return Err(EngineError::InUse { digest: digest.clone(), by });
    }
    let Some(size) = blobs::unlink(tx, repository, digest)? else {
        return Err(EngineError::BlobUnknown(digest.clone()));
    };
    usage_deltas::add_delta(tx, repository, -size)?;
    gc_queue::enqueue(tx, ReviewKind::Blob, &[digest.to_string()], now)?;
    Ok(())
}
