//! Service accounts and their keys.

use meta::accounts::{self, Account, Key};
use meta::{Id, MetaError, Tx, epochs, events, policies};
use model::name::ProjectId;
use model::principal::AccountEmail;
use model::resource::Resource;

use super::crypto::{AccountKey, KeyError};
use super::policies::{Admitted, check_administrator, forget};
use super::{key_file, projects};
use crate::{Engine, EngineError};

/// How many keys an account has at most, as in Google's IAM, and the one that never leaves.
const MAX_KEYS: usize = 10;
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

/// What is to be different about an account.
#[derive(Debug, Clone, Default)]
pub struct AccountChange {
    /// Its name for people.
    pub display_name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Whether it may do nothing.
    pub disabled: Option<bool>,
}

fn broken(_: KeyError) -> EngineError {
    EngineError::Internal("cannot make a key".to_owned())
}

impl Engine {
    /// Creates an account, and the key that signs for it here.
    pub async fn create_account(
        &self,
        admitted: &Admitted,
        (id, display_name, description): (&str, &str, &str),
    ) -> Result<Account, EngineError> {
        let project = admitted.to_project("iam.serviceAccounts.create")?.clone();
        let email = AccountEmail::new(id, &project).map_err(|error| {
            EngineError::InvalidArgument { field: "account_id", problem: error.to_string() }
        })?;
        let (wanted, place) = (email.clone(), project.clone());
        self.meta.point(move |tx| check_free(tx, (&place, wanted.as_str()))).await?;
        let names = (display_name.to_owned(), description.to_owned());
        let (account, key) = self.new_account(&email, names).await?;
        let (admitted, created) = (admitted.clone(), account.clone());
        self.meta
            .write(move |tx| {
                insert_account(tx, (&project, &created, &key))?;
                let event = admitted.event(
                    "create-account",
                    &format!("projects/{project}/serviceAccounts/{}", created.email),
                    created.updated_at,
                );
                Ok::<_, EngineError>(events::insert(tx, &event)?)
            })
            .await?;
        self.poll_epoch().await?;
        Ok(account)
    }

    /// The rows of a new account and of its own key.
    pub(super) async fn new_account(
        &self,
        email: &AccountEmail,
        (display_name, description): (String, String),
    ) -> Result<(Account, Key), EngineError> {
        let account = Account {
            email: email.as_str().to_owned(),
            project: email.project().as_str().to_owned(),
            unique_id: accounts::new_unique_id(),
            display_name,
            description,
            disabled: false,
            updated_at: self.clock.now(),
        };
        let (mut key, private) = self.new_key(email).await?;
        let sealed = self.identity.master.seal(&key.id, &private).map_err(broken)?;
        key.sealed_private_key = Some(sealed);
        Ok((account, key))
    }

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

    /// What an account is.
    pub async fn account(&self, admitted: &Admitted) -> Result<Account, EngineError> {
        let email = account_of(admitted.to("iam.serviceAccounts.get")?)?;
        self.meta.point(move |tx| find(tx, &email)).await
    }

    /// The accounts of a project after `last`, and whether there are more.
    pub async fn accounts(
        &self,
        admitted: &Admitted,
        (last, limit): (&str, usize),
    ) -> Result<(Vec<Account>, bool), EngineError> {
        let project = admitted.to_project("iam.serviceAccounts.list")?.clone();
        let last = last.to_owned();
        let mut found = self
            .meta
            .read(move |tx| {
                projects::active(tx, &project)?;
                let limit = limit as i64 + 1;
                Ok::<_, EngineError>(accounts::list(tx, project.as_str(), &last, limit)?)
            })
            .await?;
        let more = found.len() > limit;
        found.truncate(limit);
        Ok((found, more))
    }

    /// Changes an account.
    pub async fn update_account(
        &self,
        admitted: &Admitted,
        permission: &'static str,
        change: AccountChange,
    ) -> Result<Account, EngineError> {
        let email = account_of(admitted.to(permission)?)?;
        let (admitted, now) = (admitted.clone(), self.clock.now());
        let changed = self
            .meta
            .write(move |tx| {
                let mut account = find(tx, &email)?;
                let AccountChange { display_name, description, disabled } = change.clone();
                account.display_name = display_name.unwrap_or(account.display_name);
                account.description = description.unwrap_or(account.description);
                account.disabled = disabled.unwrap_or(account.disabled);
                account.updated_at = now;
                accounts::update(tx, &account)?;
                if account.disabled {
                    check_administrator(tx)?;
                }
                epochs::bump(tx, epochs::ACCESS)?;
                events::insert(tx, &admitted.event("update-account", email.as_str(), now))?;
                Ok::<_, EngineError>(account)
            })
            .await?;
        self.poll_epoch().await?;
        Ok(changed)
    }

    /// Removes an account with its keys, its policy, and all roles that it has.
    pub async fn delete_account(&self, admitted: &Admitted) -> Result<(), EngineError> {
        let resource = admitted.to("iam.serviceAccounts.delete")?.clone();
        let email = account_of(&resource)?;
        let (admitted, now) = (admitted.clone(), self.clock.now());
        self.meta
            .write(move |tx| {
                find(tx, &email)?;
                policies::delete(tx, &resource.to_string())?;
                forget(tx, &email, now)?;
                accounts::delete(tx, email.as_str())?;
                check_administrator(tx)?;
                epochs::bump(tx, epochs::ACCESS)?;
                let event = admitted.event("delete-account", email.as_str(), now);
                Ok::<_, EngineError>(events::insert(tx, &event)?)
            })
            .await?;
        self.poll_epoch().await?;
        Ok(())
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
        self.meta
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
                Ok(events::insert(tx, &admitted.event("change-key", email.as_str(), now))?)
            })
            .await?;
        self.poll_epoch().await?;
        Ok(())
    }
}

