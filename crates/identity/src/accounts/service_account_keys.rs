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

/// How many keys an account has at most, as in Google's IAM, and the one that never leaves.
pub(crate) const MAX_KEYS: usize = 10;
/// A key without an end has this one, in seconds since 1970: 9999-12-31T23:59:59Z.
const FOREVER: i64 = 253_402_300_799;

/// A key that was just made, with the one copy of its file.
pub struct NewKey {
    /// The stored key.
    pub key: AccountKeyRow,
    /// The key file in Google's format.
    pub file: String,
}

impl Identity {
    /// The row of a new key, and its private half.
    pub(crate) async fn new_key(
        &self,
        email: &AccountEmail,
    ) -> Result<(AccountKeyRow, Vec<u8>), IdentityError> {
        let (pair, private) = self.generate().await?;
        Ok((self.key_row(email, &pair)?, private))
    }

    /// Making an RSA key takes a tenth of a second of a processor, on threads that others need as well.
    async fn generate(&self) -> Result<(AccountKey, Vec<u8>), IdentityError> {
        let making = self.making_keys.acquire().await;
        let _making = making.expect("it is never closed");
        let made = tokio::task::spawn_blocking(AccountKey::generate).await;
        Ok(made.map_err(|_| KeyError)??)
    }

    fn key_row(
        &self,
        email: &AccountEmail,
        pair: &AccountKey,
    ) -> Result<AccountKeyRow, IdentityError> {
        let [a, b] = [Id::random().to_string(), Id::random().to_string()];
        Ok(AccountKeyRow {
            id: format!("{a}{}", &b[..8]),
            account: email.as_str().to_owned(),
            public_key: pair.public_key()?,
            sealed_private_key: None,
            disabled: false,
            valid_after: self.clock.now(),
            valid_before: FOREVER * 1_000_000,
        })
    }

    /// Makes a key. Its private half leaves with the answer; only the public one stays.
    pub async fn create_key(
        &self,
        admitted: &Authorized,
        token_uri: &str,
    ) -> Result<NewKey, IdentityError> {
        let email = require_account(admitted.resource_for(iam::SERVICE_ACCOUNT_KEYS_CREATE)?)?;
        let wanted = email.clone();
        self.meta.read_by_key(move |tx| with_room_for_a_key(tx, &wanted).map(drop)).await?;
        let (key, private) = self.new_key(&email).await?;
        let (admitted, now, row) = (admitted.clone(), self.clock.now(), key.clone());
        let account = self
            .meta
            .write(move |tx| {
                // Once more: others may have been quicker.
                let account = with_room_for_a_key(tx, &email)?;
                accounts::insert_key(tx, &row)?;
                events::insert(tx, &admitted.event(EventAction::CreateKey, email.as_str(), now))?;
                Ok::<_, IdentityError>(account)
            })
            .await?;
        let file = key_file::write(&account, &key.id, (&private, token_uri));
        Ok(NewKey { key, file })
    }

    /// The keys of an account.
    pub async fn keys(&self, admitted: &Authorized) -> Result<Vec<AccountKeyRow>, IdentityError> {
        let email = require_account(admitted.resource_for(iam::SERVICE_ACCOUNT_KEYS_LIST)?)?;
        self.meta
            .read(move |tx| {
                find_account(tx, &email)?;
                Ok::<_, IdentityError>(accounts::list_keys(tx, email.as_str())?)
            })
            .await
    }

    /// One key of an account.
    pub async fn key(
        &self,
        admitted: &Authorized,
        id: &str,
    ) -> Result<AccountKeyRow, IdentityError> {
        let (email, id) = (
            require_account(admitted.resource_for(iam::SERVICE_ACCOUNT_KEYS_GET)?)?,
            id.to_owned(),
        );
        self.meta.read_by_key(move |tx| find_key(tx, &email, &id)).await
    }

    /// Switches a key off: neither it nor a token that was got with it proves anything.
    pub async fn disable_key(&self, admitted: &Authorized, id: &str) -> Result<(), IdentityError> {
        let email = require_account(admitted.resource_for(iam::SERVICE_ACCOUNT_KEYS_DISABLE)?)?;
        self.change_key(admitted, (email, id), |tx, id| accounts::set_key_disabled(tx, id, true))
            .await
    }

    /// Switches a key on again.
    pub async fn enable_key(&self, admitted: &Authorized, id: &str) -> Result<(), IdentityError> {
        let email = require_account(admitted.resource_for(iam::SERVICE_ACCOUNT_KEYS_ENABLE)?)?;
        self.change_key(admitted, (email, id), |tx, id| accounts::set_key_disabled(tx, id, false))
            .await
    }

    /// Removes a key. Tokens that were got with it go with it.
    pub async fn delete_key(&self, admitted: &Authorized, id: &str) -> Result<(), IdentityError> {
        let email = require_account(admitted.resource_for(iam::SERVICE_ACCOUNT_KEYS_DELETE)?)?;
        self.change_key(admitted, (email, id), accounts::delete_key).await
    }

    async fn change_key(
        &self,
        admitted: &Authorized,
        (email, id): (AccountEmail, &str),
        change: impl Fn(&mut Tx<'_>, &str) -> Result<u64, MetaError> + Send + 'static,
    ) -> Result<(), IdentityError> {
        let (admitted, id, now) = (admitted.clone(), id.to_owned(), self.clock.now());
        let account = email.clone();
        let is_locked_out = self
            .meta
            .write(move |tx| {
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
            })
            .await?;
        if is_locked_out {
            tracing::warn!(
                "{account} administers everything, and has no key left: `berth owner-key` makes a new one for the owner"
            );
        }
        self.poll_epoch().await?;
        Ok(())
    }
}

/// The account, if it may have one more key.
fn with_room_for_a_key(tx: &mut Tx<'_>, email: &AccountEmail) -> Result<AccountRow, IdentityError> {
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
    let found = if is_key_id(id) { accounts::find_key(tx, id)? } else { None };
    let found = found.filter(|key| key.account == email.as_str());
    found.ok_or_else(|| IdentityError::ResourceUnknown(format!("Service account key {id}")))
}
