//! Attacks 60 to 66, 75 and 76: invalid names, numbers and ranges, and requests that are too large. Attack 63, planted
//! symbolic links, is tested in `blob` as `attack_63_planted_links_are_refused`.

use std::collections::BTreeSet;

use http::Method;
use model::byte_range::MAX_BLOB_BYTES;
use model::media_type::OCI_MANIFEST;

use crate::util::{Image, TestServer, digest_of, next_page, on_both, random_bytes};

const IMAGE: &str = "p/r1/image";

on_both![
    attack_60_invalid_page_sizes_are_refused,
    attack_61_a_growing_list_has_no_gaps_and_no_repeats,
    attack_62_invalid_names_are_refused,
    attack_64_wrong_digests_are_refused,
    attack_65_chunks_at_the_wrong_place_are_refused,
    attack_66_ranges_do_not_amplify,
    attack_75_a_digest_names_its_content
];

async fn attack_60_invalid_page_sizes_are_refused(server: TestServer) {
    let admin = server.admin();
    Image::new(1).push(&admin, (IMAGE, "latest")).await;
    for list in [format!("/v2/{IMAGE}/tags/list"), "/v2/_catalog".to_owned()] {
        for n in ["-1", "abc", "", "1.5", "+1", "0x10"] {
            let reply = admin.get(&format!("{list}?n={n}")).await;
            reply.expect_oci_error("400 PAGINATION_NUMBER_INVALID");
        }
        for n in ["0", "1", "2147483648", "9223372036854775808", "99999999999999999999999999"] {
            admin.get(&format!("{list}?n={n}")).await.expect_status(200);
        }
        let last = "a".repeat(30_000);
        for last in [last.as_str(), "%00", "%ff%fe", "../..", "a%27%20OR%201=1"] {
            admin.get(&format!("{list}?last={last}")).await.expect_status(200);
        }
    }
}

async fn attack_61_a_growing_list_has_no_gaps_and_no_repeats(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    let even: BTreeSet<_> = (0..60).map(|n| format!("t{:03}", 2 * n)).collect();
    for tag in &even {
        image.push(&admin, (IMAGE, tag)).await;
    }
    let (mut found, mut added) = (Vec::new(), 1);
    let mut next = Some(format!("/v2/{IMAGE}/tags/list?n=7"));
    while let Some(path) = next {
        let page = admin.get(&path).await.expect_status(200);
        let json = page.json();
        let tags = json["tags"].as_array().expect("a list").iter();
        found.extend(tags.map(|tag| tag.as_str().expect("text").to_owned()));
        next = next_page(&page);
        image.push(&admin, (IMAGE, &format!("t{added:03}"))).await;
        added += 12;
    }
    assert!(found.is_sorted_by(|a, b| a < b), "in order, and none twice: {found:?}");
    let found: BTreeSet<_> = found.into_iter().collect();
    assert!(even.is_subset(&found), "none is left out");
}

async fn attack_62_invalid_names_are_refused(server: TestServer) {
    let admin = server.admin();
    let tag = "a".repeat(129);
    let long = "a".repeat(256);
    for path in [
        "/v2/../../etc/passwd/manifests/x".to_owned(),
        "/v2/p/r1/..%2f..%2fetc/manifests/x".to_owned(),
        "/v2/p/r1/%2e%2e/manifests/x".to_owned(),
        "/v2/p/r1/%252e%252e/manifests/x".to_owned(),
        "/v2/p/r1/a//b/manifests/x".to_owned(),
        "/v2/p/r1/a\\b/manifests/x".to_owned(),
        "/v2/p/r1/a%00/manifests/x".to_owned(),
        "/v2/p/r1/.a/manifests/x".to_owned(),
        "/v2/p/r1/_catalog/manifests/x".to_owned(),
        "/v2/p/r1/Image/manifests/x".to_owned(),
        "/v2/p/r1/%D0%B0/manifests/x".to_owned(),
        format!("/v2/p/r1/{long}/manifests/x"),
        "/v2/p//image/manifests/x".to_owned(),
        "/v2//p/r1/image/manifests/x".to_owned(),
    ] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let reply = admin.send(method, &path, "").await;
            assert_eq!(reply.oci_outcome(), "400 NAME_INVALID", "{path}: {reply:?}");
        }
    }
    for reference in [tag.as_str(), ".x", "-x", "a%2fb", "%2e%2e", "a%20b", "%00"] {
        let reply = admin.put(&format!("/v2/{IMAGE}/manifests/{reference}"), "").await;
        reply.expect_oci_error("400 TAG_INVALID");
    }
    // Words of the protocol can be names.
    let image = Image::new(1);
    for name in ["p/r1/blobs/uploads", "p/r1/manifests", "p/r1/tags/list", "p/r1/a/blobs"] {
        image.push(&admin, (name, "manifests")).await;
        let pulled = admin.get(&format!("/v2/{name}/manifests/manifests")).await.expect_status(200);
        assert_eq!(pulled.body, image.manifest);
        let list = admin.get(&format!("/v2/{name}/tags/list")).await.expect_status(200);
        assert_eq!(list.json()["tags"], serde_json::json!(["manifests"]));
    }
    admin.get("/v2/p/r1/image").await.expect_oci_error("404 NOT_FOUND");
    admin.get("/").await.expect_oci_error("404 NOT_FOUND");
}

