//! Keys of service accounts.

use meta::accounts::{self, AccountKeyRow, AccountRow};
use meta::events::{self, EventAction};
use meta::{Id, MetaError, Tx, epochs};
use model::principal::AccountEmail;

use crate::accounts::service_accounts::{find_account, require_account};
use crate::admitted::Authorized;
use crate::credentials::account_key::{KeyKind, is_key_id};
use crate::credentials::crypto::AccountKey;
use crate::credentials::crypto::KeyError;
use crate::credentials::key_file;
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::policies::evaluate::{check_administrator, is_locked_out};
use model::permissions::iam;

/// The most user-managed keys of an account, as in Google's IAM. Its system-managed key does not count.
pub(crate) const MAX_KEYS: usize = 10;
/// The end of a key that never expires, in seconds since 1970: 9999-12-31T23:59:59Z.
const FOREVER: i64 = 253_402_300_799;

/// A new key, with the only copy of its file.
pub struct NewKey {
    /// The stored key.
    pub key: AccountKeyRow,
    /// The key file in Google's format.
    pub file: String,
}

impl Identity {
    /// Makes a key. Returns its row, and its private half.
    pub(crate) async fn generate_key(
        &self,
        email: &AccountEmail,
    ) -> Result<(AccountKeyRow, Vec<u8>), IdentityError> {
        let (pair, private) = self.generate_key_pair().await?;
        Ok((self.key_row(email, &pair)?, private))
    }

    /// Makes an RSA key pair. That takes a processor for a tenth of a second, on threads that other work needs as well.
    async fn generate_key_pair(&self) -> Result<(AccountKey, Vec<u8>), IdentityError> {
        let permit = self.making_keys.acquire().await;
        let _permit = permit.expect("the semaphore is never closed");
        let generated = tokio::task::spawn_blocking(AccountKey::generate).await;
        Ok(generated.map_err(|_| KeyError)??)
    }

    fn key_row(
        &self,
        email: &AccountEmail,
        pair: &AccountKey,
    ) -> Result<AccountKeyRow, IdentityError> {
        let [first, second] = [Id::random().to_string(), Id::random().to_string()];
        Ok(AccountKeyRow {
            id: format!("{first}{}", &second[..8]),
            account: email.as_str().to_owned(),
            public_key: pair.public_key()?,
            sealed_private_key: None,
            disabled: false,
            valid_after: self.clock.now(),
            valid_before: FOREVER * 1_000_000,
        })
    }

    /// Creates a key. Its private half is in the answer; only the public half is stored.
    pub async fn create_key(
        &self,
        admitted: &Authorized,
        token_uri: &str,
    ) -> Result<NewKey, IdentityError> {
        let email = require_account(admitted.resource_for(iam::SERVICE_ACCOUNT_KEYS_CREATE)?)?;
        let account = email.clone();
        self.read_by_key(move |tx| account_with_room_for_key(tx, &account).map(drop)).await?;
        let (key, private) = self.generate_key(&email).await?;
        let (admitted, now, row) = (admitted.clone(), self.clock.now(), key.clone());
        let writing = self.write(move |tx| {
            // Checked once more: other requests may have made keys meanwhile.
            let account = account_with_room_for_key(tx, &email)?;
            accounts::insert_key(tx, &row)?;
            events::insert(tx, &admitted.event(EventAction::CreateKey, email.as_str(), now))?;
            Ok(account)
        });
        let file = key_file::to_text(&writing.await?, &key.id, &private, token_uri);
        Ok(NewKey { key, file })
    }

    /// Returns the keys of an account.
    pub async fn list_keys(
        &self,
        admitted: &Authorized,
    ) -> Result<Vec<AccountKeyRow>, IdentityError> {
        let email = require_account(admitted.resource_for(iam::SERVICE_ACCOUNT_KEYS_LIST)?)?;
        let reading = self.read(move |tx| {
            find_account(tx, &email)?;
            Ok(accounts::list_keys(tx, email.as_str())?)
        });
        reading.await
    }

    /// Returns one key of an account.
    pub async fn find_key(
        &self,
        admitted: &Authorized,
        id: &str,
    ) -> Result<AccountKeyRow, IdentityError> {
        let email = require_account(admitted.resource_for(iam::SERVICE_ACCOUNT_KEYS_GET)?)?;
        let id = id.to_owned();
        self.read_by_key(move |tx| find_key(tx, &email, &id)).await
    }

    /// Disables a key. Tokens that were made with it are no longer good either.
    pub async fn disable_key(&self, admitted: &Authorized, id: &str) -> Result<(), IdentityError> {
        let email = require_account(admitted.resource_for(iam::SERVICE_ACCOUNT_KEYS_DISABLE)?)?;
        self.change_key(admitted, email, id, |tx, id| accounts::set_key_disabled(tx, id, true))
            .await
    }

    /// Enables a key again.
    pub async fn enable_key(&self, admitted: &Authorized, id: &str) -> Result<(), IdentityError> {
        let email = require_account(admitted.resource_for(iam::SERVICE_ACCOUNT_KEYS_ENABLE)?)?;
        self.change_key(admitted, email, id, |tx, id| accounts::set_key_disabled(tx, id, false))
            .await
    }

    /// Deletes a key. Tokens that were made with it are no longer good.
    pub async fn delete_key(&self, admitted: &Authorized, id: &str) -> Result<(), IdentityError> {
        let email = require_account(admitted.resource_for(iam::SERVICE_ACCOUNT_KEYS_DELETE)?)?;
        self.change_key(admitted, email, id, accounts::delete_key).await
    }

    async fn change_key(
        &self,
        admitted: &Authorized,
        email: AccountEmail,
        id: &str,
        change: impl Fn(&mut Tx<'_>, &str) -> Result<u64, MetaError> + Send + 'static,
    ) -> Result<(), IdentityError> {
        let (admitted, id, now) = (admitted.clone(), id.to_owned(), self.clock.now());
        let account = email.clone();
        let writing = self.write(move |tx| {
            let key = find_key(tx, &email, &id)?;
            if KeyKind::of(&key) == KeyKind::SystemManaged {
                return Err(IdentityError::Precondition(
                    "a system-managed key cannot be changed".to_owned(),
                ));
            }
            change(tx, &id)?;
            check_administrator(tx)?;
            epochs::bump(tx, epochs::ACCESS)?;
            events::insert(tx, &admitted.event(EventAction::ChangeKey, email.as_str(), now))?;
            is_locked_out(tx, &email)
        });
        if writing.await? {
            tracing::warn!(
                "{account} administers everything, and has no key left: `berth owner-key` makes a new one for the owner"
            );
        }
        self.poll_epoch().await?;
        Ok(())
    }
}

/// Returns the account, if it may have one more key.
fn account_with_room_for_key(
    tx: &mut Tx<'_>,
    email: &AccountEmail,
) -> Result<AccountRow, IdentityError> {
    let account = find_account(tx, email)?;
    if accounts::list_keys(tx, email.as_str())?.len() > MAX_KEYS {
        return Err(IdentityError::Precondition(format!(
            "an account has at most {MAX_KEYS} keys; delete one that is not used"
        )));
    }
    Ok(account)
}

fn find_key(
    tx: &mut Tx<'_>,
    email: &AccountEmail,
    id: &str,
) -> Result<AccountKeyRow, IdentityError> {
    let key = if is_key_id(id) { accounts::find_key(tx, id)? } else { None };
    let key = key.filter(|key| key.account == email.as_str());
    key.ok_or_else(|| IdentityError::ResourceUnknown(format!("Service account key {id}")))
}
