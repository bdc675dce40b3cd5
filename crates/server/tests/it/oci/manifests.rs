use model::media_type::{DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST};
use serde_json::json;

use crate::util::{Image, TestServer, descriptor_of, digest_of, index_of, on_both};

const IMAGE: &str = "p/r1/image";

fn index_of_images(children: &[&Image]) -> String {
    let manifests: Vec<_> = children.iter().map(|child| child.descriptor()).collect();
    index_of(&manifests)
}

/// The error of a manifest that an index names.
const HAS_PARENT: &str = "400 GOOGLE_MANIFEST_DANGLING_PARENT_IMAGE";

on_both![
    an_image_is_pulled_by_tag_and_by_digest,
    a_tag_moves_and_its_old_image_stays,
    errors_have_the_words_of_artifact_registry,
    content_must_be_pushed_first,
    an_index_needs_its_images,
    docker_manifests_are_accepted,
    images_are_deleted_by_tag_and_by_digest,
    one_push_sets_several_tags,
    images_of_one_repository_share_blobs_but_not_manifests
];

async fn an_image_is_pulled_by_tag_and_by_digest(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push(&admin, (IMAGE, "latest")).await;
    for reference in ["latest", &image.digest()] {
        let path = format!("/v2/{IMAGE}/manifests/{reference}");
        let pulled = admin.get(&path).await.expect_status(200);
        assert_eq!(pulled.body, image.manifest);
        assert_eq!(pulled.header("content-type"), OCI_MANIFEST);
        assert_eq!(pulled.header("docker-content-digest"), image.digest());
        let head = admin.head(&path).await.expect_status(200);
        assert_eq!(head.header("content-length"), image.manifest.len().to_string());
        let etag = pulled.header("etag");
        admin.clone().with_header("if-none-match", etag).get(&path).await.expect_status(304);
    }
}

async fn a_tag_moves_and_its_old_image_stays(server: TestServer) {
    let admin = server.admin();
    let (old, new) = (Image::new(1), Image::new(2));
    old.push(&admin, (IMAGE, "latest")).await;
    new.push(&admin, (IMAGE, "latest")).await;
    new.push(&admin, (IMAGE, "latest")).await;
    let tagged = admin.get(&format!("/v2/{IMAGE}/manifests/latest")).await.expect_status(200);
    assert_eq!(tagged.body, new.manifest);
    let old = admin.get(&format!("/v2/{IMAGE}/manifests/{}", old.digest())).await;
    old.expect_status(200);
}

async fn errors_have_the_words_of_artifact_registry(server: TestServer) {
    let admin = server.admin();
    Image::new(1).push(&admin, (IMAGE, "latest")).await;
    let missing = admin.get(&format!("/v2/{IMAGE}/manifests/1.0")).await;
    assert_eq!(missing.oci_message(), "Failed to fetch \"1.0\"");
    missing.expect_oci_error("404 MANIFEST_UNKNOWN");
    let short = admin.get("/v2/foo/manifests/x").await;
    assert!(short.oci_message().starts_with("Missing image name. Pushes should be of the form"));
    short.expect_oci_error("404 NAME_UNKNOWN");
    let no_image = admin.put("/v2/p/r1/manifests/x", "").await;
    assert!(no_image.oci_message().starts_with("Missing image name. Pushes should be of the form"));
    no_image.expect_oci_error("404 NAME_UNKNOWN");
    let no_repository = admin.get("/v2/p/nothing/image/manifests/x").await;
    assert_eq!(no_repository.oci_message(), "Repository \"nothing\" not found in us-west1");
    no_repository.expect_oci_error("404 NAME_UNKNOWN");
    let denied = server.client_of("nobody").get(&format!("/v2/{IMAGE}/manifests/latest")).await;
    assert_eq!(
        denied.oci_message(),
        "Permission \"artifactregistry.repositories.downloadArtifacts\" denied on resource \
             \"projects/p/locations/us-west1/repositories/r1\" (or it may not exist)"
    );
    denied.expect_oci_error("403 DENIED");
    let stranger = server.anonymous().get(&format!("/v2/{IMAGE}/manifests/latest")).await;
    let challenge = stranger.header("www-authenticate").to_owned();
    assert!(challenge.contains("scope=\"repository:p/r1/image:pull\""), "{challenge}");
    assert!(stranger.oci_message().starts_with("Unauthenticated request. "));
    stranger.expect_oci_error("401 UNAUTHORIZED");
    let challenge = server.anonymous().get("/v2/").await.expect_oci_error("401 UNAUTHORIZED");
    assert!(challenge.header("www-authenticate").starts_with("Bearer realm=\"http://"));
    // HTTP/2 has the host in another field, and the answer is the same.
    let there =
        server.anonymous().over_http2().get("/v2/").await.expect_oci_error("401 UNAUTHORIZED");
    assert_eq!(there.header("www-authenticate"), challenge.header("www-authenticate"));
    for host in ["a\",realm=\"http://b", "\u{e9}"] {
        let forged = server.anonymous().with_header("host", host).get("/v2/").await;
        forged.expect_oci_error("400 NAME_INVALID");
    }
    let refused = server.anonymous().with_token("no such token").get("/v2/").await;
    let challenge = refused.header("www-authenticate");
    assert!(challenge.ends_with(",error=\"invalid_token\""), "{challenge}");
    refused.expect_oci_error("401 UNAUTHORIZED");
}

