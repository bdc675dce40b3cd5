use http::Method;
use model::media_type::OCI_INDEX;

use crate::util::{TestServer, digest_of, on_both, random_bytes};

const IMAGE: &str = "p/r1/image";

on_both![
    chunks_with_ranges_are_appended,
    one_patch_and_an_empty_put,
    an_upload_without_its_file_is_unknown,
    unfinished_uploads_are_limited,
    a_cancelled_upload_is_gone,
    both_digest_algorithms_are_accepted,
    a_blob_is_mounted_from_another_repository,
    an_unused_upload_expires,
    a_refused_request_makes_no_repository,
    concurrent_repeats_of_a_put_succeed,
    one_of_many_concurrent_chunks_is_appended,
    encoded_content_is_refused,
    the_status_of_an_upload_is_shown
];

async fn chunks_with_ranges_are_appended(server: TestServer) {
    let admin = server.admin();
    let bytes = random_bytes(3000, 5);
    let upload = admin.start_upload(IMAGE).await;
    for (start, end) in [(0, 999), (1000, 1999)] {
        let client = admin.clone().with_header("content-range", &format!("{start}-{end}"));
        let reply = client.patch(&upload, bytes.slice(start..=end)).await.expect_status(202);
        assert_eq!(reply.header("range"), format!("0-{end}"));
        assert_eq!(reply.header("location"), upload);
        let status = admin.get(&upload).await.expect_status(204);
        assert_eq!(status.header("range"), format!("0-{end}"));
    }
    let last = admin.clone().with_header("content-range", "2000-2999");
    let digest = digest_of(&bytes);
    let path = format!("{upload}?digest={digest}");
    let reply = last.put(&path, bytes.slice(2000..)).await.expect_status(201);
    assert_eq!(reply.header("location"), format!("/v2/{IMAGE}/blobs/{digest}"));
    assert_eq!(admin.get(reply.header("location")).await.expect_status(200).body, bytes);
}

async fn one_patch_and_an_empty_put(server: TestServer) {
    let admin = server.admin();
    let bytes = random_bytes(2_500_000, 6);
    let upload = admin.start_upload(IMAGE).await;
    admin.patch(&upload, bytes.clone()).await.expect_status(202);
    let path = format!("{upload}?digest={}", digest_of(&bytes));
    admin.put(&path, "").await.expect_status(201);
    admin.put(&path, "").await.expect_status(201);
    admin.get(&upload).await.expect_oci_error("404 BLOB_UPLOAD_UNKNOWN");
    admin.patch(&upload, "more").await.expect_oci_error("404 BLOB_UPLOAD_UNKNOWN");
}

/// The file was truncated, deleted or replaced.
async fn an_upload_without_its_file_is_unknown(server: TestServer) {
    use std::fs;
    let admin = server.admin();
    type SpoilFn = fn(&std::path::Path);
    let spoil: [(&str, SpoilFn); 5] = [
        ("cut", |file| fs::write(file, "byte").expect("ours")),
        ("emptied", |file| fs::write(file, "").expect("ours")),
        ("removed", |file| fs::remove_file(file).expect("ours")),
        ("a folder", |file| {
            fs::remove_file(file).expect("ours");
            fs::create_dir(file).expect("ours");
        }),
        ("a link", |file| {
            fs::remove_file(file).expect("ours");
            std::os::unix::fs::symlink("/etc/hostname", file).expect("ours");
        }),
    ];
    for (what, spoil) in spoil {
        for method in [Method::PATCH, Method::PUT] {
            let before = server.blob_paths();
            let upload = admin.start_upload(IMAGE).await;
            admin.patch(&upload, "bytes").await.expect_status(202);
            let mut now = server.blob_paths();
            now.retain(|path| !before.contains(path));
            spoil(&now[0]);
            let path = format!("{upload}?digest={}", digest_of("bytes and more"));
            for _ in 0..2 {
                let answer = admin.send(method.clone(), &path, " and more").await;
                assert_eq!(answer.status, 404, "{what}, {method}");
                answer.expect_oci_error("404 BLOB_UPLOAD_UNKNOWN");
            }
            admin.get(&upload).await.expect_oci_error("404 BLOB_UPLOAD_UNKNOWN");
        }
    }
    admin.push_blob(IMAGE, "bytes and more").await;
}

