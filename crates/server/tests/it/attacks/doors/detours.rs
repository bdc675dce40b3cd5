//! Attack 16: getting round a permission by another API, kind of name, spelling or header.

use std::collections::BTreeSet;

use google::AccessRule;
use http::Method;
use serde_json::json;

use super::{create_tenant, take_snapshot};
use crate::util::google::repository_name;
use crate::util::routes;
use crate::util::wire::{Http2Connection, bearer_headers};
use crate::util::{AccountServer, Image, on_both};

/// Other spellings of a path in `tenant-b` that a careless server might take for another path.
fn other_spellings(path: &str) -> Vec<String> {
    vec![
        path.to_owned(),
        format!("{path}/"),
        format!("{path};x"),
        format!("{path}?x=/../y"),
        format!("{path}%20"),
        path.replace("tenant-b", "TENANT-B"),
        path.replace("/r1", "/R1"),
        path.replacen('/', "//", 1),
        path.replace("/r1", "//r1"),
        path.replace("/r1", "/./r1"),
        path.replace("/r1", "/%2e/r1"),
        path.replace("tenant-b", "tenant-a/../tenant-b"),
        path.replace("tenant-b", "tenant-a%2f..%2ftenant-b"),
        path.replace("tenant-b", "tenant%2Db"),
        path.replace("tenant-b/", "tenant-b%2F"),
        path.replace("/r1", "/%72%31"),
        path.replace("/v1/", "/V1/").replace("/v2/", "/V2/"),
        path.replace("/v1/", "/v1beta2/"),
        path.replace("/v1/", "/v1/v1/"),
        path.replace("r1", "r1%00"),
        path.replace("tenant-b", "tenant-b%00tenant-a"),
    ]
}

on_both![
    attack_16_rest_and_grpc_need_the_same_permission,
    attack_16_a_permission_holds_for_one_kind_of_resource,
    attack_16_another_spelling_gives_no_access,
    attack_16_headers_give_no_access
];

async fn attack_16_rest_and_grpc_need_the_same_permission(accounts: AccountServer) {
    let (_, names) = create_tenant(&accounts, "tenant-a").await;
    let name = repository_name("tenant-a", "r1");
    let wire = Http2Connection::connect(accounts.server.address).await;
    let viewer = accounts.create_actor_with("viewer", ("roles/viewer", "projects/tenant-a")).await;
    let reader =
        accounts.create_actor_with("reader", ("roles/artifactregistry.reader", &name)).await;
    let stranger = accounts.create_actor("stranger").await;
    let mut outcomes = BTreeSet::new();
    for route in routes::all_routes()
        .iter()
        .filter(|route| !matches!(route.method.access, AccessRule::Open { .. }))
    {
        let path = names.fill_template(&route.template);
        for who in [&viewer, &reader, &stranger] {
            let headers = bearer_headers(Some(&who.token));
            let rest = wire.send((route.verb.clone(), &path), headers.clone(), "{}").await;
            let message = route.build_message(&route.resource_name(&names), &json!({}));
            let grpc = wire.call_grpc(&route.method.path, headers, &message).await;
            let refused = grpc.header("grpc-status") == "7";
            assert_eq!(rest.status == 403, refused, "{} {path}: {grpc:?}", who.email);
            outcomes.insert((route.method.path.clone(), refused));
        }
    }
    assert!(outcomes.iter().filter(|(_, refused)| !refused).count() > 20, "viewers see something");
    // REST has two versions.
    for version in ["v1", "v1beta2"] {
        let path = format!("/{version}/projects/tenant-a/locations");
        viewer.get(&path).await.expect_status(200);
        stranger.get(&path).await.expect_google_error("403 PERMISSION_DENIED");
    }
}

