//! Service accounts.

use meta::accounts::{self, AccountKeyRow, AccountRow};
use meta::events::{self, EventAction};
use meta::{Tx, epochs, policies};
use model::name::ProjectId;
use model::permission::Permission;
use model::principal::AccountEmail;
use model::resource::Resource;

use crate::accounts::projects;
use crate::admitted::Authorized;
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::policies::evaluate::{check_administrator, remove_from_all_policies};
use model::permissions::iam;

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

impl Identity {
    /// Creates an account, and the key that signs for it here.
    pub async fn create_account(
        &self,
        admitted: &Authorized,
        (id, display_name, description): (&str, &str, &str),
    ) -> Result<AccountRow, IdentityError> {
        let project = admitted.project_for(iam::SERVICE_ACCOUNTS_CREATE)?.clone();
        let email = AccountEmail::new(id, &project).map_err(|error| {
            IdentityError::InvalidArgument { field: "account_id", problem: error.to_string() }
        })?;
        let (wanted, place) = (email.clone(), project.clone());
        self.meta.read_by_key(move |tx| check_free(tx, (&place, wanted.as_str()))).await?;
        let names = (display_name.to_owned(), description.to_owned());
        let (account, key) = self.new_account(&email, names).await?;
        let (admitted, created) = (admitted.clone(), account.clone());
        self.meta
            .write(move |tx| {
                insert_account(tx, (&project, &created, &key))?;
                let event = admitted.event(
                    EventAction::CreateAccount,
                    &format!("projects/{project}/serviceAccounts/{}", created.email),
                    created.updated_at,
                );
                Ok::<_, IdentityError>(events::insert(tx, &event)?)
            })
            .await?;
        self.poll_epoch().await?;
        Ok(account)
    }

    /// The rows of a new account and of its own key.
    pub(crate) async fn new_account(
        &self,
        email: &AccountEmail,
        (display_name, description): (String, String),
    ) -> Result<(AccountRow, AccountKeyRow), IdentityError> {
        let account = AccountRow {
            email: email.as_str().to_owned(),
            project: email.project().as_str().to_owned(),
            unique_id: accounts::random_unique_id(),
            display_name,
            description,
            disabled: false,
            updated_at: self.clock.now(),
        };
        let (mut key, private) = self.new_key(email).await?;
        let sealed = self.master.seal(&key.id, &private)?;
        key.sealed_private_key = Some(sealed);
        Ok((account, key))
    }

    /// What an account is.
    pub async fn account(&self, admitted: &Authorized) -> Result<AccountRow, IdentityError> {
        let email = require_account(admitted.resource_for(iam::SERVICE_ACCOUNTS_GET)?)?;
        self.meta.read_by_key(move |tx| find_account(tx, &email)).await
    }

    /// The accounts of a project after `last`, and whether there are more.
    pub async fn accounts(
        &self,
        admitted: &Authorized,
        (last, limit): (&str, usize),
    ) -> Result<(Vec<AccountRow>, bool), IdentityError> {
        let project = admitted.project_for(iam::SERVICE_ACCOUNTS_LIST)?.clone();
        let last = last.to_owned();
        let mut found = self
            .meta
            .read(move |tx| {
                projects::require_active(tx, &project)?;
                let limit = limit as i64 + 1;
                Ok::<_, IdentityError>(accounts::list(tx, project.as_str(), &last, limit)?)
            })
            .await?;
        let more = found.len() > limit;
        found.truncate(limit);
        Ok((found, more))
    }

    /// Changes an account.
    pub async fn update_account(
        &self,
        admitted: &Authorized,
        permission: Permission,
        change: AccountChange,
    ) -> Result<AccountRow, IdentityError> {
        let email = require_account(admitted.resource_for(permission)?)?;
        let (admitted, now) = (admitted.clone(), self.clock.now());
        let changed = self
            .meta
            .write(move |tx| {
                let mut account = find_account(tx, &email)?;
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
                events::insert(
                    tx,
                    &admitted.event(EventAction::UpdateAccount, email.as_str(), now),
                )?;
                Ok::<_, IdentityError>(account)
            })
            .await?;
        self.poll_epoch().await?;
        Ok(changed)
    }

    /// Removes an account with its keys, its policy, and all roles that it has.
    pub async fn delete_account(&self, admitted: &Authorized) -> Result<(), IdentityError> {
        let resource = admitted.resource_for(iam::SERVICE_ACCOUNTS_DELETE)?.clone();
        let email = require_account(&resource)?;
        let (admitted, now) = (admitted.clone(), self.clock.now());
        self.meta
            .write(move |tx| {
                find_account(tx, &email)?;
                policies::delete(tx, &resource.to_string())?;
                remove_from_all_policies(tx, &email, now)?;
                accounts::delete(tx, email.as_str())?;
                check_administrator(tx)?;
                epochs::bump(tx, epochs::ACCESS)?;
                let event = admitted.event(EventAction::DeleteAccount, email.as_str(), now);
                Ok::<_, IdentityError>(events::insert(tx, &event)?)
            })
            .await?;
        self.poll_epoch().await?;
        Ok(())
    }
}

