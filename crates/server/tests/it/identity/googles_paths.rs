//! Requests of Google's clients besides plain calls: methods in a header, paths of APIs that are not built, and unknown
//! locations.

use http::Method;
use serde_json::{Value, json};

use crate::audit::written_entries;
use crate::util::accounts::{PROJECT, repositories_path};
use crate::util::google::{LOCATION, repository_name};
use crate::util::{AccountServer, Client, GoogleClient, Image, Reply, on_both};

const OVERRIDE: &str = "x-http-method-override";
const FORM: &str = "application/x-www-form-urlencoded";

/// Sends a POST that stands for another method.
async fn post_as_method(client: &Client, (method, path): (&str, &str), body: &Value) -> Reply {
    client.clone().with_header(OVERRIDE, method).post(path, body.to_string()).await
}

/// Sends a POST that stands for a GET, with the query in the body.
async fn post_as_get(client: &Client, path: &str, query: &str) -> Reply {
    let client = client.clone().with_header(OVERRIDE, "GET").with_header("content-type", FORM);
    client.post(path, query.to_owned()).await
}

/// Creates a repository with the image `app`, a reader and an administrator. Returns the repository's name and the two
/// accounts.
async fn create_tenants(accounts: &AccountServer) -> (String, [GoogleClient; 2]) {
    accounts.create_repository(PROJECT, "r1").await;
    let image = Image::new(1);
    image.push(&accounts.owner.client, ("my-project/r1/app", "v1")).await;
    image.push(&accounts.owner.client, ("my-project/r1/app", "v2")).await;
    let name = repository_name(PROJECT, "r1");
    let reader =
        accounts.create_actor_with("reader", ("roles/artifactregistry.reader", &name)).await;
    let admin = accounts.create_actor_with("keeper", ("roles/artifactregistry.admin", &name)).await;
    (name, [reader, admin])
}

on_both![
    a_long_query_may_come_as_a_form,
    updates_may_come_as_posts,
    only_a_post_overrides_its_method_and_only_with_get_or_patch,
    the_audit_log_has_the_overriding_method,
    unknown_apis_answer_as_google,
    a_list_in_an_unknown_location_is_refused_like_a_creation,
    etags_are_base64_and_the_empty_policy_has_googles,
    an_unknown_field_is_refused_in_googles_words
];

async fn a_long_query_may_come_as_a_form(accounts: AccountServer) {
    let (name, [reader, _]) = create_tenants(&accounts).await;
    let path = format!("/v1/{name}/packages");
    let plain = reader.get(&format!("{path}?pageSize=1&alt=json")).await.expect_status(200);
    let long = "x".repeat(10_000);
    for (path, query) in [
        (path.clone(), "pageSize=1&alt=json".to_owned()),
        (format!("{path}?alt=json"), "page_size=1".to_owned()),
        (format!("{path}?pageSize=1"), String::new()),
        (path.clone(), format!("pageSize=1&prettyPrint=true&quotaUser={long}")),
    ] {
        let reply = post_as_get(&reader.client, &path, &query).await.expect_status(200);
        assert_eq!(reply.json()["packages"], plain.json()["packages"], "{query:.60}");
    }
    let filter = format!("filter=name%3D%22{}%2Fpackages%2Fnothing*%22", name.replace('/', "%2F"));
    let none = post_as_get(&reader.client, &path, &filter).await.expect_status(200);
    assert_eq!(none.json(), json!({}), "the form is what is asked for");
    post_as_get(&reader.client, &path, "pageSize=many")
        .await
        .expect_google_error("400 INVALID_ARGUMENT");
    // The permission is that of the GET. A reader may not do what a POST on the same path does.
    post_as_get(&reader.client, &format!("/v1/{name}:getIamPolicy"), "")
        .await
        .expect_google_error("403 PERMISSION_DENIED");
    post_as_get(&accounts.anonymous(), &path, "").await.expect_google_error("401 UNAUTHENTICATED");
    post_as_get(&accounts.anonymous().with_token("x"), &path, "")
        .await
        .expect_google_error("401 UNAUTHENTICATED");
    // An anonymous client cannot send a long form.
    post_as_get(&accounts.anonymous(), &path, &"a".repeat(20_000))
        .await
        .expect_google_error("401 UNAUTHENTICATED");
    post_as_get(&reader.client, &path, &"a".repeat(5 << 20))
        .await
        .expect_google_error("400 INVALID_ARGUMENT");
    let no_form = reader.client.clone().with_header("content-type", "application/json");
    let reply = post_as_method(&no_form, ("GET", &path), &json!({ "pageSize": 1 })).await;
    reply.expect_google_error("400 INVALID_ARGUMENT");
    // A GET with an id in the query creates nothing.
    let before = accounts.owner.get(&repositories_path(PROJECT)).await.json();
    let listed = post_as_get(
        &accounts.owner.client,
        &format!("{}?repositoryId=new", repositories_path(PROJECT)),
        "",
    )
    .await;
    assert_eq!(listed.expect_status(200).json(), before);
    assert_eq!(accounts.owner.get(&repositories_path(PROJECT)).await.json(), before);
}