async fn unfinished_uploads_are_limited(started: TestServer) {
    let mut server = started;
    server.stop().await;
    let server = server.restart_with(|config| config.limits.open_uploads = 3).await;
    let (admin, begin) = (server.admin(), format!("/v2/{IMAGE}/blobs/uploads/"));
    let one = admin.start_upload(IMAGE).await;
    for n in 0..5 {
        // A finished upload does not count.
        admin.push_blob(IMAGE, format!("blob {n}")).await;
    }
    let two = admin.start_upload(IMAGE).await;
    admin.patch(&two, "bytes").await.expect_status(202);
    admin.start_upload("p/r1/other-image").await;
    for path in [begin.clone(), format!("{begin}?digest={}", digest_of("whole"))] {
        let refused = admin.post(&path, "whole").await;
        let message = refused.json()["errors"][0]["message"].to_string();
        assert!(message.contains("end them with DELETE"), "clients show no hint: {message}");
        let refused = refused.expect_oci_error("429 TOOMANYREQUESTS");
        assert!(!refused.header("retry-after").is_empty());
    }
    // The limit is for one account in one repository. Uploads that have begun go on.
    admin.start_upload("p/r2/image").await;
    server.client_of("other-admin").start_upload(IMAGE).await;
    admin.patch(&one, "bytes").await.expect_status(202);
    admin.delete(&one).await.expect_status(204);
    let one = admin.start_upload(IMAGE).await;
    admin.post(&begin, "").await.expect_oci_error("429 TOOMANYREQUESTS");
    admin.put(&format!("{one}?digest={}", digest_of("one")), "one").await.expect_status(201);
    admin.start_upload(IMAGE).await;
}

async fn a_cancelled_upload_is_gone(server: TestServer) {
    let admin = server.admin();
    let upload = admin.start_upload(IMAGE).await;
    admin.patch(&upload, "bytes").await.expect_status(202);
    admin.delete(&upload).await.expect_status(204);
    admin.get(&upload).await.expect_oci_error("404 BLOB_UPLOAD_UNKNOWN");
    admin.delete(&upload).await.expect_oci_error("404 BLOB_UPLOAD_UNKNOWN");
}

async fn both_digest_algorithms_are_accepted(server: TestServer) {
    use model::digest::{Digest, DigestAlgorithm};
    let admin = server.admin();
    let digest = Digest::of_with(DigestAlgorithm::Sha512, b"content");
    let path = format!("/v2/{IMAGE}/blobs/uploads/?digest-algorithm=sha512");
    let upload = admin.post(&path, "").await.expect_status(202).header("location").to_owned();
    admin.patch(&upload, "content").await.expect_status(202);
    admin.put(&format!("{upload}?digest={digest}"), "").await.expect_status(201);
    admin.get(&format!("/v2/{IMAGE}/blobs/{digest}")).await.expect_status(200);
    // A client may also name SHA-512 at the end only.
    let digest = Digest::of_with(DigestAlgorithm::Sha512, b"other content");
    let upload = admin.start_upload(IMAGE).await;
    admin.patch(&upload, "other ").await.expect_status(202);
    admin.put(&format!("{upload}?digest={digest}"), "content").await.expect_status(201);
    admin.get(&format!("/v2/{IMAGE}/blobs/{digest}")).await.expect_status(200);
    let path = format!("/v2/{IMAGE}/blobs/uploads/?digest-algorithm=md5");
    admin.post(&path, "").await.expect_oci_error("400 DIGEST_INVALID");
}

async fn a_blob_is_mounted_from_another_repository(server: TestServer) {
    let admin = server.admin();
    let digest = admin.push_blob("p/r1/image", "content").await;
    let post = async |query: &str| {
        admin.post(&format!("/v2/p/r2/image/blobs/uploads/?mount={query}"), "").await
    };
    let unknown = digest_of("never pushed");
    post(&format!("{unknown}&from=p/r1/image")).await.expect_status(202);
    post(&format!("{digest}&from=p/r3/image")).await.expect_status(202);
    post(&format!("{digest}&from=../x")).await.expect_status(202);
    let mounted = post(&format!("{digest}&from=p/r1/image")).await.expect_status(201);
    assert_eq!(mounted.header("location"), format!("/v2/p/r2/image/blobs/{digest}"));
    admin.get(&format!("/v2/p/r2/image/blobs/{digest}")).await.expect_status(200);
    // Without `from`, the server looks in the other repositories of the project.
    admin
        .post(&format!("/v2/p/r4/image/blobs/uploads/?mount={digest}"), "")
        .await
        .expect_status(201);
    let elsewhere = format!("/v2/q/r/image/blobs/uploads/?mount={digest}");
    admin.post(&elsewhere, "").await.expect_status(202);
}

