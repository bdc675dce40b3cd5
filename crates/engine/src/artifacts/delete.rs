//! Deleting hides an object at once, and asks for a review of what it alone may have needed.

pub(crate) mod batch;

use std::collections::BTreeSet;
use std::sync::Arc;

use identity::{Authorized, micros};
use meta::events::{self, EventAction};
use meta::gc_queue::{self, ReviewKind};
use meta::versions::VersionRow;
use meta::{ErrorKind, Id, Tx, blobs, packages, tags, usage, versions};
use model::artifact_name::{PackageName, VersionName};
use model::digest::Digest;
use model::precondition::Precondition;
use model::reference::Reference;

use crate::access::{Delete, ImageContext, RepoAccess};
use crate::content::preconditions::{ExpectedVersion, require};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::reviews;
use crate::tags::immutability::check_deletable;
use crate::tags::tag_write::{delete_tag, find_package, remove_tag, version_unknown};
use model::permissions::artifactregistry;

impl RepoAccess<Delete> {
    /// Deletes a tag, or a version with its tags.
    pub async fn delete_manifest(&self, reference: &Reference) -> Result<(), EngineError> {
        self.delete_manifest_when(reference, Precondition::default()).await
    }

    /// As [`Self::delete_manifest`], where the condition holds of what is there then.
    pub async fn delete_manifest_when(
        &self,
        reference: &Reference,
        precondition: Precondition,
    ) -> Result<(), EngineError> {
        let (at, now) = (self.image.clone(), self.engine.clock.now());
        let expected = ExpectedVersion { reference: reference.clone(), precondition };
        match reference {
            Reference::Tag(tag) => {
                let tag = tag.clone();
                self.engine
                    .meta
                    .write(move |tx| {
                        expected.check_delete(tx, &at)?;
                        delete_tag(tx, &at, &tag, now)
                    })
                    .await
            }
            Reference::Digest(digest) => {
                // What a digest names never changes: only whether it is there, which the delete finds out for itself.
                if !expected.precondition.is_empty() {
                    let found = self
                        .engine
                        .meta
                        .read_by_key(move |tx| expected.check_delete(tx, &at))
                        .await;
                    found?;
                }
                self.engine.delete_by_digest(&self.image, digest, TagHandling::TakeAlong).await
            }
        }
    }

    /// Takes a blob from the repository, unless a manifest there needs it.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<(), EngineError> {
        self.engine.delete_blob_of(&self.image.repository().id, digest).await
    }

    /// As [`Self::delete_blob`], where the condition holds.
    pub async fn delete_blob_when(
        &self,
        digest: &Digest,
        precondition: &Precondition,
    ) -> Result<(), EngineError> {
        if let Err(refused) = require(precondition, Some(digest)) {
            // It holds of no such blob; whether there is one is said all the same.
            self.engine.find_blob(&self.image.repository().id, digest).await?;
            return Err(refused);
        }
        self.delete_blob(digest).await
    }
}

impl Engine {
    /// Deletes a version, with its tags where these do not keep it.
    pub async fn remove_version(
        &self,
        admitted: &Authorized,
        name: &VersionName,
        tagged: TagHandling,
    ) -> Result<(), EngineError> {
        let at =
            self.image_context(admitted, artifactregistry::VERSIONS_DELETE, &name.package).await?;
        self.delete_by_digest(&at, &name.digest, tagged).await.map_err(|error| match error {
            EngineError::ManifestUnknown(_) => version_unknown(name),
            error => error,
        })
    }

    /// Deletes an image with everything in it: it is gone at once, and its rows go afterwards.
    pub async fn remove_package(
        &self,
        admitted: &Authorized,
        package: &PackageName,
    ) -> Result<(), EngineError> {
        let at = self.image_context(admitted, artifactregistry::PACKAGES_DELETE, package).await?;
        let now = self.clock.now();
        self.meta
            .write(move |tx| {
                let package = find_package(tx, &at)?;
                check_deletable(
                    tx,
                    (&at.repository().id, at.image_name()),
                    tags::TagScope::Package(&package),
                )?;
                packages::hide(tx, &package)?;
                gc_queue::enqueue(tx, ReviewKind::Package, &[package.to_string()], now)?;
                Ok::<_, EngineError>(events::insert(
                    tx,
                    &at.event(EventAction::DeletePackage, now),
                )?)
            })
            .await
    }

    /// Takes a blob from a repository, unless a manifest there needs it.
    pub(crate) async fn delete_blob_of(
        &self,
        repository: &Id,
        digest: &Digest,
    ) -> Result<(), EngineError> {
        self.await_complete_references().await?;
        let (repository, wanted, now) = (*repository, digest.clone(), self.clock.now());
        let deleted = self.meta.write(move |tx| delete_blob(tx, &repository, &wanted, now)).await;
        match deleted {
            // A manifest that came between the question and the delete: its foreign key held the blob.
            Err(EngineError::Database(error)) if error.kind() == ErrorKind::ForeignKey => {
                let wanted = digest.clone();
                let by = self
                    .meta
                    .read_by_key(move |tx| {
                        let user = versions::find_manifest_with_blob(tx, &repository, &wanted)?;
                        Ok::<_, EngineError>(user)
                    })
                    .await?;
                Err(EngineError::InUse {
                    digest: digest.clone(),
                    by: by.unwrap_or_else(|| digest.clone()),
                })
            }
            deleted => deleted,
        }
    }