async fn updates_may_come_as_posts(accounts: AccountServer) {
    let (name, [reader, keeper]) = create_tenants(&accounts).await;
    let version = format!("{name}/packages/app/versions/{}", Image::new(1).digest());
    let other = Image::new(2);
    other.push(&accounts.owner.client, ("my-project/r1/app", "v3")).await;
    let moved = format!("{name}/packages/app/versions/{}", other.digest());
    for (path, body) in [
        (format!("/v1/{name}?updateMask=description"), json!({ "description": "by post" })),
        (
            format!("/v1/{name}/packages/app?updateMask=annotations"),
            json!({ "annotations": { "a": "b" } }),
        ),
        (format!("/v1/{version}?updateMask=annotations"), json!({ "annotations": { "c": "d" } })),
        (
            format!("/v1/{name}/packages/app/tags/v2?updateMask=version"),
            json!({ "version": moved }),
        ),
    ] {
        let client =
            |who: &GoogleClient| who.client.clone().with_header("content-type", "application/json");
        post_as_method(&client(&reader), ("PATCH", &path), &body)
            .await
            .expect_google_error("403 PERMISSION_DENIED");
        let changed = post_as_method(&client(&keeper), ("PATCH", &path), &body)
            .await
            .expect_status(200)
            .json();
        for (field, value) in body.as_object().expect("an object") {
            assert_eq!(&changed[field], value, "{path}");
        }
        // Without the header there is no such method.
        keeper.post(&path, &body).await.expect_google_error("404 NOT_FOUND");
        post_as_method(&client(&keeper), ("PATCH", &path), &json!({ "x": 1 }))
            .await
            .expect_google_error("400 INVALID_ARGUMENT");
    }
}

async fn only_a_post_overrides_its_method_and_only_with_get_or_patch(accounts: AccountServer) {
    let (name, [_, keeper]) = create_tenants(&accounts).await;
    let path = format!("/v1/{name}");
    for method in ["DELETE", "PUT", "POST", "HEAD", "OPTIONS", "get", "patch", "x", "GET,DELETE"] {
        let reply = post_as_method(&keeper.client, (method, &path), &json!({})).await;
        assert_eq!(reply.google_outcome(), "400 INVALID_ARGUMENT", "{method}");
    }
    let both = keeper.client.clone().with_header(OVERRIDE, "GET").with_header(OVERRIDE, "DELETE");
    both.post(&path, "").await.expect_google_error("400 INVALID_ARGUMENT");
    for method in ["DELETE", "PATCH", "POST", "x"] {
        let disguised = keeper.client.clone().with_header(OVERRIDE, method);
        let read = disguised.get(&path).await.expect_status(200).json();
        assert_eq!(read["name"], json!(name), "a GET stays one");
        disguised.patch(&format!("{path}?updateMask=description"), "{}").await.expect_status(200);
    }
    // The header has no effect below `/v2/`, and similar headers have none anywhere.
    let disguised = keeper.client.clone().with_header(OVERRIDE, "DELETE");
    disguised.post("/v2/my-project/r1/app/manifests/v1", "").await.expect_status(405);
    disguised.get("/v2/my-project/r1/app/manifests/v1").await.expect_status(200);
    for header in ["x-http-method", "x-method-override"] {
        let disguised = keeper.client.clone().with_header(header, "GET");
        disguised.post(&path, "").await.expect_google_error("404 NOT_FOUND");
    }
    keeper.get(&path).await.expect_status(200);
}

