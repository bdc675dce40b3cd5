//! The keys that are sealed in the database, and the master key that has to open them.

use meta::events::{self, EventAction};
use meta::{Meta, accounts, epochs, signing_keys};
use model::principal::AccountEmail;

use crate::accounts::first_owner::{OPERATOR_PRINCIPAL, event};
use crate::clock::Micros;
use crate::error::IdentityError;
use crate::identity::Identity;

/// How many accounts are read at once.
const STEP: i64 = 100;

/// What became void with the master key that is gone.
#[derive(Debug, Default)]
pub struct LostSeals {
    /// The keys that signed tokens: every token that was made until now is void.
    pub signing_keys: u64,
    /// The accounts whose system-managed key was replaced: what it signed cannot be checked any more.
    pub accounts: Vec<String>,
}

/// Returns whether a database holds keys that are of use and that only a master key opens.
///
/// # Errors
/// Fails if the database does.
pub async fn holds_sealed_keys(meta: &Meta, now: Micros) -> Result<bool, IdentityError> {
    meta.read(move |tx| {
        let signing = !signing_keys::list_valid(tx, now)?.is_empty();
        Ok::<_, IdentityError>(signing || accounts::find_last_sealed_key(tx)?.is_some())
    })
    .await
}

impl Identity {
    /// Returns whether the master key opens what the database holds.
    ///
    /// # Errors
    /// Fails if the database does.
    pub async fn opens_sealed_keys(&self) -> Result<bool, IdentityError> {
        let now = self.clock.now();
        let read = self.meta.read(move |tx| {
            let signing = signing_keys::list_valid(tx, now)?;
            Ok::<_, IdentityError>((signing, accounts::find_last_sealed_key(tx)?))
        });
        let (signing, account) = read.await?;
        let signing = signing.iter().map(|key| (&key.id, &key.sealed_private_key));
        let account = account.as_ref();
        let account = account.and_then(|key| Some((&key.id, key.sealed_private_key.as_ref()?)));
        let mut sealed = signing.chain(account);
        Ok(sealed.all(|(id, sealed)| self.master.open(id, sealed).is_ok()))
    }

    /// Puts new keys in place of those that the master key does not open. The keys that sign tokens go last, so that a
    /// start after one that was cut off still finds that something is left to do.
    ///
    /// # Errors
    /// Fails if the database does; what was done until then stays.
    pub async fn renew_sealed_keys(&self) -> Result<LostSeals, IdentityError> {
        let (mut lost, mut last) = (LostSeals::default(), String::new());
        loop {
            let from = last.clone();
            let read = self.meta.read(move |tx| {
                Ok::<_, IdentityError>(accounts::list_sealed_keys(tx, &from, STEP)?)
            });
            let keys = read.await?;
            let Some(end) = keys.last() else { break };
            end.account.clone_into(&mut last);
            for key in keys {
                let sealed = key.sealed_private_key.as_deref().unwrap_or_default();
                if self.master.open(&key.id, sealed).is_err() {
                    self.renew_sealed_key(&key).await?;
                    lost.accounts.push(key.account);
                }
            }
        }
        lost.signing_keys = self.forget_signing_keys().await?;
        Ok(lost)
    }

    async fn renew_sealed_key(&self, old: &accounts::AccountKeyRow) -> Result<(), IdentityError> {
        let email: AccountEmail = old.account.parse().map_err(|error| {
            IdentityError::Internal(format!("a stored account {}: {error}", old.account))
        })?;
        let (mut new, private) = self.new_key(&email).await?;
        let sealed = self.master.seal(&new.id, &private)?;
        new.sealed_private_key = Some(sealed);
        let old = old.id.clone();
        self.meta
            .write(move |tx| {
                // The account may have gone meanwhile, and its keys with it.
                if accounts::delete_key(tx, &old)? == 1 {
                    accounts::insert_key(tx, &new)?;
                }
                Ok::<_, IdentityError>(())
            })
            .await
    }

    /// There are a handful: each signs for weeks.
    async fn forget_signing_keys(&self) -> Result<u64, IdentityError> {
        let now = self.clock.now();
        let forgotten = self.meta.write(move |tx| {
            let forgotten = signing_keys::delete_all(tx)?;
            epochs::bump(tx, epochs::ACCESS)?;
            let event = event(EventAction::NewMasterKey, OPERATOR_PRINCIPAL, now);
            events::insert(tx, &event)?;
            Ok::<_, IdentityError>(forgotten)
        });
        let forgotten = forgotten.await?;
        self.poll_epoch().await?;
        Ok(forgotten)
    }
}
