//! Tags as they are set, moved and taken away: by a push, by a delete, and by the APIs.

use identity::Authorized;
use meta::events::{self, EventAction};
use meta::{Id, MetaError, Tx, packages, tags, versions};
use model::artifact_name::{TagName, VersionName};
use model::digest::Digest;
use model::reference::{Reference, Tag};

use crate::access::ImageContext;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::immutability::check_mutable;
use model::permissions::artifactregistry;

impl Engine {
    /// Gives a version a tag that there is not yet.
    pub async fn create_tag(
        &self,
        admitted: &Authorized,
        (name, version): (&TagName, &VersionName),
    ) -> Result<(), EngineError> {
        let at = self.image_context(admitted, artifactregistry::TAGS_CREATE, &name.package).await?;
        let (name, version, now) = (name.clone(), version.clone(), self.clock.now());
        self.meta
            .write(move |tx| {
                let (package, id) = find_version(tx, &at, &version)?;
                if tags::find(tx, &package, name.tag.as_str())?.is_some() {
                    return Err(EngineError::AlreadyExists(format!(
                        "{} already exists",
                        quoted(&name)
                    )));
                }
                point_and_tell(tx, &at, (&package, &id), (&name.tag, &version.digest, now))
            })
            .await
    }

    /// Moves a tag that there is to another version.
    pub async fn move_tag(
        &self,
        admitted: &Authorized,
        (name, version): (&TagName, &VersionName),
    ) -> Result<(), EngineError> {
        let at = self.image_context(admitted, artifactregistry::TAGS_UPDATE, &name.package).await?;
        let (name, version, now) = (name.clone(), version.clone(), self.clock.now());
        self.meta
            .write(move |tx| {
                let (package, id) = find_version(tx, &at, &version)?;
                find_tag(tx, &package, &name)?;
                point_and_tell(tx, &at, (&package, &id), (&name.tag, &version.digest, now))
            })
            .await
    }

    /// Takes a tag away; the version stays.
    pub async fn remove_tag(
        &self,
        admitted: &Authorized,
        name: &TagName,
    ) -> Result<(), EngineError> {
        let at = self.image_context(admitted, artifactregistry::TAGS_DELETE, &name.package).await?;
        let (name, now) = (name.clone(), self.clock.now());
        self.meta
            .write(move |tx| {
                delete_tag(tx, &at, &name.tag, now).map_err(|error| match error {
                    EngineError::ManifestUnknown(_) => EngineError::ResourceUnknown(quoted(&name)),
                    error => error,
                })
            })
            .await
    }
}

/// The row of the image that was opened.
pub(crate) fn find_package(tx: &mut Tx<'_>, at: &ImageContext) -> Result<Id, EngineError> {
    let found = packages::find(tx, &at.repository().id, at.image_name())?;
    found.ok_or_else(|| package_unknown(at))
}

pub(crate) fn package_unknown(at: &ImageContext) -> EngineError {
    EngineError::ResourceUnknown(format!("Package \"{}\"", at.image_name()))
}

/// What a tag names.
pub(crate) fn find_tag(
    tx: &mut Tx<'_>,
    package: &Id,
    name: &TagName,
) -> Result<tags::TargetVersion, EngineError> {
    let found = tags::find(tx, package, name.tag.as_str())?;
    found.ok_or_else(|| EngineError::ResourceUnknown(quoted(name)))
}

fn quoted(name: &TagName) -> String {
    format!("Tag \"{}\" of package \"{}\"", name.tag, name.package.image)
}

fn find_version(
    tx: &mut Tx<'_>,
    at: &ImageContext,
    version: &VersionName,
) -> Result<(Id, Id), EngineError> {
    at.check_live(tx)?;
    let package = find_package(tx, at)?;
    let found = versions::find_in_package(tx, &package, &version.digest)?;
    let (id, _) = found.ok_or_else(|| version_unknown(version))?;
    Ok((package, id))
}

pub(crate) fn version_unknown(version: &VersionName) -> EngineError {
    let VersionName { package, digest } = version;
    EngineError::ResourceUnknown(format!("Version \"{digest}\" of package \"{}\"", package.image))
}

/// Points a tag at a version for its own sake.
fn point_and_tell(
    tx: &mut Tx<'_>,
    at: &ImageContext,
    place: (&Id, &Id),
    (tag, digest, now): (&Tag, &Digest, i64),
) -> Result<(), EngineError> {
    if point_tag(tx, at, place, (tag, digest, now))? {
        at.enqueue_insert(tx, (digest, &[Some(tag.as_str())], now))?;
    }
    Ok(())
}

/// Points a tag at a version. `false`: it was there already.
pub(crate) fn point_tag(
    tx: &mut Tx<'_>,
    at: &ImageContext,
    (package, version): (&Id, &Id),
    (tag, digest, now): (&Tag, &Digest, i64),
) -> Result<bool, EngineError> {
    let current = tags::find(tx, package, tag.as_str())?.map(|current| current.digest);
    if current.as_ref() == Some(digest) {
        return Ok(false);
    }
    if let Some(current) = &current {
        check_mutable(tx, at, (tag, current))?;
    }
    tags::set(tx, package, tag.as_str(), version, now)?;
    let change = tags::TagChange {
        tag: tag.to_string(),
        from: current,
        to: Some(digest.clone()),
        principal: at.principal.clone(),
        changed_at: now,
    };
    record(tx, at, package, (EventAction::Tag, &change, digest))?;
    Ok(true)
}

/// Takes a tag away that there is, unless tags stay.
pub(crate) fn delete_tag(
    tx: &mut Tx<'_>,
    at: &ImageContext,
    tag: &Tag,
    now: i64,
) -> Result<(), EngineError> {
    let unknown = || EngineError::ManifestUnknown(Reference::Tag(tag.clone()));
    let package = packages::find(tx, &at.repository().id, at.image_name())?.ok_or_else(unknown)?;
    let current = tags::find(tx, &package, tag.as_str())?.ok_or_else(unknown)?;
    check_mutable(tx, at, (tag, &current.digest))?;
    remove_tag(tx, at, (&package, tag.as_str()), (&current.digest, now))
}

/// Takes a tag away.
pub(crate) fn remove_tag(
    tx: &mut Tx<'_>,
    at: &ImageContext,
    (package, tag): (&Id, &str),
    (digest, now): (&Digest, i64),
) -> Result<(), EngineError> {
    tags::delete(tx, package, tag)?;
    let change = tags::TagChange {
        tag: tag.to_owned(),
        from: Some(digest.clone()),
        to: None,
        principal: at.principal.clone(),
        changed_at: now,
    };
    record(tx, at, package, (EventAction::Untag, &change, digest))?;
    Ok(at.enqueue_delete(tx, (Some(tag), None, now))?)
}

fn record(
    tx: &mut Tx<'_>,
    at: &ImageContext,
    package: &Id,
    (action, change, digest): (EventAction, &tags::TagChange, &Digest),
) -> Result<(), MetaError> {
    tags::record_change(tx, package, change)?;
    let event = events::AuditEvent {
        tag: Some(change.tag.clone()),
        digest: Some(digest.clone()),
        ..at.event(action, change.changed_at)
    };
    events::insert(tx, &event)
}
