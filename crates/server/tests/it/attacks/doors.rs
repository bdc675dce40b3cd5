//! Attacks 9, 13, 15 and 16: the same permission at every API, and children below another's parent.

mod detours;

use std::collections::BTreeSet;

use google::AccessRule;
use http::HeaderMap;
use model::media_type::OCI_MANIFEST;
use serde_json::{Value, json};

use crate::util::accounts::{PROJECT, repositories_path};
use crate::util::google::repository_name;
use crate::util::routes::{self, ResourceNames};
use crate::util::wire::Http2Connection;
use crate::util::{AccountServer, Client, GoogleClient, Image, on_both};

/// Paths that need no credential, on purpose.
const PUBLIC: [&str; 5] = ["/v2/token", "/token", "/introspect", "/revoke", "/oauth2/v3/certs"];

/// Fills a route's path with the names of an image that is there.
fn fill_path(path: &str, digest: &str) -> String {
    let image = path.replace("{image}", "my-project/r1/image").replace("{digest}", digest);
    image.replace("{reference}", "latest").replace("{id}", "x")
}

/// The state of a victim as the owner of everything sees it.
async fn take_snapshot(owner: &GoogleClient, victim: &ResourceNames) -> Vec<Value> {
    let ResourceNames { project, account, .. } = victim;
    let account = format!("projects/{project}/serviceAccounts/{account}");
    let mut seen = Vec::new();
    for path in [
        format!("/v1/projects/{project}"),
        repositories_path(project),
        format!("/v1/{account}"),
        format!("/v1/{account}/keys"),
        format!("/v1/projects/{project}/serviceAccounts"),
    ] {
        seen.push(owner.get(&path).await.expect_status(200).json());
    }
    for resource in
        [format!("projects/{project}"), repository_name(project, &victim.repository), account]
    {
        seen.push(owner.get_policy(&resource).await);
    }
    seen
}

/// Creates a project with everything that a path can name.
async fn create_tenant(accounts: &AccountServer, project: &str) -> (GoogleClient, ResourceNames) {
    accounts.create_repository(project, "r1").await;
    let robot = accounts.create_actor_in(project, "robot-1").await;
    let key = accounts.owner.create_key(&robot.email).await;
    let owner = accounts.create_actor_in(project, "owner-1").await;
    accounts.owner.grant_role(&format!("projects/{project}"), "roles/owner", &owner.member()).await;
    (owner, ResourceNames::new(project, "r1", (&robot.email, key.id())))
}

on_both![
    attack_09_an_uploader_moves_no_tags,
    attack_13_the_body_does_not_choose_the_resource,
    attack_13_children_under_another_parent_are_not_found,
    attack_15_nothing_is_open_by_accident
];

/// A custom role may upload and not move tags. Whoever has it creates tags, pushes the same image again, and leaves every
/// existing tag where it is.
async fn attack_09_an_uploader_moves_no_tags(accounts: AccountServer) {
    const PUSHES: [&str; 2] = [
        "artifactregistry.repositories.downloadArtifacts",
        "artifactregistry.repositories.uploadArtifacts",
    ];
    accounts.create_repository(PROJECT, "r1").await;
    let (owner, path, project) = (&accounts.owner, "my-project/r1/image", "projects/my-project");
    owner.create_role(project, "uploader", &PUSHES).await.expect_status(200);
    let role = format!("{project}/roles/uploader");
    let uploader = accounts.create_actor_with("uploader", (&role, project)).await;
    let (old, new) = (Image::new(1), Image::new(2));
    for tag in ["latest", "v1"] {
        old.push(&owner.client, (path, tag)).await;
    }
    new.push(&uploader.client, (path, "new")).await;
    old.push(&uploader.client, (path, "latest")).await;
    let registry = uploader.registry_token(&["repository:my-project/r1/image:pull,push"]).await;
    let by_registry = accounts.anonymous().with_token(&registry);
    for tag in ["latest", "v1", "new"] {
        let (other, expected) = if tag == "new" { (&old, &new) } else { (&new, &old) };
        for client in [&uploader.client, &by_registry] {
            let refused =
                client.push_manifest((path, tag), OCI_MANIFEST, other.manifest.clone()).await;
            let message = refused.oci_message();
            refused.expect_oci_error("403 DENIED");
            assert!(message.contains("artifactregistry.tags.update"), "{message}");
        }
        let now = owner.get(&format!("/v2/{path}/manifests/{tag}")).await.expect_status(200);
        assert_eq!(now.header("docker-content-digest"), expected.digest(), "{tag}");
    }
    let permissions = [PUSHES[0], PUSHES[1], "artifactregistry.tags.update"];
    let change = json!({ "includedPermissions": permissions });
    owner.patch(&format!("/v1/{role}"), &change).await.expect_status(200);
    new.push(&uploader.client, (path, "latest")).await;
}

