//! The first owner: the account that the first start makes, so that somebody can let others in.

use meta::accounts::{AccountKeyRow, AccountRow};
use meta::change_way::ChangeWay;
use meta::events::{self, EventAction};
use meta::{Tx, accounts, epochs, policies};
use model::iam_policy::IamPolicy;
use model::principal::{AccountEmail, PolicyMember};
use model::resource::ORGANIZATION_NAME;
use model::{name::ProjectId, role};

use crate::accounts::service_accounts::{find_account, insert_account};
use crate::clock::Micros;
use crate::credentials::key_file;
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::policies::evaluate::{parse_stored, write_policy};

/// The roles on the organization of everybody who administers everything, such as the first account.
pub(crate) const OWNER_ROLES: [&str; 3] = [
    "roles/owner",
    "roles/resourcemanager.organizationAdmin",
    "roles/resourcemanager.projectCreator",
];

/// The project of the owner's account. Who administers a project can make keys for its accounts. In a project that
/// people work in, its editors could therefore become the owner of everything.
const OWNERS_PROJECT: &str = "berth-admin";

/// The first account, with the only copy of its key file.
pub struct FirstOwner {
    /// The address of the account.
    pub email: String,
    /// The key file in Google's format.
    pub key_file: String,
}

/// The principal of what the operator's socket does, in events and in the audit log.
pub const OPERATOR_PRINCIPAL: &str = "system:operator";

/// The owner with a new key, after the one before was lost.
pub struct RestoredOwner {
    /// The account's address.
    pub email: String,
    /// The id of the new key.
    pub key_id: String,
    /// The key file in Google's format.
    pub key_file: String,
    /// The other repairs that were made, in sentences.
    pub repaired: Vec<&'static str>,
}

impl Identity {
    /// Returns whether there has never been an owner, so that nobody can sign in yet.
    pub async fn needs_owner(&self) -> Result<bool, IdentityError> {
        self.read(|tx| Ok(policies::find(tx, ORGANIZATION_NAME)?.is_none())).await
    }

    /// Makes the first project, and an owner who may do everything. Returns `None` if another process was quicker.
    ///
    /// `keep` gets the key file before the commit. A crash in between leaves a file without use, but not an account
    /// without a key.
    pub async fn create_owner(
        &self,
        project: &ProjectId,
        token_uri: &str,
        keep: impl FnOnce(&FirstOwner) -> Result<(), IdentityError>,
    ) -> Result<Option<FirstOwner>, IdentityError> {
        let owners_project: ProjectId = OWNERS_PROJECT.parse().expect("an id");
        let email = AccountEmail::new("berth-owner", &owners_project).expect("an address");
        let (account, system_managed_key) =
            self.generate_account(&email, "Owner", "Made by the first start.").await?;
        let (key, private) = self.generate_key(&email).await?;
        let key_file = key_file::to_text(&account, &key.id, &private, token_uri);
        let owner = FirstOwner { email: account.email.clone(), key_file };
        keep(&owner)?;
        let (project, now) = (project.clone(), self.clock.now());
        let writing = self.write(move |tx| {
            if policies::find(tx, ORGANIZATION_NAME)?.is_some() {
                return Ok(false);
            }
            meta::projects::ensure(tx, project.as_str(), now)?;
            meta::projects::ensure(tx, owners_project.as_str(), now)?;
            insert_account(tx, &owners_project, &account, &system_managed_key)?;
            accounts::insert_key(tx, &key)?;
            let mut policy = IamPolicy::default();
            bind_owner_roles(&mut policy, &email);
            write_policy(tx, ORGANIZATION_NAME, &policy, now)?;
            let principal = format!("serviceAccount:{email}");
            events::insert(tx, &organization_event(EventAction::CreateOwner, &principal, now))?;
            Ok(true)
        });
        let created = writing.await?;
        self.poll_epoch().await?;
        Ok(created.then_some(owner))
    }
}

