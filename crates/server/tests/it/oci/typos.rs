//! Mistyped names: no push creates a repository for one, and the error says which part of the name is wrong.

use berth_server::config::{Config, NewRepositories};
use http::Method;
use model::media_type::OCI_INDEX;

use crate::util::accounts::{ORGANIZATION, PROJECT};
use crate::util::google::repository_name;
use crate::util::{
    AccountServer, Backend, Client, Image, Reply, StartOn, TestServer, digest_of, on_both,
};

const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

fn reset_new_repositories(config: &mut Config) {
    config.new_repositories = NewRepositories::default();
}

/// A server with accounts and the default setting for new repositories.
struct DefaultAccounts(AccountServer);

impl StartOn for DefaultAccounts {
    async fn start(backend: Backend) -> Self {
        Self(AccountServer::start_with(backend, reset_new_repositories).await)
    }
}

/// A server with the accounts of most tests and the default setting for new repositories.
struct DefaultServer(TestServer);

impl StartOn for DefaultServer {
    async fn start(backend: Backend) -> Self {
        Self(TestServer::start_with(backend, reset_new_repositories).await)
    }
}

/// Sends every request with which a push may begin.
async fn begin_pushes(client: &Client, image: &str) -> Vec<Reply> {
    let digest = digest_of("content");
    let uploads = format!("/v2/{image}/blobs/uploads/");
    let client = client.clone().with_header("content-type", OCI_INDEX);
    let mut replies = Vec::new();
    for (method, path, body) in [
        (Method::POST, uploads.clone(), ""),
        (Method::POST, format!("{uploads}?digest={digest}"), "content"),
        (Method::POST, format!("{uploads}?mount={digest}&from={image}"), ""),
        (Method::PUT, format!("{uploads}0123?digest={digest}"), ""),
        (Method::PATCH, format!("{uploads}0123"), "content"),
        (Method::PUT, format!("/v2/{image}/manifests/latest"), INDEX),
        (Method::PUT, format!("/v2/{image}/manifests/{}", digest_of(INDEX)), INDEX),
    ] {
        replies.push(client.send(method, &path, body).await);
    }
    replies
}

/// Sends every other request about an image.
async fn ask_for_content(client: &Client, image: &str) -> Vec<Reply> {
    let digest = digest_of("content");
    let mut replies = Vec::new();
    for (method, path) in [
        (Method::GET, "manifests/latest"),
        (Method::DELETE, "manifests/latest"),
        (Method::GET, &format!("manifests/{digest}")),
        (Method::GET, &format!("blobs/{digest}")),
        (Method::DELETE, &format!("blobs/{digest}")),
        (Method::GET, &format!("referrers/{digest}")),
        (Method::GET, "blobs/uploads/0123"),
        (Method::DELETE, "blobs/uploads/0123"),
    ] {
        replies.push(client.send(method, &format!("/v2/{image}/{path}"), "").await);
    }
    replies
}

on_both![
    no_push_makes_a_repository_of_a_typo,
    the_error_names_a_missing_project,
    registry_hosts_create_repositories_as_googles_do,
    a_push_waits_for_its_repository,
    the_error_of_a_short_path_shows_the_right_form
];

async fn no_push_makes_a_repository_of_a_typo(shipped: DefaultAccounts) {
    let accounts = shipped.0;
    let project = format!("projects/{PROJECT}");
    let writer = ("roles/artifactregistry.createOnPushWriter", project.as_str());
    let writer = accounts.create_actor_with("writer-1", writer).await;
    let reader = ("roles/artifactregistry.reader", project.as_str());
    let reader = accounts.create_actor_with("reader-1", reader).await;
    let nobody = accounts.create_actor("nobody-1").await;
    let image = format!("{PROJECT}/typo/image");
    for client in [&accounts.owner.client, &writer.client] {
        for reply in begin_pushes(client, &image).await {
            assert_eq!(reply.oci_message(), "Repository \"typo\" not found in us-west1");
            reply.expect_oci_error("404 NAME_UNKNOWN");
        }
    }
    for (client, refused) in [
        (&reader.client, "403 DENIED"),
        (&nobody.client, "403 DENIED"),
        (&accounts.anonymous(), "401 UNAUTHORIZED"),
    ] {
        for reply in begin_pushes(client, &image).await {
            reply.expect_oci_error(refused);
        }
    }
    let typo = format!("/v1/{}", repository_name(PROJECT, "typo"));
    accounts.owner.get(&typo).await.expect_google_error("404 NOT_FOUND");
    accounts.create_repository(PROJECT, "typo").await;
    Image::new(1).push(&writer.client, (&image, "latest")).await;
}

