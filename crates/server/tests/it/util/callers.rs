//! The accounts of most tests, and what each of them may do. They are stored past the server, before its first start.

use meta::accounts::{AccountKeyRow, AccountRow};
use meta::policies::PolicyRow;
use meta::{MetaError, Tx, accounts, policies, projects};
use model::iam_policy::IamPolicy;
use model::principal::{AccountEmail, PolicyMember};
use model::role;

use super::AccountKey;
use super::accounts::ORGANIZATION;

/// The ids of the accounts.
const ACCOUNTS: [&str; 7] = [
    "first-admin",
    "other-admin",
    "nobody",
    "reader-1",
    "writer-2",
    "owner-2",
    "reader-1-writer-2",
];

/// The project of the accounts and of most repositories, and one more.
const PROJECTS: [&str; 2] = ["p", "q"];

/// A role that some of the accounts have on a resource.
struct TestBinding {
    resource: &'static str,
    role: &'static str,
    accounts: &'static [&'static str],
}

/// The repositories do not exist yet, so that a test sees which push creates one.
const BINDINGS: [TestBinding; 4] = [
    TestBinding {
        resource: ORGANIZATION,
        role: "roles/owner",
        accounts: &["first-admin", "other-admin"],
    },
    TestBinding {
        resource: "projects/p/locations/us-west1/repositories/r1",
        role: "roles/artifactregistry.reader",
        accounts: &["reader-1", "reader-1-writer-2"],
    },
    TestBinding {
        resource: "projects/p/locations/us-west1/repositories/r2",
        role: "roles/artifactregistry.createOnPushWriter",
        accounts: &["writer-2", "reader-1-writer-2"],
    },
    TestBinding {
        resource: "projects/p/locations/us-west1/repositories/r2",
        role: "roles/artifactregistry.createOnPushRepoAdmin",
        accounts: &["owner-2"],
    },
];

/// The address of one of the accounts.
pub(crate) fn email_of(account: &str) -> AccountEmail {
    AccountEmail::new(account, &PROJECTS[0].parse().expect("an id")).expect("an address")
}

/// The account in policies and events.
pub(crate) fn principal_of(account: &str) -> String {
    format!("serviceAccount:{}", email_of(account))
}

/// The key file of one of the accounts.
pub(crate) fn key_of(account: &str) -> AccountKey {
    let number = ACCOUNTS.iter().position(|id| *id == account).expect("one of the accounts");
    AccountKey::with_shared_pair(email_of(account).as_str(), &format!("{number:040x}"))
}

/// Stores the accounts with their keys and roles in an empty database.
pub(crate) fn store_accounts(tx: &mut Tx<'_>) -> Result<(), MetaError> {
    for project in PROJECTS {
        projects::ensure(tx, project, 0)?;
    }
    for id in ACCOUNTS {
        let (email, key) = (email_of(id).to_string(), key_of(id));
        let account = AccountRow {
            email: email.clone(),
            project: PROJECTS[0].to_owned(),
            unique_id: accounts::random_unique_id(),
            display_name: String::new(),
            description: String::new(),
            disabled: false,
            updated_at: 0,
        };
        accounts::insert(tx, &account)?;
        let key = AccountKeyRow {
            id: key.id().to_owned(),
            account: email,
            public_key: key.public_key(),
            sealed_private_key: None,
            disabled: false,
            valid_after: 0,
            valid_before: i64::MAX,
        };
        accounts::insert_key(tx, &key)?;
    }
    for TestBinding { resource, role, accounts } in BINDINGS {
        let mut policy = match policies::find(tx, resource)? {
            Some(stored) => IamPolicy::from_json(&stored.bindings).expect("stored just now"),
            None => IamPolicy::default(),
        };
        let role = role::find_role(role).expect("a predefined role");
        for account in accounts {
            policy.bind(role, PolicyMember::ServiceAccount(email_of(account)));
        }
        let stored = PolicyRow { bindings: policy.to_json(), etag: Vec::new() };
        policies::set(tx, resource, &stored, 0)?;
    }
    Ok(())
}
