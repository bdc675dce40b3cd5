//! Attacks 17, 18, 22, 23 and 25: lists, readers, and names and filters that look like something else.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::util::accounts::{
    ORGANIZATION, PROJECT, granted_permissions, repositories_path, test_permissions,
};
use crate::util::google::repository_name;
use crate::util::routes::ResourceNames;
use crate::util::{AccountServer, GoogleClient, Image, on_both};

const READER: &str = "roles/artifactregistry.reader";

/// The texts at `field` of every object in a list.
fn field_set(list: &Value, field: &str) -> BTreeSet<String> {
    let items = list.as_array().into_iter().flatten();
    items.map(|item| item[field].as_str().expect("text").to_owned()).collect()
}

fn name_set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

on_both![
    attack_25_an_upstream_must_be_readable,
    attack_17_the_catalog_shows_what_the_caller_may_see,
    attack_17_the_project_list_shows_what_the_caller_may_see,
    attack_18_reading_shows_no_secret,
    attack_22_hostile_filters_orders_and_page_tokens_reveal_nothing,
    attack_23_names_are_no_patterns
];

/// A caller may set up an upstream only if it may read the upstream.
async fn attack_25_an_upstream_must_be_readable(accounts: AccountServer) {
    accounts.create_repository("tenant-b", "hidden").await;
    accounts.create_repository(PROJECT, "r1").await;
    let role = "roles/artifactregistry.admin";
    let admin =
        accounts.create_actor_with("admin-of-a", (role, &format!("projects/{PROJECT}"))).await;
    let path = |id: &str| format!("{}?repositoryId={id}", repositories_path(PROJECT));
    let show = |name: &str| {
        json!({ "format": "DOCKER", "mode": "VIRTUAL_REPOSITORY", "virtualRepositoryConfig":
                { "upstreamPolicies": [{ "id": "a", "repository": name }] } })
    };
    let fetch = |name: &str| {
        json!({ "format": "DOCKER", "mode": "REMOTE_REPOSITORY",
                "remoteRepositoryConfig": { "commonRepository": { "uri": name } } })
    };
    // The answer is the same if the upstream does not exist.
    for name in ["hidden", "absent"].map(|id| repository_name("tenant-b", id)) {
        for body in [show(&name), fetch(&name)] {
            let refused = admin.post(&path("new"), &body).await;
            refused.expect_google_error("403 PERMISSION_DENIED");
        }
    }
    let own = repository_name(PROJECT, "r1");
    admin.post(&path("shown"), &show(&own)).await.expect_status(200);
    admin.post(&path("fetched"), &fetch(&own)).await.expect_status(200);
    let shown = format!("/v1/{}", repository_name(PROJECT, "shown"));
    let change = show(&repository_name("tenant-b", "hidden"));
    admin.patch(&shown, &change).await.expect_google_error("403 PERMISSION_DENIED");
    // A deleted upstream does not block other changes.
    admin.delete(&format!("/v1/{own}")).await.expect_status(200);
    let described = json!({ "description": "changed" });
    admin.patch(&format!("{shown}?updateMask=description"), &described).await.expect_status(200);
}

async fn attack_17_the_catalog_shows_what_the_caller_may_see(accounts: AccountServer) {
    let owner = &accounts.owner;
    for (project, id) in
        [("a-project", "r1"), ("a-project", "r2"), ("b-project", "r1"), ("c-project", "r1")]
    {
        accounts.create_repository(project, id).await;
        Image::new(1).push(&owner.client, (&format!("{project}/{id}/image"), "latest")).await;
    }
    let reader =
        accounts.create_actor_with("reader", (READER, &repository_name("a-project", "r1"))).await;
    let viewer = accounts.create_actor_with("viewer", ("roles/viewer", "projects/c-project")).await;
    let stranger = accounts.create_actor("stranger").await;
    let catalog = async |who: &GoogleClient, query: &str| {
        let found = who.get(&format!("/v2/_catalog{query}")).await.expect_status(200).json();
        serde_json::from_value::<BTreeSet<String>>(found["repositories"].clone()).expect("texts")
    };
    assert_eq!(catalog(&reader, "").await, name_set(&["a-project/r1/image"]));
    assert_eq!(catalog(&viewer, "").await, name_set(&["c-project/r1/image"]));
    assert_eq!(catalog(&stranger, "").await, name_set(&[]));
    assert_eq!(catalog(owner, "").await.len(), 4);
    // The place in another caller's list shows nothing more.
    for last in ["a-project/r1/image", "a-project/r2", "b-project/r1/image", "%00", "zzz"] {
        for who in [&reader, &viewer, &stranger] {
            let all = catalog(who, "").await;
            assert!(catalog(who, &format!("?n=2&last={last}")).await.is_subset(&all), "{last}");
        }
    }
    reader.get("/v2/a-project/r2/tags/list").await.expect_oci_error("403 DENIED");
    let listed = reader.get("/v2/a-project/r1/tags/list").await.expect_status(200).json();
    assert_eq!(listed["child"], json!(["image"]));
    let asked = accounts.anonymous().get("/v2/_catalog").await.expect_oci_error("401 UNAUTHORIZED");
    assert!(asked.header("www-authenticate").ends_with("scope=\"registry:catalog:*\""));
    // An anonymous catalog token shows public images. A token for an image shows its repository only.
    let path = "/v2/token?scope=registry:catalog:*";
    let token = accounts.anonymous().get(path).await.expect_status(200).json();
    let token = token["token"].as_str().expect("text").to_owned();
    let nothing =
        accounts.anonymous().with_token(&token).get("/v2/_catalog").await.expect_status(200);
    assert_eq!(nothing.json()["repositories"], json!([]));
    let path = "/v2/token?scope=repository:a-project/r1/image:pull";
    let token = owner.get(path).await.expect_status(200).json();
    let token = token["token"].as_str().expect("text").to_owned();
    let some = accounts.anonymous().with_token(&token).get("/v2/_catalog").await.expect_status(200);
    assert_eq!(some.json()["repositories"], json!(["a-project/r1/image"]));
}

