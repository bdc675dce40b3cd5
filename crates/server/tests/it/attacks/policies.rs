//! Attacks 20 and 21: granting roles, and fields that a caller may not set.
//!
//! One part of attack 20 is not tested, because there is no such setting yet: an organization that forbids `allUsers`.
//! Whoever may set a policy may make a repository public.

use serde_json::{Value, json};

use crate::util::accounts::{ORGANIZATION, PROJECT, key_name, repositories_path};
use crate::util::google::repository_name;
use crate::util::{AccountServer, GoogleClient, Reply, on_both};

const READER: &str = "roles/artifactregistry.reader";
const ADMIN: &str = "roles/artifactregistry.admin";

on_both![
    attack_20_one_of_several_concurrent_policy_changes_wins,
    attack_20_a_policy_without_an_administrator_is_refused,
    attack_20_the_last_administrator_stays,
    attack_20_an_owner_of_the_first_project_does_not_own_the_owner,
    attack_20_only_policy_administrators_grant_roles,
    attack_20_only_role_administrators_change_roles,
    attack_20_custom_roles_make_no_administrators,
    attack_21_output_only_fields_of_repositories_are_not_set,
    attack_21_output_only_fields_of_accounts_and_projects_are_not_set
];

async fn attack_20_one_of_several_concurrent_policy_changes_wins(accounts: AccountServer) {
    let owner = &accounts.owner;
    accounts.create_repository(PROJECT, "r1").await;
    for n in 0..4 {
        accounts.server.add_user(&format!("u{n}@example.com")).await;
    }
    for resource in [
        repository_name(PROJECT, "r1"),
        format!("projects/{PROJECT}"),
        format!("projects/{PROJECT}/serviceAccounts/{}", owner.email),
        ORGANIZATION.to_owned(),
    ] {
        let read = owner.get_policy(&resource).await;
        let changed = |n: u8| {
            let mut policy = read.clone();
            let new = json!({ "role": READER, "members": [format!("user:u{n}@example.com")] });
            match policy["bindings"].as_array_mut() {
                Some(bindings) => bindings.push(new),
                None => policy["bindings"] = json!([new]),
            }
            policy
        };
        let both = (0..4).map(|n| {
            let (resource, policy) = (resource.clone(), changed(n));
            async move { owner.set_policy(&resource, &policy).await.google_outcome() }
        });
        let mut outcomes = futures_util::future::join_all(both).await;
        outcomes.sort();
        assert_eq!(outcomes, ["200", "409 ABORTED", "409 ABORTED", "409 ABORTED"], "{resource}");
        let now = owner.get_policy(&resource).await;
        assert_ne!(now["etag"], read["etag"]);
        owner.set_policy(&resource, &read).await.expect_google_error("409 ABORTED");
    }
}

async fn attack_20_a_policy_without_an_administrator_is_refused(accounts: AccountServer) {
    let owner = &accounts.owner;
    let keep = owner.get_policy(ORGANIZATION).await;
    let only =
        |role: &str, members: Value| json!({ "bindings": [{ "role": role, "members": members }] });
    for policy in [
        json!({}),
        json!({ "bindings": [] }),
        only("roles/owner", json!([owner.member()])),
        only("roles/resourcemanager.projectIamAdmin", json!([owner.member()])),
        only("roles/resourcemanager.organizationAdmin", json!([])),
        // There are no groups here, and an address that nobody has verified means nobody.
        only("roles/resourcemanager.organizationAdmin", json!(["group:admins@example.com"])),
    ] {
        let refused = owner.set_policy(ORGANIZATION, &policy).await;
        assert_eq!(refused.google_outcome(), "400 FAILED_PRECONDITION", "{policy}");
    }
    assert_eq!(owner.get_policy(ORGANIZATION).await, keep);
    let admin = "roles/resourcemanager.organizationAdmin";
    owner.set_policy(ORGANIZATION, &only(admin, json!([owner.member()]))).await.expect_status(200);
    owner.set_policy(ORGANIZATION, &keep).await.expect_google_error("409 ABORTED");
}