/// gRPC takes any text as a name. An administrator of a repository must not administer the project by it.
async fn attack_16_a_permission_holds_for_one_kind_of_resource(accounts: AccountServer) {
    let (_, names) = create_tenant(&accounts, "tenant-a").await;
    let (_, keeper) = create_tenant(&accounts, "tenant-b").await;
    let before = (
        take_snapshot(&accounts.owner, &names).await,
        take_snapshot(&accounts.owner, &keeper).await,
    );
    let wire = Http2Connection::connect(accounts.server.address).await;
    let account = format!("projects/tenant-a/serviceAccounts/{}", names.account);
    let resources = [
        "organizations/1".to_owned(),
        "projects/tenant-a".to_owned(),
        "projects/tenant-a/projectSettings".to_owned(),
        "projects/tenant-a/locations/us-west1".to_owned(),
        repository_name("tenant-a", "r1"),
        format!("{}/packages/image", repository_name("tenant-a", "r1")),
        format!("{account}/keys/{}", names.key),
        account,
    ];
    // The shape of a name, such as projects/*/locations/*.
    let shape = |name: &str| {
        let parts = name.split('/').enumerate();
        parts.map(|(n, part)| if n % 2 == 1 { "*" } else { part }).collect::<Vec<_>>().join("/")
    };
    let methods = routes::all_routes().into_iter().filter(|route| route.resource_field().is_some());
    let mut refused = 0;
    for route in methods {
        let field = route.resource_field().expect("filtered");
        for resource in &resources {
            let variable = format!("{{{field}={}}}", shape(resource));
            if route.method.rules.iter().any(|rule| rule.template.contains(&variable)) {
                continue;
            }
            let body = json!({});
            let message = route.build_message(resource, &body);
            let headers = bearer_headers(Some(&accounts.owner.token));
            let reply = wire.call_grpc(&route.method.path, headers, &message).await;
            // Even the owner of everything is refused.
            assert_eq!(reply.header("grpc-status"), "3", "{} {resource}", route.method.path);
            refused += 1;
        }
    }
    assert!(refused > 200, "{refused}");
    let after = (
        take_snapshot(&accounts.owner, &names).await,
        take_snapshot(&accounts.owner, &keeper).await,
    );
    assert_eq!(after, before);
}

async fn attack_16_another_spelling_gives_no_access(accounts: AccountServer) {
    for project in ["tenant-a", "tenant-b"] {
        accounts.create_repository(project, "r1").await;
        Image::new(1)
            .push(&accounts.owner.client, (&format!("{project}/r1/image"), "latest"))
            .await;
    }
    let role = "roles/artifactregistry.repoAdmin";
    let writer =
        accounts.create_actor_with("writer", (role, &repository_name("tenant-a", "r1"))).await;
    let hidden = "/v1/projects/tenant-b/locations/us-west1/repositories/r1";
    let content = "/v2/tenant-b/r1/image/manifests/latest";
    let spellings = [hidden, content].into_iter().flat_map(other_spellings);
    for path in spellings {
        for method in
            [Method::GET, Method::HEAD, Method::DELETE, Method::PUT, Method::PATCH, Method::POST]
        {
            let reply = writer.client.send(method.clone(), &path, "{}").await;
            assert!(reply.status.as_u16() >= 400, "{method} {path}: {reply:?}");
            assert!(reply.status.as_u16() < 500, "{method} {path}: {reply:?}");
        }
    }
}

async fn attack_16_headers_give_no_access(accounts: AccountServer) {
    for project in ["tenant-a", "tenant-b"] {
        accounts.create_repository(project, "r1").await;
        let image = format!("{project}/r1/image");
        Image::new(1).push(&accounts.owner.client, (&image, "latest")).await;
    }
    let role = "roles/artifactregistry.repoAdmin";
    let writer =
        accounts.create_actor_with("writer", (role, &repository_name("tenant-a", "r1"))).await;
    let hidden = "/v1/projects/tenant-b/locations/us-west1/repositories/r1";
    let content = "/v2/tenant-b/r1/image/manifests/latest";
    // A GET stays a GET.
    for header in ["x-http-method-override", "x-method-override", "x-http-method"] {
        let disguised = writer.client.clone().with_header(header, "DELETE");
        disguised.get("/v2/tenant-a/r1/image/manifests/latest").await.expect_status(200);
        disguised
            .get("/v1/projects/tenant-a/locations/us-west1/repositories/r1")
            .await
            .expect_status(200);
    }
    writer.get("/v2/tenant-a/r1/image/manifests/latest").await.expect_status(200);
    for (name, value) in [
        ("x-forwarded-host", "gcr.io"),
        ("x-forwarded-user", "berth-owner"),
        ("x-goog-authenticated-user-email", "x"),
        ("x-original-url", "/v2/"),
        ("x-rewrite-url", "/v2/"),
        ("authorization", "Bearer x"),
    ] {
        let with = accounts.anonymous().with_header(name, value);
        assert_eq!(with.get(content).await.status, 401, "{name}");
        assert_eq!(with.get(hidden).await.status, 401, "{name}");
    }
    // Another host means another location, in which other permissions hold.
    let elsewhere = writer.client.clone().with_header("host", "europe-docker.localhost");
    elsewhere.get("/v2/tenant-a/r1/image/manifests/latest").await.expect_oci_error("403 DENIED");
    let narrow = writer.registry_token(&["repository:tenant-a/r1/image:pull"]).await;
    let narrow =
        accounts.anonymous().with_token(&narrow).with_header("host", "europe-docker.localhost");
    assert!(narrow.get("/v2/tenant-a/r1/image/manifests/latest").await.is_refused());
}
