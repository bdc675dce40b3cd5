//! What breaks a rule is refused in words that name the field.

use http::Method;
use serde_json::{Value, json};

use crate::util::accounts::{ORGANIZATION, PROJECT, repositories};
use crate::util::google::repository;
use crate::util::{Accounts, Reply, on_both};

/// Asserts that an argument was refused, and that the answer names the field, in its message and for programs.
#[track_caller]
fn names_field(reply: Reply, field: &str, what: &str) {
    assert_eq!(reply.google(), "400 INVALID_ARGUMENT", "{what}: {reply:#?}");
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

on_both! {
    async fn repositories_that_break_a_rule(accounts: Accounts) {
        let owner = &accounts.owner;
        let path = repositories(PROJECT);
        for id in ["", "R1", "1r", "-r", "r-", "r_1", "r.1", "r/1", "r%201", "r%0A", "..", "%E2%82%AC", "gcr.io.evil", &"r".repeat(64)] {
            names_field(owner.create_repository(PROJECT, id).await, "repository_id", id);
        }
        let create = async |body: Value| owner.post(&format!("{path}?repositoryId=new"), &body).await;
        for (field, body) in [
            ("repository.format", json!({})),
            ("format", json!({ "format": "BOGUS" })),
            ("mode", json!({ "format": "DOCKER", "mode": "BOGUS" })),
            ("repository.labels", json!({ "format": "DOCKER", "labels": { "Team": "a" } })),
            ("repository.labels", json!({ "format": "DOCKER", "labels": { "team": "A B" } })),
            ("repository.labels", json!({ "format": "DOCKER", "labels": { "": "a" } })),
            ("repository.labels", json!({ "format": "DOCKER", "labels": { "a\0": "a" } })),
            ("repository.labels", json!({ "format": "DOCKER", "labels": (0..65).map(|n| (format!("k{n}"), json!("v"))).collect::<Value>() })),
            ("labels", json!({ "format": "DOCKER", "labels": ["team"] })),
            ("labels", json!({ "format": "DOCKER", "labels": { "team": 5 } })),
            ("repository.description", json!({ "format": "DOCKER", "description": "x".repeat(1_025) })),
            ("repository.description", json!({ "format": "DOCKER", "description": "\0" })),
            ("description", json!({ "format": "DOCKER", "description": {} })),
            ("remote_repository_config", json!({ "format": "DOCKER", "mode": "REMOTE_REPOSITORY" })),
            ("remote_repository_config", json!({ "format": "DOCKER", "mode": "REMOTE_REPOSITORY", "remoteRepositoryConfig": { "commonRepository": { "uri": "file:///etc/passwd" } } })),
            ("repository.mode", json!({ "format": "DOCKER", "remoteRepositoryConfig": { "commonRepository": { "uri": "https://registry.example" } } })),
            ("upstream_policies", json!({ "format": "DOCKER", "mode": "VIRTUAL_REPOSITORY", "virtualRepositoryConfig": { "upstreamPolicies": [{ "id": "a", "repository": "nothing" }] } })),
        ] {
            names_field(create(body.clone()).await, field, &body.to_string());
        }
        create(json!({ "format": "NPM" })).await.expect_google("501 UNIMPLEMENTED");
        assert!(owner.get(&path).await.expect(200).json()["repositories"].is_null(), "nothing was made");
        create(json!({ "format": "DOCKER" })).await.expect(200);
        create(json!({ "format": "DOCKER" })).await.expect_google("409 ALREADY_EXISTS");
        let name = format!("/v1/{}", repository(PROJECT, "new"));
        for mask in ["name", "bogus", "format", "mode", "sizeBytes", "createTime", "labels,bogus", "..", "description.,x"] {
            let reply = owner.patch(&format!("{name}?updateMask={mask}"), &json!({ "description": "x" })).await;
            names_field(reply, "update_mask", mask);
        }
        for (field, body) in [
            ("repository.mode", json!({ "mode": "REMOTE_REPOSITORY" })),
            ("repository.labels", json!({ "labels": { "A": "b" } })),
            ("repository.description", json!({ "description": "x".repeat(2_000) })),
        ] {
            names_field(owner.patch(&name, &body).await, field, &body.to_string());
        }
        for body in ["[]", "null", "{", "{}x", "\"x\"", "5"] {
            let reply = owner.client.patch(&name, body).await;
            assert_eq!(reply.google(), "400 INVALID_ARGUMENT", "{body}");
        }
        let deep = format!("{{\"labels\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        owner.client.patch(&name, deep).await.expect_google("400 INVALID_ARGUMENT");
        let huge = format!("{{\"description\":\"{}\"}}", "x".repeat(5 << 20));
        owner.client.patch(&name, huge).await.expect_google("400 INVALID_ARGUMENT");
        for path in [
            "/v1/projects/my-project/locations/US/repositories", "/v1/projects/My-Project/locations/us-west1/repositories",
            "/v1/projects/my-project/locations/us-west1/repositories/R",
        ] {
            names_field(owner.get(path).await, "name", path);
        }
        owner.create_repository("absent-project", "r1").await.expect_google("404 NOT_FOUND");
    }

    async fn page_sizes_and_page_tokens(accounts: Accounts) {
        let owner = &accounts.owner;
        for id in ["r1", "r2", "r3"] {
            owner.create_repository(PROJECT, id).await.expect(200);
        }
        let lists = [(repositories(PROJECT), "repositories"), (format!("/v1/projects/{PROJECT}/serviceAccounts"), "accounts"), ("/v1/projects".to_owned(), "projects")];
        for (path, field) in &lists {
            names_field(owner.get(&format!("{path}?pageSize=-1")).await, "page_size", path);
            for size in ["many", "1.5", "99999999999", "0x1", "[]"] {
                names_field(owner.get(&format!("{path}?pageSize={size}")).await, "pageSize", size);
            }
            names_field(owner.get(&format!("{path}?pageToken=%00")).await, "page_token", path);
            for query in ["pageSize=0", "pageSize=2147483647", "page_size=1", "pageToken=zzzz", "pageToken=%F0%9F%90%B3", "nonsense=1"] {
                owner.get(&format!("{path}?{query}")).await.expect(200);
            }
            let page = owner.get(&format!("{path}?pageSize=1")).await.expect(200).json();
            assert_eq!(page[field].as_array().map_or(0, Vec::len), 1);
        }
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page = owner.get(&format!("{}?pageSize=2&pageToken={token}", lists[0].0)).await.expect(200).json();
            found.extend(page["repositories"].as_array().expect("a list").iter().map(|one| one["name"].clone()));
            match page["nextPageToken"].as_str() {
                Some(next) => token = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(found, ["r1", "r2", "r3"].map(|id| json!(repository(PROJECT, id))));
    }

    async fn projects_and_accounts_that_break_a_rule(accounts: Accounts) {
        let owner = &accounts.owner;
        for id in ["", "short", "Capital", "1-number", "-hyphen", "hyphen-", "under_score", "dot.dot", "a b c d", "example.com:", ":my-project", "a:b:my-project", "EXAMPLE.com:my-project", &"a".repeat(31), "line\nbreak", "nul-nul\0"] {
            names_field(owner.create_project(id).await, "project_id", id);
        }
        for id in ["example.com:my-project", "a23456", &"a".repeat(30)] {
            owner.create_project(id).await.expect(200);
        }
        let create = async |body: Value| owner.post("/v1/projects", &body).await;
        names_field(create(json!({ "projectId": "good-project", "labels": { "A": "b" } })).await, "labels", "labels");
        names_field(create(json!({ "projectId": "good-project", "name": "\0" })).await, "name", "NUL");
        names_field(create(json!({ "projectId": "good-project", "name": "x".repeat(1_000) })).await, "name", "long");
        names_field(create(json!({ "projectId": 5 })).await, "projectId", "a number");
        create(json!({ "projectId": PROJECT })).await.expect_google("409 ALREADY_EXISTS");
        for id in ["", "short", "Capital", "1-number", "-hyphen", "hyphen-", "under_score", "dot.dot", "a@b-project", &"a".repeat(31), "nul-nul\0"] {
            names_field(owner.create_account(PROJECT, id).await, "account_id", id);
        }
        let path = format!("/v1/projects/{PROJECT}/serviceAccounts");
        for (field, account) in [
            ("display_name", json!({ "displayName": "x".repeat(101) })),
            ("display_name", json!({ "displayName": "\0" })),
            ("description", json!({ "description": "x".repeat(257) })),
        ] {
            let body = json!({ "accountId": "good-account", "serviceAccount": account });
            names_field(owner.post(&path, &body).await, field, field);
        }
        owner.create_account(PROJECT, "robot-1").await.expect(200);
        owner.create_account(PROJECT, "robot-1").await.expect_google("409 ALREADY_EXISTS");
        let robot = format!("{path}/robot-1@{PROJECT}.iam.gserviceaccount.com");
        for (field, body) in [("private_key_type", json!({ "privateKeyType": "TYPE_PKCS12_FILE" })), ("key_algorithm", json!({ "keyAlgorithm": "KEY_ALG_RSA_1024" })), ("keyAlgorithm", json!({ "keyAlgorithm": "RSA" }))] {
            names_field(owner.post(&format!("{robot}/keys"), &body).await, field, field);
        }
        for key in ["%00", "x", "..", "%25", &"0".repeat(40), &"0".repeat(5_000)] {
            owner.get(&format!("{robot}/keys/{key}")).await.expect_google("404 NOT_FOUND");
            owner.delete(&format!("{robot}/keys/{key}")).await.expect_google("404 NOT_FOUND");
        }
        for operation in ["%00", "x", &"0".repeat(5_000)] {
            owner.get(&format!("/v1/operations/{operation}")).await.expect_google("404 NOT_FOUND");
        }
        for account in ["nobody", "robot-1@evil.example", "robot-1@my-project.iam.gserviceaccount.com.evil.example", "a%2Fb@my-project.iam.gserviceaccount.com", "%00"] {
            names_field(owner.get(&format!("{path}/{account}")).await, "name", account);
        }
        // Ten keys, and the one that never leaves.
        let (mut made, mut last) = (0, json!({}));
        while made < 11 {
            let reply = owner.post(&format!("{robot}/keys"), &json!({})).await;
            last = json!(reply.google());
            if reply.status != 200 {
                break;
            }
            made += 1;
        }
        assert_eq!((made, last), (10, json!("400 FAILED_PRECONDITION")));
        let keys = owner.get(&format!("{robot}/keys?keyTypes=SYSTEM_MANAGED")).await.expect(200).json();
        let own = keys["keys"][0]["name"].as_str().expect("text").to_owned();
        owner.delete(&format!("/v1/{own}")).await.expect_google("400 FAILED_PRECONDITION");
    }

    async fn policies_that_break_a_rule(accounts: Accounts) {
        let owner = &accounts.owner;
        accounts.repository(PROJECT, "r1").await;
        let name = repository(PROJECT, "r1");
        for resource in [name.as_str(), "projects/my-project", ORGANIZATION] {
            let set = async |role: Value, members: Value| {
                let policy = json!({ "bindings": [{ "role": role, "members": members }] });
                owner.set_policy(resource, &policy).await
            };
            for role in ["", "reader", "roles/none", "roles/artifactregistry.Reader", "projects/p/roles/custom", "roles/artifactregistry.reader ", &"x".repeat(5_000)] {
                names_field(set(json!(role), json!(["allUsers"])).await, "policy", role);
            }
            for member in [
                "", "everybody", "user:", "user:nobody", "user:a@b@c", "serviceAccount:a@example.com", "domain:", "allusers", "group:x y@z",
                "deleted:serviceAccount:a@b.iam.gserviceaccount.com?uid=1", "principal://iam", "user:a@example.com\0", &"x".repeat(5_000),
            ] {
                names_field(set(json!("roles/artifactregistry.reader"), json!([member])).await, "policy", member);
            }
            let many: Vec<_> = (0..1_501).map(|n| format!("user:u{n}@example.com")).collect();
            names_field(set(json!("roles/artifactregistry.reader"), json!(many)).await, "policy", "too many");
            let conditional = json!({ "bindings": [{ "role": "roles/artifactregistry.reader", "members": ["allUsers"], "condition": { "expression": "true", "title": "t" } }] });
            names_field(owner.set_policy(resource, &conditional).await, "policy", "a condition");
            names_field(owner.set_policy(resource, &json!({ "bindings": "none" })).await, "bindings", "no list");
            names_field(owner.set_policy(resource, &json!({ "etag": "not base64!" })).await, "etag", "no base64");
            for etag in ["AAAA", "bm9uZTE="] {
                let mut policy = owner.policy(resource).await;
                policy["etag"] = json!(etag);
                owner.set_policy(resource, &policy).await.expect_google("409 ABORTED");
            }
            let path = format!("/v1/{resource}:testIamPermissions");
            let many: Vec<_> = (0..101).map(|n| format!("a.b.c{n}")).collect();
            names_field(owner.post(&path, &json!({ "permissions": many })).await, "permissions", "too many");
        }
        for resource in [repository(PROJECT, "absent"), "projects/absent-project".to_owned(), format!("projects/-/serviceAccounts/absent@{PROJECT}.iam.gserviceaccount.com")] {
            owner.set_policy(&resource, &json!({})).await.expect_google("404 NOT_FOUND");
        }
        owner.set_policy("organizations/2", &json!({})).await.expect_google("400 INVALID_ARGUMENT");
    }

    async fn paths_that_lead_nowhere(accounts: Accounts) {
        for client in [&accounts.owner.client, &accounts.anonymous()] {
            for path in [
                "/v1/", "/v1/nothing", "/v1/projects/my-project/nothing", "/v1/projects/my-project/locations/us-west1/repositories/r1/nothing",
"/v1beta2/projects/my-project/nothing", "/v1/storage/b", "/v1/%2e%2e/x",
            ] {
                for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                    let reply = client.send(method.clone(), path, "{}").await;
                    assert_eq!(reply.google(), "404 NOT_FOUND", "{method} {path}");
                    let error = reply.json()["error"].clone();
                    assert!(error["code"] == 404 && error["message"].is_string(), "{error}");
                }
            }
        }
        // A method that the contract has and nobody wrote yet says so.
        let packages = format!("/v1/{}/packages", repository(PROJECT, "r1"));
        accounts.owner.get(&packages).await.expect_google("501 UNIMPLEMENTED");
    }
}
