//! Writes of tags: by a push, by a delete, and by the APIs.

use identity::{Authorized, Micros};
use meta::{Id, MetaError, Tx, events, packages, tags, versions};
use model::artifact_name::{TagName, VersionName};
use model::digest::Digest;
use model::permissions::artifactregistry;
use model::reference::{Reference, Tag};

use crate::access::ImageContext;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::immutability::check_mutable;
use meta::events::EventAction;

/// A tag, and the version that it is to name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TagMove<'a> {
    /// The id of the image.
    pub(crate) package: &'a Id,
    pub(crate) tag: &'a Tag,
    /// The id of the version.
    pub(crate) version: &'a Id,
    /// The digest of the version.
    pub(crate) digest: &'a Digest,
    pub(crate) now: Micros,
}

/// A tag that is to be deleted, and the digest that it names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TagDeletion<'a> {
    /// The id of the image.
    pub(crate) package: &'a Id,
    pub(crate) tag: &'a str,
    pub(crate) digest: &'a Digest,
    pub(crate) now: Micros,
}

impl Engine {
    /// Creates a tag that names a version of the same image.
    pub async fn create_tag(
        &self,
        authorized: &Authorized,
        name: &TagName,
        version: &VersionName,
    ) -> Result<(), EngineError> {
        let permission = artifactregistry::TAGS_CREATE;
        let image = self.image_to_change(authorized, permission, &name.package).await?;
        let (name, version, now) = (name.clone(), version.clone(), self.clock.now());
        self.write(move |tx| {
            let (package, id) = find_version(tx, &image, &version)?;
            if tags::find(tx, &package, name.tag.as_str())?.is_some() {
                let problem = format!("{} already exists", describe(&name));
                return Err(EngineError::AlreadyExists(problem));
            }
            let (tag, digest) = (&name.tag, &version.digest);
            let to = TagMove { package: &package, tag, version: &id, digest, now };
            point_tag_and_notify(tx, &image, to)
        })
        .await
    }

    /// Moves an existing tag to another version of the same image.
    pub async fn move_tag(
        &self,
        authorized: &Authorized,
        name: &TagName,
        version: &VersionName,
    ) -> Result<(), EngineError> {
        let permission = artifactregistry::TAGS_UPDATE;
        let image = self.image_to_change(authorized, permission, &name.package).await?;
        let (name, version, now) = (name.clone(), version.clone(), self.clock.now());
        self.write(move |tx| {
            let (package, id) = find_version(tx, &image, &version)?;
            find_tag_target(tx, &package, &name)?;
            let (tag, digest) = (&name.tag, &version.digest);
            let to = TagMove { package: &package, tag, version: &id, digest, now };
            point_tag_and_notify(tx, &image, to)
        })
        .await
    }

    /// Deletes a tag. The version stays.
    pub async fn delete_tag(
        &self,
        authorized: &Authorized,
        name: &TagName,
    ) -> Result<(), EngineError> {
        let permission = artifactregistry::TAGS_DELETE;
        let image = self.image_to_change(authorized, permission, &name.package).await?;
        let (name, now) = (name.clone(), self.clock.now());
        self.write(move |tx| {
            delete_tag(tx, &image, &name.tag, now).map_err(|error| match error {
                EngineError::ManifestUnknown(_) => EngineError::ResourceUnknown(describe(&name)),
                error => error,
            })
        })
        .await
    }
}

/// Returns the id of the image, or the error that the APIs have for a missing one.
pub(crate) fn find_package(tx: &mut Tx<'_>, image: &ImageContext) -> Result<Id, EngineError> {
    let package = packages::find(tx, &image.repository().id, image.image_name())?;
    package.ok_or_else(|| package_unknown(image))
}

pub(crate) fn package_unknown(image: &ImageContext) -> EngineError {
    EngineError::ResourceUnknown(format!("Package \"{}\"", image.image_name()))
}

/// Returns the version that a tag names, or the error that the APIs have for a missing tag.
pub(crate) fn find_tag_target(
    tx: &mut Tx<'_>,
    package: &Id,
    name: &TagName,
) -> Result<tags::TargetVersion, EngineError> {
    tags::find(tx, package, name.tag.as_str())?.ok_or_else(|| tag_unknown(name))
}

