//! Invalid input is refused with an error that names the field.

use http::Method;
use serde_json::{Value, json};

use crate::util::accounts::{ORGANIZATION, PROJECT, repositories_path};
use crate::util::google::repository_name;
use crate::util::{AccountServer, Reply, on_both};

/// Asserts that an argument was refused, and that the message and the details name the field.
#[track_caller]
pub(crate) fn expect_field_named(reply: Reply, field: &str, what: &str) {
    assert_eq!(reply.google_outcome(), "400 INVALID_ARGUMENT", "{what}: {reply:#?}");
    let error = reply.json()["error"].clone();
    let message = error["message"].as_str().expect("text");
    assert!(message.contains(field), "{what}: {message:?} does not name {field}");
    assert!(message.len() < 3_000, "{what}: nobody reads so much");
    let details = error["details"].as_array().expect("a list");
    let violations =
        details.iter().flat_map(|detail| detail["fieldViolations"].as_array()).flatten();
    let mut fields = violations.map(|violation| violation["field"].as_str().expect("text"));
    assert!(fields.any(|named| named.contains(field)), "{what}: {details:?}");
}

/// Roles that do not exist.
const ROLES: [&str; 9] = [
    "",
    "reader",
    "roles/none",
    "roles/artifactregistry.Reader",
    "projects/p/roles/custom",
    "projects/my-project/roles/custom",
    "organizations/1/roles/custom",
    "organizations/2/roles/custom",
    "roles/artifactregistry.reader ",
];

/// Members that are invalid or unknown.
const MEMBERS: [&str; 11] = [
    "",
    "everybody",
    "user:",
    "user:nobody",
    "user:a@b@c",
    "serviceAccount:a@example.com",
    "domain:",
    "allusers",
    "group:x y@z",
    "deleted:serviceAccount:a@b.iam.gserviceaccount.com?uid=1",
    "user:a@example.com\0",
];

on_both![
    invalid_page_sizes_and_page_tokens_are_refused,
    invalid_policies_are_refused,
    outdated_policies_and_missing_resources_are_refused,
    unknown_paths_are_not_found
];

