//! Attacks by upstreams, and by those who choose what is asked of them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::remote::{RemoteTest, expect_manifest, expect_problem, remote_body};
use super::{create_from_body, image_in};
use crate::gc::collect_garbage;
use crate::util::{
    Backend, Image, ScriptedUpstream, UpstreamAnswer, blob_path, digest_of, manifest_path, on_both,
};

on_both![
    attack_44_places_that_a_manifest_names_are_not_asked,
    attack_47_answers_without_an_end_are_bounded,
    attack_48_digests_of_an_upstream_are_no_paths,
    attack_49_upstreams_are_not_confused,
    attack_94_repositories_that_share_a_blob_do_not_depend_on_each_other
];

async fn attack_44_places_that_a_manifest_names_are_not_asked(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let (elsewhere, image) = (ScriptedUpstream::start().await, Image::new(1));
    let layer = &image.blobs[1];
    let path = blob_path("app", digest_of(layer));
    elsewhere.set(&path, UpstreamAnswer::blob(layer.clone()));
    let mut manifest: Value = serde_json::from_str(&image.manifest).expect("JSON");
    manifest["layers"][0]["urls"] = json!([format!("{}{path}", elsewhere.url())]);
    let image = Image { blobs: image.blobs.clone(), manifest: manifest.to_string() };
    test.upstream.serve(&image, ("app", "1"));
    test.upstream.set(&path, UpstreamAnswer::status(404));
    expect_manifest(test.pull_manifest("1").await, &image);
    test.pull_blob(layer).await.expect_oci_error("404 BLOB_UNKNOWN");
    assert_eq!(test.upstream.count(&format!("GET {path}")), 1);
    assert!(elsewhere.asked().is_empty());
}

async fn attack_47_answers_without_an_end_are_bounded(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let path = manifest_path("app", "1");
    let header = |value: String| UpstreamAnswer::Status {
        status: 401,
        header: ("www-authenticate", value),
        body: String::new(),
    };
    for (answer, text) in [
        // A head of 4 MiB, and a challenge that names very many parameters.
        (header("x".repeat(4 << 20)), "gave no answer"),
        (header(format!("Bearer {}", "a=b,".repeat(10_000))), "answered 401"),
        // A manifest, and an error, that are longer than one may be.
        (UpstreamAnswer::blob(vec![b' '; 5 << 20]), "longer than one may be"),
        (
            UpstreamAnswer::Status {
                status: 500,
                header: ("x-none", String::new()),
                body: "x".repeat(5 << 20),
            },
            "answered 500",
        ),
        (
            UpstreamAnswer::Cut { bytes: Bytes::from_static(b"{"), announced: usize::MAX >> 1 },
            "gave no answer",
        ),
    ] {
        test.upstream.set(&path, answer);
        expect_problem(test.pull_manifest("1").await, "502 UNAVAILABLE", text);
    }
    test.upstream.serve(&Image::new(1), ("app", "1"));
    expect_manifest(test.pull_manifest("1").await, &Image::new(1));
}

async fn attack_48_digests_of_an_upstream_are_no_paths(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let (image, path) = (Image::new(1), manifest_path("app", "1"));
    let hex = "a".repeat(64);
    for digest in [
        "sha256:../../../../etc/passwd".to_owned(),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{hex}a"),
        "sha512:../x".to_owned(),
        "sha256:".to_owned(),
        format!("sha256:{hex}/.."),
    ] {
        let mut manifest: Value = serde_json::from_str(&image.manifest).expect("JSON");
        manifest["layers"][0]["digest"] = json!(digest);
        test.upstream.set(&path, UpstreamAnswer::blob(manifest.to_string()));
        expect_problem(test.pull_manifest("1").await, "502 UNAVAILABLE", "not valid");
        // A header that is no digest is as good as none.
        let bytes = Bytes::from(image.manifest.clone());
        let media_type = model::media_type::OCI_MANIFEST;
        let digest = Some(digest);
        test.upstream.set(&path, UpstreamAnswer::Content { bytes, media_type, digest });
        expect_manifest(test.pull_manifest("1").await, &image);
        let deleted = manifest_path(&image_in("remote", "app"), "1");
        test.accounts.owner.client.delete(&deleted).await.expect_status(202);
    }
}

async fn attack_49_upstreams_are_not_confused(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let (other, mine, theirs) = (ScriptedUpstream::start().await, Image::new(1), Image::new(2));
    create_from_body(&test.accounts, "other", &remote_body(&other.url())).await.expect_status(200);
    test.upstream.serve(&mine, ("app", "1"));
    other.serve(&theirs, ("app", "1"));
    let client = &test.accounts.owner.client;
    let host = other.address.to_string();
    for (name, value) in [("x-forwarded-host", host.as_str()), ("forwarded", "host=other")] {
        let lying = client.clone().with_header(name, value);
        for (repository, image) in [("remote", &mine), ("other", &theirs), ("remote", &mine)] {
            let path = manifest_path(&image_in(repository, "app"), "1");
            expect_manifest(lying.get(&path).await, image);
            expect_manifest(lying.get(&format!("{path}?ns={host}")).await, image);
        }
    }
    let (asked, theirs_asked) = (test.upstream.asked().len(), other.asked().len());
    // Other ways to write a name are other names, or none.
    for image in ["library/app", "library%2Fapp", "%61pp", "other/../app", "app%2f..%2fapp"] {
        let path = manifest_path(&image_in("remote", image), "1");
        assert_ne!(client.get(&path).await.status, 200, "{image}");
    }
    assert!(test.upstream.asked().len() <= asked + 1, "{:?}", test.upstream.asked());
    assert_eq!(other.asked().len(), theirs_asked);
}

async fn attack_94_repositories_that_share_a_blob_do_not_depend_on_each_other(backend: Backend) {
    let mut test = RemoteTest::start(backend).await;
    let (other, image) = (ScriptedUpstream::start().await, Image::new(1));
    create_from_body(&test.accounts, "other", &remote_body(&other.url())).await.expect_status(200);
    test.upstream.serve(&image, ("app", "1"));
    other.serve(&image, ("app", "1"));
    let client = &test.accounts.owner.client;
    for repository in ["remote", "other"] {
        let image_name = image_in(repository, "app");
        expect_manifest(client.get(&manifest_path(&image_name, "1")).await, &image);
        for blob in &image.blobs {
            let pulled = client.get(&blob_path(&image_name, digest_of(blob))).await;
            assert_eq!(pulled.expect_status(200).body, *blob);
        }
    }
    let by_digest = manifest_path(&image_in("remote", "app"), image.digest());
    client.delete(&by_digest).await.expect_status(202);
    for hours in [30, 3] {
        test.accounts.server.clock.advance_hours(hours);
        collect_garbage(&test.accounts.server).await;
    }
    test.sign_in_again().await;
    let client = &test.accounts.owner.client;
    other.set_all(&UpstreamAnswer::status(500));
    for blob in &image.blobs {
        let pulled = client.get(&blob_path(&image_in("other", "app"), digest_of(blob))).await;
        assert_eq!(pulled.expect_status(200).body, *blob);
        let gone = client.get(&blob_path(&image_in("remote", "app"), digest_of(blob))).await;
        gone.expect_oci_error("404 BLOB_UNKNOWN");
    }
    assert_eq!(client.tagged_digest(&image_in("other", "app"), "1").await, image.digest());
}