/// Stores an account with its own key in a project that can be used.
pub(super) fn insert_account(
    tx: &mut Tx<'_>,
    (project, account, key): (&ProjectId, &Account, &Key),
) -> Result<(), EngineError> {
    projects::active(tx, project)?;
    if !accounts::insert(tx, account)? {
        return Err(taken(project, &account.email));
    }
    accounts::insert_key(tx, key)?;
    Ok(epochs::bump(tx, epochs::ACCESS)?)
}

/// Checks that an account can be made, before there is a key for it, which costs.
fn check_free(tx: &mut Tx<'_>, (project, email): (&ProjectId, &str)) -> Result<(), EngineError> {
    projects::active(tx, project)?;
    match accounts::find(tx, email)? {
        Some(_) => Err(taken(project, email)),
        None => Ok(()),
    }
}

fn taken(project: &ProjectId, email: &str) -> EngineError {
    EngineError::AlreadyExists(format!(
        "Service account {email} already exists within project projects/{project}."
    ))
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

fn account_of(resource: &Resource) -> Result<AccountEmail, EngineError> {
    match resource {
        Resource::ServiceAccount(email) => Ok(email.clone()),
        Resource::Organization
        | Resource::Project(_)
        | Resource::Location(..)
        | Resource::Repository(_) => Err(EngineError::ResourceUnknown(resource.to_string())),
    }
}

pub(super) fn find(tx: &mut Tx<'_>, email: &AccountEmail) -> Result<Account, EngineError> {
    accounts::find(tx, email.as_str())?
        .ok_or_else(|| EngineError::ResourceUnknown(format!("Service account {email}")))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::{Caller, MasterKey, Rights, Settings, SystemClock};

    const PROJECT: &str = "my-project";
    const FULL: &str = "full-account@my-project.iam.gserviceaccount.com";

    /// An engine with an account that has as many keys as one can have.
    async fn engine() -> Engine {
        let meta = meta::Meta::open(meta::Database::SqliteMemory).await.expect("a database");
        let master = MasterKey::new(&MasterKey::generate());
        let blobs = Arc::new(blob::MemoryStore::default());
        let engine = Engine::new(meta, blobs, Arc::new(SystemClock), (Settings::default(), master));
        let email: AccountEmail = FULL.parse().expect("an address");
        let names = (String::new(), String::new());
        let (account, own) = engine.new_account(&email, names).await.expect("made");
        let written = engine.meta.write(move |tx| {
            meta::projects::ensure(tx, PROJECT, 1)?;
            insert_account(tx, (&email.project(), &account, &own))?;
            for n in 0..MAX_KEYS {
                let key = Key { id: format!("{n:040}"), sealed_private_key: None, ..own.clone() };
                accounts::insert_key(tx, &key)?;
            }
            Ok::<_, EngineError>(())
        });
        written.await.expect("written");
        engine
    }

    async fn admitted(engine: &Engine, permission: &str, resource: &str) -> Admitted {
        let caller = Caller { rights: Rights::All, ..Caller::anonymous() };
        let (permission, resource) = (permission.parse(), resource.parse());
        engine
            .admit(&caller, permission.expect("a permission"), resource.expect("a resource"))
            .await
            .expect("who may do everything")
    }

    /// While no key can be made at all, whoever is refused hears of it all the same.
    #[tokio::test]
    async fn what_is_refused_costs_no_key() {
        let engine = engine().await;
        let busy = engine.identity.making_keys.acquire_many(2).await.expect("open");
        let refused = async {
            let create = async |project: &str, id: &str| {
                let permission = "iam.serviceAccounts.create";
                let admitted = admitted(&engine, permission, &format!("projects/{project}")).await;
                engine.create_account(&admitted, (id, "", "")).await.expect_err("it is refused")
            };
            let key = async |email: &str| {
                let permission = "iam.serviceAccountKeys.create";
                let resource = format!("projects/{PROJECT}/serviceAccounts/{email}");
                let admitted = admitted(&engine, permission, &resource).await;
                engine.create_key(&admitted, "x").await.err().expect("it is refused")
            };
            let unknown = "nobody-here@my-project.iam.gserviceaccount.com";
            assert!(matches!(
                create("no-project", "robot-1").await,
                EngineError::ResourceUnknown(_)
            ));
            let twice = create(PROJECT, "full-account").await;
            assert!(matches!(twice, EngineError::AlreadyExists(_)));
            assert!(matches!(key(unknown).await, EngineError::ResourceUnknown(_)));
            assert!(matches!(key(FULL).await, EngineError::Precondition(_)));
        };
        let heard = tokio::time::timeout(Duration::from_secs(60), refused).await;
        heard.expect("nobody waits for a key that is not to be made");
        drop(busy);
        let admitted =
            admitted(&engine, "iam.serviceAccounts.create", &format!("projects/{PROJECT}")).await;
        engine.create_account(&admitted, ("robot-1", "", "")).await.expect("a new one");
    }
}
