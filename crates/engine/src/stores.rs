//! Checks that the folder of blobs and the database belong together, at the start and while the server runs.
//!
//! They share an id. Without it, a folder that is not mounted, or another folder, would make every copy look lost,
//! and a missing database would be taken for a first start.

use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use blob::{BlobStore, CopyId, FolderState, StoreId, count_existing_copies};
use meta::{ErrorKind, Id, Meta, MetaError, Tx, blobs, settings};

use crate::engine::Engine;
use crate::error::EngineError;

/// The number of the newest copies that must be in a folder before it is given an id.
const MAX_COPIES_CHECKED: i64 = 16;

/// The facts about a folder of blobs and a database from which the verdict follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFindings {
    /// The state of the folder.
    pub folder: FolderState,
    /// The id in the database.
    pub database: Option<StoreId>,
    /// The id that both were about to share when a process ended.
    pub next: Option<StoreId>,
    /// `true` if the database knows of any copy.
    pub knows_copies: bool,
    /// The number of newest copies that were looked for.
    pub newest: usize,
    /// The number of these that are in the folder.
    pub present: usize,
}

/// The decision about using a folder and a database together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreVerdict {
    /// Both have the same id: they are used together.
    Agreed,
    /// They are used together, and are to share the folder's id or a new one.
    Join,
    /// They are not used together.
    Refused(StoreRefusal),
}

/// The reason why a folder and a database are not used together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreRefusal {
    /// The folder has no id, and the database has one.
    #[error("the database belongs to a folder of blobs with the id {0}, and this one has none")]
    FolderWithoutId(StoreId),
    /// The database has no id, and the folder has one.
    #[error(
        "the folder of blobs has the id {0} of another database, and this one is new, or an old one put back"
    )]
    DatabaseWithoutId(StoreId),
    /// The two have different ids.
    #[error("the folder of blobs has the id {folder}, and the database belongs to {database}")]
    Different {
        /// The id of the folder.
        folder: StoreId,
        /// The id that the database has.
        database: StoreId,
    },
    /// The folder holds blobs, and the database knows of none.
    #[error("the folder of blobs holds blobs, and the database knows of none")]
    UnknownCopies,
    /// Some of the newest blobs are missing in the folder.
    #[error(
        "the folder of blobs has {present} of the {newest} newest blobs that the database knows"
    )]
    MissingCopies {
        /// The number of blobs that are there.
        present: usize,
        /// The number of blobs that were looked for.
        newest: usize,
    },
}

impl StoreFindings {
    /// Inspects the folder in `data`, without writing to it, and the database.
    pub async fn inspect(meta: &Meta, data: &Path) -> Result<Self, EngineError> {
        let known = meta
            .read_by_key(|tx| {
                let ids = [settings::STORE_ID, settings::NEXT_STORE_ID];
                let ids = [read_store_id(tx, ids[0])?, read_store_id(tx, ids[1])?];
                Ok::<_, EngineError>((
                    ids,
                    blobs::has_copies(tx)?,
                    blobs::list_newest_live(tx, MAX_COPIES_CHECKED)?,
                ))
            })
            .await?;
        let ([database, next], knows_copies, newest) = known;
        let copy = |(id, size): &(Id, i64)| (CopyId::from(id.to_bytes()), *size as u64);
        let newest: Vec<_> = newest.iter().map(copy).collect();
        Ok(Self {
            folder: FolderState::inspect(data)?,
            database,
            next,
            knows_copies,
            present: count_existing_copies(data, &newest),
            newest: newest.len(),
        })
    }