async fn the_error_names_a_missing_project(shipped: DefaultAccounts) {
    let accounts = shipped.0;
    let writer = ("roles/artifactregistry.writer", ORGANIZATION);
    let writer = accounts.create_actor_with("writer-1", writer).await;
    for client in [&accounts.owner.client, &writer.client] {
        let gcr = client.clone().with_header("host", "gcr.io");
        let mut replies = begin_pushes(client, "my-projekt/typo/image").await;
        replies.extend(begin_pushes(&gcr, "my-projekt/image").await);
        for reply in replies {
            assert_eq!(reply.oci_message(), "Project \"my-projekt\" not found");
            reply.expect_oci_error("404 NAME_UNKNOWN");
        }
    }
    let owner = &accounts.owner.client;
    let mut replies = Vec::new();
    for path in ["manifests/latest", &format!("blobs/{}", digest_of("")), "tags/list"] {
        let path = format!("/v2/my-projekt/typo/image/{path}");
        replies.push(owner.get(&path).await);
    }
    replies.push(owner.delete("/v2/my-projekt/typo/image/manifests/latest").await);
    replies.push(owner.get("/v2/my-projekt/typo/tags/list").await);
    replies.push(owner.get("/v2/example.com/my-projekt/typo/tags/list").await);
    for reply in replies {
        assert!(reply.oci_message().contains("my-projekt\" not found"), "{reply:?}");
        reply.expect_oci_error("404 NAME_UNKNOWN");
    }
    // An image that is not there has no referrers, also in a project that is not there.
    let referrers = format!("/v2/my-projekt/typo/image/referrers/{}", digest_of(""));
    owner.get(&referrers).await.expect_status(200);
    // A caller without a permission does not learn what is missing.
    let nobody = accounts.create_actor("nobody-1").await;
    for image in ["my-projekt/typo/image", &format!("{PROJECT}/typo/image")] {
        for reply in begin_pushes(&nobody.client, image).await {
            reply.expect_oci_error("403 DENIED");
        }
    }
    // Nobody may do anything in a deleted project.
    accounts.owner.create_project("deleted-1").await.expect_status(200);
    accounts.owner.delete("/v1/projects/deleted-1").await.expect_status(200);
    for reply in begin_pushes(owner, "deleted-1/typo/image").await {
        assert!([403, 404].contains(&reply.status.as_u16()), "{reply:?}");
    }
}

async fn registry_hosts_create_repositories_as_googles_do(shipped: DefaultAccounts) {
    let accounts = shipped.0;
    let project = format!("projects/{PROJECT}");
    let creator = ("roles/artifactregistry.createOnPushWriter", project.as_str());
    let creator = accounts.create_actor_with("creator-1", creator).await;
    let writer =
        accounts.create_actor_with("writer-1", ("roles/artifactregistry.writer", &project)).await;
    let image = format!("{PROJECT}/image");
    let on = |client: &Client, host: &str| client.clone().with_header("host", host);
    for (host, location, name) in [
        ("gcr.io", "us", "gcr.io"),
        ("eu.gcr.io", "europe", "eu.gcr.io"),
        ("asia.gcr.io:443", "asia", "asia.gcr.io"),
    ] {
        // The repository of the same name under the host of its location is another one.
        let elsewhere = on(&creator.client, &format!("{location}-docker.localhost"));
        for reply in begin_pushes(&elsewhere, &format!("{PROJECT}/{name}/image")).await {
            reply.expect_oci_error("404 NAME_UNKNOWN");
        }
        for reply in begin_pushes(&on(&writer.client, host), &image).await {
            assert_eq!(
                reply.oci_message(),
                format!("Repository \"{name}\" not found in {location}")
            );
            reply.expect_oci_error("404 NAME_UNKNOWN");
        }
        Image::new(1).push(&on(&creator.client, host), (&image, "latest")).await;
        let made = format!("/v1/projects/{PROJECT}/locations/{location}/repositories/{name}");
        accounts.owner.get(&made).await.expect_status(200);
        on(&writer.client, host)
            .get(&format!("/v2/{image}/manifests/latest"))
            .await
            .expect_status(200);
    }
}