async fn attack_17_the_project_list_shows_what_the_caller_may_see(accounts: AccountServer) {
    let owner = &accounts.owner;
    for project in ["a-project", "b-project", "c-project"] {
        accounts.create_repository(project, "r1").await;
    }
    let reader =
        accounts.create_actor_with("reader", (READER, &repository_name("a-project", "r1"))).await;
    let viewer = accounts.create_actor_with("viewer", ("roles/viewer", "projects/c-project")).await;
    let stranger = accounts.create_actor("stranger").await;
    let projects = async |who: &GoogleClient, query: &str| {
        let found = who.get(&format!("/v1/projects{query}")).await.expect_status(200).json();
        (
            field_set(&found["projects"], "projectId"),
            found["nextPageToken"].as_str().map(str::to_owned),
        )
    };
    assert_eq!(projects(&viewer, "").await, (name_set(&["c-project"]), None));
    assert_eq!(projects(&stranger, "").await, (name_set(&[]), None));
    // A reader of a repository does not see the project.
    assert_eq!(projects(&reader, "").await, (name_set(&[]), None));
    let (first, next) = projects(owner, "?pageSize=2").await;
    assert_eq!(first, name_set(&["a-project", "b-project"]));
    let next = next.expect("there are more");
    // A page token reveals nothing, and is valid only for its caller and its list.
    assert!(!next.contains("project"), "{next}");
    for (who, token) in [(&viewer, next.as_str()), (&stranger, &next), (owner, "c-project")] {
        let reply = who.get(&format!("/v1/projects?pageToken={token}")).await;
        reply.expect_google_error("400 INVALID_ARGUMENT");
    }
    let other = format!("{}?pageToken={next}", repositories_path("a-project"));
    owner.get(&other).await.expect_google_error("400 INVALID_ARGUMENT");
    let rest = projects(owner, &format!("?pageToken={next}")).await.0;
    assert!(rest.contains("c-project") && rest.is_disjoint(&first), "{rest:?}");
    for path in
        [repositories_path("a-project"), "/v1/projects/a-project/serviceAccounts".to_owned()]
    {
        for who in [&reader, &viewer, &stranger] {
            for query in ["", "?pageSize=1", "?pageToken=r1"] {
                who.get(&format!("{path}{query}"))
                    .await
                    .expect_google_error("403 PERMISSION_DENIED");
            }
        }
    }
}

/// A viewer of the organization reads everything that can be read, and finds no secret.
async fn attack_18_reading_shows_no_secret(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    Image::new(1).push(&accounts.owner.client, ("my-project/r1/image", "latest")).await;
    let viewer = accounts.create_actor_with("viewer", ("roles/viewer", ORGANIZATION)).await;
    let key = accounts.owner.create_key(&viewer.email).await;
    let names = ResourceNames::new(PROJECT, "r1", (key.email(), key.id()));
    let mut read = 0;
    for method in google::methods() {
        for rule in method.rules.iter().filter(|rule| rule.method == Method::GET) {
            let path = names.fill_template(&rule.template);
            for query in
                ["", "?publicKeyType=TYPE_RAW_PUBLIC_KEY&view=FULL&keyTypes=SYSTEM_MANAGED"]
            {
                let reply = viewer.get(&format!("{path}{query}")).await;
                let text = String::from_utf8_lossy(&reply.body).into_owned();
                let secret = key.private_key_base64();
                for secret in
                    [&secret[30..90], "PRIVATE", "privateKeyData", "sealed", &viewer.token[30..90]]
                {
                    assert!(!text.contains(secret), "{path}: {text}");
                }
                read += usize::from(reply.status == 200);
            }
        }
    }
    assert!(read > 15, "most of it could be read: {read}");
    // The viewer has no permission that would give access to more.
    let asked = [
        "iam.serviceAccounts.getAccessToken",
        "iam.serviceAccountKeys.create",
        "iam.serviceAccounts.signBlob",
        "iam.serviceAccounts.actAs",
    ];
    let reply = test_permissions(&viewer, &format!("projects/{PROJECT}"), &asked).await;
    assert!(granted_permissions(&reply).is_empty());
    viewer
        .generate_access_token(&accounts.owner.email)
        .await
        .expect_google_error("403 PERMISSION_DENIED");
}

