//! The keys that are sealed in the database, and the master key that has to open them.

use meta::events::{self, EventAction};
use meta::{Meta, accounts, epochs, signing_keys};
use model::principal::AccountEmail;

use crate::accounts::first_owner::{OPERATOR_PRINCIPAL, organization_event};
use crate::clock::Micros;
use crate::error::IdentityError;
use crate::identity::Identity;

/// The most keys that are read at once.
const KEYS_PER_READ: i64 = 100;

/// The keys that were replaced because the lost master key had sealed them.
#[derive(Debug, Default)]
pub struct LostSeals {
    /// The number of keys that signed tokens. Every token that was made until now is void.
    pub signing_keys: u64,
    /// The accounts whose system-managed key was replaced. Signatures of the old keys cannot be checked any more.
    pub accounts: Vec<String>,
}

/// Returns whether a database has sealed keys that are still in use.
///
/// # Errors
/// Fails if the database fails.
pub async fn holds_sealed_keys(meta: &Meta, now: Micros) -> Result<bool, IdentityError> {
    meta.read(move |tx| {
        let signing = !signing_keys::list_valid(tx, now)?.is_empty();
        Ok::<_, IdentityError>(signing || accounts::find_last_sealed_key(tx)?.is_some())
    })
    .await
}

impl Identity {
    /// Returns whether the master key opens the sealed keys in the database. Of the system-managed keys, only the last
    /// one is tried.
    ///
    /// # Errors
    /// Fails if the database fails.
    pub async fn opens_sealed_keys(&self) -> Result<bool, IdentityError> {
        let now = self.clock.now();
        let reading = self.read(move |tx| {
            Ok((signing_keys::list_valid(tx, now)?, accounts::find_last_sealed_key(tx)?))
        });
        let (signing_keys, last_account_key) = reading.await?;
        let of_tokens = signing_keys.iter().map(|key| (&key.id, &key.sealed_private_key));
        let of_account = last_account_key
            .as_ref()
            .and_then(|key| Some((&key.id, key.sealed_private_key.as_ref()?)));
        let mut sealed_keys = of_tokens.chain(of_account);
        Ok(sealed_keys.all(|(id, sealed)| self.master.open(id, sealed).is_ok()))
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
        lost.signing_keys = self.delete_signing_keys().await?;
        Ok(lost)
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
