//! The first start: somebody must be let in before anybody can let others in.

use meta::{accounts, events, policies};
use model::policy::Policy;
use model::principal::{AccountEmail, Member};
use model::resource::ORGANIZATION;
use model::{name::ProjectId, role};

use super::{accounts as own, key_file, policies as own_policies};
use crate::{Engine, EngineError};

/// The roles that the first account has on everything.
const ROLES: [&str; 3] = [
    "roles/owner",
    "roles/resourcemanager.organizationAdmin",
    "roles/resourcemanager.projectCreator",
];

/// The owner's own project. Whoever administers a project has its accounts, by making keys for them: in one that
/// people work in, an editor would be everybody's owner.
const OWNERS_PROJECT: &str = "berth-admin";

/// The first account, with the only copy of its key file.
pub struct Owner {
    /// Its address.
    pub email: String,
    /// The key file in Google's format.
    pub key_file: String,
}

impl Engine {
    /// Whether nobody could sign in yet.
    pub async fn needs_owner(&self) -> Result<bool, EngineError> {
        self.meta.read(|tx| Ok::<_, EngineError>(policies::find(tx, ORGANIZATION)?.is_none())).await
    }

    /// Makes the first project, and an owner who has everything. `keep` is handed the key file
    /// before anything is committed: a crash in between leaves a file that opens nothing, not an account
    /// that nobody can use. `None`: another process was quicker.
    pub async fn create_owner(
        &self,
        project: &ProjectId,
        token_uri: &str,
        keep: impl FnOnce(&Owner) -> Result<(), EngineError>,
    ) -> Result<Option<Owner>, EngineError> {
        let owners: ProjectId = OWNERS_PROJECT.parse().expect("an id");
        let email = AccountEmail::new("berth-owner", &owners).expect("an address");
        let names = ("Owner".to_owned(), "Made by the first start.".to_owned());
        let (account, own_key) = self.new_account(&email, names).await?;
        let (key, private) = self.new_key(&email).await?;
        let key_file = key_file::write(&account, &key.id, (&private, token_uri));
        let owner = Owner { email: account.email.clone(), key_file };
        keep(&owner)?;
        let (project, now) = (project.clone(), self.clock.now());
        let created = self
            .meta
            .write(move |tx| {
                if policies::find(tx, ORGANIZATION)?.is_some() {
                    return Ok(false);
                }
                meta::projects::ensure(tx, project.as_str(), now)?;
                meta::projects::ensure(tx, owners.as_str(), now)?;
                own::insert_account(tx, (&owners, &account, &own_key))?;
                accounts::insert_key(tx, &key)?;
                own_policies::write(tx, ORGANIZATION, &everything(&email), now)?;
                let event = events::Event {
                    action: "create-owner".to_owned(),
                    principal: format!("serviceAccount:{email}"),
                    resource: ORGANIZATION.to_owned(),
                    tag: None,
                    digest: None,
                    occurred_at: now,
                };
                events::insert(tx, &event)?;
                Ok::<_, EngineError>(true)
            })
            .await?;
        self.poll_epoch().await?;
        Ok(created.then_some(owner))
    }
}

fn everything(email: &AccountEmail) -> Policy {
    let mut policy = Policy::default();
    for name in ROLES {
        let role = role::find(name).expect("a predefined role");
        policy.bind(role, Member::ServiceAccount(email.clone()));
    }
    policy
}