async fn a_push_waits_for_its_repository(shipped: DefaultServer) {
    let server = shipped.0;
    for client in [server.admin(), server.client_of("writer-2")] {
        for reply in begin_pushes(&client, "p/r2/image").await {
            reply.expect_oci_error("404 NAME_UNKNOWN");
        }
    }
    server.google_admin().create_repository("p", "r2").await.expect_status(200);
    Image::new(2).push(&server.client_of("writer-2"), ("p/r2/image", "latest")).await;
}

/// In development mode, every push creates its repository and project.
#[tokio::test]
async fn a_push_in_development_creates_its_repository() {
    let server = TestServer::start_for_development(reset_new_repositories).await;
    Image::new(1).push(&server.anonymous(), ("p/r2/image", "latest")).await;
    for created in ["projects/p".to_owned(), repository_name("p", "r2")] {
        server.anonymous().get(&format!("/v1/{created}")).await.expect_status(200);
    }
}

async fn the_error_of_a_short_path_shows_the_right_form(shipped: DefaultServer) {
    let server = shipped.0;
    let here = server.address.to_string();
    let gcr = server.admin().with_header("host", "gcr.io");
    let forged = server.admin().with_header("host", "registry.evil.example");
    let text = "Missing image name. Pushes should be of the form docker push \
                    HOST-NAME/PROJECT-ID/REPOSITORY/IMAGE, for example docker push ";
    let example = format!("{text}{here}/my-project/my-repository/my-image");
    for (client, image, expected) in [
        (&server.admin(), "my-image", example.clone()),
        (&server.admin(), "my_image", example.clone()),
        (&server.admin(), "p/r1", example.clone()),
        (&server.admin(), "library/my_image", example.clone()),
        (&server.admin(), "example.com/p", example.clone()),
        (&server.admin(), "manifests/tags", example.clone()),
        (&server.client_of("nobody"), "p/r1", example.clone()),
        (&server.anonymous(), "my-image", example.clone()),
        (&forged, "my-image", example.clone()),
        (&gcr, "p", format!("{text}gcr.io/my-project/my-image")),
        (&gcr, "example.com/p", format!("{text}gcr.io/my-project/my-image")),
    ] {
        let mut replies = begin_pushes(client, image).await;
        replies.extend(ask_for_content(client, image).await);
        for reply in replies {
            assert_eq!(reply.oci_message(), expected, "{image}");
            reply.expect_oci_error("404 NAME_UNKNOWN");
        }
        client.head(&format!("/v2/{image}/manifests/latest")).await.expect_status(404);
    }
    // A path that may be a repository's lists images.
    for (client, image, expected) in [
        (&server.admin(), "my-image", example.as_str()),
        (&server.admin(), "library/my_image", &example),
        (&server.admin(), "p/r1", "Repository \"r1\" not found in us-west1"),
        (&server.admin(), "nowhere/r1", "Project \"nowhere\" not found"),
        (&gcr, "my_image", &format!("{text}gcr.io/my-project/my-image")),
    ] {
        let list = client.get(&format!("/v2/{image}/tags/list")).await;
        assert_eq!(list.oci_message(), expected);
        list.expect_oci_error("404 NAME_UNKNOWN");
    }
    for image in
        ["My-image", "p/R1", "p/", "/r1", "p/..", "example.com/p/r", "p/r1/Image", "p/r.x/i", ""]
    {
        for reply in begin_pushes(&server.admin(), image).await {
            if reply.oci_outcome() != "404 NOT_FOUND" {
                reply.expect_oci_error("400 NAME_INVALID");
            }
        }
    }
}