pub(crate) fn tag_unknown(name: &TagName) -> EngineError {
    EngineError::ResourceUnknown(describe(name))
}

fn describe(name: &TagName) -> String {
    format!("Tag \"{}\" of package \"{}\"", name.tag, name.package.image)
}

fn find_version(
    tx: &mut Tx<'_>,
    image: &ImageContext,
    version: &VersionName,
) -> Result<(Id, Id), EngineError> {
    image.check_live(tx)?;
    let package = find_package(tx, image)?;
    let row = versions::find_in_package(tx, &package, &version.digest)?;
    let (id, _) = row.ok_or_else(|| version_unknown(version))?;
    Ok((package, id))
}

pub(crate) fn version_unknown(version: &VersionName) -> EngineError {
    let VersionName { package, digest } = version;
    EngineError::ResourceUnknown(format!("Version \"{digest}\" of package \"{}\"", package.image))
}

/// Points a tag at a version, and tells webhooks of it.
fn point_tag_and_notify(
    tx: &mut Tx<'_>,
    image: &ImageContext,
    to: TagMove<'_>,
) -> Result<(), EngineError> {
    if point_tag(tx, image, to)? {
        image.enqueue_insert(tx, to.digest, &[Some(to.tag.as_str())], to.now)?;
    }
    Ok(())
}

/// Points a tag at a version. Returns `false` if the tag named it already.
pub(crate) fn point_tag(
    tx: &mut Tx<'_>,
    image: &ImageContext,
    to: TagMove<'_>,
) -> Result<bool, EngineError> {
    let TagMove { package, tag, version, digest, now } = to;
    let current = tags::find(tx, package, tag.as_str())?.map(|current| current.digest);
    if current.as_ref() == Some(digest) {
        return Ok(false);
    }
    if let Some(current) = &current {
        check_mutable(tx, image, tag, current)?;
    }
    tags::set(tx, package, tag.as_str(), version, now)?;
    let change = tags::TagChange {
        tag: tag.to_string(),
        from: current,
        to: Some(digest.clone()),
        principal: image.principal().to_owned(),
        changed_at: now,
    };
    record_change(tx, image, package, &change)?;
    Ok(true)
}

/// Deletes a tag, or fails if the tag does not exist or is immutable.
pub(crate) fn delete_tag(
    tx: &mut Tx<'_>,
    image: &ImageContext,
    tag: &Tag,
    now: Micros,
) -> Result<(), EngineError> {
    let unknown = || EngineError::ManifestUnknown(Reference::Tag(tag.clone()));
    let package = packages::find(tx, &image.repository().id, image.image_name())?;
    let package = package.ok_or_else(unknown)?;
    let digest = tags::find(tx, &package, tag.as_str())?.ok_or_else(unknown)?.digest;
    check_mutable(tx, image, tag, &digest)?;
    let tag = tag.as_str();
    delete_tag_unchecked(tx, image, TagDeletion { package: &package, tag, digest: &digest, now })
}

/// Deletes a tag that exists and may be deleted.
pub(crate) fn delete_tag_unchecked(
    tx: &mut Tx<'_>,
    image: &ImageContext,
    deletion: TagDeletion<'_>,
) -> Result<(), EngineError> {
    let TagDeletion { package, tag, digest, now } = deletion;
    tags::delete(tx, package, tag)?;
    let change = tags::TagChange {
        tag: tag.to_owned(),
        from: Some(digest.clone()),
        to: None,
        principal: image.principal().to_owned(),
        changed_at: now,
    };
    record_change(tx, image, package, &change)?;
    Ok(image.enqueue_delete(tx, Some(tag), None, now)?)
}

/// Writes a change of a tag to its history, and as an event.
fn record_change(
    tx: &mut Tx<'_>,
    image: &ImageContext,
    package: &Id,
    change: &tags::TagChange,
) -> Result<(), MetaError> {
    tags::record_change(tx, package, change)?;
    let (action, digest) = match &change.to {
        Some(digest) => (EventAction::Tag, Some(digest)),
        None => (EventAction::Untag, change.from.as_ref()),
    };
    let event = events::AuditEvent {
        tag: Some(change.tag.clone()),
        digest: digest.cloned(),
        ..image.event(action, change.changed_at)
    };
    events::insert(tx, &event)
}
