//! Entries of Google's APIs and of the token endpoints.

use meta::{Id, events};
use proto::google::devtools::artifactregistry::v1::{
    CreateRepositoryRequest, DeleteRepositoryRequest, Repository,
};
use serde_json::json;

use super::{entry_of, summarize_entries, with_request_id, written_entries};
use crate::util::accounts::{PROJECT, exchange_assertion, post_form, sign_in, test_permissions};
use crate::util::google::{account_name, repository_name};
use crate::util::wire::{Http2Connection, bearer_headers};
use crate::util::{AccountServer, GoogleClient, on_both};

const AR: &str = "google.devtools.artifactregistry.v1.ArtifactRegistry";
const KEYS: &str = "/v1/projects/-/serviceAccounts";

/// Sends requests that are allowed, refused, and not logged.
async fn change_resources(
    AccountServer { owner, server, .. }: &AccountServer,
    stranger: &GoogleClient,
) {
    let (as_owner, as_stranger) = (owner.client.clone(), stranger.client.clone());
    let location = format!("/v1/projects/{PROJECT}/locations/us-west1/repositories");
    let create = format!("{location}?repositoryId=r1");
    let body = json!({ "format": "DOCKER" }).to_string();
    with_request_id(&as_owner, "create").post(&create, body.clone()).await.expect_status(200);
    with_request_id(&as_owner, "again").post(&create, body.clone()).await.expect_status(409);
    with_request_id(&as_stranger, "denied").post(&create, body.clone()).await.expect_status(403);
    with_request_id(&server.anonymous(), "anonymous")
        .post(&create, body.clone())
        .await
        .expect_status(401);
    with_request_id(&server.anonymous().with_token("x"), "refused")
        .post(&create, body)
        .await
        .expect_status(401);
    let policy = format!("{location}/r1:setIamPolicy");
    with_request_id(&as_stranger, "policy").post(&policy, "{}").await.expect_status(403);
    with_request_id(&as_stranger, "delete")
        .delete(&format!("{location}/r1"))
        .await
        .expect_status(403);
    let accounts_path = format!("/v1/projects/{PROJECT}/serviceAccounts");
    let new = r#"{"accountId":"robot-1"}"#;
    with_request_id(&as_owner, "robot").post(&accounts_path, new).await.expect_status(200);
    // Reads, calls that Google does not log, and unknown methods leave no entry.
    as_owner.get(&format!("{location}/r1")).await.expect_status(200);
    as_stranger.get(&format!("{location}/r1")).await.expect_status(403);
    let wanted = ["artifactregistry.repositories.get"];
    test_permissions(owner, &repository_name(PROJECT, "r1"), &wanted).await.expect_status(200);
    as_owner.post("/v1/nothing", "{}").await.expect_status(404);
}

on_both![
    api_calls_are_recorded,
    rest_and_grpc_leave_the_same_entries,
    credential_calls_are_recorded,
    changes_of_roles_are_recorded,
    strange_names_are_recorded_safely
];

