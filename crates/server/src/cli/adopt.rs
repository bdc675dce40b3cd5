//! `berth adopt`: makes a database and a folder of blobs belong together by giving them the same id.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use engine::{StoreFindings, StoreVerdict};

use super::SettingsArguments;
use crate::data::{DataFolder, FolderSharing};
use crate::stores;

/// Makes a folder of blobs and a database belong together, after one of them was lost or restored.
///
/// Both carry the same id. The server does not start if the ids differ or one is missing. This command prints what it
/// finds, and with --yes gives both the same id. Blobs whose files are missing cannot be pulled afterwards, until they
/// are pushed again. Files that the database does not know stay in the folder, and are never served. No server may run
/// on the folder meanwhile.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  berth adopt --data /var/lib/berth\n  berth adopt --data /var/lib/berth --yes"
)]
pub(super) struct AdoptArguments {
    #[command(flatten)]
    source: SettingsArguments,
    /// The database: sqlite, or a postgres:// URL [default: sqlite].
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Gives both the same id; without this flag, nothing is changed.
    #[arg(long)]
    yes: bool,
}

impl AdoptArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("cannot start threads")?;
        runtime.block_on(self.adopt())
    }

    async fn adopt(self) -> anyhow::Result<ExitCode> {
        let mut config = self.source.read()?;
        if let Some(database) = &self.database {
            config.database.clone_from(database);
        }
        let postgres = stores::postgres_url(&config)?;
        if !config.data.is_dir() {
            bail!("there is no folder {}; name it with --data", config.data.display());
        }
        let data = DataFolder::open(&config.data, FolderSharing::Alone)?;
        if postgres.is_none() && !data.database().exists() && !self.yes {
            writeln!(
                stdout(),
                "{} is missing. With --yes, an empty database is made, which knows none of the blobs.",
                data.database().display()
            )?;
            return Ok(ExitCode::FAILURE);
        }
        let meta = stores::open_database(&data, postgres).await?;
        let findings = StoreFindings::inspect(&meta, data.path()).await?;
        print_findings(&findings, &data)?;
        if findings.verdict() == StoreVerdict::Agreed {
            writeln!(
                stdout(),
                "The folder and the database belong together: there is nothing to do."
            )?;
            return Ok(ExitCode::SUCCESS);
        }
        if !self.yes {
            writeln!(
                stdout(),
                "Nothing was changed. With --yes, both get the same id and belong together."
            )?;
            return Ok(ExitCode::FAILURE);
        }
        let blobs = stores::make_blobs(data.path()).await?;
        let id = findings.adopt(&meta, &blobs).await?;
        meta.close().await;
        writeln!(stdout(), "Both have the id {id} now.")?;
        Ok(ExitCode::SUCCESS)
    }
}

fn print_findings(findings: &StoreFindings, data: &DataFolder) -> anyhow::Result<()> {
    let StoreFindings { folder, database, knows_copies, newest, present, .. } = findings;
    let id_text = |id: &Option<blob::StoreId>| match id {
        Some(id) => format!("the id {id}"),
        None => "no id".to_owned(),
    };
    let mut out = stdout().lock();
    let folder_holds = if folder.has_copies { "holds blobs" } else { "is empty" };
    writeln!(
        out,
        "The folder {} {folder_holds} and has {}.",
        data.path().join("blobs").display(),
        id_text(&folder.id)
    )?;
    let database_knows = if *knows_copies { "knows of blobs" } else { "knows of no blobs" };
    writeln!(out, "The database {database_knows} and has {}.", id_text(database))?;
    if *newest > 0 {
        writeln!(out, "Of its {newest} newest blobs, {present} are in the folder.")?;
    }
    Ok(())
}
