//! The first start: somebody must be let in before anybody can let others in.

use meta::accounts::{AccountKeyRow, AccountRow};
use meta::events::{self, EventAction};
use meta::{Tx, accounts, epochs, policies};
use model::iam_policy::IamPolicy;
use model::principal::{AccountEmail, PolicyMember};
use model::resource::ORGANIZATION_NAME;
use model::{name::ProjectId, role};

use crate::accounts::service_accounts as own;
use crate::clock::Micros;
use crate::credentials::key_file;
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::policies::evaluate as own_policies;

/// The roles that the first account has on everything.
const OWNER_ROLES: [&str; 3] = [
    "roles/owner",
    "roles/resourcemanager.organizationAdmin",
    "roles/resourcemanager.projectCreator",
];

/// The owner's own project. Whoever administers a project has its accounts, by making keys for them: in one that
/// people work in, an editor would be everybody's owner.
const OWNERS_PROJECT: &str = "berth-admin";

/// The first account, with the only copy of its key file.
pub struct FirstOwner {
    /// Its address.
    pub email: String,
    /// The key file in Google's format.
    pub key_file: String,
}

/// Who does what the operator's socket asks for, in events and in the audit log.
pub const OPERATOR_PRINCIPAL: &str = "system:operator";

/// The owner with a new key, after the one before was lost.
pub struct RestoredOwner {
    /// The account's address.
    pub email: String,
    /// The id of the new key.
    pub key_id: String,
    /// The key file in Google's format.
    pub key_file: String,
    /// The things that had to be mended besides, in sentences.
    pub repaired: Vec<&'static str>,
}

impl Identity {
    /// Whether nobody could sign in yet.
    pub async fn needs_owner(&self) -> Result<bool, IdentityError> {
        self.meta
            .read(|tx| Ok::<_, IdentityError>(policies::find(tx, ORGANIZATION_NAME)?.is_none()))
            .await
    }

    /// Makes the first project, and an owner who has everything. `keep` is handed the key file
    /// before anything is committed: a crash in between leaves a file that opens nothing, not an account
    /// that nobody can use. `None`: another process was quicker.
    pub async fn create_owner(
        &self,
        project: &ProjectId,
        token_uri: &str,
        keep: impl FnOnce(&FirstOwner) -> Result<(), IdentityError>,
    ) -> Result<Option<FirstOwner>, IdentityError> {
        let owners: ProjectId = OWNERS_PROJECT.parse().expect("an id");
        let email = AccountEmail::new("berth-owner", &owners).expect("an address");
        let names = ("Owner".to_owned(), "Made by the first start.".to_owned());
        let (account, own_key) = self.new_account(&email, names).await?;
        let (key, private) = self.new_key(&email).await?;
        let key_file = key_file::write(&account, &key.id, (&private, token_uri));
        let owner = FirstOwner { email: account.email.clone(), key_file };
        keep(&owner)?;
        let (project, now) = (project.clone(), self.clock.now());
        let created = self
            .meta
            .write(move |tx| {
                if policies::find(tx, ORGANIZATION_NAME)?.is_some() {
                    return Ok(false);
                }
                meta::projects::ensure(tx, project.as_str(), now)?;
                meta::projects::ensure(tx, owners.as_str(), now)?;
                own::insert_account(tx, (&owners, &account, &own_key))?;
                accounts::insert_key(tx, &key)?;
                own_policies::write(tx, ORGANIZATION_NAME, &everything(&email), now)?;
                let principal = format!("serviceAccount:{email}");
                events::insert(tx, &event(EventAction::CreateOwner, &principal, now))?;
                Ok::<_, IdentityError>(true)
            })
            .await?;
        self.poll_epoch().await?;
        Ok(created.then_some(owner))
    }
}