async fn api_calls_are_recorded(accounts: AccountServer) {
    let AccountServer { server, owner, owner_key } = &accounts;
    let stranger = accounts.create_actor("stranger").await;
    let before = written_entries(server).await.len();
    change_resources(&accounts, &stranger).await;
    let entries = written_entries(server).await.split_off(before);
    let iam = "google.iam.admin.v1.IAM";
    assert_eq!(
        summarize_entries(&entries),
        [
            format!("{AR}.CreateRepository 0 create+"),
            format!("{AR}.CreateRepository 6 create+"),
            format!("{AR}.CreateRepository 7 create-"),
            format!("{AR}.CreateRepository 16 create-"),
            format!("{AR}.CreateRepository 16"),
            format!("{AR}.SetIamPolicy 7 setIamPolicy-"),
            format!("{AR}.DeleteRepository 7 delete-"),
            format!("{iam}.CreateServiceAccount 0 create+"),
        ]
    );
    let created = entry_of(&entries, "create");
    let log = "projects/my-project/logs/cloudaudit.googleapis.com%2Factivity";
    assert_eq!((&created["logName"], &created["severity"]), (&json!(log), &json!("NOTICE")));
    let payload = &created["protoPayload"];
    assert_eq!(payload["serviceName"], "artifactregistry.googleapis.com");
    assert_eq!(payload["resourceName"], repository_name(PROJECT, "r1"));
    assert_eq!(
        payload["authenticationInfo"],
        json!({
            "principalEmail": owner.email,
            "serviceAccountKeyName": format!(
                "//iam.googleapis.com/projects/berth-admin/serviceAccounts/{}/keys/{}",
                owner.email, owner_key.id()
            ),
        })
    );
    assert_eq!(
        payload["authorizationInfo"],
        json!([{
            "resource": format!("projects/{PROJECT}/locations/us-west1"),
            "permission": "artifactregistry.repositories.create",
            "granted": true,
            "permissionType": "ADMIN_WRITE",
        }])
    );
    let denied = entry_of(&entries, "denied");
    assert_eq!((&denied["logName"], &denied["severity"]), (&json!(log), &json!("ERROR")));
    let message = denied["protoPayload"]["status"]["message"].as_str().expect("text");
    assert!(message.contains("artifactregistry.repositories.create"), "{message}");
    // The token was made by impersonation, so that there is no key.
    let who = json!({ "principalEmail": stranger.email });
    assert_eq!(denied["protoPayload"]["authenticationInfo"], who);
    let robot = entry_of(&entries, "robot");
    let name = "projects/my-project/serviceAccounts/robot-1@my-project.iam.gserviceaccount.com";
    assert_eq!(robot["protoPayload"]["resourceName"], name);
    assert_eq!(robot["protoPayload"]["serviceName"], "iam.googleapis.com");
}

async fn rest_and_grpc_leave_the_same_entries(accounts: AccountServer) {
    let AccountServer { server, owner, .. } = &accounts;
    let stranger = accounts.create_actor("stranger").await;
    let before = written_entries(server).await.len();
    let wire = Http2Connection::connect(server.address).await;
    let path = "/google.devtools.artifactregistry.v1.ArtifactRegistry/DeleteRepository";
    let message = DeleteRepositoryRequest { name: repository_name(PROJECT, "none") };
    let delete = format!("/v1/{}", message.name);
    for (caller, grpc, rest) in [(&stranger, "7", 403), (owner, "5", 404)] {
        let reply = wire.call_grpc(path, bearer_headers(Some(&caller.token)), &message).await;
        assert_eq!(reply.header("grpc-status"), grpc);
        caller.delete(&delete).await.expect_status(rest);
    }
    let created = CreateRepositoryRequest {
        parent: format!("projects/{PROJECT}/locations/us-west1"),
        repository_id: "r2".to_owned(),
        repository: Some(Repository { format: 1, ..Repository::default() }),
    };
    let path = "/google.devtools.artifactregistry.v1.ArtifactRegistry/CreateRepository";
    let reply = wire.call_grpc(path, bearer_headers(Some(&owner.token)), &created).await;
    assert_eq!(reply.header("grpc-status"), "0");
    let entries = written_entries(server).await.split_off(before);
    let (denied, unknown) = ("DeleteRepository 7 delete-", "DeleteRepository 5 delete+");
    let expected = [denied, denied, unknown, unknown, "CreateRepository 0 create+"];
    assert_eq!(summarize_entries(&entries), expected.map(|entry| format!("{AR}.{entry}")));
    let message = |entry: usize| &entries[entry]["protoPayload"]["status"]["message"];
    assert_eq!((message(0), message(2)), (message(1), message(3)));
    assert_eq!(entries[4]["protoPayload"]["resourceName"], repository_name(PROJECT, "r2"));
}

