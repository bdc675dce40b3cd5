//! Requests under a condition: `If-Match` and `If-None-Match`.

use http::Method;
use model::media_type::OCI_MANIFEST;

use crate::util::{Client, Image, TestServer, digest_of, on_both, random_bytes, with_deadline};

const IMAGE: &str = "p/r1/image";

/// A client that sends the headers `NAME: VALUE`, one on each line.
fn with_condition(client: &Client, condition: &str) -> Client {
    condition.split('\n').fold(client.clone(), |client, line| {
        let (name, value) = line.split_once(": ").expect("a header");
        client.with_header(name, value)
    })
}

/// The conditions of a read and the status. `A` is the digest that is there, and `B` is another one.
const READS: [(&str, u16); 20] = [
    ("if-none-match: \"A\"", 304),
    ("if-none-match: W/\"A\"", 304),
    ("if-none-match: \"B\", \"A\"", 304),
    ("if-none-match: \"B\"\nif-none-match: \"A\"", 304),
    ("if-none-match: *", 304),
    ("if-none-match: A", 304),
    ("if-none-match: \"B\"", 200),
    ("if-none-match: \"B\", W/\"B\"", 200),
    ("if-none-match: \"A", 200),
    ("if-match: \"A\"", 200),
    ("if-match: \"B\", \"A\"", 200),
    ("if-match: *", 200),
    ("if-match: \"B\"", 412),
    ("if-match: W/\"A\"", 412),
    ("if-match: \"A\"\nif-none-match: \"A\"", 304),
    ("if-match: \"B\"\nif-none-match: \"A\"", 412),
    ("if-match: \"A\"\nif-none-match: \"B\"", 200),
    // There is no modification time.
    ("if-modified-since: Sat, 29 Oct 2094 19:43:31 GMT", 200),
    ("if-unmodified-since: Sat, 29 Oct 1994 19:43:31 GMT", 200),
    ("if-none-match: \"B\"\nif-modified-since: Sat, 29 Oct 2094 19:43:31 GMT", 200),
];

async fn check_reads(client: &Client, path: &str, digest: &str) {
    for (condition, status) in READS {
        let condition = condition.replace('A', digest).replace('B', &digest_of("something else"));
        for method in [Method::GET, Method::HEAD] {
            let reader = with_condition(client, &condition);
            let answer = reader.send(method.clone(), path, "").await.expect_status(status);
            if status == 412 {
                let is_said = method == Method::GET;
                assert!(
                    !is_said || answer.oci_outcome() == "412 PRECONDITION_FAILED",
                    "{answer:?}"
                );
                continue;
            }
            assert_eq!(answer.header("etag"), format!("\"{digest}\""), "{condition}");
            assert_eq!(answer.header("docker-content-digest"), digest, "{condition}");
            if status == 304 {
                let of_content = ["content-type", "content-length", "content-range"];
                assert!(of_content.iter().all(|name| answer.header(name).is_empty()), "{answer:?}");
                assert!(answer.body.is_empty(), "{condition}");
            }
        }
    }
}

async fn put_manifest(client: &Client, reference: &str, image: &Image) -> u16 {
    let put = client.push_manifest((IMAGE, reference), OCI_MANIFEST, image.manifest.clone()).await;
    put.status.as_u16()
}

on_both![
    conditional_reads_of_blobs_and_manifests,
    conditions_are_checked_before_ranges,
    conditional_writes_of_tags,
    conditional_writes_by_digest,
    a_condition_does_not_replace_a_permission,
    one_of_many_conditional_writers_wins
];

async fn conditional_reads_of_blobs_and_manifests(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push(&admin, (IMAGE, "latest")).await;
    for reference in ["latest", &image.digest()] {
        check_reads(&admin, &format!("/v2/{IMAGE}/manifests/{reference}"), &image.digest()).await;
    }
    let blob = digest_of(&image.blobs[1]);
    check_reads(&admin, &format!("/v2/{IMAGE}/blobs/{blob}"), &blob).await;
    // No condition makes missing content appear, or shows content to a caller without the permission.
    for condition in ["if-match: *", "if-none-match: *", "if-none-match: \"x\""] {
        let (reader, nobody) = (
            with_condition(&admin, condition),
            with_condition(&server.client_of("nobody"), condition),
        );
        let missing = format!("/v2/{IMAGE}/blobs/{}", digest_of("missing"));
        reader.get(&missing).await.expect_oci_error("404 BLOB_UNKNOWN");
        reader.head(&missing).await.expect_status(404);
        reader
            .get(&format!("/v2/{IMAGE}/manifests/missing"))
            .await
            .expect_oci_error("404 MANIFEST_UNKNOWN");
        nobody.get(&format!("/v2/{IMAGE}/manifests/latest")).await.expect_oci_error("403 DENIED");
        nobody.get(&format!("/v2/{IMAGE}/blobs/{blob}")).await.expect_oci_error("403 DENIED");
    }
}