    /// Decides whether the two are used together.
    pub fn verdict(&self) -> StoreVerdict {
        let Self { present, newest, .. } = *self;
        let refusal = match (self.folder.id, self.database) {
            (Some(folder), Some(database)) if folder == database => return StoreVerdict::Agreed,
            (Some(folder), Some(database)) => StoreRefusal::Different { folder, database },
            (None, Some(database)) => StoreRefusal::FolderWithoutId(database),
            (Some(folder), None) if self.next == Some(folder) => {
                return StoreVerdict::Join;
            }
            (Some(folder), None) => StoreRefusal::DatabaseWithoutId(folder),
            (None, None) if self.folder.has_copies && !self.knows_copies => {
                StoreRefusal::UnknownCopies
            }
            (None, None) if present < newest => StoreRefusal::MissingCopies { present, newest },
            (None, None) => return StoreVerdict::Join,
        };
        StoreVerdict::Refused(refusal)
    }

    /// Gives both the folder's id, or a new one, at the start. If several processes start at once with folders of
    /// their own, the first one gives the database its id. The others are refused, and their folders are left without
    /// an id. A process that ends in the middle leaves an announced id, which the next start continues with.
    pub async fn join(
        &self,
        meta: &Meta,
        blobs: &dyn BlobStore,
    ) -> Result<Result<StoreId, StoreRefusal>, EngineError> {
        let id = self.folder.id.unwrap_or_else(new_store_id);
        announce_id(meta, id).await?;
        blobs.set_store_id(Some(id)).await?;
        let text = id.to_string();
        let stored = meta.write(move |tx| {
            let stored = settings::set_if_missing(tx, settings::STORE_ID, &text)?;
            settings::delete(tx, settings::NEXT_STORE_ID)?;
            parse_id(settings::STORE_ID, &stored)
        });
        let database = stored.await?;
        if database == id {
            return Ok(Ok(id));
        }
        if self.folder.id.is_some() {
            return Ok(Err(StoreRefusal::Different { folder: id, database }));
        }
        blobs.set_store_id(None).await?;
        Ok(Err(StoreRefusal::FolderWithoutId(database)))
    }

    /// Gives both the same id whatever they have: the database's, the folder's, or a new one.
    pub async fn adopt(&self, meta: &Meta, blobs: &dyn BlobStore) -> Result<StoreId, EngineError> {
        let id = self.database.or(self.folder.id).unwrap_or_else(new_store_id);
        announce_id(meta, id).await?;
        blobs.set_store_id(Some(id)).await?;
        meta.write(move |tx| {
            settings::set(tx, settings::STORE_ID, &id.to_string())?;
            Ok::<_, EngineError>(settings::delete(tx, settings::NEXT_STORE_ID)?)
        })
        .await?;
        Ok(id)
    }
}

fn new_store_id() -> StoreId {
    StoreId::from(Id::random().to_bytes())
}

/// Announces the id that a folder is about to get. Without the announcement, the database would refuse that folder
/// after a crash.
async fn announce_id(meta: &Meta, id: StoreId) -> Result<(), EngineError> {
    let announced =
        move |tx: &mut Tx<'_>| settings::set(tx, settings::NEXT_STORE_ID, &id.to_string());
    Ok(meta.write(announced).await?)
}

fn read_store_id(tx: &mut Tx<'_>, name: &str) -> Result<Option<StoreId>, EngineError> {
    settings::get(tx, name)?.map(|text| parse_id(name, &text)).transpose()
}

fn parse_id(name: &str, text: &str) -> Result<StoreId, EngineError> {
    let unreadable =
        |_| EngineError::Internal(format!("the setting {name} is not the id of a store"));
    text.parse().map_err(unreadable)
}