/// The path decides, whatever the body or the query names. The permission is asked for the resource in the path.
async fn attack_13_the_body_does_not_choose_the_resource(accounts: AccountServer) {
    let (attacker, own) = create_tenant(&accounts, "tenant-a").await;
    let (_, victim) = create_tenant(&accounts, "tenant-b").await;
    let before = take_snapshot(&accounts.owner, &victim).await;
    let mut tried = 0;
    for route in routes::all_routes() {
        let (ours, theirs) =
            (own.fill_template(&route.template), victim.fill_template(&route.template));
        // The attack would end with the attacker's own project.
        if route.method_name() == "DeleteProject" || ours == theirs {
            continue;
        }
        let named = |resource: &str| {
            let fields = ["name", "parent", "resource", "project", "repositoryId", "accountId"];
            let mut body: Value =
                fields.map(|field| (field.to_owned(), json!(resource))).into_iter().collect();
            let own = route.resource_field().and_then(|field| Some(field.split_once('.')?.0));
            for inner in ["repository", "service_account", "serviceAccount"].into_iter().chain(own)
            {
                body[inner] =
                    json!({ "name": resource, "description": "stolen", "displayName": "stolen" });
            }
            let binding = json!({ "role": "roles/owner", "members": [attacker.member()] });
            body["policy"] = json!({ "bindings": [binding], "etag": "" });
            body
        };
        let query = |resource: &str| {
            let fields = [
                "name",
                "parent",
                "resource",
                "repository.name",
                "service_account.name",
                "serviceAccount.name",
                "package.name",
            ];
            let fields = fields.into_iter().chain(route.resource_field());
            let pairs: Vec<_> = fields.map(|field| format!("{field}={resource}")).collect();
            pairs.join("&")
        };
        let (own_resource, victims) = (route.resource_name(&own), route.resource_name(&victim));
        for (path, resource) in [(&ours, &victims), (&theirs, &own_resource), (&theirs, &victims)] {
            let body = named(resource);
            let uri = format!("{path}?{}", query(resource));
            // The first body has fields that the method does not have. Such a body is refused after the permission was
            // checked.
            for body in [body.to_string(), route.known_fields(&body).to_string()] {
                let reply = attacker.client.send(route.verb.clone(), &uri, body).await;
                tried += 1;
                let open = matches!(route.method.access, AccessRule::Open { .. });
                if path == &theirs && !open {
                    assert_eq!(
                        reply.google_outcome(),
                        "403 PERMISSION_DENIED",
                        "{} {uri}",
                        route.verb
                    );
                }
                let text = String::from_utf8_lossy(&reply.body);
                assert!(
                    !text.contains("accessToken") && !text.contains("signedJwt"),
                    "{uri}: {text}"
                );
            }
        }
    }
    assert!(tried > 300, "{tried}");
    assert_eq!(take_snapshot(&accounts.owner, &victim).await, before);
}

