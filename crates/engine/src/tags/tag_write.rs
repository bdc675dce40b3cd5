//! Writes of tags: by a push, by a delete, and by the APIs.

use identity::{Authorized, Micros};
use meta::tags::TargetVersion;
use meta::{Id, MetaError, Tx, events, packages, tags};
use model::artifact_name::{TagName, VersionName};
use model::digest::Digest;
use model::permissions::artifactregistry;
use model::reference::{Reference, Tag};

use crate::access::ImageContext;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::image_change::ImageChange;
use crate::tags::immutability::check_mutable;
use meta::events::EventAction;

/// A tag, and the version that it is to name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TagMove<'a> {
    /// The id of the image.
    pub(crate) package: &'a Id,
    pub(crate) tag: &'a Tag,
    pub(crate) target: &'a TargetVersion,
    /// False if the caller may only create tags.
    pub(crate) may_move: bool,
    pub(crate) now: Micros,
}

/// A tag that is to be deleted, and the digest that it names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TagDeletion<'a> {
    /// The id of the image.
    pub(crate) package: &'a Id,
    pub(crate) tag: &'a str,
    pub(crate) target: &'a TargetVersion,
    pub(crate) now: Micros,
}

/// A tag, what it named when somebody looked, and what it is to name.
#[derive(Debug, Clone)]
pub struct TagSetting {
    /// The tag.
    pub name: TagName,
    /// The digest that the tag named, or `None` if there was no such tag.
    pub seen: Option<Digest>,
    /// The digest that the tag is to name.
    pub digest: Digest,
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
            let (package, target) = find_version(tx, &image, &version)?;
            if tags::find(tx, &package, name.tag.as_str())?.is_some() {
                let problem = format!("{} already exists", describe(&name));
                return Err(EngineError::AlreadyExists(problem));
            }
            let tag = &name.tag;
            let to = TagMove { package: &package, tag, target: &target, may_move: true, now };
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
            let (package, target) = find_version(tx, &image, &version)?;
            find_tag_target(tx, &package, &name)?;
            let tag = &name.tag;
            let to = TagMove { package: &package, tag, target: &target, may_move: true, now };
            point_tag_and_notify(tx, &image, to)
        })
        .await
    }

    /// Makes a tag name a version of the same image, if the tag names what the caller has seen: a digest, or nothing.
    ///
    /// # Errors
    /// Fails with [`EngineError::Conflict`] if the tag names something else by now.
    pub async fn set_tag(
        &self,
        authorized: &Authorized,
        change: TagSetting,
    ) -> Result<(), EngineError> {
        let TagSetting { name, seen, digest } = change;
        let permission = match seen {
            Some(_) => artifactregistry::TAGS_UPDATE,
            None => artifactregistry::TAGS_CREATE,
        };
        let image = self.image_to_change(authorized, permission, &name.package).await?;
        let now = self.clock.now();
        self.write(move |tx| {
            let version = VersionName { package: name.package.clone(), digest: digest.clone() };
            let (package, target) = find_version(tx, &image, &version)?;
            check_seen(tx, &package, &name, seen.as_ref())?;
            let tag = &name.tag;
            let to = TagMove { package: &package, tag, target: &target, may_move: true, now };
            point_tag_and_notify(tx, &image, to)
        })
        .await
    }

    /// Deletes a tag that names what the caller has seen. The version stays.
    ///
    /// # Errors
    /// Fails with [`EngineError::Conflict`] if the tag names something else by now.
    pub async fn delete_seen_tag(
        &self,
        authorized: &Authorized,
        name: &TagName,
        seen: &Digest,
    ) -> Result<(), EngineError> {
        let permission = artifactregistry::TAGS_DELETE;
        let image = self.image_to_change(authorized, permission, &name.package).await?;
        let (name, seen, now) = (name.clone(), seen.clone(), self.clock.now());
        self.write(move |tx| {
            let package = find_package(tx, &image)?;
            check_seen(tx, &package, &name, Some(&seen))?;
            delete_tag(tx, &image, &name.tag, now)
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

/// Refuses a change of a tag that does not name any more what the caller has seen.
fn check_seen(
    tx: &mut Tx<'_>,
    package: &Id,
    name: &TagName,
    seen: Option<&Digest>,
) -> Result<(), EngineError> {
    let current = tags::find(tx, package, name.tag.as_str())?.map(|target| target.digest);
    match &current {
        current if current.as_ref() == seen => Ok(()),
        Some(digest) => Err(EngineError::Conflict(format!(
            "{} names {digest} now: look again before changing it",
            describe(name)
        ))),
        None => Err(EngineError::Conflict(format!("{} is gone", describe(name)))),
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
) -> Result<TargetVersion, EngineError> {
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
) -> Result<(Id, TargetVersion), EngineError> {
    image.check_live(tx)?;
    let package = find_package(tx, image)?;
    let target = tags::find_target(tx, &package, &version.digest)?;
    Ok((package, target.ok_or_else(|| version_unknown(version))?))
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
    let mut change = ImageChange::new(&image.repository().id, to.package);
    if point_tag(tx, image, to, &mut change)? {
        image.enqueue_insert(tx, &to.target.digest, &[Some(to.tag.as_str())], to.now)?;
    }
    Ok(change.record(tx)?)
}

/// Points a tag at a version. Returns `false` if the tag named it already.
pub(crate) fn point_tag(
    tx: &mut Tx<'_>,
    image: &ImageContext,
    to: TagMove<'_>,
    change: &mut ImageChange,
) -> Result<bool, EngineError> {
    let TagMove { package, tag, target, may_move, now } = to;
    let current = tags::find(tx, package, tag.as_str())?;
    if current.as_ref().is_some_and(|current| current.digest == target.digest) {
        return Ok(false);
    }
    if let Some(current) = &current {
        if !may_move {
            return Err(EngineError::Denied {
                permission: artifactregistry::TAGS_UPDATE,
                resource: image.repository_name.to_string(),
                anonymous: image.caller.is_anonymous(),
            });
        }
        check_mutable(tx, image, tag, &current.digest)?;
    }
    tags::set(tx, package, tag.as_str(), &target.version_id, now)?;
    change.tag_set(current.as_ref(), target);
    let change = tags::TagChange {
        tag: tag.to_string(),
        from: current.map(|current| current.digest),
        to: Some(target.digest.clone()),
        principal: image.principal().to_owned(),
        changed_at: now,
        way: image.caller.way,
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
    let target = tags::find(tx, &package, tag.as_str())?.ok_or_else(unknown)?;
    check_mutable(tx, image, tag, &target.digest)?;
    let deletion = TagDeletion { package: &package, tag: tag.as_str(), target: &target, now };
    let mut change = ImageChange::new(&image.repository().id, &package);
    delete_tag_unchecked(tx, image, deletion, &mut change)?;
    Ok(change.record(tx)?)
}

/// Deletes a tag that exists and may be deleted.
pub(crate) fn delete_tag_unchecked(
    tx: &mut Tx<'_>,
    image: &ImageContext,
    deletion: TagDeletion<'_>,
    change: &mut ImageChange,
) -> Result<(), EngineError> {
    let TagDeletion { package, tag, target, now } = deletion;
    tags::delete(tx, package, tag)?;
    change.tag_deleted(target);
    let change = tags::TagChange {
        tag: tag.to_owned(),
        from: Some(target.digest.clone()),
        to: None,
        principal: image.principal().to_owned(),
        changed_at: now,
        way: image.caller.way,
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
