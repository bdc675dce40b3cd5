//! Invalid repositories, projects, accounts and keys.

use serde_json::{Value, json};

use super::bad_input::expect_field_named;
use crate::util::accounts::{PROJECT, repositories_path};
use crate::util::google::repository_name;
use crate::util::{AccountServer, on_both};

/// The field that is wrong, and the repository's body.
const REPOSITORIES: [(&str, &str); 24] = [
    ("repository.format", "{}"),
    ("format", r#"{"format":"BOGUS"}"#),
    ("mode", r#"{"format":"DOCKER","mode":"BOGUS"}"#),
    ("repository.labels", r#"{"format":"DOCKER","labels":{"Team":"a"}}"#),
    ("repository.labels", r#"{"format":"DOCKER","labels":{"team":"A B"}}"#),
    ("repository.labels", r#"{"format":"DOCKER","labels":{"":"a"}}"#),
    ("repository.labels", r#"{"format":"DOCKER","labels":{"a\u0000":"a"}}"#),
    ("labels", r#"{"format":"DOCKER","labels":["team"]}"#),
    ("labels", r#"{"format":"DOCKER","labels":{"team":5}}"#),
    ("repository.description", r#"{"format":"DOCKER","description":"\u0000"}"#),
    ("description", r#"{"format":"DOCKER","description":{}}"#),
    ("remote_repository_config", r#"{"format":"DOCKER","mode":"REMOTE_REPOSITORY"}"#),
    (
        "remote_repository_config",
        r#"{"format":"DOCKER","mode":"REMOTE_REPOSITORY","remoteRepositoryConfig":{"commonRepository":{"uri":"file:///etc/passwd"}}}"#,
    ),
    (
        "repository.mode",
        r#"{"format":"DOCKER","remoteRepositoryConfig":{"commonRepository":{"uri":"https://registry.example"}}}"#,
    ),
    ("repository.mode", r#"{"format":"DOCKER","disallowUnspecifiedMode":true}"#),
    (
        "repository.kms_key_name",
        r#"{"format":"DOCKER","kmsKeyName":"projects/p/locations/l/keyRings/r/cryptoKeys/k"}"#,
    ),
    (
        "repository.cleanup_policies",
        r#"{"format":"DOCKER","cleanupPolicies":{"a":{"id":"b","action":"KEEP"}}}"#,
    ),
    ("repository.cleanup_policies", r#"{"format":"DOCKER","cleanupPolicies":{"a":{"id":"a"}}}"#),
    (
        "repository.cleanup_policies",
        r#"{"format":"DOCKER","cleanupPolicies":{"a":{"id":"a","action":"DELETE","mostRecentVersions":{"keepCount":1}}}}"#,
    ),
    (
        "remote_repository_config",
        r#"{"format":"DOCKER","mode":"REMOTE_REPOSITORY","remoteRepositoryConfig":{"commonRepository":{"uri":"projects/p"}}}"#,
    ),
    (
        "repository",
        r#"{"format":"DOCKER","mode":"REMOTE_REPOSITORY","remoteRepositoryConfig":{"commonRepository":{"uri":"projects/my-project/locations/us-west1/repositories/absent"}}}"#,
    ),
    (
        "repository",
        r#"{"format":"DOCKER","mode":"VIRTUAL_REPOSITORY","virtualRepositoryConfig":{"upstreamPolicies":[{"id":"a","repository":"projects/my-project/locations/us-west1/repositories/absent"}]}}"#,
    ),
    (
        "repository",
        r#"{"format":"DOCKER","mode":"VIRTUAL_REPOSITORY","virtualRepositoryConfig":{"upstreamPolicies":[{"id":"a","repository":"projects/my-project/locations/us-west1/repositories/new"}]}}"#,
    ),
    (
        "upstream_policies",
        r#"{"format":"DOCKER","mode":"VIRTUAL_REPOSITORY","virtualRepositoryConfig":{"upstreamPolicies":[{"id":"a","repository":"nothing"}]}}"#,
    ),
];

/// Invalid ids of repositories, as in a query.
const REPOSITORY_IDS: [&str; 13] = [
    "",
    "R1",
    "1r",
    "-r",
    "r-",
    "r_1",
    "r.1",
    "r/1",
    "r%201",
    "r%0A",
    "..",
    "%E2%82%AC",
    "gcr.io.evil",
];

/// Invalid ids of projects.
const PROJECT_IDS: [&str; 14] = [
    "",
    "short",
    "Capital",
    "1-number",
    "-hyphen",
    "hyphen-",
    "under_score",
    "dot.dot",
    "a b c d",
    "example.com:",
    ":my-project",
    "a:b:my-project",
    "EXAMPLE.com:my-project",
    "line\nbreak",
];

on_both![
    invalid_repositories_are_refused,
    invalid_changes_are_refused,
    invalid_projects_are_refused,
    invalid_accounts_are_refused,
    invalid_keys_and_operations_are_refused
];

async fn invalid_repositories_are_refused(accounts: AccountServer) {
    let owner = &accounts.owner;
    let path = repositories_path(PROJECT);
    let long = "r".repeat(64);
    for id in REPOSITORY_IDS.iter().copied().chain([long.as_str()]) {
        expect_field_named(owner.create_repository(PROJECT, id).await, "repository_id", id);
    }
    let create = async |body: Value| owner.post(&format!("{path}?repositoryId=new"), &body).await;
    for (field, body) in REPOSITORIES {
        let repository = serde_json::from_str(body).expect("JSON");
        expect_field_named(create(repository).await, field, body);
    }
    let many: Value = (0..65).map(|n| (format!("k{n}"), json!("v"))).collect();
    let many = create(json!({ "format": "DOCKER", "labels": many })).await;
    expect_field_named(many, "repository.labels", "65 labels");
    let long = create(json!({ "format": "DOCKER", "description": "x".repeat(1_025) })).await;
    expect_field_named(long, "repository.description", "a long text");
    // The status is not 501, because gcloud would repeat the request for half a minute.
    expect_field_named(create(json!({ "format": "NPM" })).await, "repository.format", "NPM");
    let listed = owner.get(&path).await.expect_status(200).json();
    assert!(listed["repositories"].is_null(), "nothing was made");
    create(json!({ "format": "DOCKER" })).await.expect_status(200);
    create(json!({ "format": "DOCKER" })).await.expect_google_error("409 ALREADY_EXISTS");
    owner.create_repository("absent-project", "r1").await.expect_google_error("404 NOT_FOUND");
    let nowhere = format!("/v1/projects/{PROJECT}/locations/mars/repositories?repositoryId=new");
    expect_field_named(
        owner.post(&nowhere, &json!({ "format": "DOCKER" })).await,
        "parent",
        "mars",
    );
    for (project, place) in [(PROJECT, "US"), ("My-Project", "us-west1")] {
        let path = format!("/v1/projects/{project}/locations/{place}/repositories");
        expect_field_named(owner.get(&path).await, "name", &path);
    }
    expect_field_named(owner.get(&format!("{path}/R")).await, "name", "R");
}

async fn invalid_changes_are_refused(accounts: AccountServer) {
    let owner = &accounts.owner;
    owner.create_repository(PROJECT, "r1").await.expect_status(200);
    let name = format!("/v1/{}", repository_name(PROJECT, "r1"));
    let before = owner.get(&name).await.expect_status(200).json();
    for mask in [
        "name",
        "bogus",
        "format",
        "mode",
        "sizeBytes",
        "createTime",
        "labels,bogus",
        "..",
        "description.,x",
    ] {
        let path = format!("{name}?updateMask={mask}");
        let reply = owner.patch(&path, &json!({ "description": "x" })).await;
        expect_field_named(reply, "update_mask", mask);
    }
    for (field, body) in [
        ("repository.mode", json!({ "mode": "REMOTE_REPOSITORY" })),
        ("repository.labels", json!({ "labels": { "A": "b" } })),
        ("repository.description", json!({ "description": "x".repeat(2_000) })),
    ] {
        expect_field_named(owner.patch(&name, &body).await, field, &body.to_string());
    }
    let deep = format!("{{\"labels\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let huge = format!("{{\"description\":\"{}\"}}", "x".repeat(5 << 20));
    for body in ["[]", "null", "{", "{}x", "\"x\"", "5", &deep, &huge] {
        let reply = owner.client.patch(&name, body.to_owned()).await;
        assert_eq!(reply.google_outcome(), "400 INVALID_ARGUMENT", "{body:.40}");
    }
    assert_eq!(owner.get(&name).await.expect_status(200).json(), before);
}

async fn invalid_projects_are_refused(accounts: AccountServer) {
    let owner = &accounts.owner;
    let long = "a".repeat(31);
    for id in PROJECT_IDS.iter().copied().chain([long.as_str(), "nul-nul\0"]) {
        expect_field_named(owner.create_project(id).await, "project_id", id);
    }
    for id in ["example.com:my-project", "a23456", &"a".repeat(30)] {
        owner.create_project(id).await.expect_status(200);
    }
    for (field, project) in [
        ("labels", json!({ "projectId": "good-project", "labels": { "A": "b" } })),
        ("name", json!({ "projectId": "good-project", "name": "\0" })),
        ("name", json!({ "projectId": "good-project", "name": "x".repeat(1_000) })),
        ("projectId", json!({ "projectId": 5 })),
    ] {
        let created = owner.post("/v1/projects", &project).await;
        expect_field_named(created, field, field);
    }
    owner.create_project(PROJECT).await.expect_google_error("409 ALREADY_EXISTS");
}

async fn invalid_accounts_are_refused(accounts: AccountServer) {
    let owner = &accounts.owner;
    let long = "a".repeat(31);
    let ids = PROJECT_IDS.iter().copied().chain([long.as_str(), "a@b-project", "nul-nul\0"]);
    for id in ids {
        expect_field_named(owner.create_account(PROJECT, id).await, "account_id", id);
    }
    let path = format!("/v1/projects/{PROJECT}/serviceAccounts");
    for (field, account) in [
        ("display_name", json!({ "displayName": "x".repeat(101) })),
        ("display_name", json!({ "displayName": "\0" })),
        ("description", json!({ "description": "x".repeat(257) })),
    ] {
        let body = json!({ "accountId": "good-account", "serviceAccount": account });
        expect_field_named(owner.post(&path, &body).await, field, field);
    }
    owner.create_account(PROJECT, "robot-1").await.expect_status(200);
    owner.create_account(PROJECT, "robot-1").await.expect_google_error("409 ALREADY_EXISTS");
    for account in [
        "nobody",
        "robot-1@evil.example",
        "robot-1@my-project.iam.gserviceaccount.com.evil.example",
        "a%2Fb@my-project.iam.gserviceaccount.com",
        "%00",
    ] {
        expect_field_named(owner.get(&format!("{path}/{account}")).await, "name", account);
    }
}

async fn invalid_keys_and_operations_are_refused(accounts: AccountServer) {
    let owner = &accounts.owner;
    owner.create_account(PROJECT, "robot-1").await.expect_status(200);
    let robot =
        format!("/v1/projects/{PROJECT}/serviceAccounts/robot-1@{PROJECT}.iam.gserviceaccount.com");
    for (field, body) in [
        ("private_key_type", json!({ "privateKeyType": "TYPE_PKCS12_FILE" })),
        ("key_algorithm", json!({ "keyAlgorithm": "KEY_ALG_RSA_1024" })),
        ("keyAlgorithm", json!({ "keyAlgorithm": "RSA" })),
    ] {
        expect_field_named(owner.post(&format!("{robot}/keys"), &body).await, field, field);
    }
    for key in ["%00", "x", "..", "%25", &"0".repeat(40), &"0".repeat(5_000)] {
        let path = format!("{robot}/keys/{key}");
        owner.get(&path).await.expect_google_error("404 NOT_FOUND");
        owner.delete(&path).await.expect_google_error("404 NOT_FOUND");
    }
    for operation in ["%00", "x", &"0".repeat(5_000)] {
        let path = format!("/v1/operations/{operation}");
        owner.get(&path).await.expect_google_error("404 NOT_FOUND");
    }
    // An account may have ten keys, besides the one that the system manages.
    for _ in 0..10 {
        owner.post(&format!("{robot}/keys"), &json!({})).await.expect_status(200);
    }
    let eleventh = owner.post(&format!("{robot}/keys"), &json!({})).await;
    eleventh.expect_google_error("400 FAILED_PRECONDITION");
    let own = owner.get(&format!("{robot}/keys?keyTypes=SYSTEM_MANAGED")).await.expect_status(200);
    let own = own.json()["keys"][0]["name"].as_str().expect("text").to_owned();
    owner.delete(&format!("/v1/{own}")).await.expect_google_error("400 FAILED_PRECONDITION");
}