async fn credential_calls_are_recorded(accounts: AccountServer) {
    let AccountServer { server, owner, owner_key } = &accounts;
    let (delegate, robot) =
        (accounts.create_actor("delegate").await, accounts.create_actor("robot-1").await);
    let before = written_entries(server).await.len();
    let path = format!("{KEYS}/{}:generateAccessToken", robot.email);
    let ask = json!({ "scope": ["x"] });
    with_request_id(&owner.client, "impersonated")
        .post(&path, ask.to_string())
        .await
        .expect_status(200);
    with_request_id(&delegate.client, "denied")
        .post(&path, ask.to_string())
        .await
        .expect_status(403);
    let chain = json!({ "scope": ["x"], "delegates": [account_name(&delegate.email)] });
    with_request_id(&owner.client, "chain").post(&path, chain.to_string()).await.expect_status(403);
    owner
        .grant_role(
            &robot.account_name(),
            "roles/iam.serviceAccountTokenCreator",
            &delegate.member(),
        )
        .await;
    let again =
        async || with_request_id(&owner.client, "chained").post(&path, chain.to_string()).await;
    again().await.expect_status(200);
    owner.create_key(&robot.email).await;
    // The entry of a refused credential names nobody, and does not repeat the credential.
    let other = owner_key.with_field("private_key_id", "0123").file.to_string();
    with_request_id(&accounts.basic_client("_json_key", &other), "token")
        .get("/v2/token")
        .await
        .expect_status(401);
    let fields = [("grant_type", "password"), ("username", "_token"), ("password", "hunter2")];
    post_form(&with_request_id(&accounts.anonymous(), "form"), "/v2/token", &fields)
        .await
        .expect_status(401);
    exchange_assertion(&with_request_id(&accounts.anonymous(), "assertion"), "a.b.c")
        .await
        .expect_status(400);
    accounts.anonymous().get("/v2/token").await.expect_status(200);
    let signed_in = sign_in(server, owner_key).await;
    let revoke = with_request_id(&accounts.anonymous(), "revoked");
    post_form(&revoke, "/revoke", &[("token", &signed_in.token)]).await.expect_status(200);
    post_form(&accounts.anonymous(), "/revoke", &[("token", "x")]).await.expect_status(200);
    let entries = written_entries(server).await.split_off(before);
    let credentials = "google.iam.credentials.v1.IAMCredentials.GenerateAccessToken";
    let iam = "google.iam.admin.v1.IAM";
    assert_eq!(
        summarize_entries(&entries),
        [
            format!("{credentials} 0 getAccessToken+"),
            format!("{credentials} 7 getAccessToken-"),
            // The owner may act as the delegate, but the delegate not yet as the robot.
            format!("{credentials} 7 getAccessToken-"),
            format!("{iam}.SetIamPolicy 0 setIamPolicy+"),
            format!("{credentials} 0 implicitDelegation+ getAccessToken+"),
            format!("{iam}.CreateServiceAccountKey 0 create+"),
            "Docker-Token 16".to_owned(),
            "Docker-Token 16".to_owned(),
            "Token 16".to_owned(),
            "RevokeToken 0".to_owned(),
        ]
    );
    let robots = format!("projects/{PROJECT}/serviceAccounts/{}", robot.email);
    assert_eq!(entries[0]["protoPayload"]["resourceName"], robots);
    let key = entries[5]["protoPayload"]["resourceName"].as_str().expect("text");
    assert!(key.starts_with(&format!("{robots}/keys/")), "{key}");
    let text = std::fs::read_to_string(server.data.join("audit.log")).expect("there");
    assert!(!text.contains("hunter2") && !text.contains("a.b.c"));
    let revoked = &entry_of(&entries, "revoked")["protoPayload"];
    assert_eq!(revoked["authenticationInfo"], json!({ "principalEmail": owner.email }));
}