/// The last administrator cannot be locked out by any API.
async fn attack_20_the_last_administrator_stays(accounts: AccountServer) {
    let owner = &accounts.owner;
    let account = format!("/v1/{}", owner.account_name());
    let key = format!("/v1/{}", key_name(&accounts.owner_key));
    let refused = async |reply: Reply| {
        reply.expect_google_error("400 FAILED_PRECONDITION");
    };
    let nothing = json!({});
    refused(owner.post(&format!("{account}:disable"), &nothing).await).await;
    refused(owner.delete(&account).await).await;
    refused(owner.post(&format!("{key}:disable"), &nothing).await).await;
    refused(owner.delete(&key).await).await;
    refused(owner.delete("/v1/projects/berth-admin").await).await;
    // The second administrator counts only when it has a key to sign in with.
    owner.create_account(PROJECT, "second-owner").await.expect_status(200);
    let second = format!("second-owner@{PROJECT}.iam.gserviceaccount.com");
    let admin = "roles/resourcemanager.organizationAdmin";
    owner.grant_role(ORGANIZATION, admin, &format!("serviceAccount:{second}")).await;
    refused(owner.post(&format!("{key}:disable"), &nothing).await).await;
    owner.create_key(&second).await;
    owner.post(&format!("{key}:disable"), &nothing).await.expect_status(200);
}

/// The owner of the first project does not own the owner's account.
async fn attack_20_an_owner_of_the_first_project_does_not_own_the_owner(accounts: AccountServer) {
    let (owner, project) = (&accounts.owner, format!("projects/{PROJECT}"));
    let deputy = accounts.create_actor_with("deputy", ("roles/owner", &project)).await;
    let own = deputy.account_name();
    deputy.post(&format!("/v1/{own}/keys"), &json!({})).await.expect_status(200);
    let account = owner.account_name();
    for path in ["keys", ":disable", ":getIamPolicy", ":signJwt"].map(|end| match end {
        "keys" => format!("/v1/{account}/keys"),
        verb => format!("/v1/{account}{verb}"),
    }) {
        deputy.post(&path, &json!({})).await.expect_google_error("403 PERMISSION_DENIED");
    }
    deputy.generate_access_token(&owner.email).await.expect_google_error("403 PERMISSION_DENIED");
    deputy.delete(&format!("/v1/{account}")).await.expect_google_error("403 PERMISSION_DENIED");
    let taken = deputy.create_account("berth-admin", "berth-owner").await;
    taken.expect_google_error("403 PERMISSION_DENIED");
}

/// A caller without the permission to set policies grants nothing, not even its own roles. A caller with the permission
/// may grant any role.
async fn attack_20_only_policy_administrators_grant_roles(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    let (name, project) = (repository_name(PROJECT, "r1"), format!("projects/{PROJECT}"));
    let admin = accounts.create_actor_with("admin-of-r1", (ADMIN, &name)).await;
    let editor = accounts.create_actor_with("editor", ("roles/editor", &project)).await;
    let repo_admin =
        accounts.create_actor_with("repo-admin", ("roles/artifactregistry.repoAdmin", &name)).await;
    let account = format!("projects/{PROJECT}/serviceAccounts/{}", accounts.owner.email);
    for who in [&editor, &repo_admin, &admin] {
        let owned = json!({ "bindings": [{ "role": "roles/owner", "members": [who.member()] }] });
        for resource in [ORGANIZATION, project.as_str(), account.as_str(), name.as_str()] {
            let expected = if who.email == admin.email && resource == name {
                "200"
            } else {
                "403 PERMISSION_DENIED"
            };
            assert_eq!(
                who.set_policy(resource, &owned).await.google_outcome(),
                expected,
                "{} {resource}",
                who.email
            );
        }
    }
    // The owner of a repository owns nothing else.
    admin.get(&format!("/v1/{project}")).await.expect_google_error("403 PERMISSION_DENIED");
    admin.delete(&format!("/v1/{name}")).await.expect_status(200);
}

