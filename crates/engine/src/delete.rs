//! Deleting hides an object at once, and asks for a review of what it alone may have needed.

use meta::{ErrorKind, Tx, blobs, events, gc_queue, packages, tags, usage, versions};
use model::digest::Digest;
use model::reference::{Reference, Tag};

use crate::access::Opened;
use crate::immutability::check_mutable;
use crate::{Delete, EngineError, RepoAccess, gc, micros};

impl RepoAccess<Delete> {
    /// Deletes a tag, or a version with its tags.
    pub async fn delete_manifest(&self, reference: &Reference) -> Result<(), EngineError> {
        let now = self.engine.clock.now();
        let review_after = now + micros(self.engine.settings.gc_grace);
        loop {
            let (at, reference) = (self.at.clone(), reference.clone());
            let deleted = self
                .engine
                .meta
                .write(move |tx| match &reference {
                    Reference::Tag(tag) => delete_tag(tx, &at, tag, now).map(|()| true),
                    Reference::Digest(digest) => {
                        delete_version(tx, &at, digest, (now, review_after))
                    }
                })
                .await?;
            if deleted {
                return Ok(());
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

fn delete_tag(tx: &mut Tx<'_>, at: &Opened, tag: &Tag, now: i64) -> Result<(), EngineError> {
    let unknown = || EngineError::ManifestUnknown(Reference::Tag(tag.clone()));
    let package = packages::find(tx, &at.repository.id, at.image())?.ok_or_else(unknown)?;
    let current = tags::find(tx, &package, tag.as_str())?.ok_or_else(unknown)?;
    check_mutable(tx, &at.repository.id, (tag, &current.digest))?;
    remove_tag(tx, at, (&package, tag.as_str()), (&current.digest, now))
}

fn remove_tag(
    tx: &mut Tx<'_>,
    at: &Opened,
    (package, tag): (&meta::Id, &str),
    (digest, now): (&Digest, i64),
) -> Result<(), EngineError> {
    tags::delete(tx, package, tag)?;
    let change = tags::Change {
        tag: tag.to_owned(),
        from: Some(digest.clone()),
        to: None,
        principal: at.principal.clone(),
        changed_at: now,
    };
    tags::record(tx, package, &change)?;
    let event = events::Event {
        tag: Some(tag.to_owned()),
        digest: Some(digest.clone()),
        ..at.event("untag", now)
    };
    Ok(events::insert(tx, &event)?)
}

/// Deletes the version, if few tags are left; of many, only the first ones go. Answers whether it is gone.
fn delete_version(
    tx: &mut Tx<'_>,
    at: &Opened,
    digest: &Digest,
    (now, review_after): (i64, i64),
) -> Result<bool, EngineError> {
    /// Each tag takes three rows: itself, its history and an event.
    const TAGS_AT_ONCE: usize = 300;
    let version = versions::by_digest(tx, at.address(), digest)?
        .ok_or_else(|| EngineError::ManifestUnknown(Reference::Digest(digest.clone())))?;
    let repository = &at.repository.id;
    let place = (repository, &version.package_id);
    versions::bind_child(tx, place, (digest, version.manifest_bytes), &version.id)?;
    if let Some(by) = versions::parent_of(tx, &version.id)? {
        return Err(EngineError::InUse { digest: digest.clone(), by });
    }
    let tags = tags::of_version(tx, &version.id, TAGS_AT_ONCE as i64)?;
    for tag in &tags {
        let tag: Tag = tag.parse().map_err(|_| EngineError::Internal("a tag's name".to_owned()))?;
        check_mutable(tx, repository, (&tag, digest))?;
    }
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