impl Engine {
    /// Checks that the folder of blobs and the database are in their places and still belong together. Otherwise
    /// nothing is written until a later check succeeds.
    pub async fn check_stores(&self) -> Result<(), EngineError> {
        let outcome = self.check_stores_now().await;
        let problem = match &outcome {
            Ok(()) => None,
            Err(EngineError::StoreAway(problem)) => Some(problem.clone()),
            // A database that does not answer has not moved.
            Err(_) => return Ok(()),
        };
        let mut last = self.presence.problem.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*last, &problem) {
            (Some(_), None) => {
                tracing::info!("the stores are in their places again: writes are accepted")
            }
            (last, Some(problem)) if last.as_ref() != Some(problem) => {
                tracing::error!("no writes are accepted until this is repaired: {problem}");
            }
            (None | Some(_), Some(_)) | (None, None) => {}
        }
        self.presence.away.store(problem.is_some(), Ordering::Relaxed);
        *last = problem;
        outcome
    }

    async fn check_stores_now(&self) -> Result<(), EngineError> {
        self.meta.check_place().await.map_err(moved_error)?;
        self.blobs.check_location().await?;
        let Some(folder) = self.blobs.store_id().await? else { return Ok(()) };
        let database = self.read_by_key(|tx| read_store_id(tx, settings::STORE_ID)).await?;
        match database {
            Some(database) if database == folder => Ok(()),
            Some(database) => {
                let refusal = StoreRefusal::Different { folder, database };
                Err(EngineError::StoreAway(refusal.to_string()))
            }
            None => {
                let refusal = StoreRefusal::DatabaseWithoutId(folder);
                Err(EngineError::StoreAway(refusal.to_string()))
            }
        }
    }

    /// Fails if the last check did not find the stores in their places. Every write asks this first.
    pub(crate) fn check_stores_present(&self) -> Result<(), EngineError> {
        if !self.presence.away.load(Ordering::Relaxed) {
            return Ok(());
        }
        let problem = self.presence.problem.lock().unwrap_or_else(PoisonError::into_inner);
        Err(EngineError::StoreAway(problem.clone().unwrap_or_default()))
    }

    /// Returns whether the last check found the stores in their places.
    pub fn are_stores_present(&self) -> bool {
        !self.presence.away.load(Ordering::Relaxed)
    }
}

fn moved_error(error: MetaError) -> EngineError {
    match error.kind() {
        ErrorKind::FilesMoved => EngineError::StoreAway(error.to_string()),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(folder: Option<u8>, database: Option<u8>) -> StoreFindings {
        let id = |byte: u8| StoreId::from([byte; 16]);
        StoreFindings {
            folder: FolderState { id: folder.map(id), has_copies: false },
            database: database.map(id),
            next: None,
            knows_copies: false,
            newest: 0,
            present: 0,
        }
    }

    #[track_caller]
    fn check(findings: &StoreFindings, expected: &str) {
        let verdict = match findings.verdict() {
            StoreVerdict::Agreed => "agreed".to_owned(),
            StoreVerdict::Join => "join".to_owned(),
            StoreVerdict::Refused(refusal) => refusal.to_string(),
        };
        assert!(verdict.contains(expected), "{findings:?}: {verdict}");
    }

    #[test]
    fn both_have_the_same_id_or_none() {
        check(&findings(Some(1), Some(1)), "agreed");
        check(&findings(Some(1), Some(2)), "the folder of blobs has the id 0101");
        check(&findings(None, Some(1)), "this one has none");
        check(&findings(Some(1), None), "of another database");
        check(&findings(None, None), "join");
    }

    #[test]
    fn a_first_start_that_was_cut_short_is_taken_up() {
        let next = Some(StoreId::from([1; 16]));
        check(&StoreFindings { next, ..findings(Some(1), None) }, "join");
        check(&StoreFindings { next, ..findings(None, None) }, "join");
        check(&StoreFindings { next, ..findings(Some(2), None) }, "of another database");
    }

    #[test]
    fn stores_of_the_last_release_are_joined_where_they_belong_together() {
        let has_copies = FolderState { id: None, has_copies: true };
        let old = StoreFindings { folder: has_copies, knows_copies: true, ..findings(None, None) };
        check(&StoreFindings { newest: 16, present: 16, ..old.clone() }, "join");
        check(&StoreFindings { newest: 16, present: 15, ..old.clone() }, "15 of the 16 newest");
        check(&StoreFindings { newest: 1, present: 0, ..old.clone() }, "0 of the 1 newest");
        check(&StoreFindings { newest: 0, present: 0, ..old.clone() }, "join");
        check(&StoreFindings { knows_copies: false, ..old }, "the database knows of none");
    }
}