async fn conditions_are_checked_before_ranges(server: TestServer) {
    let admin = server.admin();
    let digest = admin.push_blob(IMAGE, random_bytes(100, 1)).await;
    let path = format!("/v2/{IMAGE}/blobs/{digest}");
    let other = digest_of("something else");
    for (condition, range, status) in [
        (format!("if-none-match: \"{digest}\""), "bytes=0-1", 304),
        (format!("if-none-match: \"{digest}\""), "bytes=1000-", 304),
        (format!("if-match: \"{other}\""), "bytes=0-1", 412),
        (format!("if-match: \"{digest}\""), "bytes=0-1", 206),
        (format!("if-match: \"{digest}\""), "bytes=1000-", 416),
        (format!("if-none-match: \"{other}\""), "bytes=0-1,3-4", 206),
        (format!("if-range: \"{digest}\""), "bytes=0-1", 206),
        (format!("if-range: \"{digest}\""), "bytes=1000-", 416),
        (format!("if-range: W/\"{digest}\""), "bytes=0-1", 200),
        (format!("if-range: \"{other}\""), "bytes=0-1", 200),
        (format!("if-range: \"{other}\""), "bytes=1000-", 200),
        (format!("if-range: \"{other}\""), "bytes=0-1,3-4", 200),
        ("if-range: Sat, 29 Oct 2094 19:43:31 GMT".to_owned(), "bytes=0-1", 200),
        (format!("if-match: \"{digest}\"\nif-range: \"{other}\""), "bytes=0-1", 200),
    ] {
        let answer =
            with_condition(&admin, &condition).with_header("range", range).get(&path).await;
        assert_eq!(answer.status.as_u16(), status, "{condition}, {range}: {answer:?}");
    }
    // Ranges apply to GET only.
    let head = admin.clone().with_header("range", "bytes=0-1").head(&path).await.expect_status(200);
    assert_eq!(head.header("content-length"), "100");
}

async fn conditional_writes_of_tags(server: TestServer) {
    let admin = server.admin();
    let (first, second) = (Image::new(1), Image::new(2));
    for image in [&first, &second] {
        image.push_blobs(&admin, IMAGE).await;
    }
    let is = |image: &Image| with_condition(&admin, &format!("if-match: \"{}\"", image.digest()));
    let is_not =
        |image: &Image| with_condition(&admin, &format!("if-none-match: \"{}\"", image.digest()));
    let (there, nothing) =
        (with_condition(&admin, "if-match: *"), with_condition(&admin, "if-none-match: *"));
    assert_eq!(put_manifest(&there, "tag", &first).await, 412);
    assert_eq!(put_manifest(&is(&first), "tag", &first).await, 412);
    admin.get(&format!("/v2/{IMAGE}/manifests/{}", first.digest())).await.expect_status(404);
    assert_eq!(put_manifest(&nothing, "tag", &first).await, 201);
    assert_eq!(put_manifest(&nothing, "tag", &first).await, 412);
    assert_eq!(put_manifest(&nothing, "tag", &second).await, 412);
    assert_eq!(put_manifest(&is(&second), "tag", &second).await, 412);
    assert_eq!(put_manifest(&is_not(&first), "tag", &second).await, 412);
    assert_eq!(admin.tagged_digest(IMAGE, "tag").await, first.digest());
    admin.get(&format!("/v2/{IMAGE}/manifests/{}", second.digest())).await.expect_status(404);
    assert_eq!(put_manifest(&is(&first), "tag", &second).await, 201);
    assert_eq!(put_manifest(&is_not(&first), "tag", &second).await, 201);
    assert_eq!(put_manifest(&there, "tag", &first).await, 201);
    assert_eq!(admin.tagged_digest(IMAGE, "tag").await, first.digest());
    // The condition is about the reference in the path.
    assert_eq!(put_manifest(&nothing, "other?tag=tag&tag=more", &second).await, 201);
    assert_eq!(admin.tagged_digest(IMAGE, "tag").await, second.digest());
    let path = format!("/v2/{IMAGE}/manifests/tag");
    for (client, outcome) in [
        (is(&first), "412 PRECONDITION_FAILED"),
        (is_not(&second), "412 PRECONDITION_FAILED"),
        (nothing.clone(), "412 PRECONDITION_FAILED"),
        (
            with_condition(&admin, &format!("if-match: W/\"{}\"", second.digest())),
            "412 PRECONDITION_FAILED",
        ),
        (with_condition(&admin, "if-match: \"x"), "400 PRECONDITION_INVALID"),
        (with_condition(&admin, "if-none-match: "), "400 PRECONDITION_INVALID"),
    ] {
        client.delete(&path).await.expect_oci_error(outcome);
        let moved =
            client.push_manifest((IMAGE, "tag"), OCI_MANIFEST, second.manifest.clone()).await;
        assert_eq!(moved.oci_outcome(), outcome);
    }
    is(&second).delete(&path).await.expect_status(202);
    is(&second).delete(&path).await.expect_oci_error("404 MANIFEST_UNKNOWN");
    nothing.delete(&path).await.expect_oci_error("404 MANIFEST_UNKNOWN");
    assert_eq!(admin.tagged_digest(IMAGE, "more").await, second.digest());
}

