//! Mirrors: names by which one repository is reached without its project and its own name.

use berth_server::config::{Config, MirrorSettings};

use super::{VIRTUAL, image_in, push, set_up_virtual};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{
    AccountServer, Backend, Client, Image, Reply, blob_path, digest_of, manifest_path, next_page,
    on_both,
};

const READER: &str = "roles/artifactregistry.reader";
const HOST: &str = "hub.example.com";
const NAMESPACE: &str = "docker.io";

on_both![
    a_host_has_the_images_of_one_repository,
    a_namespace_has_the_images_of_one_repository,
    anonymous_clients_get_a_token_for_a_public_mirror,
    an_unknown_namespace_is_not_found
];

fn add_mirrors(config: &mut Config) {
    let repository = repository_name(PROJECT, VIRTUAL);
    let host = MirrorSettings { host: HOST.to_owned(), repository, ..MirrorSettings::default() };
    let repository = repository_name(PROJECT, VIRTUAL);
    let ns = MirrorSettings { ns: NAMESPACE.to_owned(), repository, ..MirrorSettings::default() };
    config.mirror = vec![host, ns];
}

/// Starts a server with a mirror of [`VIRTUAL`] under a host and under a namespace, and pushes an image to its upstream.
async fn start_mirror(backend: Backend) -> AccountServer {
    let accounts = AccountServer::start_with(backend, add_mirrors).await;
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    push(&accounts.owner.client, "low", ("library/alpine", "3"), 1).await;
    accounts
}

/// The host of the mirror with the port of the server.
fn mirror_host(client: &Client) -> String {
    format!("{HOST}:{}", client.address().port())
}

#[track_caller]
fn expect_image(reply: Reply) {
    let reply = reply.expect_status(200);
    assert_eq!(reply.text(), Image::new(1).manifest);
}

async fn a_host_has_the_images_of_one_repository(backend: Backend) {
    let accounts = start_mirror(backend).await;
    let owner = &accounts.owner.client;
    let mirror = owner.clone().with_header("host", &mirror_host(owner));
    expect_image(mirror.get(&manifest_path("library/alpine", "3")).await);
    let layer = digest_of(&Image::new(1).blobs[1]);
    mirror.get(&blob_path("library/alpine", layer)).await.expect_status(200);
    let tags = mirror.get("/v2/library/alpine/tags/list?n=1").await.expect_status(200).json();
    assert_eq!((&tags["name"], &tags["tags"][0]), (&"library/alpine".into(), &"3".into()));
    // A name of one part is an image there, and the full name is the same image.
    let missing = mirror.get(&manifest_path("alpine", "3")).await;
    missing.expect_oci_error("404 MANIFEST_UNKNOWN");
    expect_image(mirror.get(&manifest_path(&image_in(VIRTUAL, "library/alpine"), "3")).await);
    // Another host of the same server is as before.
    owner.get(&manifest_path("library/alpine", "3")).await.expect_oci_error("404 NAME_UNKNOWN");
}

async fn a_namespace_has_the_images_of_one_repository(backend: Backend) {
    let accounts = start_mirror(backend).await;
    let owner = &accounts.owner.client;
    let path = |name: &str| format!("{}?ns={NAMESPACE}", manifest_path(name, "3"));
    expect_image(owner.get(&path("library/alpine")).await);
    // containerd names the namespace also where a path of its settings comes first.
    expect_image(owner.get(&path(&image_in(VIRTUAL, "library/alpine"))).await);
    let layer = digest_of(&Image::new(1).blobs[1]);
    let layer = format!("{}?ns={NAMESPACE}", blob_path("library/alpine", layer));
    owner.head(&layer).await.expect_status(200);
    // The next page is one of the mirror too.
    push(owner, "low", ("library/alpine", "4"), 1).await;
    let first = format!("/v2/library/alpine/tags/list?n=1&ns={NAMESPACE}");
    let next = next_page(&owner.get(&first).await.expect_status(200)).expect("a next page");
    let tags = owner.get(&next).await.expect_status(200).json();
    assert_eq!(tags["tags"], serde_json::json!(["4"]), "{next}");
    let stranger = accounts.create_actor("stranger").await;
    stranger.client.get(&path("library/alpine")).await.expect_oci_error("403 DENIED");
}

async fn anonymous_clients_get_a_token_for_a_public_mirror(backend: Backend) {
    let accounts = start_mirror(backend).await;
    let owner = &accounts.owner;
    let anonymous = accounts.anonymous();
    let host = mirror_host(&anonymous);
    let on_host = anonymous.clone().with_header("host", &host);
    let scope = format!("repository:{}:pull", image_in(VIRTUAL, "library/alpine"));
    for (client, query) in [(on_host.clone(), ""), (anonymous.clone(), "?ns=docker.io")] {
        let path = format!("{}{query}", manifest_path("library/alpine", "3"));
        let challenged = client.get(&path).await.expect_oci_error("401 UNAUTHORIZED");
        let challenge = challenged.header("www-authenticate");
        assert!(challenge.contains(&format!("scope=\"{scope}\"")), "{challenge}");
        assert_eq!(
            challenge.contains(&format!("realm=\"http://{host}/v2/token\"")),
            query.is_empty()
        );
    }
    owner.grant_role(&repository_name(PROJECT, VIRTUAL), READER, "allUsers").await;
    // Docker asks for the scope of the challenge and for the one of the name that it pulls.
    for asked in [scope.as_str(), "repository:library/alpine:pull"] {
        let token = on_host.get(&format!("/v2/token?scope={asked}")).await.expect_status(200);
        let token = token.json()["token"].as_str().expect("text").to_owned();
        let signed_in = on_host.clone().with_token(&token);
        expect_image(signed_in.get(&manifest_path("library/alpine", "3")).await);
    }
    // The upstream itself is not public.
    let upstream = anonymous.get(&manifest_path(&image_in("low", "library/alpine"), "3")).await;
    upstream.expect_oci_error("401 UNAUTHORIZED");
}

async fn an_unknown_namespace_is_not_found(backend: Backend) {
    let accounts = start_mirror(backend).await;
    let owner = &accounts.owner.client;
    let unknown = |name: &str| format!("{}?ns=quay.io", manifest_path(name, "3"));
    for name in ["alpine", "library/alpine"] {
        let refused = owner.get(&unknown(name)).await.expect_oci_error("404 NAME_UNKNOWN");
        assert!(refused.oci_message().contains("no mirror of quay.io"), "{refused:#?}");
    }
    owner.get(&unknown("team/library/alpine")).await.expect_status(404);
    // With the path of a repository, no mirror is needed.
    expect_image(owner.get(&unknown(&image_in(VIRTUAL, "library/alpine"))).await);
}