async fn the_audit_log_has_the_overriding_method(accounts: AccountServer) {
    let (name, [reader, keeper]) = create_tenants(&accounts).await;
    let before = written_entries(&accounts.server).await.len();
    let path = format!("/v1/{name}?updateMask=description");
    post_as_method(&reader.client, ("PATCH", &path), &json!({ "description": "x" }))
        .await
        .expect_status(403);
    post_as_method(&keeper.client, ("PATCH", &path), &json!({ "description": "x" }))
        .await
        .expect_status(200);
    post_as_get(&reader.client, &format!("/v1/{name}/packages"), "pageSize=1")
        .await
        .expect_status(200);
    let entries = written_entries(&accounts.server).await.split_off(before);
    let methods: Vec<_> = entries
        .iter()
        .map(|entry| {
            let payload = &entry["protoPayload"];
            let method = payload["methodName"].as_str().expect("text").rsplit('.').next();
            (method.map(str::to_owned), payload["authorizationInfo"][0]["granted"] == json!(true))
        })
        .collect();
    let update = || Some("UpdateRepository".to_owned());
    assert_eq!(methods, [(update(), false), (update(), true)], "reads are not written down");
}

async fn unknown_apis_answer_as_google(accounts: AccountServer) {
    for path in [
        "/v1",
        "/v3/projects/my-project",
        "/v1beta1/projects/my-project/locations",
        "/v1alpha1/x",
        "/v1p1beta1/x",
        "/v1/nothing",
        "/upload/v1/projects/my-project/locations/us/repositories/r/files:upload",
        "/download/v1/projects/my-project/x",
        "/batch",
        "/batch/artifactregistry/v1",
    ] {
        for client in [&accounts.owner.client, &accounts.anonymous()] {
            for method in [Method::GET, Method::POST, Method::PATCH, Method::DELETE] {
                let reply = client.send(method.clone(), path, "{}").await;
                assert_eq!(reply.google_outcome(), "404 NOT_FOUND", "{method} {path}: {reply:#?}");
                assert_eq!(reply.json()["error"]["code"], 404);
            }
        }
    }
    for path in ["/v2/nothing", "/nothing", "/version", "/uploads/x"] {
        accounts.owner.get(path).await.expect_oci_error("404 NOT_FOUND");
    }
}

async fn a_list_in_an_unknown_location_is_refused_like_a_creation(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    let owner = &accounts.owner;
    owner.create_project("other-project").await.expect_status(200);
    owner.delete("/v1/projects/other-project").await.expect_status(200);
    for (project, location) in [
        (PROJECT, "mars"),
        (PROJECT, "-"),
        ("no-such-project", LOCATION),
        ("other-project", LOCATION),
    ] {
        let path = format!("/v1/projects/{project}/locations/{location}/repositories");
        let listed = owner.get(&path).await;
        let created =
            owner.post(&format!("{path}?repositoryId=r2"), &json!({ "format": "DOCKER" })).await;
        assert!(created.status.as_u16() >= 400, "{created:#?}");
        assert_eq!(listed.google_outcome(), created.google_outcome(), "{path}");
        let said =
            |reply: &Reply| reply.json()["error"]["message"].as_str().expect("text").to_owned();
        assert_eq!(said(&listed), said(&created).replace(".create", ".list"), "{path}");
    }
    owner
        .get(&format!("/v1/projects/{PROJECT}/locations/us/repositories"))
        .await
        .expect_status(200);
}

async fn etags_are_base64_and_the_empty_policy_has_googles(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    let (owner, name) = (&accounts.owner, repository_name(PROJECT, "r1"));
    let robot = owner.create_account(PROJECT, "robot-1").await.expect_status(200).json();
    let account =
        format!("projects/{PROJECT}/serviceAccounts/{}", robot["email"].as_str().expect("text"));
    for resource in [&name, &account] {
        let policy = owner.get_policy(resource).await;
        assert_eq!(
            (&policy["etag"], &policy["bindings"]),
            (&json!("ACAB"), &Value::Null),
            "{resource}"
        );
        let binding = json!({ "role": "roles/viewer", "members": [owner.member()] });
        let policy = json!({ "etag": "ACAB", "bindings": [binding] });
        let other = json!({ "etag": "ACAC", "bindings": [] });
        owner.set_policy(resource, &other).await.expect_google_error("409 ABORTED");
        let granted = json!({ "etag": "ACAB", "bindings": [] });
        let set = owner.set_policy(resource, &granted).await.expect_status(200).json();
        assert_ne!(set["etag"], "ACAB");
        owner.set_policy(resource, &policy).await.expect_google_error("409 ABORTED");
    }
    let is_base64 = |etag: &Value| {
        use base64::Engine as _;
        let etag = etag.as_str().expect("text");
        base64::engine::general_purpose::STANDARD.decode(etag).is_ok_and(|bytes| !bytes.is_empty())
    };
    assert!(is_base64(&robot["etag"]), "{robot}");
    assert!(is_base64(&owner.get_policy(&name).await["etag"]));
    assert!(is_base64(&owner.get_policy("organizations/1").await["etag"]));
}

