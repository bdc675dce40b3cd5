//! The master key: reads it, makes it at a first start, and refuses one that does not open the keys in the database.

use anyhow::{Context, bail};
use engine::Engine;
use identity::{Clock, LostSeals, MasterKey, holds_sealed_keys};
use meta::Meta;

use crate::data::DataFolder;

/// The maximum number of accounts of which each gets its own log line when its private keys can no longer be decrypted.
const MAX_LOGGED_ACCOUNTS: usize = 100;

/// The way in which a start treats a master key that is missing or another one, as the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MissingKeyAction {
    /// The server does not start.
    Refuse,
    /// New keys are made in place of those that the master key does not open.
    Renew,
}

/// A master key, and whether its file still has to be written.
pub(super) struct MasterKeySource {
    pub(super) key: MasterKey,
    /// The bytes of a new key whose file is not written yet.
    pub(super) unwritten: Option<[u8; MasterKey::LENGTH]>,
}

impl MasterKeySource {
    /// Makes a key that ends with the process.
    pub(super) fn in_memory() -> Self {
        Self { key: MasterKey::new(&MasterKey::generate()), unwritten: None }
    }

    /// Reads the key of a folder. A missing key is made if the database holds nothing that another key has sealed, or
    /// if `missing_key` says so.
    pub(super) async fn of(
        data: &DataFolder,
        meta: &Meta,
        clock: &dyn Clock,
        missing_key: MissingKeyAction,
    ) -> anyhow::Result<Self> {
        if let Some(key) = data.master_key()? {
            return Ok(Self { key, unwritten: None });
        }
        let bytes = MasterKey::generate();
        let needs_key =
            holds_sealed_keys(meta, clock.now()).await.context("cannot read the database")?;
        match (needs_key, missing_key) {
            (true, MissingKeyAction::Refuse) => refuse(data, "is missing"),
            // The file is written only after all keys are renewed: a start that is cut off changes nothing.
            (true, MissingKeyAction::Renew) => {
                Ok(Self { key: MasterKey::new(&bytes), unwritten: Some(bytes) })
            }
            (false, _) => {
                data.write_master_key(&bytes)?;
                // Another process may have been quicker: its key is the one to use.
                let key = data.master_key()?.context("the master key was deleted meanwhile")?;
                Ok(Self { key, unwritten: None })
            }
        }
    }
}

/// Checks that the master key opens the keys in the database, and makes new ones if `missing_key` says so.
pub(super) async fn check(
    engine: &Engine,
    data: &DataFolder,
    unwritten: Option<[u8; MasterKey::LENGTH]>,
    missing_key: MissingKeyAction,
) -> anyhow::Result<()> {
    if engine.identity().opens_sealed_keys().await.context("cannot read the database")? {
        if missing_key == MissingKeyAction::Renew {
            tracing::warn!(
                "--new-master-key: the master key opens all keys in the database, and nothing was changed"
            );
        }
        return Ok(());
    }
    if missing_key == MissingKeyAction::Refuse {
        return refuse(data, "is not the one that the database's keys were sealed with");
    }
    let lost = engine.identity().renew_sealed_keys().await.context("cannot make new keys")?;
    if let Some(bytes) = unwritten
        && !data.write_master_key(&bytes)?
    {
        bail!("{} was made meanwhile; start again", data.master_key_file().display());
    }
    log_renewed_keys(&lost);
    Ok(())
}

fn refuse<T>(data: &DataFolder, problem: &str) -> anyhow::Result<T> {
    bail!(
        "{} {problem}: put it back from the copy that was made with the database's. If there is none, start with \
         --new-master-key: every token that was made until now is void then, and so is what was signed on behalf of \
         accounts; key files stay good",
        data.master_key_file().display()
    )
}

fn log_renewed_keys(lost: &LostSeals) {
    let LostSeals { signing_keys, accounts, secrets } = lost;
    tracing::warn!(
        "--new-master-key: every token that was made until now is void ({signing_keys} keys that signed them are gone): \
         sign in again. Key files stay good. The system-managed keys of {} accounts are new, and what the old ones \
         signed (signJwt, signBlob) cannot be checked any more",
        accounts.len()
    );
    for account in accounts.iter().take(MAX_LOGGED_ACCOUNTS) {
        tracing::warn!("--new-master-key: the system-managed key of {account} is a new one");
    }
    let unlogged = accounts.len().saturating_sub(MAX_LOGGED_ACCOUNTS);
    if unlogged > 0 {
        tracing::warn!("--new-master-key: and those of {unlogged} more accounts");
    }
    // The operator has to add each of them again, so that all are named.
    for secret in secrets {
        tracing::warn!(
            "--new-master-key: {secret} is deleted, because nothing opens it any more: add its value again"
        );
    }
}