/// Stores an account with its own key in a project that can be used.
pub(crate) fn insert_account(
    tx: &mut Tx<'_>,
    (project, account, key): (&ProjectId, &AccountRow, &AccountKeyRow),
) -> Result<(), IdentityError> {
    projects::require_active(tx, project)?;
    if !accounts::insert(tx, account)? {
        return Err(already_exists(project, &account.email));
    }
    accounts::insert_key(tx, key)?;
    Ok(epochs::bump(tx, epochs::ACCESS)?)
}

/// Checks that an account can be made, before there is a key for it, which costs.
fn check_free(tx: &mut Tx<'_>, (project, email): (&ProjectId, &str)) -> Result<(), IdentityError> {
    projects::require_active(tx, project)?;
    match accounts::find(tx, email)? {
        Some(_) => Err(already_exists(project, email)),
        None => Ok(()),
    }
}

fn already_exists(project: &ProjectId, email: &str) -> IdentityError {
    IdentityError::AlreadyExists(format!(
        "Service account {email} already exists within project projects/{project}."
    ))
}

/// The account that something is about.
pub(crate) fn require_account(resource: &Resource) -> Result<AccountEmail, IdentityError> {
    match resource {
        Resource::ServiceAccount(email) => Ok(email.clone()),
        Resource::Organization
        | Resource::Project(_)
        | Resource::Location(..)
        | Resource::Repository(_) => Err(IdentityError::ResourceUnknown(resource.to_string())),
    }
}

pub(crate) fn find_account(
    tx: &mut Tx<'_>,
    email: &AccountEmail,
) -> Result<AccountRow, IdentityError> {
    accounts::find(tx, email.as_str())?
        .ok_or_else(|| IdentityError::ResourceUnknown(format!("Service account {email}")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::accounts::service_account_keys::MAX_KEYS;
    use crate::caller::{AuthorizationMode, Caller};
    use crate::clock::SystemClock;
    use crate::credentials::crypto::MasterKey;

    const PROJECT: &str = "my-project";
    const FULL: &str = "full-account@my-project.iam.gserviceaccount.com";

    /// An identity with an account that has as many keys as one can have.
    async fn full_identity() -> Identity {
        let meta =
            meta::Meta::open(meta::DatabaseLocation::SqliteMemory).await.expect("a database");
        let master = MasterKey::new(&MasterKey::generate());
        let lifetime = Duration::from_secs(3600);
        let identity = Identity::new(meta, Arc::new(SystemClock), master, lifetime);
        let email: AccountEmail = FULL.parse().expect("an address");
        let names = (String::new(), String::new());
        let (account, own) = identity.new_account(&email, names).await.expect("made");
        let written = identity.meta.write(move |tx| {
            meta::projects::ensure(tx, PROJECT, 1)?;
            insert_account(tx, (&email.project(), &account, &own))?;
            for n in 0..MAX_KEYS {
                let key = AccountKeyRow {
                    id: format!("{n:040}"),
                    sealed_private_key: None,
                    ..own.clone()
                };
                accounts::insert_key(tx, &key)?;
            }
            Ok::<_, IdentityError>(())
        });
        written.await.expect("written");
        identity
    }

    async fn admitted(identity: &Identity, permission: Permission, resource: &str) -> Authorized {
        let caller = Caller { mode: AuthorizationMode::Everything, ..Caller::anonymous() };
        let resource = resource.parse().expect("a resource");
        identity.admit(&caller, permission, resource).await.expect("who may do everything")
    }

    /// While no key can be made at all, whoever is refused hears of it all the same.
    #[tokio::test]
    async fn what_is_refused_costs_no_key() {
        let identity = full_identity().await;
        let busy = identity.making_keys.acquire_many(2).await.expect("open");
        let refused = async {
            let create = async |project: &str, id: &str| {
                let permission = iam::SERVICE_ACCOUNTS_CREATE;
                let admitted =
                    admitted(&identity, permission, &format!("projects/{project}")).await;
                identity.create_account(&admitted, (id, "", "")).await.expect_err("it is refused")
            };
            let key = async |email: &str| {
                let permission = iam::SERVICE_ACCOUNT_KEYS_CREATE;
                let resource = format!("projects/{PROJECT}/serviceAccounts/{email}");
                let admitted = admitted(&identity, permission, &resource).await;
                identity.create_key(&admitted, "x").await.err().expect("it is refused")
            };
            let unknown = "nobody-here@my-project.iam.gserviceaccount.com";
            assert!(matches!(
                create("no-project", "robot-1").await,
                IdentityError::ResourceUnknown(_)
            ));
            let twice = create(PROJECT, "full-account").await;
            assert!(matches!(twice, IdentityError::AlreadyExists(_)));
            assert!(matches!(key(unknown).await, IdentityError::ResourceUnknown(_)));
            assert!(matches!(key(FULL).await, IdentityError::Precondition(_)));
        };
        let heard = tokio::time::timeout(Duration::from_secs(60), refused).await;
        heard.expect("nobody waits for a key that is not to be made");
        drop(busy);
        let admitted =
            admitted(&identity, iam::SERVICE_ACCOUNTS_CREATE, &format!("projects/{PROJECT}")).await;
        identity.create_account(&admitted, ("robot-1", "", "")).await.expect("a new one");
    }
}