async fn an_unknown_field_is_refused_in_googles_words(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    let (owner, name) = (&accounts.owner, repository_name(PROJECT, "r1"));
    let robot = accounts.create_actor("robot-1").await;
    let unknown = |name: &str, at: &str| {
        let place = if at.is_empty() { String::new() } else { format!(" at '{at}'") };
        format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field.")
    };
    let create = format!("{}?repositoryId=r2", repositories_path(PROJECT));
    for (method, path, body, (field, at)) in [
        (
            Method::POST,
            create.clone(),
            json!({ "format": "DOCKER", "dockerconfig": {} }),
            ("dockerconfig", "repository"),
        ),
        (
            Method::PATCH,
            format!("/v1/{name}"),
            json!({ "dockerConfig": { "imutableTags": true } }),
            ("imutableTags", "repository.docker_config"),
        ),
        (
            Method::PATCH,
            format!("/v1/{name}/packages/app"),
            json!({ "anotations": {} }),
            ("anotations", "package"),
        ),
        (
            Method::POST,
            format!("/v1/{name}/packages/app/tags?tagId=t"),
            json!({ "verson": "x" }),
            ("verson", "tag"),
        ),
        (
            Method::POST,
            format!("/v1/{name}/packages/app/versions:batchDelete"),
            json!({ "name": [] }),
            ("name", ""),
        ),
        (
            Method::POST,
            format!("/v1/{name}:setIamPolicy"),
            json!({ "policy": { "bindings": [{ "roles": [] }] } }),
            ("roles", "policy.bindings[0]"),
        ),
        (
            Method::POST,
            format!("/v1/{name}:testIamPermissions"),
            json!({ "permission": [] }),
            ("permission", ""),
        ),
        (
            Method::POST,
            format!("/v1/projects/{PROJECT}/serviceAccounts"),
            json!({ "accountId": "x", "serviceAccount": { "display": "x" } }),
            ("display", "service_account"),
        ),
        (
            Method::POST,
            format!("/v1/{}:generateAccessToken", robot.account_name()),
            json!({ "scopes": ["x"] }),
            ("scopes", ""),
        ),
        (
            Method::POST,
            format!("/v1/{name}/rules?ruleId=x"),
            json!({ "condition": { "expr": "true" } }),
            ("expr", "rule.condition"),
        ),
    ] {
        let reply = owner.client.send(method.clone(), &path, body.to_string()).await;
        let error = reply.expect_google_error("400 INVALID_ARGUMENT").json()["error"].clone();
        assert_eq!(error["message"], unknown(field, at), "{method} {path}");
        let violation = &error["details"][0]["fieldViolations"][0];
        assert_eq!(violation["description"], error["message"], "{method} {path}");
    }
    // Fields that Google has and this registry does not use are accepted. Other formats are refused.
    let body = json!({
        "format": "DOCKER", "sbomConfig": { "enablementConfig": "INHERITED" }, "networkConfig": {},
    });
    owner.post(&create, &body).await.expect_status(200);
    let maven = json!({ "format": "MAVEN", "mavenConfig": { "versionPolicy": "RELEASE" } });
    let refused = owner.post(&create.replace("r2", "r3"), &maven).await;
    let said = refused.json()["error"]["message"].to_string();
    assert!(refused.status.as_u16() >= 400 && said.contains("MAVEN"), "{refused:#?}");
    owner.get(&format!("/v1/{name}?whatIsThis=1")).await.expect_status(200);
}