/// Whoever changes a role gives permissions to all who have it. The permissions on the roles of a project do not reach
/// those of the organization or of another project, and a role that was made gives its author nothing.
async fn attack_20_only_role_administrators_change_roles(accounts: AccountServer) {
    const POWER: &str = "resourcemanager.projects.setIamPolicy";
    const DENIED: &str = "403 PERMISSION_DENIED";
    let (owner, project) = (&accounts.owner, format!("projects/{PROJECT}"));
    owner.create_project("b-project").await.expect_status(200);
    let parents = [project.as_str(), "projects/b-project", ORGANIZATION];
    for parent in parents {
        owner.create_role(parent, "own.role", &[]).await.expect_status(200);
    }
    let change = json!({ "includedPermissions": [POWER] });
    let outcomes = async |who: &GoogleClient, parent: &str, id: &str| {
        let role = format!("/v1/{parent}/roles/own.role");
        [
            who.get(&format!("/v1/{parent}/roles")).await.google_outcome(),
            who.get(&role).await.google_outcome(),
            who.create_role(parent, id, &[POWER]).await.google_outcome(),
            who.patch(&role, &change).await.google_outcome(),
            who.delete(&role).await.google_outcome(),
            who.post(&format!("{role}:undelete"), &json!({})).await.google_outcome(),
        ]
    };
    let nothing = [DENIED; 6];
    let (reads, everything) = (["200", "200", DENIED, DENIED, DENIED, DENIED], ["200"; 6]);
    for (id, role, on, expected) in [
        ("stranger", "roles/artifactregistry.admin", project.as_str(), [nothing; 3]),
        ("viewer", "roles/viewer", &project, [reads, nothing, nothing]),
        ("editor", "roles/editor", &project, [reads, nothing, nothing]),
        ("role-viewer", "roles/iam.roleViewer", &project, [reads, nothing, nothing]),
        ("role-admin", "roles/iam.roleAdmin", &project, [everything, nothing, nothing]),
        ("project-owner", "roles/owner", &project, [everything, nothing, nothing]),
        ("org-viewer", "roles/iam.organizationRoleViewer", ORGANIZATION, [reads; 3]),
        ("org-admin", "roles/iam.organizationRoleAdmin", ORGANIZATION, [everything; 3]),
    ] {
        let who = accounts.create_actor_with(id, (role, on)).await;
        for (parent, expected) in parents.into_iter().zip(expected) {
            let new = format!("by.{}", id.replace('-', "."));
            assert_eq!(outcomes(&who, parent, &new).await, expected, "{id} below {parent}");
        }
        let own = json!({ "bindings": [
            { "role": format!("{project}/roles/own.role"), "members": [who.member()] },
        ] });
        if role != "roles/owner" {
            who.set_policy(&project, &own).await.expect_google_error(DENIED);
        }
    }
}

/// A custom role can have the permission to set the policy of the organization. But it could lose that permission, so
/// that somebody with the predefined role has to be left.
async fn attack_20_custom_roles_make_no_administrators(accounts: AccountServer) {
    const POWER: &str = "resourcemanager.organizations.setIamPolicy";
    let owner = &accounts.owner;
    owner.create_role(ORGANIZATION, "own.admin", &[POWER]).await.expect_status(200);
    let role = format!("{ORGANIZATION}/roles/own.admin");
    let before = owner.get_policy(ORGANIZATION).await;
    let only = json!({ "bindings": [{ "role": role, "members": [owner.member()] }] });
    owner.set_policy(ORGANIZATION, &only).await.expect_google_error("400 FAILED_PRECONDITION");
    assert_eq!(owner.get_policy(ORGANIZATION).await, before);
    let helper = accounts.create_actor_with("helper", (&role, ORGANIZATION)).await;
    let policy = owner.get_policy(ORGANIZATION).await;
    helper.set_policy(ORGANIZATION, &policy).await.expect_status(200);
    // Below a project, the same permission allows nothing.
    let project = format!("projects/{PROJECT}");
    owner.create_role(&project, "own.admin", &[POWER]).await.expect_status(200);
    let local = format!("{project}/roles/own.admin");
    let local = accounts.create_actor_with("local-helper", (&local, &project)).await;
    let policy = owner.get_policy(ORGANIZATION).await;
    local.set_policy(ORGANIZATION, &policy).await.expect_google_error("403 PERMISSION_DENIED");
}