    /// Deletes a manifest from several images, from none where one of them needs it or has a tag for it.
    pub(crate) async fn delete_everywhere(
        &self,
        images: &[Arc<ImageContext>],
        digest: &Digest,
    ) -> Result<(), EngineError> {
        let (all, wanted) = (images.to_vec(), digest.clone());
        self.meta
            .read(move |tx| {
                for at in &all {
                    deletable(tx, at, (&wanted, TagHandling::Keep), &BTreeSet::new())?;
                }
                Ok::<_, EngineError>(())
            })
            .await?;
        for at in images {
            self.delete_by_digest(at, digest, TagHandling::Keep).await?;
        }
        Ok(())
    }

    pub(crate) async fn delete_by_digest(
        &self,
        at: &Arc<ImageContext>,
        digest: &Digest,
        tagged: TagHandling,
    ) -> Result<(), EngineError> {
        let now = self.clock.now();
        let review_after = now + micros(self.settings.gc_grace);
        loop {
            let (at, digest) = (at.clone(), digest.clone());
            let deleted = self
                .meta
                .write(move |tx| delete_version(tx, &at, (&digest, tagged), (now, review_after)))
                .await?;
            if deleted {
                return Ok(());
            }
        }
    }
}

/// What becomes of the tags of a version that is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagHandling {
    /// They keep it.
    Keep,
    /// They go with it.
    TakeAlong,
}

/// How many rows a slice of tags may take.
const ROWS_AT_ONCE: usize = 900;

/// A version that may be deleted once `gone` are.
fn deletable(
    tx: &mut Tx<'_>,
    at: &ImageContext,
    (digest, tagged): (&Digest, TagHandling),
    gone: &BTreeSet<Digest>,
) -> Result<VersionRow, EngineError> {
    let version = versions::find_by_digest(tx, at.address(), digest)?
        .ok_or_else(|| EngineError::ManifestUnknown(Reference::Digest(digest.clone())))?;
    let parents = versions::list_parents(tx, &at.repository().id, &version, gone.len() as i64 + 1)?;
    if let Some(by) = parents.into_iter().find(|parent| !gone.contains(parent)) {
        return Err(EngineError::InUse { digest: digest.clone(), by });
    }
    match tagged {
        TagHandling::TakeAlong => {
            check_deletable(
                tx,
                (&at.repository().id, at.image_name()),
                tags::TagScope::Version(&version.id),
            )?;
        }
        TagHandling::Keep => {
            if let [first, rest @ ..] = tags::list_first_of_version(tx, &version.id, 2)?.as_slice()
            {
                let more = if rest.is_empty() { "" } else { ", …" };
                return Err(EngineError::Precondition(format!(
                    "{digest} is tagged ({first}{more}): delete its tags first, or ask to take them along by force"
                )));
            }
        }
    }
    Ok(version)
}

/// Deletes the version, if few tags are left; of many, only the first ones go. Answers whether it is gone.
pub(crate) fn delete_version(
    tx: &mut Tx<'_>,
    at: &ImageContext,
    (digest, tagged): (&Digest, TagHandling),
    (now, review_after): (i64, i64),
) -> Result<bool, EngineError> {
    let repository = &at.repository().id;
    let version = deletable(tx, at, (digest, tagged), &BTreeSet::new())?;
    // Each takes three rows, itself, its history and an event, and one for each webhook.
    let at_once = (ROWS_AT_ONCE / (3 + at.webhooks.len())).max(1);
    let tags = tags::list_first_of_version(tx, &version.id, at_once as i64)?;
    for tag in &tags {
        remove_tag(tx, at, (&version.package_id, tag), (digest, now))?;
    }
    if tags.len() == at_once {
        return Ok(false);
    }
    let links: Vec<String> = versions::list_blobs(tx, &version.id)?
        .iter()
        .map(|blob| reviews::link_id(repository, blob))
        .collect();
    versions::delete(tx, &version.id)?;
    gc_queue::enqueue(tx, ReviewKind::Link, &links, review_after)?;
    gc_queue::enqueue(tx, ReviewKind::Content, &[digest.to_string()], review_after)?;
    usage::add_delta(tx, repository, -version.manifest_bytes)?;
    let event =
        events::AuditEvent { digest: Some(digest.clone()), ..at.event(EventAction::Delete, now) };
    events::insert(tx, &event)?;
    at.enqueue_delete(tx, (None, Some(digest), now))?;
    Ok(true)
}

fn delete_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
    now: i64,
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
    usage::add_delta(tx, repository, -size)?;
    gc_queue::enqueue(tx, ReviewKind::Blob, &[digest.to_string()], now)?;
    Ok(())
}