impl Identity {
    /// Makes a new key for the owner. The account is made anew where it is missing, and gets its project and its roles back:
    /// whoever has the server has what it holds. The number of keys is not limited here, or ten lost ones would be the end.
    ///
    /// # Errors
    /// Fails where there has never been an owner, or if the database does.
    pub async fn restore_owner(&self, token_uri: &str) -> Result<RestoredOwner, IdentityError> {
        if self.needs_owner().await? {
            return Err(IdentityError::Precondition(
                "there is no owner yet: the first start without --dev makes one".to_owned(),
            ));
        }
        let owners: ProjectId = OWNERS_PROJECT.parse().expect("an id");
        let email = AccountEmail::new("berth-owner", &owners).expect("an address");
        let names = ("Owner".to_owned(), "Made by berth owner-key.".to_owned());
        // For the case that it is missing: keys are made outside of transactions.
        let spare = if self.has_account(email.as_str()).await? {
            None
        } else {
            Some(self.new_account(&email, names).await?)
        };
        let (key, private) = self.new_key(&email).await?;
        let (now, row, id) = (self.clock.now(), key.clone(), key.id.clone());
        let written = self.meta.write(move |tx| {
            let rows = OwnerRows { project: &owners, email: &email, spare: spare.as_ref() };
            let repaired = mend(tx, rows, now)?;
            let account = own::find_account(tx, &email)?;
            accounts::insert_key(tx, &row)?;
            epochs::bump(tx, epochs::ACCESS)?;
            events::insert(tx, &event(EventAction::RestoreOwner, OPERATOR_PRINCIPAL, now))?;
            Ok::<_, IdentityError>((account, repaired))
        });
        let (account, repaired) = written.await?;
        self.poll_epoch().await?;
        let key_file = key_file::write(&account, &id, (&private, token_uri));
        Ok(RestoredOwner { email: account.email, key_id: id, key_file, repaired })
    }
}

/// The owner's account, with the rows of a new one for the case that it is missing.
struct OwnerRows<'a> {
    project: &'a ProjectId,
    email: &'a AccountEmail,
    spare: Option<&'a (AccountRow, AccountKeyRow)>,
}

/// Gives the owner back whatever was taken from it.
fn mend(
    tx: &mut Tx<'_>,
    rows: OwnerRows<'_>,
    now: Micros,
) -> Result<Vec<&'static str>, IdentityError> {
    let OwnerRows { project, email, spare } = rows;
    let mut repaired = Vec::new();
    meta::projects::ensure(tx, project.as_str(), now)?;
    if meta::projects::undelete(tx, project.as_str())? > 0 {
        repaired.push("Its project was deleted, and can be used again.");
    }
    match (accounts::find(tx, email.as_str())?, spare) {
        (Some(account), _) if account.disabled => {
            accounts::update(tx, &AccountRow { disabled: false, updated_at: now, ..account })?;
            repaired.push("The account was disabled, and is enabled again.");
        }
        (None, Some((account, own_key))) => {
            own::insert_account(tx, (project, account, own_key))?;
            repaired.push("The account was missing, and was made anew.");
        }
        (Some(_), _) | (None, None) => {}
    }
    let mut policy = own_policies::parse_stored(policies::find(tx, ORGANIZATION_NAME)?)?.policy;
    let before = policy.to_json();
    give_everything(&mut policy, email);
    if policy.to_json() != before {
        own_policies::write(tx, ORGANIZATION_NAME, &policy, now)?;
        repaired.push("It had lost roles on the organization, and has them again.");
    }
    Ok(repaired)
}

pub(crate) fn event(action: EventAction, principal: &str, now: Micros) -> events::AuditEvent {
    events::AuditEvent {
        action,
        principal: principal.to_owned(),
        resource: ORGANIZATION_NAME.to_owned(),
        tag: None,
        digest: None,
        occurred_at: now,
    }
}

fn everything(email: &AccountEmail) -> IamPolicy {
    let mut policy = IamPolicy::default();
    give_everything(&mut policy, email);
    policy
}

fn give_everything(policy: &mut IamPolicy, email: &AccountEmail) {
    for name in OWNER_ROLES {
        let role = role::find_role(name).expect("a predefined role");
        policy.bind(role, PolicyMember::ServiceAccount(email.clone()));
    }
}