async fn attack_22_hostile_filters_orders_and_page_tokens_reveal_nothing(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    accounts.create_repository("b-project", "r1").await;
    let viewer = accounts
        .create_actor_with("viewer", ("roles/viewer", &format!("projects/{PROJECT}")))
        .await;
    let repositories = repositories_path(PROJECT);
    let accounts_path = format!("/v1/projects/{PROJECT}/serviceAccounts");
    let evil = [
        "name%3D%22a%22%20OR%201%3D1",
        "secret%3A*",
        "%27%3B%20DROP%20TABLE%20projects%3B--",
        "bindings",
        "%00",
        "%2525",
        "1)",
    ];
    for text in evil {
        for path in [&repositories, "/v1/projects"] {
            viewer
                .get(&format!("{path}?filter={text}"))
                .await
                .expect_google_error("400 INVALID_ARGUMENT");
        }
        viewer
            .get(&format!("{repositories}?orderBy={text}"))
            .await
            .expect_google_error("400 INVALID_ARGUMENT");
        for path in [&repositories, &accounts_path, "/v1/projects"] {
            let seen = viewer.get(&format!("{path}?pageToken={text}")).await;
            assert!([200, 400].contains(&seen.status.as_u16()), "{seen:#?}");
            assert!(!String::from_utf8_lossy(&seen.body).contains("b-project"), "{path} {text}");
        }
    }
}

/// No stored name contains a wildcard of SQL, and no search takes a name as a pattern.
async fn attack_23_names_are_no_patterns(accounts: AccountServer) {
    let owner = &accounts.owner;
    for project in ["tenant-a", "tenant-b"] {
        accounts.create_repository(project, "r1").await;
        Image::new(1).push(&owner.client, (&format!("{project}/r1/a_b"), "latest")).await;
        Image::new(2).push(&owner.client, (&format!("{project}/r1/axb"), "latest")).await;
    }
    let name = |pattern: &str| repository_name("tenant-a", pattern);
    for pattern in ["r_", "r%25", "%25", "_1", "r1%5C", "%5C", "tenant__", "r1'", "r1%00"] {
        for path in [
            format!("/v1/{}", name(pattern)),
            format!("{}/r1", repositories_path(pattern)),
            format!("/v1/projects/{pattern}"),
            format!(
                "/v1/projects/tenant-a/serviceAccounts/{pattern}@tenant-a.iam.gserviceaccount.com"
            ),
        ] {
            let reply = owner.get(&path).await;
            assert_eq!(reply.google_outcome(), "400 INVALID_ARGUMENT", "{path}");
        }
        let created = owner.create_repository("tenant-a", pattern).await;
        assert_eq!(created.google_outcome(), "400 INVALID_ARGUMENT", "{pattern}");
        let project = percent_encoding::percent_decode_str(pattern)
            .decode_utf8()
            .expect("UTF-8")
            .into_owned();
        assert_eq!(
            owner.create_project(&project).await.google_outcome(),
            "400 INVALID_ARGUMENT",
            "{project}"
        );
        assert_eq!(
            owner.create_account("tenant-a", &project).await.google_outcome(),
            "400 INVALID_ARGUMENT",
            "{project}"
        );
    }
    // An image may have an underscore in its name, which is no wildcard.
    let tags = owner.get("/v2/tenant-a/r1/a_b/manifests/latest").await.expect_status(200);
    assert_eq!(tags.header("docker-content-digest"), Image::new(1).digest());
    let reader = accounts.create_actor_with("reader", (READER, "projects/tenant-a")).await;
    let seen = reader.get("/v2/_catalog").await.json();
    assert_eq!(seen["repositories"], json!(["tenant-a/r1/a_b", "tenant-a/r1/axb"]));
    for page in ["tenant-_", "tenant%25", "%5F", "%25"] {
        for path in [
            repositories_path("tenant-a"),
            "/v1/projects".to_owned(),
            "/v1/projects/tenant-a/serviceAccounts".to_owned(),
        ] {
            let seen = reader.get(&format!("{path}?pageToken={page}")).await;
            assert!(!String::from_utf8_lossy(&seen.body).contains("tenant-b"), "{path} {page}");
        }
    }
}