async fn invalid_page_sizes_and_page_tokens_are_refused(accounts: AccountServer) {
    let owner = &accounts.owner;
    for id in ["r1", "r2", "r3"] {
        owner.create_repository(PROJECT, id).await.expect_status(200);
    }
    owner.create_account(PROJECT, "account-0").await.expect_status(200);
    let lists = [
        (repositories_path(PROJECT), "repositories"),
        (format!("/v1/projects/{PROJECT}/serviceAccounts"), "accounts"),
        ("/v1/projects".to_owned(), "projects"),
    ];
    for (path, field) in &lists {
        expect_field_named(owner.get(&format!("{path}?pageSize=-1")).await, "page_size", path);
        for size in ["many", "1.5", "99999999999", "0x1", "[]"] {
            expect_field_named(
                owner.get(&format!("{path}?pageSize={size}")).await,
                "pageSize",
                size,
            );
        }
        for token in ["%00", "zzzz", "%F0%9F%90%B3", "..", "my-project"] {
            let reply = owner.get(&format!("{path}?pageToken={token}")).await;
            expect_field_named(reply, "page_token", token);
        }
        for query in ["pageSize=0", "pageSize=2147483647", "page_size=1", "nonsense=1"] {
            owner.get(&format!("{path}?{query}")).await.expect_status(200);
        }
        let page = owner.get(&format!("{path}?pageSize=1")).await.expect_status(200).json();
        assert_eq!(page[field].as_array().map_or(0, Vec::len), 1);
    }
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = owner
            .get(&format!("{}?pageSize=2&pageToken={token}", lists[0].0))
            .await
            .expect_status(200)
            .json();
        found.extend(
            page["repositories"].as_array().expect("a list").iter().map(|one| one["name"].clone()),
        );
        match page["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(found, ["r1", "r2", "r3"].map(|id| json!(repository_name(PROJECT, id))));
}

async fn invalid_policies_are_refused(accounts: AccountServer) {
    let owner = &accounts.owner;
    accounts.create_repository(PROJECT, "r1").await;
    let long = "x".repeat(5_000);
    let reader = "roles/artifactregistry.reader";
    for resource in [repository_name(PROJECT, "r1").as_str(), "projects/my-project", ORGANIZATION] {
        let set = async |role: &str, members: Value| {
            let policy = json!({ "bindings": [{ "role": role, "members": members }] });
            owner.set_policy(resource, &policy).await
        };
        for role in ROLES.iter().copied().chain([long.as_str()]) {
            expect_field_named(set(role, json!(["allUsers"])).await, "policy", role);
        }
        for member in MEMBERS.iter().copied().chain([long.as_str()]) {
            expect_field_named(set(reader, json!([member])).await, "policy", member);
        }
        let many: Vec<_> = (0..1_501).map(|n| format!("user:u{n}@example.com")).collect();
        expect_field_named(set(reader, json!(many)).await, "policy", "too many");
        let conditional = json!({ "bindings": [{
                "role": reader, "members": ["allUsers"], "condition": { "expression": "true" },
            }] });
        for (field, policy) in [
            ("policy", conditional),
            ("bindings", json!({ "bindings": "none" })),
            ("etag", json!({ "etag": "not base64!" })),
        ] {
            expect_field_named(owner.set_policy(resource, &policy).await, field, field);
        }
    }
}

async fn outdated_policies_and_missing_resources_are_refused(accounts: AccountServer) {
    let owner = &accounts.owner;
    accounts.create_repository(PROJECT, "r1").await;
    let account =
        |id: &str| format!("projects/-/serviceAccounts/{id}@{PROJECT}.iam.gserviceaccount.com");
    for resource in [repository_name(PROJECT, "r1").as_str(), "projects/my-project", ORGANIZATION] {
        for etag in ["AAAA", "bm9uZTE="] {
            let mut policy = owner.get_policy(resource).await;
            policy["etag"] = json!(etag);
            owner.set_policy(resource, &policy).await.expect_google_error("409 ABORTED");
        }
        let many: Vec<_> = (0..101).map(|n| format!("a.b.c{n}")).collect();
        let path = format!("/v1/{resource}:testIamPermissions");
        let reply = owner.post(&path, &json!({ "permissions": many })).await;
        expect_field_named(reply, "permissions", "too many");
    }
    for resource in
        [repository_name(PROJECT, "absent").as_str(), "projects/absent-project", &account("absent")]
    {
        owner.set_policy(resource, &json!({})).await.expect_google_error("404 NOT_FOUND");
    }
    owner
        .set_policy("organizations/2", &json!({}))
        .await
        .expect_google_error("400 INVALID_ARGUMENT");
}

async fn unknown_paths_are_not_found(accounts: AccountServer) {
    for client in [&accounts.owner.client, &accounts.anonymous()] {
        for path in [
            "/v1/",
            "/v1/nothing",
            "/v1/projects/my-project/nothing",
            "/v1/projects/my-project/locations/us-west1/repositories/r1/nothing",
            "/v1beta2/projects/my-project/nothing",
            "/v1/storage/b",
            "/v1/%2e%2e/x",
        ] {
            for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                let reply = client.send(method.clone(), path, "{}").await;
                assert_eq!(reply.google_outcome(), "404 NOT_FOUND", "{method} {path}");
                let error = reply.json()["error"].clone();
                assert!(error["code"] == 404 && error["message"].is_string(), "{error}");
            }
        }
    }
    // A method of the contract that is not built answers 501.
    let unwritten = "/v1/projects/my-project/locations/us-west1/vpcscConfig";
    accounts.owner.patch(unwritten, &json!({})).await.expect_google_error("501 UNIMPLEMENTED");
}