async fn an_unused_upload_expires(server: TestServer) {
    let admin = server.admin();
    let upload = admin.start_upload(IMAGE).await;
    server.clock.advance_hours(20);
    admin.patch(&upload, "bytes").await.expect_status(202);
    server.clock.advance_hours(20);
    crate::gc::collect_garbage(&server).await;
    admin.get(&upload).await.expect_status(204);
    server.clock.advance_hours(5);
    crate::gc::collect_garbage(&server).await;
    admin.get(&upload).await.expect_oci_error("404 BLOB_UPLOAD_UNKNOWN");
}

async fn a_refused_request_makes_no_repository(server: TestServer) {
    let admin = server.admin();
    let upload = format!("/v2/{IMAGE}/blobs/uploads/0123456789ab4def8123456789abcdef");
    let finish = format!("{upload}?digest={}", digest_of("x"));
    for method in [Method::GET, Method::PATCH, Method::PUT, Method::DELETE] {
        admin.send(method, &finish, "x").await.expect_oci_error("404 BLOB_UPLOAD_UNKNOWN");
    }
    for query in ["digest=x", "mount=x", "digest-algorithm=md5"] {
        let path = format!("/v2/{IMAGE}/blobs/uploads/?{query}");
        admin.post(&path, "x").await.expect_oci_error("400 DIGEST_INVALID");
    }
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    for (reference, manifest, outcome) in [
        ("x?tag=a/b", index, "400 TAG_INVALID"),
        ("x", "{}", "400 MANIFEST_INVALID"),
        (&digest_of("x"), index, "400 DIGEST_INVALID"),
    ] {
        admin
            .push_manifest((IMAGE, reference), OCI_INDEX, manifest)
            .await
            .expect_oci_error(outcome);
    }
    let repository = "/v2/p/r1/tags/list";
    admin.get(repository).await.expect_oci_error("404 NAME_UNKNOWN");
    admin.push_manifest((IMAGE, "x"), OCI_INDEX, index).await.expect_status(201);
    admin.get(repository).await.expect_status(200);
}

/// An impatient client repeats its request several times. All of these requests push the same blob.
async fn concurrent_repeats_of_a_put_succeed(server: TestServer) {
    let admin = server.admin();
    let bytes = random_bytes(300_000, 7);
    let path = format!("{}?digest={}", admin.start_upload(IMAGE).await, digest_of(&bytes));
    let puts = (0..8).map(|_| admin.put(&path, bytes.clone()));
    for put in futures_util::future::join_all(puts).await {
        put.expect_status(201);
    }
    let blob = format!("/v2/{IMAGE}/blobs/{}", digest_of(&bytes));
    assert_eq!(admin.get(&blob).await.expect_status(200).body, bytes);
}

/// One request begins the upload. The others come too late for the same range.
async fn one_of_many_concurrent_chunks_is_appended(server: TestServer) {
    let admin = server.admin();
    for _ in 0..5 {
        let upload = admin.start_upload(IMAGE).await;
        let client = admin.clone().with_header("content-range", "0-4");
        let patches = (0..8).map(|_| client.patch(&upload, "bytes"));
        let replies = futures_util::future::join_all(patches).await;
        let mut statuses: Vec<_> = replies.iter().map(|reply| reply.status.as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 416, 416, 416, 416, 416, 416, 416]);
        admin.put(&format!("{upload}?digest={}", digest_of("bytes")), "").await.expect_status(201);
    }
}

async fn encoded_content_is_refused(server: TestServer) {
    let admin = server.admin().with_header("content-encoding", "gzip");
    let path = format!("/v2/{IMAGE}/blobs/uploads/?digest={}", digest_of("x"));
    admin.post(&path, "x").await.expect_oci_error("415 UNSUPPORTED");
}

async fn the_status_of_an_upload_is_shown(server: TestServer) {
    let admin = server.admin();
    let upload = admin.start_upload(IMAGE).await;
    admin.patch(&upload, "0123456789").await.expect_status(202);
    let get = admin.get(&upload).await.expect_status(204);
    let head = admin.head(&upload).await.expect_status(204);
    for name in ["range", "location", "docker-upload-uuid"] {
        assert_eq!((head.header(name), head.header(name).is_empty()), (get.header(name), false));
    }
    // The status of an upload needs the permission to push, so the challenge asks for it.
    let refused = server.anonymous().head(&upload).await.expect_status(401);
    let challenge = refused.header("www-authenticate");
    assert!(challenge.ends_with(",scope=\"repository:p/r1/image:pull,push\""), "{challenge}");
    server.client_of("reader-1").head(&upload).await.expect_status(403);
    admin.head(&format!("/v2/{IMAGE}/blobs/uploads/none")).await.expect_status(404);
}