async fn attack_13_children_under_another_parent_are_not_found(accounts: AccountServer) {
    let (attacker, own) = create_tenant(&accounts, "tenant-a").await;
    let (other, victim) = create_tenant(&accounts, "tenant-b").await;
    let before = take_snapshot(&accounts.owner, &victim).await;
    for route in routes::all_routes().iter().filter(|route| route.template.contains("/keys/*")) {
        // The path has the attacker's own account and another account's key.
        let mixed = ResourceNames { key: victim.key.clone(), ..own.clone() };
        let path = mixed.fill_template(&route.template);
        let reply = attacker.client.send(route.verb.clone(), &path, "{}").await;
        assert_eq!(reply.google_outcome(), "404 NOT_FOUND", "{} {path}", route.verb);
        let mixed = ResourceNames { key: own.key.clone(), ..victim.clone() };
        let path = mixed.fill_template(&route.template);
        let reply = attacker.client.send(route.verb.clone(), &path, "{}").await;
        assert_eq!(reply.google_outcome(), "403 PERMISSION_DENIED", "{} {path}", route.verb);
    }
    for route in routes::all_routes().iter().filter(|route| {
        route.template.contains("/serviceAccounts/*") && route.resource_field().is_some()
    }) {
        // An account's address determines its project, whatever the path says before it.
        for project in ["tenant-a", "-"] {
            let mixed = ResourceNames { project: project.to_owned(), ..victim.clone() };
            let path = mixed.fill_template(&route.template);
            let reply = attacker.client.send(route.verb.clone(), &path, "{}").await;
            assert_eq!(reply.google_outcome(), "403 PERMISSION_DENIED", "{} {path}", route.verb);
        }
    }
    assert_eq!(take_snapshot(&accounts.owner, &victim).await, before);
    let made = other.create_repository("tenant-b", "r2").await.expect_status(200).json();
    let operation = format!("/v1/{}", made["name"].as_str().expect("text"));
    other.get(&operation).await.expect_status(200);
    attacker.get(&operation).await.expect_google_error("404 NOT_FOUND");
    let moved = operation.replace("tenant-b", "tenant-a");
    for who in [&attacker, &other] {
        who.get(&moved).await.expect_google_error("404 NOT_FOUND");
    }
}

/// Only the public paths answer without a credential, and a path answers only the methods that its route declares.
/// Other tests hold the rest: beside the contract, that a method must say what it needs; in `house`, that every route
/// is declared.
async fn attack_15_nothing_is_open_by_accident(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    let image = Image::new(1);
    image.push(&accounts.owner.client, ("my-project/r1/image", "latest")).await;
    let nobody = accounts.anonymous();
    let names = ResourceNames::new(PROJECT, "r1", (&accounts.owner.email, accounts.owner_key.id()));
    let wire = Http2Connection::connect(accounts.server.address).await;
    for route in routes::all_routes() {
        let path = names.fill_template(&route.template);
        let reply = nobody.send(route.verb.clone(), &path, "{}").await;
        assert_eq!(reply.google_outcome(), "401 UNAUTHENTICATED", "{} {path}", route.verb);
        let message = route.build_message(&route.resource_name(&names), &json!({}));
        let reply = wire.call_grpc(&route.method.path, HeaderMap::new(), &message).await;
        assert_eq!(reply.header("grpc-status"), "16", "{}", route.method.path);
    }
    let routes = berth_server::routes::registry_routes();
    for route in routes.declared() {
        let path = fill_path(route.path, &image.digest());
        let own = routes.declared().iter().filter(|other| other.path == route.path);
        let taken: Vec<_> = own.flat_map(|other| other.methods.split(' ')).collect();
        for method in ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"] {
            let reply = nobody.send(method.parse().expect("a method"), &path, "").await;
            let challenge = reply.header("www-authenticate").starts_with("Bearer realm=");
            match reply.status.as_u16() {
                405 => {
                    assert!(!taken.contains(&method), "{method} {path} is declared");
                    let allow: BTreeSet<_> =
                        reply.header("allow").split(',').map(str::trim).collect();
                    assert_eq!(allow, taken.iter().copied().collect(), "{method} {path}");
                }
                401 => assert!(challenge && !PUBLIC.contains(&route.path), "{method} {path}"),
                _ => assert!(PUBLIC.contains(&route.path), "{method} {path} is open: {reply:?}"),
            }
            assert_eq!(taken.contains(&method), reply.status != 405, "{method} {path}");
        }
    }
    // Operators have a listener of their own, which does not serve the clients' paths.
    let operators = Client::new(accounts.server.ops);
    for route in berth_server::routes::ops_routes().declared() {
        operators.get(route.path).await.expect_status(200);
        assert_eq!(nobody.get(route.path).await.status, 404, "{}", route.path);
    }
    for route in routes.declared() {
        let path = fill_path(route.path, &image.digest());
        assert_eq!(operators.get(&path).await.status, 404, "{path}");
    }
    let unknown =
        wire.call_grpc("/google.iam.admin.v1.IAM/SignBlob", HeaderMap::new(), &String::new()).await;
    assert_eq!(unknown.header("grpc-status"), "12");
}
