//! Service accounts: create, read, list, update and delete.

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
use crate::policies::evaluate::{check_administrator, unbind_from_all_policies};
use model::permissions::iam;

/// An account that is to be created.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// The part of the address before the project.
    pub id: String,
    /// The name for people.
    pub display_name: String,
    /// The description.
    pub description: String,
}

/// The fields of an account that an update changes.
#[derive(Debug, Clone, Default)]
pub struct AccountChange {
    /// The new name for people.
    pub display_name: Option<String>,
    /// The new description.
    pub description: Option<String>,
    /// True to disable the account, false to enable it.
    pub disabled: Option<bool>,
}

impl Identity {
    /// Creates an account, with its system-managed key.
    pub async fn create_account(
        &self,
        admitted: &Authorized,
        new: NewAccount,
    ) -> Result<AccountRow, IdentityError> {
        let project = admitted.project_for(iam::SERVICE_ACCOUNTS_CREATE)?.clone();
        let email = AccountEmail::new(&new.id, &project)
            .map_err(|error| IdentityError::invalid("account_id", error))?;
        let (address, parent) = (email.clone(), project.clone());
        self.read_by_key(move |tx| check_creatable(tx, &parent, &address)).await?;
        let (account, key) =
            self.generate_account(&email, &new.display_name, &new.description).await?;
        let (admitted, created) = (admitted.clone(), account.clone());
        let writing = self.write(move |tx| {
            insert_account(tx, &project, &created, &key)?;
            let event = admitted.event(
                EventAction::CreateAccount,
                &format!("projects/{project}/serviceAccounts/{}", created.email),
                created.updated_at,
            );
            Ok(events::insert(tx, &event)?)
        });
        writing.await?;
        self.poll_epoch().await?;
        Ok(account)
    }

    /// Makes the rows of a new account and of its system-managed key.
    pub(crate) async fn generate_account(
        &self,
        email: &AccountEmail,
        display_name: &str,
        description: &str,
    ) -> Result<(AccountRow, AccountKeyRow), IdentityError> {
        let account = AccountRow {
            email: email.as_str().to_owned(),
            project: email.project().as_str().to_owned(),
            unique_id: accounts::random_unique_id(),
            display_name: display_name.to_owned(),
            description: description.to_owned(),
            disabled: false,
            updated_at: self.clock.now(),
        };
        let (mut key, private) = self.generate_key(email).await?;
        key.sealed_private_key = Some(self.master.seal(&key.id, &private)?);
        Ok((account, key))
    }

    /// Returns an account.
    pub async fn find_account(&self, admitted: &Authorized) -> Result<AccountRow, IdentityError> {
        let email = require_account(admitted.resource_for(iam::SERVICE_ACCOUNTS_GET)?)?;
        self.read_by_key(move |tx| find_account(tx, &email)).await
    }

    /// Returns the accounts of a project after `last`, and true if there are more.
    pub async fn list_accounts(
        &self,
        admitted: &Authorized,
        last: &str,
        limit: usize,
    ) -> Result<(Vec<AccountRow>, bool), IdentityError> {
        let project = admitted.project_for(iam::SERVICE_ACCOUNTS_LIST)?.clone();
        let last = last.to_owned();
        let reading = self.read(move |tx| {
            projects::require_active(tx, &project)?;
            Ok(accounts::list(tx, project.as_str(), &last, limit as i64 + 1)?)
        });
        let mut rows = reading.await?;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        Ok((rows, has_more))
    }

    /// Updates an account.
    pub async fn update_account(
        &self,
        admitted: &Authorized,
        permission: Permission,
        change: AccountChange,
    ) -> Result<AccountRow, IdentityError> {
        let email = require_account(admitted.resource_for(permission)?)?;
        let (admitted, now) = (admitted.clone(), self.clock.now());
        let writing = self.write(move |tx| {
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
            events::insert(tx, &admitted.event(EventAction::UpdateAccount, email.as_str(), now))?;
            Ok(account)
        });
        let updated = writing.await?;
        self.poll_epoch().await?;
        Ok(updated)
    }

