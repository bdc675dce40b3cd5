//! People in policies: nobody is named who does not exist.

use berth_server::config::Config;
use meta::policies::PolicyRow;
use serde_json::json;

use super::{ALICE, OtherProcess};
use crate::util::accounts::{ORGANIZATION, PROJECT};
use crate::util::google::repository_name;
use crate::util::{AccountServer, Backend, TestServer, on_both};

const READER: &str = "roles/artifactregistry.reader";
const ADMIN: &str = "roles/resourcemanager.organizationAdmin";

on_both![
    only_people_who_exist_get_roles,
    people_who_are_named_already_may_stay,
    a_person_with_a_password_is_an_administrator
];

async fn only_people_who_exist_get_roles(accounts: AccountServer) {
    let owner = &accounts.owner;
    accounts.create_repository(PROJECT, "r1").await;
    let account =
        format!("projects/{PROJECT}/serviceAccounts/robot-1@{PROJECT}.iam.gserviceaccount.com");
    owner.create_account(PROJECT, "robot-1").await.expect_status(200);
    let project = format!("projects/{PROJECT}");
    for resource in [repository_name(PROJECT, "r1").as_str(), &project, &account, ORGANIZATION] {
        let mut policy = owner.get_policy(resource).await;
        let before = policy.clone();
        let mut bindings = policy["bindings"].as_array().cloned().unwrap_or_default();
        bindings.push(json!({ "role": READER, "members": ["user:Alice@example.com"] }));
        policy["bindings"] = json!(bindings);
        let refused = owner.set_policy(resource, &policy).await;
        let text = refused.text().into_owned();
        refused.expect_google_error("400 INVALID_ARGUMENT");
        assert!(text.contains("User alice@example.com does not exist"), "{text}");
        assert!(text.contains("berth users add alice@example.com"), "{text}");
        assert_eq!(owner.get_policy(resource).await, before);
    }
    accounts.server.add_user(ALICE).await;
    // A person who is disabled exists.
    accounts.server.change_user("disable", ALICE).await;
    owner.grant_role(&project, READER, "user:Alice@example.com").await;
    let stored = owner.get_policy(&project).await.to_string();
    assert!(stored.contains("user:alice@example.com"), "{stored}");
    accounts.server.change_user("enable", ALICE).await;
    assert_eq!(owner.get_policy(&project).await.to_string(), stored, "her roles stay");
}

/// Policies of an older release name people who do not exist.
async fn people_who_are_named_already_may_stay(accounts: AccountServer) {
    let (owner, project) = (&accounts.owner, format!("projects/{PROJECT}"));
    let (meta, name) = (accounts.server.open_meta().await, project.clone());
    let stored = meta.write(move |tx| {
        let bindings = format!(r#"[{{"role":"{READER}","members":["user:ghost@example.com"]}}]"#);
        let policy = PolicyRow { bindings, etag: vec![1; 8] };
        meta::policies::set(tx, &name, &policy, 1)?;
        meta::epochs::bump(tx, meta::epochs::ACCESS)
    });
    stored.await.expect("writable");
    accounts.server.add_user(ALICE).await;
    owner.grant_role(&project, READER, "user:alice@example.com").await;
    let policy = owner.get_policy(&project).await;
    assert!(policy.to_string().contains("user:ghost@example.com"), "{policy}");
    // But they get nothing more.
    let more = json!({ "bindings": [
        { "role": READER, "members": ["user:ghost@example.com"] },
        { "role": "roles/artifactregistry.writer", "members": ["user:ghost@example.com"] },
    ] });
    let refused = owner.set_policy(&project, &more).await;
    refused.expect_google_error("400 INVALID_ARGUMENT");
    owner.revoke_role(&project, READER, "user:ghost@example.com").await;
    let back = json!({ "bindings": [{ "role": READER, "members": ["user:ghost@example.com"] }] });
    owner.set_policy(&project, &back).await.expect_google_error("400 INVALID_ARGUMENT");
}

/// The last key of the owner may be disabled if a person is left who can sign in and administer everything.
async fn a_person_with_a_password_is_an_administrator(accounts: AccountServer) {
    let (owner, server) = (&accounts.owner, &accounts.server);
    let link = server.add_user(ALICE).await["link"].clone();
    owner.grant_role(ORGANIZATION, ADMIN, "user:alice@example.com").await;
    let key = format!("/v1/{}", crate::util::accounts::key_name(&accounts.owner_key));
    let disable = async || owner.post(&format!("{key}:disable"), &json!({})).await;
    disable().await.expect_google_error("400 FAILED_PRECONDITION");
    let process = OtherProcess::start(server).await;
    process.set_password(&link, super::PASSWORD).await;
    let disabled = server.change_user("disable", ALICE).await;
    assert_eq!(disabled["disabled"]["has_administrator"], true, "the owner has a key");
    disable().await.expect_google_error("400 FAILED_PRECONDITION");
    server.change_user("enable", ALICE).await;
    disable().await.expect_status(200);
    let disabled = server.change_user("disable", ALICE).await;
    assert_eq!(disabled["disabled"]["has_administrator"], false, "nobody is left");
}

/// With `--dev` nobody signs in, and so nobody has to exist.
#[tokio::test]
async fn development_mode_names_anybody() {
    let server = TestServer::start_for_development(|_: &mut Config| ()).await;
    assert!(matches!(server.backend, Backend::Sqlite));
    let developer = crate::util::GoogleClient::new(&server.anonymous(), "any", "dev@localhost");
    developer.create_project("my-project").await.expect_status(200);
    developer.grant_role("projects/my-project", READER, "user:anybody@example.com").await;
    let refused = server.users(json!({ "add": { "email": ALICE } })).await;
    assert!(refused.expect_err("nobody signs in").contains("--dev"));
}