async fn attack_21_output_only_fields_of_repositories_are_not_set(accounts: AccountServer) {
    let owner = &accounts.owner;
    accounts.create_repository("b-project", "victim").await;
    let mut extra = json!({
        "format": "DOCKER", "name": repository_name("b-project", "victim"),
        "createTime": "1999-01-01T00:00:00Z",
        "updateTime": "1999-01-01T00:00:00Z", "sizeBytes": "12345", "registryUri": "evil.example/x",
        "satisfiesPzs": true, "admin": true, "state": "deleting", "description": "made",
    });
    let path = format!("{}?repositoryId=r1", repositories_path(PROJECT));
    // Fields that Google's API does not have are refused. Output-only fields are ignored.
    for unknown in ["admin", "state"] {
        owner.post(&path, &extra).await.expect_google_error("400 INVALID_ARGUMENT");
        extra.as_object_mut().expect("an object").remove(unknown);
    }
    owner.post(&path, &extra).await.expect_status(200);
    let name = repository_name(PROJECT, "r1");
    let made = owner.get(&format!("/v1/{name}")).await.expect_status(200).json();
    assert_eq!((&made["name"], &made["description"]), (&json!(name), &json!("made")));
    assert!(!made["createTime"].as_str().expect("text").starts_with("1999"));
    assert!(["0", ""].contains(&made["sizeBytes"].as_str().unwrap_or_default()), "{made}");
    assert!(!made.to_string().contains("evil.example") && made["admin"].is_null());
    let other = repository_name("b-project", "victim");
    let changed = json!({ "name": other, "description": "changed", "sizeBytes": "9" });
    owner.patch(&format!("/v1/{name}?updateMask=description"), &changed).await.expect_status(200);
    let victim = owner.get(&format!("/v1/{}", repository_name("b-project", "victim"))).await.json();
    assert!(victim["description"].is_null(), "{victim}");
}

async fn attack_21_output_only_fields_of_accounts_and_projects_are_not_set(
    accounts: AccountServer,
) {
    let owner = &accounts.owner;
    owner.create_project("b-project").await.expect_status(200);
    let mut account = json!({
        "accountId": "robot-1", "name": "projects/b-project",
        "serviceAccount": {
            "name": "projects/b-project/serviceAccounts/x@b-project.iam.gserviceaccount.com",
            "projectId": "b-project", "email": accounts.owner.email, "uniqueId": "1",
            "oauth2ClientId": "1", "disabled": true, "etag": "AAAA",
            "displayName": "Robot", "admin": true,
        },
    });
    let accounts_path = format!("/v1/projects/{PROJECT}/serviceAccounts");
    owner.post(&accounts_path, &account).await.expect_google_error("400 INVALID_ARGUMENT");
    account["serviceAccount"].as_object_mut().expect("an object").remove("admin");
    let made = owner.post(&accounts_path, &account).await.expect_status(200).json();
    let email = "robot-1@my-project.iam.gserviceaccount.com";
    assert_eq!(
        (&made["email"], &made["projectId"], &made["displayName"]),
        (&json!(email), &json!(PROJECT), &json!("Robot"))
    );
    assert_eq!(made["uniqueId"].as_str().expect("text").len(), 21);
    assert!(made["disabled"].is_null());
    let renamed = json!({
        "email": "other@b-project.iam.gserviceaccount.com", "uniqueId": "7", "disabled": true,
        "displayName": "Two",
    });
    let path = format!("/v1/projects/{PROJECT}/serviceAccounts/{email}");
    let changed = owner.client.put(&path, renamed.to_string()).await.expect_status(200).json();
    assert_eq!((&changed["email"], &changed["displayName"]), (&json!(email), &json!("Two")));
    assert!(changed["disabled"].is_null() && changed["uniqueId"] == made["uniqueId"]);
    for mask in ["disabled", "email", "uniqueId", "projectId", "name"] {
        let body = json!({ "serviceAccount": renamed, "updateMask": mask });
        owner.patch(&path, &body).await.expect_google_error("400 INVALID_ARGUMENT");
    }
    let body = json!({
        "projectId": "new-project", "projectNumber": "1", "lifecycleState": "DELETE_REQUESTED",
        "createTime": "1999-01-01T00:00:00Z", "parent": { "type": "organization", "id": "2" },
    });
    owner.post("/v1/projects", &body).await.expect_status(200);
    let made = owner.get("/v1/projects/new-project").await.expect_status(200).json();
    assert_eq!((&made["lifecycleState"], &made["parent"]["id"]), (&json!("ACTIVE"), &json!("1")));
    assert!(
        made["projectNumber"].as_str().expect("text").len() == 12
            && !made.to_string().contains("1999-01-01")
    );
}
