//! The keys and secrets that are sealed in the database, and the master key that has to open them.

use meta::events::{self, EventAction};
use meta::{Id, Meta, accounts, epochs, secrets, signing_keys};
use model::principal::AccountEmail;

use crate::accounts::first_owner::{OPERATOR_PRINCIPAL, organization_event};
use crate::clock::Micros;
use crate::error::IdentityError;
use crate::identity::Identity;

/// The most keys that are read at once.
const KEYS_PER_READ: i64 = 100;

/// The keys that were replaced, and the secrets that were deleted, because the lost master key had sealed them.
#[derive(Debug, Default)]
pub struct LostSeals {
    /// The number of keys that signed tokens. Every token that was made until now is void.
    pub signing_keys: u64,
    /// The accounts whose system-managed key was replaced. Signatures of the old keys cannot be checked any more.
    pub accounts: Vec<String>,
    /// The versions of secrets that were deleted, because nobody can open them any more.
    pub secrets: Vec<String>,
}

/// The order in which all secrets are read begins after this id.
fn before_all_secrets() -> Id {
    Id::from([0; 16])
}

/// Returns whether a database has sealed keys or secrets that are still in use.
///
/// # Errors
/// Fails if the database fails.
pub async fn holds_sealed_keys(meta: &Meta, now: Micros) -> Result<bool, IdentityError> {
    meta.read(move |tx| {
        let signing = !signing_keys::list_valid(tx, now)?.is_empty();
        let secrets = !secrets::list_sealed(tx, &before_all_secrets(), 0, 1)?.is_empty();
        Ok::<_, IdentityError>(signing || secrets || accounts::find_last_sealed_key(tx)?.is_some())
    })
    .await
}

impl Identity {
    /// Returns whether the master key opens the sealed keys in the database. Of the system-managed keys, only the last
    /// one is tried, and of the secrets the first one.
    ///
    /// # Errors
    /// Fails if the database fails.
    pub async fn opens_sealed_keys(&self) -> Result<bool, IdentityError> {
        let now = self.clock.now();
        let reading = self.read(move |tx| {
            let first_secret = secrets::list_sealed(tx, &before_all_secrets(), 0, 1)?.pop();
            let last_account_key = accounts::find_last_sealed_key(tx)?;
            Ok((signing_keys::list_valid(tx, now)?, last_account_key, first_secret))
        });
        let (signing_keys, last_account_key, first_secret) = reading.await?;
        let of_tokens = signing_keys.iter().map(|key| (&key.id, &key.sealed_private_key));
        let of_account = last_account_key
            .as_ref()
            .and_then(|key| Some((&key.id, key.sealed_private_key.as_ref()?)));
        let mut sealed_keys = of_tokens.chain(of_account);
        let opens_secret = first_secret.is_none_or(|secret| self.open_sealed(&secret).is_some());
        Ok(opens_secret && sealed_keys.all(|(id, sealed)| self.master.open(id, sealed).is_ok()))
    }

    /// Replaces the system-managed keys that the master key does not open, and then deletes the keys that sign tokens.
    /// Those go last: if this start is cut off, the next one still finds keys that do not open, and goes on.
    ///
    /// # Errors
    /// Fails if the database fails. Keys that were replaced until then stay replaced.
    pub async fn renew_sealed_keys(&self) -> Result<LostSeals, IdentityError> {
        let (mut lost, mut last) = (LostSeals::default(), String::new());
        loop {
            let after = last.clone();
            let keys = self
                .read(move |tx| Ok(accounts::list_sealed_keys(tx, &after, KEYS_PER_READ)?))
                .await?;
            let Some(last_key) = keys.last() else { break };
            last_key.account.clone_into(&mut last);
            for key in keys {
                let sealed = key.sealed_private_key.as_deref().unwrap_or_default();
                if self.master.open(&key.id, sealed).is_err() {
                    self.renew_sealed_key(&key).await?;
                    lost.accounts.push(key.account);
                }
            }
        }
        lost.secrets = self.delete_lost_secrets().await?;
        lost.signing_keys = self.delete_signing_keys().await?;
        Ok(lost)
    }

    /// Deletes the versions of secrets that the master key does not open. Returns their names.
    async fn delete_lost_secrets(&self) -> Result<Vec<String>, IdentityError> {
        let (mut lost, mut secret, mut number) = (Vec::new(), before_all_secrets(), 0);
        loop {
            let reading =
                self.read(move |tx| Ok(secrets::list_sealed(tx, &secret, number, KEYS_PER_READ)?));
            let page = reading.await?;
            let Some(last) = page.last() else { return Ok(lost) };
            (secret, number) = (last.secret.id, last.version.number);
            for sealed in page.iter().filter(|sealed| self.open_sealed(sealed).is_none()) {
                let (id, number) = (sealed.secret.id, sealed.version.number);
                self.write(move |tx| Ok(secrets::delete_version(tx, &id, number)?)).await?;
                lost.push(format!("{}/versions/{number}", sealed.secret.name));
            }
        }
    }

    async fn renew_sealed_key(&self, old: &accounts::AccountKeyRow) -> Result<(), IdentityError> {
        let email: AccountEmail = old.account.parse().map_err(|error| {
            IdentityError::Internal(format!("a stored account {}: {error}", old.account))
        })?;
        let (mut new, private) = self.generate_key(&email).await?;
        new.sealed_private_key = Some(self.master.seal(&new.id, &private)?);
        let old_id = old.id.clone();
        let writing = self.write(move |tx| {
            // The account may have been deleted meanwhile, with its keys.
            if accounts::delete_key(tx, &old_id)? == 1 {
                accounts::insert_key(tx, &new)?;
            }
            Ok(())
        });
        writing.await
    }

    /// Deletes all keys that sign tokens, in one transaction. There are few of them: each signs for weeks.
    async fn delete_signing_keys(&self) -> Result<u64, IdentityError> {
        let now = self.clock.now();
        let writing = self.write(move |tx| {
            let deleted = signing_keys::delete_all(tx)?;
            epochs::bump(tx, epochs::ACCESS)?;
            let event = organization_event(EventAction::NewMasterKey, OPERATOR_PRINCIPAL, now);
            events::insert(tx, &event)?;
            Ok(deleted)
        });
        let deleted = writing.await?;
        self.poll_epoch().await?;
        Ok(deleted)
    }
}