/// Each change of a role is in the audit log with its outcome, and each that was made is an event.
async fn changes_of_roles_are_recorded(accounts: AccountServer) {
    let AccountServer { server, owner, .. } = &accounts;
    let stranger = accounts.create_actor("stranger").await;
    let before = written_entries(server).await.len();
    let parent = format!("projects/{PROJECT}");
    let (role, path) = (format!("{parent}/roles/own"), format!("/v1/{parent}/roles/own"));
    let change = json!({ "title": "Two" });
    owner.create_role(&parent, "own", &[]).await.expect_status(200);
    owner.create_role(&parent, "own", &[]).await.expect_status(409);
    stranger.create_role(&parent, "other", &[]).await.expect_status(403);
    owner.patch(&path, &change).await.expect_status(200);
    stranger.patch(&path, &change).await.expect_status(403);
    stranger.delete(&path).await.expect_status(403);
    owner.delete(&path).await.expect_status(200);
    owner.post(&format!("{path}:undelete"), &json!({})).await.expect_status(200);
    // Reads leave no entry.
    owner.get(&path).await.expect_status(200);
    stranger.get(&path).await.expect_status(403);
    let entries = written_entries(server).await.split_off(before);
    let iam = "google.iam.admin.v1.IAM";
    assert_eq!(
        summarize_entries(&entries),
        [
            format!("{iam}.CreateRole 0 create+"),
            format!("{iam}.CreateRole 6 create+"),
            format!("{iam}.CreateRole 7 create-"),
            format!("{iam}.UpdateRole 0 update+"),
            format!("{iam}.UpdateRole 7 update-"),
            format!("{iam}.DeleteRole 7 delete-"),
            format!("{iam}.DeleteRole 0 delete+"),
            format!("{iam}.UndeleteRole 0 undelete+"),
        ]
    );
    for entry in [&entries[0], &entries[3], &entries[5]] {
        assert_eq!(entry["protoPayload"]["resourceName"], role);
        assert_eq!(entry["protoPayload"]["authorizationInfo"][0]["resource"], parent);
    }
    let meta = server.open_meta().await;
    let events = meta.read(|tx| events::list_after(tx, &Id::from([0; 16]), 1_000));
    let events = events.await.expect("readable").into_iter().map(|(_, event)| event);
    let of_role: Vec<_> = events.filter(|event| event.resource == role).collect();
    let actions: Vec<_> = of_role.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["create-role", "update-role", "delete-role", "undelete-role"]);
    assert!(of_role.iter().all(|event| event.principal == owner.member()));
}

async fn strange_names_are_recorded_safely(accounts: AccountServer) {
    let AccountServer { server, owner, .. } = &accounts;
    accounts.create_repository(PROJECT, "r1").await;
    let before = written_entries(server).await.len();
    let name = "a\n{\"insertId\":\"x\"}\u{85}\u{9b}2J";
    let encoded = "a%0A%7B%22insertId%22:%22x%22%7D%C2%85%C2%9B2J";
    let path = format!("/v1/{}/packages/{encoded}", repository_name(PROJECT, "r1"));
    let agent = "gcloud \" \\ \u{9b}2J";
    let client = with_request_id(&owner.client, "named").with_header("user-agent", agent);
    assert_ne!(client.delete(&path).await.status.as_u16(), 403);
    // The name is not the name of a repository.
    let path = format!("/v1/projects/{PROJECT}/locations/us-west1/repositories/{encoded}");
    with_request_id(&owner.client, "nameless").delete(&path).await.expect_status(400);
    let entries = written_entries(server).await.split_off(before);
    assert_eq!(entries.len(), 2);
    let payload = &entry_of(&entries, "named")["protoPayload"];
    assert_eq!(payload["methodName"], format!("{AR}.DeletePackage"));
    assert_eq!(
        payload["resourceName"],
        format!("{}/packages/{name}", repository_name(PROJECT, "r1"))
    );
    assert_eq!(payload["authorizationInfo"][0]["resource"], repository_name(PROJECT, "r1"));
    assert_eq!(payload["requestMetadata"]["callerSuppliedUserAgent"], agent);
    assert_eq!(entry_of(&entries, "nameless")["protoPayload"]["resourceName"], "");
    let text = std::fs::read_to_string(server.data.join("audit.log")).expect("there");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
}