impl Identity {
    /// Makes a new key for the owner. The account is made anew if it is missing, and gets its project and its roles
    /// back. That gives the operator no new power: the operator has the machine and all that is on it. The number of
    /// keys is not limited here, or an owner who lost ten of them could never sign in again.
    ///
    /// # Errors
    /// Fails if there has never been an owner, or if the database fails.
    pub async fn restore_owner(&self, token_uri: &str) -> Result<RestoredOwner, IdentityError> {
        if self.needs_owner().await? {
            return Err(IdentityError::Precondition(
                "there is no owner yet: the first start without --dev makes one".to_owned(),
            ));
        }
        let project: ProjectId = OWNERS_PROJECT.parse().expect("an id");
        let email = AccountEmail::new("berth-owner", &project).expect("an address");
        // Made before the transaction: making a key takes long.
        let replacement = if self.has_account(email.as_str()).await? {
            None
        } else {
            Some(self.generate_account(&email, "Owner", "Made by berth owner-key.").await?)
        };
        let (key, private) = self.generate_key(&email).await?;
        let (now, key_id) = (self.clock.now(), key.id.clone());
        let writing = self.write(move |tx| {
            let rows =
                OwnerRows { project: &project, email: &email, replacement: replacement.as_ref() };
            let repaired = repair_owner(tx, rows, now)?;
            let account = find_account(tx, &email)?;
            accounts::insert_key(tx, &key)?;
            epochs::bump(tx, epochs::ACCESS)?;
            events::insert(
                tx,
                &organization_event(EventAction::RestoreOwner, OPERATOR_PRINCIPAL, now),
            )?;
            Ok((account, repaired))
        });
        let (account, repaired) = writing.await?;
        self.poll_epoch().await?;
        let key_file = key_file::to_text(&account, &key_id, &private, token_uri);
        Ok(RestoredOwner { email: account.email, key_id, key_file, repaired })
    }
}

/// The owner's account, with the rows of a new one for the case that it is missing.
struct OwnerRows<'a> {
    project: &'a ProjectId,
    email: &'a AccountEmail,
    replacement: Option<&'a (AccountRow, AccountKeyRow)>,
}

/// Repairs the project, the account and the roles of the owner. Returns what was repaired, in sentences.
fn repair_owner(
    tx: &mut Tx<'_>,
    rows: OwnerRows<'_>,
    now: Micros,
) -> Result<Vec<&'static str>, IdentityError> {
    let OwnerRows { project, email, replacement } = rows;
    let mut repaired = Vec::new();
    meta::projects::ensure(tx, project.as_str(), now)?;
    if meta::projects::undelete(tx, project.as_str())? > 0 {
        repaired.push("The project of the owner was deleted, and can be used again.");
    }
    match (accounts::find(tx, email.as_str())?, replacement) {
        (Some(account), _) if account.disabled => {
            accounts::update(tx, &AccountRow { disabled: false, updated_at: now, ..account })?;
            repaired.push("The account of the owner was disabled, and is enabled again.");
        }
        (None, Some((account, system_managed_key))) => {
            insert_account(tx, project, account, system_managed_key)?;
            repaired.push("The account of the owner was missing, and was made anew.");
        }
        (Some(_), _) | (None, None) => {}
    }
    let mut policy = parse_stored(policies::find(tx, ORGANIZATION_NAME)?)?.policy;
    let before = policy.to_json();
    bind_owner_roles(&mut policy, email);
    if policy.to_json() != before {
        write_policy(tx, ORGANIZATION_NAME, &policy, now)?;
        repaired.push("The owner had lost roles on the organization, and has them again.");
    }
    Ok(repaired)
}

pub(crate) fn organization_event(
    action: EventAction,
    principal: &str,
    now: Micros,
) -> events::AuditEvent {
    events::AuditEvent {
        action,
        principal: principal.to_owned(),
        resource: ORGANIZATION_NAME.to_owned(),
        tag: None,
        digest: None,
        occurred_at: now,
        way: ChangeWay::Operator,
        place: None,
    }
}

fn bind_owner_roles(policy: &mut IamPolicy, email: &AccountEmail) {
    for name in OWNER_ROLES {
        let role = role::find_role(name).expect("a predefined role");
        policy.bind(role, PolicyMember::ServiceAccount(email.clone()));
    }
}
