//! Keys of service accounts.

use meta::accounts::{self, Account, Key};
use meta::{Id, MetaError, Tx, epochs, events};
use model::principal::AccountEmail;

use super::accounts::{account_of, find};
use super::crypto::{AccountKey, KeyError};
use super::key_file;
use super::policies::{Admitted, check_administrator, is_locked_out};
use crate::{Engine, EngineError};

/// How many keys an account has at most, as in Google's IAM, and the one that never leaves.
pub(super) const MAX_KEYS: usize = 10;
/// A key without an end has this one, in seconds since 1970: 9999-12-31T23:59:59Z.
const FOREVER: i64 = 253_402_300_799;

/// Who holds a key's private half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Whoever was given the file.
    UserManaged,
    /// This registry, for signing on the account's behalf.
    SystemManaged,
}

impl KeyKind {
    /// The kind of a stored key.
    pub fn of(key: &Key) -> Self {
        if key.sealed_private_key.is_some() { Self::SystemManaged } else { Self::UserManaged }
    }
}

/// A key that was just made, with the one copy of its file.
pub struct NewKey {
    /// The stored key.
    pub key: Key,
    /// The key file in Google's format.
    pub file: String,
}

pub(super) fn broken(_: KeyError) -> EngineError {
    EngineError::Internal("cannot make a key".to_owned())
}

impl Engine {
    /// The row of a new key, and its private half.
    pub(super) async fn new_key(
        &self,
        email: &AccountEmail,
    ) -> Result<(Key, Vec<u8>), EngineError> {
        let (pair, private) = self.generate().await?;
        Ok((self.key_row(email, &pair)?, private))
    }

    /// Making an RSA key takes a tenth of a second of a processor, on threads that others need as well.
    async fn generate(&self) -> Result<(AccountKey, Vec<u8>), EngineError> {
        let making = self.identity.making_keys.acquire().await;
        let _making = making.expect("it is never closed");
        let made = tokio::task::spawn_blocking(AccountKey::generate).await;
        made.map_err(|_| broken(KeyError))?.map_err(broken)
    }

    fn key_row(&self, email: &AccountEmail, pair: &AccountKey) -> Result<Key, EngineError> {
        let [a, b] = [Id::random().to_string(), Id::random().to_string()];
        Ok(Key {
            id: format!("{a}{}", &b[..8]),
            account: email.as_str().to_owned(),
            public_key: pair.public_key().map_err(broken)?,
            sealed_private_key: None,
            disabled: false,
            valid_after: self.clock.now(),
            valid_before: FOREVER * 1_000_000,
        })
    }

    /// Makes a key. Its private half leaves with the answer; only the public one stays.
    pub async fn create_key(
        &self,
        admitted: &Admitted,
        token_uri: &str,
    ) -> Result<NewKey, EngineError> {
        let email = account_of(admitted.to("iam.serviceAccountKeys.create")?)?;
        let wanted = email.clone();
        self.meta.point(move |tx| with_room_for_a_key(tx, &wanted).map(drop)).await?;
        let (key, private) = self.new_key(&email).await?;
        let (admitted, now, row) = (admitted.clone(), self.clock.now(), key.clone());
        let account = self
            .meta
            .write(move |tx| {
                // Once more: others may have been quicker.
                let account = with_room_for_a_key(tx, &email)?;
                accounts::insert_key(tx, &row)?;
                events::insert(tx, &admitted.event("create-key", email.as_str(), now))?;
                Ok::<_, EngineError>(account)
            })
            .await?;
        let file = key_file::write(&account, &key.id, (&private, token_uri));
        Ok(NewKey { key, file })
    }

    /// The keys of an account.
    pub async fn keys(&self, admitted: &Admitted) -> Result<Vec<Key>, EngineError> {
        let email = account_of(admitted.to("iam.serviceAccountKeys.list")?)?;
        self.meta
            .read(move |tx| {
                find(tx, &email)?;
                Ok::<_, EngineError>(accounts::keys_of(tx, email.as_str())?)
            })
            .await
    }

    /// One key of an account.
    pub async fn key(&self, admitted: &Admitted, id: &str) -> Result<Key, EngineError> {
        let (email, id) = (account_of(admitted.to("iam.serviceAccountKeys.get")?)?, id.to_owned());
        self.meta.point(move |tx| find_key(tx, &email, &id)).await
    }

    /// Switches a key off: neither it nor a token that was got with it proves anything.
    pub async fn disable_key(&self, admitted: &Admitted, id: &str) -> Result<(), EngineError> {
        let email = account_of(admitted.to("iam.serviceAccountKeys.disable")?)?;
        self.change_key(admitted, (email, id), |tx, id| accounts::set_key_disabled(tx, id, true))
            .await
    }

    /// Switches a key on again.
    pub async fn enable_key(&self, admitted: &Admitted, id: &str) -> Result<(), EngineError> {
        let email = account_of(admitted.to("iam.serviceAccountKeys.enable")?)?;
        self.change_key(admitted, (email, id), |tx, id| accounts::set_key_disabled(tx, id, false))
            .await
    }

    /// Removes a key. Tokens that were got with it go with it.
    pub async fn delete_key(&self, admitted: &Admitted, id: &str) -> Result<(), EngineError> {
        let email = account_of(admitted.to("iam.serviceAccountKeys.delete")?)?;
        self.change_key(admitted, (email, id), accounts::delete_key).await
    }

    async fn change_key(
        &self,
        admitted: &Admitted,
        (email, id): (AccountEmail, &str),
        change: impl Fn(&mut Tx<'_>, &str) -> Result<u64, MetaError> + Send + 'static,
    ) -> Result<(), EngineError> {
        let (admitted, id, now) = (admitted.clone(), id.to_owned(), self.clock.now());
        let account = email.clone();
        let is_locked_out = self
            .meta
            .write(move |tx| {
                let key = find_key(tx, &email, &id)?;
                if KeyKind::of(&key) == KeyKind::SystemManaged {
                    return Err(EngineError::Precondition(
                        "a system-managed key cannot be changed".to_owned(),
                    ));
                }
                change(tx, &id)?;
                check_administrator(tx)?;
                epochs::bump(tx, epochs::ACCESS)?;
                events::insert(tx, &admitted.event("change-key", email.as_str(), now))?;
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
fn with_room_for_a_key(tx: &mut Tx<'_>, email: &AccountEmail) -> Result<Account, EngineError> {
    let account = find(tx, email)?;
    if accounts::keys_of(tx, email.as_str())?.len() > MAX_KEYS {
        return Err(EngineError::Precondition(format!(
            "an account has at most {MAX_KEYS} keys; delete one that is not used"
        )));
    }
    Ok(account)
}

/// Whether a key could have this id. What clients send goes into no query before.
pub(super) fn is_key_id(id: &str) -> bool {
    id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn find_key(tx: &mut Tx<'_>, email: &AccountEmail, id: &str) -> Result<Key, EngineError> {
    let found = if is_key_id(id) { accounts::find_key(tx, id)? } else { None };
    let found = found.filter(|key| key.account == email.as_str());
    found.ok_or_else(|| EngineError::ResourceUnknown(format!("Service account key {id}")))
}
