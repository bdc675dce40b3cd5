//! Opening the database and the folder of blobs. Where one of them is there, a missing other one is not replaced by an
//! empty one.

use std::path::Path;

use anyhow::{Context, bail};
use blob::{DiskStore, FolderState};
use engine::{StoreFindings, StoreRefusal, StoreVerdict};
use meta::{DatabaseLocation, Meta};

use crate::config::Config;
use crate::data::DataFolder;

/// Returns the URL of a PostgreSQL database; `None` for SQLite.
pub(crate) fn postgres_url(config: &Config) -> anyhow::Result<Option<&str>> {
    match config.database.as_str() {
        "sqlite" => Ok(None),
        url if url.starts_with("postgres://") || url.starts_with("postgresql://") => Ok(Some(url)),
        _ => bail!("database must be sqlite, or a URL that begins with postgres://"),
    }
}

/// Refuses to make a SQLite database in a folder that has lost one: blobs or the owner's key are still there.
pub(crate) fn check_database(data: &DataFolder, postgres: Option<&str>) -> anyhow::Result<()> {
    let path = data.database();
    if postgres.is_some() || path.exists() {
        return Ok(());
    }
    let folder =
        FolderState::inspect(data.path()).context("cannot look into the folder of blobs")?;
    let left = if folder.id.is_some() || folder.has_copies {
        "blobs"
    } else if data.path().join("owner-key.json").exists() {
        "the owner's key"
    } else {
        return Ok(());
    };
    bail!(
        "{} is missing, and {} still holds {left}: this is no first start. Put the database back, or correct the \
         settings data and database. If it is lost for good, what is left cannot be served: move it away, or begin \
         with another folder",
        path.display(),
        data.path().display()
    )
}

/// Opens the database, and makes it if it is missing.
pub(crate) async fn open_database(
    data: &DataFolder,
    postgres: Option<&str>,
) -> anyhow::Result<Meta> {
    let database = match postgres {
        Some(url) => DatabaseLocation::Postgres(url.to_owned()),
        None => DatabaseLocation::SqliteFile(data.database()),
    };
    // The URL may hold a password: the error says what is wrong, not where.
    Meta::open(database).await.context("cannot open the database")
}

/// Opens the folder of blobs if it belongs to the database.
pub(crate) async fn open_blobs(meta: &Meta, data: &DataFolder) -> anyhow::Result<DiskStore> {
    // Processes that share the folder do this one after the other: the next one finds what this one makes.
    let _turn = data.take_turn()?;
    let path = data.path();
    let findings = StoreFindings::inspect(meta, path).await.context("cannot look at the stores")?;
    let refusal = match findings.verdict() {
        StoreVerdict::Agreed => return make_blobs(path).await,
        StoreVerdict::Join => {
            let blobs = make_blobs(path).await?;
            match findings.join(meta, &blobs).await.context("cannot name the stores")? {
                Ok(id) => {
                    tracing::info!(store.id = %id, "the database and its folder of blobs share the id {id}");
                    return Ok(blobs);
                }
                Err(refusal) => refusal,
            }
        }
        StoreVerdict::Refused(refusal) => refusal,
    };
    bail!("{refusal}. {}: {}", path.join("blobs").display(), advice(refusal))
}

/// Opens the folder of blobs, and makes it if it is missing.
pub(crate) async fn make_blobs(data: &Path) -> anyhow::Result<DiskStore> {
    let path = data.to_owned();
    let opened = tokio::task::spawn_blocking(move || DiskStore::open(&path)).await?;
    opened.context("cannot open the blob store")
}

fn advice(refusal: StoreRefusal) -> &'static str {
    match refusal {
        StoreRefusal::FolderWithoutId(_) | StoreRefusal::MissingCopies { .. } => {
            "mount the folder that belongs here, or correct the setting data; berth adopt looks closer, and takes this \
             folder as it is"
        }
        StoreRefusal::DatabaseWithoutId(_) | StoreRefusal::UnknownCopies => {
            "correct the settings data and database, or put the right database back; berth adopt looks closer, and \
             takes this database for these blobs"
        }
        StoreRefusal::Different { .. } => {
            "correct the settings data and database; berth adopt looks closer, and takes this folder as it is"
        }
    }
}