async fn attack_64_wrong_digests_are_refused(server: TestServer) {
    let admin = server.admin();
    let post = async |digest: &str, body: &'static str| {
        admin.post(&format!("/v2/{IMAGE}/blobs/uploads/?digest={digest}"), body).await
    };
    post("md5:d41d8cd98f00b204e9800998ecf8427e", "").await.expect_oci_error("400 DIGEST_INVALID");
    post("sha256:", "").await.expect_oci_error("400 DIGEST_INVALID");
    post(&digest_of("x").to_uppercase(), "x").await.expect_oci_error("400 DIGEST_INVALID");
    post(&digest_of("other"), "content").await.expect_oci_error("400 DIGEST_INVALID");
    post(&digest_of(""), "").await.expect_status(201);
    admin.head(&format!("/v2/{IMAGE}/blobs/{}", digest_of("other"))).await.expect_status(404);
    // An upload with a wrong digest has ended, and its bytes are not kept.
    let upload = admin.start_upload(IMAGE).await;
    admin.patch(&upload, "content").await.expect_status(202);
    let wrong = format!("{upload}?digest={}", digest_of("other"));
    let refused = admin.put(&wrong, "").await.expect_oci_error("400 DIGEST_INVALID");
    assert!(refused.json()["errors"][0]["message"].to_string().contains(&digest_of("content")));
    assert_eq!(refused.header("location"), "", "there is nothing to go on with");
    admin.get(&upload).await.expect_oci_error("404 BLOB_UPLOAD_UNKNOWN");
    admin.head(&format!("/v2/{IMAGE}/blobs/{}", digest_of("content"))).await.expect_status(404);
    let upload = admin.start_upload(IMAGE).await;
    admin.put(&upload, "content").await.expect_oci_error("400 DIGEST_INVALID");
}

async fn attack_65_chunks_at_the_wrong_place_are_refused(server: TestServer) {
    let admin = server.admin();
    let upload = admin.start_upload(IMAGE).await;
    let patch = async |range: &str, body: &'static str| {
        admin.clone().with_header("content-range", range).patch(&upload, body).await
    };
    patch("0-4", "01234").await.expect_status(202);
    for (range, body) in [
        ("0-4", "01234"),
        ("4-8", "45678"),
        ("6-9", "6789"),
        ("5-9", "567"),
        ("5-6", "56789"),
        ("9-5", "56789"),
        ("a-b", "56789"),
        ("5-18446744073709551615", "56789"),
    ] {
        let reply = patch(range, body).await.expect_oci_error("416 BLOB_UPLOAD_INVALID");
        let goes_on = (reply.header("range"), reply.header("location"));
        assert_eq!(goes_on, ("0-4", upload.as_str()), "{range}: {reply:?}");
        let status = admin.get(&upload).await.expect_status(204);
        assert_eq!(status.header("range"), "0-4", "after {range}");
    }
    admin.patch(&upload, "").await.expect_status(202);
    admin.patch(&upload, "56").await.expect_status(202);
    let path = format!("{upload}?digest={}", digest_of("0123456789"));
    let gap = admin.clone().with_header("content-range", "8-9").put(&path, "89").await;
    gap.expect_oci_error("416 BLOB_UPLOAD_INVALID");
    admin.clone().with_header("content-range", "7-9").put(&path, "789").await.expect_status(201);
    let upload = admin.start_upload(IMAGE).await;
    let far = format!("{MAX_BLOB_BYTES}-{}", MAX_BLOB_BYTES + 9);
    let reply = admin.clone().with_header("content-range", &far).patch(&upload, "0123456789").await;
    reply.expect_oci_error("416 BLOB_UPLOAD_INVALID");
}