async fn content_must_be_pushed_first(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    let push =
        async || admin.push_manifest((IMAGE, "latest"), OCI_MANIFEST, image.manifest.clone()).await;
    let refused = push().await.expect_oci_error("400 MANIFEST_BLOB_UNKNOWN");
    let missing = &refused.json()["errors"][0]["detail"]["missing"];
    assert_eq!(missing.as_array().map(Vec::len), Some(3), "{refused:?}");
    admin.push_blob(IMAGE, image.blobs[0].clone()).await;
    admin.push_blob(IMAGE, image.blobs[1].clone()).await;
    let refused = push().await.expect_oci_error("400 MANIFEST_BLOB_UNKNOWN");
    let missing = &refused.json()["errors"][0]["detail"]["missing"];
    assert_eq!(*missing, json!([digest_of(&image.blobs[2])]));
    admin
        .get(&format!("/v2/{IMAGE}/manifests/latest"))
        .await
        .expect_oci_error("404 MANIFEST_UNKNOWN");
    admin.push_blob(IMAGE, image.blobs[2].clone()).await;
    push().await.expect_status(201);
}

async fn an_index_needs_its_images(server: TestServer) {
    let admin = server.admin();
    let (one, two) = (Image::new(1), Image::new(2));
    let index = index_of_images(&[&one, &two]);
    one.push(&admin, (IMAGE, &one.digest())).await;
    let push = async || admin.push_manifest((IMAGE, "multi"), OCI_INDEX, index.clone()).await;
    push().await.expect_oci_error("400 MANIFEST_BLOB_UNKNOWN");
    two.push(&admin, (IMAGE, &two.digest())).await;
    push().await.expect_status(201);
    let nested = index_of(&[descriptor_of(OCI_INDEX, &index)]);
    admin.push_manifest((IMAGE, "nested"), OCI_INDEX, nested.clone()).await.expect_status(201);
    let child = format!("/v2/{IMAGE}/manifests/{}", one.digest());
    // Programs that clean up look for Google's code, and some of them read the digest at the end of the message.
    let refused = admin.delete(&child).await.expect_oci_error(HAS_PARENT);
    let said = refused.json()["errors"][0]["message"].as_str().expect("text").to_owned();
    assert!(said.ends_with(&format!(" {}", digest_of(&index))), "{said}");
    let parent = format!("/v2/{IMAGE}/manifests/{}", digest_of(&index));
    admin.delete(&parent).await.expect_oci_error(HAS_PARENT);
    let nested = digest_of(&nested);
    admin.delete(&format!("/v2/{IMAGE}/manifests/{nested}")).await.expect_status(202);
    admin.delete(&parent).await.expect_status(202);
    admin.get(&format!("/v2/{IMAGE}/manifests/multi")).await.expect_status(404);
    admin.delete(&child).await.expect_status(202);
}

async fn docker_manifests_are_accepted(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push_blobs(&admin, IMAGE).await;
    let manifest = image.manifest.replace(OCI_MANIFEST, DOCKER_MANIFEST);
    admin
        .push_manifest((IMAGE, "docker"), DOCKER_MANIFEST, manifest.clone())
        .await
        .expect_status(201);
    let list = json!({ "schemaVersion": 2, "mediaType": DOCKER_MANIFEST_LIST, "manifests": [{
        "mediaType": DOCKER_MANIFEST, "digest": digest_of(&manifest), "size": manifest.len(),
        "platform": { "architecture": "amd64", "os": "linux" },
    }]});
    admin
        .push_manifest((IMAGE, "list"), DOCKER_MANIFEST_LIST, list.to_string())
        .await
        .expect_status(201);
    let pulled = admin.get(&format!("/v2/{IMAGE}/manifests/list")).await.expect_status(200);
    assert_eq!(pulled.header("content-type"), DOCKER_MANIFEST_LIST);
    let old = r#"{"schemaVersion":1,"name":"x","tag":"y","fsLayers":[],"signatures":[]}"#;
    let media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let refused = admin.push_manifest((IMAGE, "old"), media_type, old).await;
    let message = refused.json()["errors"][0]["message"].to_string();
    assert!(message.contains("skopeo"), "it says what to do: {message}");
    refused.expect_oci_error("400 MANIFEST_INVALID");
}

