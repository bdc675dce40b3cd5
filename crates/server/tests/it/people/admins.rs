//! The setting `admins`: who gets the roles of an administrator, when, and who loses them.

use serde_json::json;

use super::{ALICE, BOB, expect_event, organization_members};
use crate::audit::written_entries;
use crate::util::accounts::{ORGANIZATION, PROJECT};
use crate::util::{AccountServer, Backend, TestServer, on_both};

const OWNER: &str = "roles/owner";
const ROLES: [&str; 3] =
    [OWNER, "roles/resourcemanager.organizationAdmin", "roles/resourcemanager.projectCreator"];

on_both![
    admins_get_their_roles_at_a_start_and_lose_them_at_another,
    an_admin_who_is_added_later_gets_the_roles_then,
    roles_that_others_gave_stay,
    service_accounts_are_admins_too
];

async fn restart_with_admins(server: &mut TestServer, admins: &[&str]) {
    server.stop().await;
    let admins = admins.iter().map(|admin| (*admin).to_owned()).collect();
    let again = server.restart_with(|config| config.admins = admins).await;
    // The stopped server owns the folder as well.
    let _stopped = std::mem::replace(server, again);
}

/// Returns whether a member has all roles of an administrator. It has all of them or none.
async fn is_admin(server: &TestServer, member: &str) -> bool {
    let mut held = Vec::new();
    for role in ROLES {
        held.push(organization_members(server, role).await.contains(&member.to_owned()));
    }
    held.dedup();
    assert_eq!(held.len(), 1, "{member} has some of the roles");
    held[0]
}

async fn admins_get_their_roles_at_a_start_and_lose_them_at_another(accounts: AccountServer) {
    let mut server = accounts.server;
    let (alice, bob) = ("user:alice@example.com", "user:bob@example.com");
    server.add_user(ALICE).await;
    server.add_user(BOB).await;
    assert!(!is_admin(&server, alice).await);
    restart_with_admins(&mut server, &["user:Alice@example.com", bob]).await;
    assert!(is_admin(&server, alice).await && is_admin(&server, bob).await);
    restart_with_admins(&mut server, &[alice]).await;
    assert!(is_admin(&server, alice).await && !is_admin(&server, bob).await);
    restart_with_admins(&mut server, &[]).await;
    assert!(!is_admin(&server, alice).await);
    let members = organization_members(&server, OWNER).await;
    assert_eq!(members, [accounts.owner.member()], "the owner is none of the setting's");
    let expected = [
        "add-admin system:settings user:alice@example.com",
        "add-admin system:settings user:bob@example.com",
        "remove-admin system:settings user:bob@example.com",
        "remove-admin system:settings user:alice@example.com",
    ];
    let mut events = super::events_of(&server).await;
    events.retain(|event| event.contains("-admin "));
    assert_eq!(events, expected);
    let entries = written_entries(&server).await;
    let entries = entries
        .iter()
        .map(|entry| &entry["protoPayload"])
        .filter(|payload| payload["authenticationInfo"]["principalEmail"] == "system:settings");
    let methods: Vec<_> = entries
        .map(|payload| format!("{} {}", payload["methodName"], payload["resourceName"]))
        .collect();
    assert_eq!(methods.len(), 4, "{methods:?}");
    assert!(methods[2].contains("RemoveAdmin") && methods[2].contains(bob), "{methods:?}");
}

/// Nobody becomes an administrator by coming first: the operator adds each person.
async fn an_admin_who_is_added_later_gets_the_roles_then(backend: Backend) {
    let alice = "user:alice@example.com";
    let mut server = TestServer::start_with_owner(backend, |config| {
        config.admins = vec![alice.to_owned()];
    })
    .await;
    assert!(!is_admin(&server, alice).await);
    assert_eq!(server.add_user(BOB).await["is_admin"], false);
    assert!(!is_admin(&server, alice).await);
    assert_eq!(server.add_user(ALICE).await["is_admin"], true);
    assert!(is_admin(&server, alice).await);
    expect_event(&server, "add-admin system:settings user:alice@example.com").await;
    if let Backend::Postgres(_) = server.backend {
        // A second process with the same setting changes nothing.
        let before = super::events_of(&server).await.len();
        let mut second = server.restart_with(|config| config.admins = vec![alice.to_owned()]).await;
        assert_eq!(super::events_of(&server).await.len(), before);
        second.stop().await;
    }
    restart_with_admins(&mut server, &[]).await;
    assert!(!is_admin(&server, alice).await);
}

async fn roles_that_others_gave_stay(accounts: AccountServer) {
    let mut server = accounts.server;
    let alice = "user:alice@example.com";
    server.add_user(ALICE).await;
    accounts.owner.grant_role(ORGANIZATION, OWNER, alice).await;
    restart_with_admins(&mut server, &[alice]).await;
    assert!(is_admin(&server, alice).await);
    restart_with_admins(&mut server, &[]).await;
    assert!(organization_members(&server, OWNER).await.contains(&alice.to_owned()));
    assert!(organization_members(&server, ROLES[2]).await.iter().all(|member| member != alice));
}

async fn service_accounts_are_admins_too(accounts: AccountServer) {
    let robot = accounts.create_actor("robot-1").await.member();
    let missing = format!("serviceAccount:missing-1@{PROJECT}.iam.gserviceaccount.com");
    let (mut server, owner_key) = (accounts.server, accounts.owner_key);
    restart_with_admins(&mut server, &[&robot, &missing]).await;
    assert!(is_admin(&server, &robot).await);
    // An account of that name that is created later is not given the roles at once.
    assert!(!is_admin(&server, &missing).await);
    let owner = crate::util::accounts::sign_in(&server, &owner_key).await;
    owner.create_account(PROJECT, "missing-1").await.expect_status(200);
    assert!(!is_admin(&server, &missing).await);
    // Roles that somebody took are given again by the next start.
    for role in ROLES {
        owner.revoke_role(ORGANIZATION, role, &robot).await;
    }
    assert!(!is_admin(&server, &robot).await);
    restart_with_admins(&mut server, &[&robot]).await;
    assert!(is_admin(&server, &robot).await);
}

/// A setting that names no person and no account keeps the server from starting.
#[test]
fn admins_are_people_and_accounts() {
    let refused = |admins: serde_json::Value| {
        let variables = [("BERTH_ADMINS".to_owned(), admins.to_string())];
        let read = berth_server::config::Config::read(None, variables.into_iter());
        read.err().map(|error| format!("{error:#}"))
    };
    assert_eq!(refused(json!(["user:a@example.com"])), None);
    assert_eq!(refused(json!([])), None);
    for (admin, problem) in [
        ("allUsers", "is not one person or service account"),
        ("group:admins@example.com", "is not one person or service account"),
        ("domain:example.com", "is not one person or service account"),
        ("alice@example.com", "is not valid"),
        ("user:alice", "is not the e-mail address of a person"),
        ("serviceAccount:a@example.com", "is not the address of a service account"),
    ] {
        let said = refused(json!([admin])).expect("it is refused");
        assert!(said.contains("admins") && said.contains(problem), "{said}");
    }
    let many: Vec<_> = (0..101).map(|n| format!("user:u{n}@example.com")).collect();
    assert!(refused(json!(many)).expect("too many").contains("more than 100"));
}
