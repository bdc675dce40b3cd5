//! The transaction that makes an upload a blob.

use std::time::Duration;

use blob::{Locked, StoredCopy};
use identity::micros;
use meta::gc_queue::{self, ReviewKind};
use meta::uploads::{self, Upload};
use meta::{Tx, blobs, usage, versions};
use model::digest::Digest;

use crate::access::ImageContext;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::reviews;

/// How long a finished session is remembered, for clients that repeat their PUT.
const FINISHED_FOR: Duration = Duration::from_secs(3600);

/// The times that a commit writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommitTimes {
    now: i64,
    review_after: i64,
    remember_until: i64,
    trash_due: i64,
}

impl CommitTimes {
    pub(super) fn of(engine: &Engine) -> Self {
        let now = engine.clock.now();
        Self {
            now,
            review_after: now + micros(engine.settings.gc_grace),
            remember_until: now + micros(FINISHED_FOR),
            trash_due: now + micros(engine.settings.trash_retention),
        }
    }
}

/// Copy live, blob row, repository link, review: all or nothing.
pub(super) fn commit(
    tx: &mut Tx<'_>,
    at: &ImageContext,
    (upload, digest, stored): (&Upload, &Digest, &Locked<StoredCopy>),
    times: CommitTimes,
) -> Result<(), EngineError> {
    let copy = upload.copy_id.ok_or(EngineError::UploadUnknown)?;
    let size = stored.size as i64;
    if uploads::finish(tx, upload, digest, size, times.remember_until)? == 0 {
        return Err(EngineError::UploadUnknown);
    }
    gc_queue::enqueue(tx, ReviewKind::Upload, &[upload.id.to_string()], times.remember_until)?;
    let finished = blobs::FinishedCopy {
        id: &copy,
        digest,
        size,
        mtime_ns: stored.times.mtime_ns,
        ctime_ns: stored.times.ctime_ns,
        now: times.now,
    };
    if let Some(former) = blobs::make_live(tx, &finished)? {
        reviews::trash_former(tx, &former, times.trash_due)?;
    }
    link(tx, at, (digest, size), (times.now, times.review_after))
}

/// Lets the repository read the blob, and asks for a review in case nothing comes to need it.
pub(super) fn link(
    tx: &mut Tx<'_>,
    at: &ImageContext,
    (digest, size): (&Digest, i64),
    (now, review_after): (i64, i64),
) -> Result<(), EngineError> {
    let repository = &at.repository().id;
    at.check_live(tx)?;
    if blobs::link(tx, repository, digest, size, now)? {
        usage::add_delta(tx, repository, size)?;
    }
    gc_queue::enqueue(tx, ReviewKind::Link, &[reviews::link_id(repository, digest)], review_after)?;
    versions::bind_blob(tx, repository, digest, size)?;
    Ok(())
}