async fn images_are_deleted_by_tag_and_by_digest(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    for tag in ["a", "b", "c"] {
        image.push(&admin, (IMAGE, tag)).await;
    }
    admin.delete(&format!("/v2/{IMAGE}/manifests/a")).await.expect_status(202);
    admin.get(&format!("/v2/{IMAGE}/manifests/a")).await.expect_oci_error("404 MANIFEST_UNKNOWN");
    admin
        .delete(&format!("/v2/{IMAGE}/manifests/a"))
        .await
        .expect_oci_error("404 MANIFEST_UNKNOWN");
    admin.get(&format!("/v2/{IMAGE}/manifests/b")).await.expect_status(200);
    let path = format!("/v2/{IMAGE}/manifests/{}", image.digest());
    admin.delete(&path).await.expect_status(202);
    admin.get(&path).await.expect_oci_error("404 MANIFEST_UNKNOWN");
    admin.get(&format!("/v2/{IMAGE}/manifests/c")).await.expect_oci_error("404 MANIFEST_UNKNOWN");
    image.push(&admin, (IMAGE, "c")).await;
    admin.get(&path).await.expect_status(200);
}

async fn one_push_sets_several_tags(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push_blobs(&admin, IMAGE).await;
    let reference = format!("{}?tag=one&tag=two", image.digest());
    let pushed = admin.push_manifest((IMAGE, &reference), OCI_MANIFEST, image.manifest.clone());
    let pushed = pushed.await.expect_status(201);
    let tags: Vec<_> = pushed.headers.get_all("oci-tag").iter().collect();
    assert_eq!(tags, ["one", "two"]);
    for tag in ["one", "two"] {
        admin.get(&format!("/v2/{IMAGE}/manifests/{tag}")).await.expect_status(200);
    }
    let reference = format!("{}?tag=a/b", image.digest());
    let refused = admin.push_manifest((IMAGE, &reference), OCI_MANIFEST, "").await;
    refused.expect_oci_error("400 TAG_INVALID");
}

async fn images_of_one_repository_share_blobs_but_not_manifests(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push(&admin, ("p/r1/a", "latest")).await;
    let layer = digest_of(&image.blobs[1]);
    admin.get(&format!("/v2/p/r1/b/blobs/{layer}")).await.expect_status(200);
    let path = format!("/v2/p/r1/b/manifests/{}", image.digest());
    admin.get(&path).await.expect_oci_error("404 MANIFEST_UNKNOWN");
    admin.get(&format!("/v2/p/r2/a/blobs/{layer}")).await.expect_status(404);
}

/// A sparse repository accepts a manifest before its content, and binds the content when it comes.
#[tokio::test]
async fn a_sparse_repository_accepts_manifests_first() {
    use crate::util::Backend;
    for backend in [Some(Backend::Sqlite), Backend::postgres().await].into_iter().flatten() {
        let server =
            TestServer::start_with(backend, |config| config.new_repositories.sparse = true).await;
        let admin = server.admin();
        let (one, two) = (Image::new(1), Image::new(2));
        let index = index_of_images(&[&one, &two]);
        admin.push_manifest((IMAGE, "multi"), OCI_INDEX, index).await.expect_status(201);
        let push = admin.push_manifest((IMAGE, "one"), OCI_MANIFEST, one.manifest.clone());
        push.await.expect_status(201);
        let child = format!("/v2/{IMAGE}/manifests/{}", one.digest());
        admin.delete(&child).await.expect_oci_error(HAS_PARENT);
        one.push_blobs(&admin, IMAGE).await;
        let layer = format!("/v2/{IMAGE}/blobs/{}", digest_of(&one.blobs[1]));
        let refused = admin.delete(&layer).await.expect_oci_error("405 UNSUPPORTED");
        assert_eq!(refused.header("allow"), "GET, HEAD");
    }
}