async fn attack_66_ranges_do_not_amplify(server: TestServer) {
    let admin = server.admin();
    let bytes = random_bytes(1000, 9);
    let digest = admin.push_blob(IMAGE, bytes.clone()).await;
    let path = format!("/v2/{IMAGE}/blobs/{digest}");
    let many = format!("bytes={}", vec!["0-999"; 1000].join(","));
    for (range, status, length) in [
        (many.as_str(), 200, 1000),
        ("bytes=0-10,5-20", 200, 1000),
        ("bytes=-2000", 206, 1000),
        ("bytes=0-9223372036854775808", 206, 1000),
        ("bytes=9223372036854775808-", 416, 0),
        ("bytes=abc", 200, 1000),
        ("lines=0-1", 200, 1000),
    ] {
        let reply =
            admin.clone().with_header("range", range).get(&path).await.expect_status(status);
        assert!(status == 416 || reply.body.len() == length, "{range}: {}", reply.body.len());
    }
    let part = admin.clone().with_header("range", "bytes=0-9");
    let other =
        part.clone().with_header("if-range", "\"another\"").get(&path).await.expect_status(200);
    assert_eq!(other.body, bytes);
    part.with_header("if-range", &format!("\"{digest}\"")).get(&path).await.expect_status(206);
}

async fn attack_75_a_digest_names_its_content(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push_blobs(&admin, IMAGE).await;
    let put = async |reference: &str| {
        admin.push_manifest((IMAGE, reference), OCI_MANIFEST, image.manifest.clone()).await
    };
    put(&digest_of("other")).await.expect_oci_error("400 DIGEST_INVALID");
    put("sha256:abc").await.expect_oci_error("400 DIGEST_INVALID");
    put("sha256:").await.expect_oci_error("400 DIGEST_INVALID");
    let like_a_digest = image.digest().replace(':', "-");
    put(&like_a_digest).await.expect_status(201);
    let list = admin.get(&format!("/v2/{IMAGE}/tags/list")).await.expect_status(200);
    assert_eq!(list.json()["tags"], serde_json::json!([like_a_digest]));
}

/// Attack 76: too many headers, too long headers and a too long path. The connection is refused before a permission is
/// checked, so that one database suffices.
#[tokio::test]
async fn attack_76_oversized_heads_are_refused() {
    let server = TestServer::start(crate::util::Backend::Sqlite).await;
    let client = server.admin();
    let request = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n")
    };
    let long = format!("x: {}\r\n", "a".repeat(10 << 20));
    let many = "x: y\r\n".repeat(10_000);
    for headers in [&long, &many] {
        let answer = client.send_raw(request("/v2/", headers).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer:.100}");
    }
    let path = format!("/v2/?x={}", "a".repeat(70_000));
    let answer = client.send_raw(request(&path, "").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 414"), "{answer:.100}");
    let query = format!("/v2/_catalog?{}", "a&".repeat(20_000));
    client.get(&query).await.expect_status(200);
    let http2 = client.clone().over_http2();
    let many =
        (0..10_000).fold(http2.clone(), |client, n| client.with_header(&format!("x-{n}"), "y"));
    many.get("/v2/").await.expect_status(431);
    http2.clone().with_header("x", &"a".repeat(70_000)).get("/v2/").await.expect_status(431);
    http2.get(&path[..60_000]).await.expect_status(200);
    http2.get(&path[..65_450]).await.expect_status(431);
    http2.get(&query).await.expect_status(200);
    // Such a long header ends the connection.
    let long = http2.clone().with_header("x", &"a".repeat(10 << 20));
    long.try_send(Method::GET, "/v2/", "").await.expect_err("the server has heard enough");
    for client in [&client, &http2] {
        client.get("/v2/").await.expect_status(200);
    }
}