    /// Deletes an account with its keys, its policy, and all its roles.
    pub async fn delete_account(&self, admitted: &Authorized) -> Result<(), IdentityError> {
        let resource = admitted.resource_for(iam::SERVICE_ACCOUNTS_DELETE)?.clone();
        let email = require_account(&resource)?;
        let (admitted, now) = (admitted.clone(), self.clock.now());
        let writing = self.write(move |tx| {
            find_account(tx, &email)?;
            policies::delete(tx, &resource.to_string())?;
            unbind_from_all_policies(tx, &email, now)?;
            accounts::delete(tx, email.as_str())?;
            check_administrator(tx)?;
            epochs::bump(tx, epochs::ACCESS)?;
            let event = admitted.event(EventAction::DeleteAccount, email.as_str(), now);
            Ok(events::insert(tx, &event)?)
        });
        writing.await?;
        self.poll_epoch().await?;
        Ok(())
    }
}

/// Inserts an account with its system-managed key, if its project is active.
pub(crate) fn insert_account(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    account: &AccountRow,
    key: &AccountKeyRow,
) -> Result<(), IdentityError> {
    projects::require_active(tx, project)?;
    if !accounts::insert(tx, account)? {
        return Err(already_exists(project, &account.email));
    }
    accounts::insert_key(tx, key)?;
    Ok(epochs::bump(tx, epochs::ACCESS)?)
}

/// Checks that an account can be created. This comes before its key is made, which takes long.
fn check_creatable(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    email: &AccountEmail,
) -> Result<(), IdentityError> {
    projects::require_active(tx, project)?;
    match accounts::find(tx, email.as_str())? {
        Some(_) => Err(already_exists(project, email.as_str())),
        None => Ok(()),
    }
}

fn already_exists(project: &ProjectId, email: &str) -> IdentityError {
    IdentityError::AlreadyExists(format!(
        "Service account {email} already exists within project projects/{project}."
    ))
}

/// Returns the address of the account that is the resource.
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
    use crate::settings::IdentitySettings;

    const PROJECT: &str = "my-project";
    const FULL: &str = "full-account@my-project.iam.gserviceaccount.com";

    /// Returns an identity with an account that has as many keys as an account may have.
    async fn full_identity() -> Identity {
        let meta =
            meta::Meta::open(meta::DatabaseLocation::SqliteMemory).await.expect("a database");
        let master = MasterKey::new(&MasterKey::generate());
        let settings = IdentitySettings::default();
        let identity = Identity::new(meta, Arc::new(SystemClock), master, settings);
        let email: AccountEmail = FULL.parse().expect("an address");
        let (account, own_key) = identity.generate_account(&email, "", "").await.expect("made");
        let writing = identity.write(move |tx| {
            meta::projects::ensure(tx, PROJECT, 1)?;
            insert_account(tx, &email.project(), &account, &own_key)?;
            for number in 0..MAX_KEYS {
                let key = AccountKeyRow {
                    id: format!("{number:040}"),
                    sealed_private_key: None,
                    ..own_key.clone()
                };
                accounts::insert_key(tx, &key)?;
            }
            Ok(())
        });
        writing.await.expect("written");
        identity
    }

    fn new_account(id: &str) -> NewAccount {
        NewAccount { id: id.to_owned(), display_name: String::new(), description: String::new() }
    }

    async fn admitted(identity: &Identity, permission: Permission, resource: &str) -> Authorized {
        let caller = Caller { mode: AuthorizationMode::Everything, ..Caller::anonymous() };
        let resource = resource.parse().expect("a resource");
        identity.admit(&caller, permission, resource).await.expect("a caller who may do everything")
    }

    /// While no key can be made, refusals are answered all the same.
    #[tokio::test]
    async fn what_is_refused_costs_no_key() {
        let identity = full_identity().await;
        let busy = identity.making_keys.acquire_many(2).await.expect("open");
        let refused = async {
            let create = async |project: &str, id: &str| {
                let permission = iam::SERVICE_ACCOUNTS_CREATE;
                let admitted =
                    admitted(&identity, permission, &format!("projects/{project}")).await;
                identity.create_account(&admitted, new_account(id)).await.expect_err("refused")
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
        identity.create_account(&admitted, new_account("robot-1")).await.expect("a new one");
    }
}
