//! Deleting hides an object at once, and asks for a review of what it alone may have needed.

use std::sync::Arc;

use meta::versions::Version;
use meta::{
    ErrorKind, Id, Tx, blobs, events, gc_queue, packages, repositories, tags, usage, versions,
};
use model::artifact::{PackageName, VersionName};
use model::digest::Digest;
use model::reference::{Reference, Tag};

use crate::access::Opened;
use crate::immutability::check_mutable;
use crate::tagging::{delete_tag, find_package, remove_tag};
use crate::{Admitted, Delete, Engine, EngineError, RepoAccess, gc, micros};

impl RepoAccess<Delete> {
    /// Deletes a tag, or a version with its tags.
    pub async fn delete_manifest(&self, reference: &Reference) -> Result<(), EngineError> {
        match reference {
            Reference::Tag(tag) => {
                let (at, tag, now) = (self.at.clone(), tag.clone(), self.engine.clock.now());
                self.engine.meta.write(move |tx| delete_tag(tx, &at, &tag, now)).await
            }
            Reference::Digest(digest) => {
                self.engine.delete_by_digest(&self.at, digest, Tagged::TakeAlong).await
            }
        }
    }

    /// Takes a blob from the repository, unless a manifest there needs it.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<(), EngineError> {
        let (at, wanted) = (self.at.clone(), digest.clone());
        let now = self.engine.clock.now();
        let deleted = self.engine.meta.write(move |tx| delete_blob(tx, &at, &wanted, now)).await;
        match deleted {
            // A manifest that came between the question and the delete: its foreign key held the blob.
            Err(EngineError::Database(error)) if error.kind() == ErrorKind::ForeignKey => {
                let (at, wanted) = (self.at.clone(), digest.clone());
                let by = self
                    .engine
                    .meta
                    .point(move |tx| {
                        let user = versions::user_of_blob(tx, &at.repository.id, &wanted)?;
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
}

impl Engine {
    /// Deletes a version, with its tags where these do not keep it.
    pub async fn remove_version(
        &self,
        admitted: &Admitted,
        name: &VersionName,
        tagged: Tagged,
    ) -> Result<(), EngineError> {
        let at = self.opened(admitted, VERSIONS_DELETE, &name.package).await?;
        self.delete_by_digest(&at, &name.digest, tagged).await
    }

    /// Deletes versions of an image that have no tags, or looks which of them could be. Answers those that could not,
    /// and why.
    pub async fn remove_versions(
        &self,
        admitted: &Admitted,
        package: &PackageName,
        (mut digests, mode): (Vec<Digest>, DeleteMode),
    ) -> Result<Vec<(Digest, EngineError)>, EngineError> {
        let at = self.opened(admitted, VERSIONS_DELETE, package).await?;
        if mode == DeleteMode::Validate {
            return self.undeletable(&at, digests).await;
        }
        // An index goes before what it names, in whatever order they were given.
        loop {
            let mut failed = Vec::new();
            for digest in &digests {
                if let Err(error) = self.delete_by_digest(&at, digest, Tagged::Keep).await {
                    failed.push((digest.clone(), error));
                }
            }
            let held = failed.iter().any(|(_, error)| matches!(error, EngineError::InUse { .. }));
            if !held || failed.len() == digests.len() {
                return Ok(failed);
            }
            digests = failed.into_iter().map(|(digest, _)| digest).collect();
        }
    }

    async fn undeletable(
        &self,
        at: &Arc<Opened>,
        digests: Vec<Digest>,
    ) -> Result<Vec<(Digest, EngineError)>, EngineError> {
        let at = at.clone();
        self.meta
            .read(move |tx| {
                let mut failed = Vec::new();
                for digest in &digests {
                    match deletable(tx, &at, (digest, Tagged::Keep), &digests) {
                        Ok(_) => {}
                        Err(error @ EngineError::Database(_)) => return Err(error),
                        Err(error) => failed.push((digest.clone(), error)),
                    }
                }
                Ok(failed)
            })
            .await
    }

    /// Deletes an image with everything in it: it is gone at once, and its rows go afterwards.
    pub async fn remove_package(
        &self,
        admitted: &Admitted,
        package: &PackageName,
    ) -> Result<(), EngineError> {
        let at = self.opened(admitted, "artifactregistry.packages.delete", package).await?;
        let now = self.clock.now();
        self.meta
            .write(move |tx| {
                let package = find_package(tx, &at)?;
                check_all_mutable(tx, &at, &package)?;
                packages::hide(tx, &package)?;
                gc_queue::enqueue(tx, gc::PACKAGE, &[package.to_string()], now)?;
                Ok::<_, EngineError>(events::insert(tx, &at.event("delete-package", now))?)
            })
            .await
    }

    async fn delete_by_digest(
        &self,
        at: &Arc<Opened>,
        digest: &Digest,
        tagged: Tagged,
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

const VERSIONS_DELETE: &str = "artifactregistry.versions.delete";

/// Whether something is done, or only looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteMode {
    /// Look whether it could be deleted.
    Validate,
    /// Delete it.
    Delete,
}

/// Refuses to delete an image of which a tag must stay.
fn check_all_mutable(tx: &mut Tx<'_>, at: &Opened, package: &Id) -> Result<(), EngineError> {
    const STEP: i64 = 500;
    if !repositories::has_immutable_tags(tx, &at.repository.id)? {
        return Ok(());
    }
    let mut last = String::new();
    loop {
        let tags = tags::names(tx, package, &last, STEP)?;
        for (tag, digest) in &tags {
            let tag = tag.parse().map_err(|_| EngineError::Internal("a tag's name".to_owned()))?;
            check_mutable(tx, &at.repository.id, (&tag, digest))?;
        }
        match tags.into_iter().next_back() {
            Some((tag, _)) => last = tag,
            None => return Ok(()),
        }
    }
}

/// What becomes of the tags of a version that is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagged {
    /// They keep it.
    Keep,
    /// They go with it.
    TakeAlong,
}

/// Each tag takes three rows: itself, its history and an event.
const TAGS_AT_ONCE: usize = 300;

/// A version that may be deleted, and the first of its tags. `known_to_go` are manifests that go before it.
pub(crate) fn deletable(
    tx: &mut Tx<'_>,
    at: &Opened,
    (digest, tagged): (&Digest, Tagged),
    known_to_go: &[Digest],
) -> Result<(Version, Vec<String>), EngineError> {
    let version = versions::by_digest(tx, at.address(), digest)?
        .ok_or_else(|| EngineError::ManifestUnknown(Reference::Digest(digest.clone())))?;
    if let Some(by) = versions::parent_of(tx, &version.id)?
        && !known_to_go.contains(&by)
    {
        return Err(EngineError::InUse { digest: digest.clone(), by });
    }
    let tags = tags::of_version(tx, &version.id, TAGS_AT_ONCE as i64)?;
    if let (Tagged::Keep, [first, ..]) = (tagged, tags.as_slice()) {
        return Err(EngineError::Precondition(format!(
            "{digest} is tagged ({first}{}): delete its tags first, or ask to take them along by force",
            if tags.len() > 1 { ", …" } else { "" }
        )));
    }
    for tag in &tags {
        let tag: Tag = tag.parse().map_err(|_| EngineError::Internal("a tag's name".to_owned()))?;
        check_mutable(tx, &at.repository.id, (&tag, digest))?;
    }
    Ok((version, tags))
}

/// Deletes the version, if few tags are left; of many, only the first ones go. Answers whether it is gone.
pub(crate) fn delete_version(
    tx: &mut Tx<'_>,
    at: &Opened,
    (digest, tagged): (&Digest, Tagged),
    (now, review_after): (i64, i64),
) -> Result<bool, EngineError> {
    let repository = &at.repository.id;
    // What names it and came before it is found by what it is bound to.
    if let Some(version) = versions::by_digest(tx, at.address(), digest)? {
        let place = (repository, &version.package_id);
        versions::bind_child(tx, place, (digest, version.manifest_bytes), &version.id)?;
    }
    let (version, tags) = deletable(tx, at, (digest, tagged), &[])?;
    for tag in &tags {
        remove_tag(tx, at, (&version.package_id, tag), (digest, now))?;
    }
    if tags.len() == TAGS_AT_ONCE {
        return Ok(false);
    }
    let links: Vec<String> = versions::blobs_of(tx, &version.id)?
        .iter()
        .map(|blob| gc::link_id(repository, blob))
        .collect();
    versions::delete(tx, &version.id)?;
    gc_queue::enqueue(tx, gc::LINK, &links, review_after)?;
    gc_queue::enqueue(tx, gc::CONTENT, &[digest.to_string()], review_after)?;
    usage::add_delta(tx, repository, -version.manifest_bytes)?;
    let event = events::Event { digest: Some(digest.clone()), ..at.event("delete", now) };
    events::insert(tx, &event)?;
    Ok(true)
}

fn delete_blob(tx: &mut Tx<'_>, at: &Opened, digest: &Digest, now: i64) -> Result<(), EngineError> {
    let repository = &at.repository.id;
    if let Some(size) = blobs::size_in(tx, repository, digest)? {
        versions::bind_blob(tx, repository, (digest, size))?;
    }
    if let Some(by) = versions::user_of_blob(tx, repository, digest)? {
        return Err(EngineError::InUse { digest: digest.clone(), by });
    }
    let Some(size) = blobs::unlink(tx, repository, digest)? else {
        return Err(EngineError::BlobUnknown(digest.clone()));
    };
    usage::add_delta(tx, repository, -size)?;
    gc_queue::enqueue(tx, gc::BLOB, &[digest.to_string()], now)?;
    Ok(())
}