async fn conditional_writes_by_digest(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push_blobs(&admin, IMAGE).await;
    let (there, nothing) =
        (with_condition(&admin, "if-match: *"), with_condition(&admin, "if-none-match: *"));
    let other = with_condition(&admin, &format!("if-match: \"{}\"", digest_of("something else")));
    let same = with_condition(&admin, &format!("if-match: \"{}\"", image.digest()));
    let digest = image.digest();
    assert_eq!(put_manifest(&there, &digest, &image).await, 412);
    assert_eq!(put_manifest(&nothing, &digest, &image).await, 201);
    assert_eq!(put_manifest(&nothing, &digest, &image).await, 412);
    assert_eq!(put_manifest(&there, &digest, &image).await, 201);
    let manifest = format!("/v2/{IMAGE}/manifests/{digest}");
    let blob = format!("/v2/{IMAGE}/blobs/{}", admin.push_blob(IMAGE, "alone").await);
    for path in [&manifest, &blob] {
        for client in [&other, &nothing] {
            client.delete(path).await.expect_oci_error("412 PRECONDITION_FAILED");
        }
        with_condition(&admin, "if-match: ,")
            .delete(path)
            .await
            .expect_oci_error("400 PRECONDITION_INVALID");
        admin.get(path).await.expect_status(200);
    }
    same.delete(&manifest).await.expect_status(202);
    there.delete(&blob).await.expect_status(202);
    for client in [&other, &nothing, &there] {
        client.delete(&manifest).await.expect_oci_error("404 MANIFEST_UNKNOWN");
        client.delete(&blob).await.expect_oci_error("404 BLOB_UNKNOWN");
    }
}

/// A condition does not replace a permission, and a refused push makes no repository.
async fn a_condition_does_not_replace_a_permission(server: TestServer) {
    let image = Image::new(1);
    image.push(&server.admin(), (IMAGE, "tag")).await;
    let path = format!("/v2/{IMAGE}/manifests/tag");
    for condition in ["if-match: *", "if-match: \"x\"", "if-none-match: *", "if-match: \"x"] {
        let reader = with_condition(&server.client_of("reader-1"), condition);
        reader.delete(&path).await.expect_oci_error("403 DENIED");
        reader.put(&path, image.manifest.clone()).await.expect_oci_error("403 DENIED");
        with_condition(&server.anonymous(), condition).put(&path, "").await.expect_status(401);
    }
    let new =
        with_condition(&server.admin(), "if-match: *").with_header("content-type", OCI_MANIFEST);
    new.put("/v2/p/new/image/manifests/tag", image.manifest.clone()).await.expect_status(412);
    server.admin().get("/v2/p/new/image/tags/list").await.expect_oci_error("404 NAME_UNKNOWN");
}

/// Many writers find the same state, and one of them writes.
async fn one_of_many_conditional_writers_wins(server: TestServer) {
    const WRITERS: usize = 8;
    let admin = server.admin();
    let images: Vec<_> = (0..WRITERS as u64).map(Image::new).collect();
    for image in &images {
        image.push_blobs(&admin, IMAGE).await;
    }
    let mut condition = "if-none-match: *".to_owned();
    for round in 0..4 {
        let writers = images.iter().map(|image| {
            let (client, manifest) = (with_condition(&admin, &condition), image.manifest.clone());
            tokio::spawn(async move {
                client.push_manifest((IMAGE, "tag"), OCI_MANIFEST, manifest).await
            })
        });
        let mut written = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            let answer = with_deadline(writer).await.expect("no panic");
            match answer.status.as_u16() {
                201 => written.push(answer.header("docker-content-digest").to_owned()),
                412 => {}
                _ => panic!("{answer:?}"),
            }
        }
        let current = admin.tagged_digest(IMAGE, "tag").await;
        // A push of the digest that is there changes nothing, so that in later rounds one more push may succeed.
        written.retain(|digest| round == 0 || !condition.contains(digest.as_str()));
        assert_eq!(written, std::slice::from_ref(&current), "in round {round}");
        condition = format!("if-match: \"{current}\"");
    }
    let deleters = (0..WRITERS).map(|_| {
        let client = with_condition(&admin, &condition);
        tokio::spawn(async move { client.delete(&format!("/v2/{IMAGE}/manifests/tag")).await })
    });
    let mut deleted = 0;
    for deleter in deleters.collect::<Vec<_>>() {
        deleted += usize::from(with_deadline(deleter).await.expect("no panic").status == 202);
    }
    assert_eq!(deleted, 1);
}
