use crate::util::{TestServer, digest_of, on_both, random_bytes};

const IMAGE: &str = "p/r1/image";

on_both![
    a_blob_is_pulled_as_it_was_pushed,
    a_range_of_a_blob_is_served,
    a_blob_is_deleted_and_pushed_again,
    a_blob_that_a_manifest_needs_stays,
    a_digest_may_be_escaped_and_must_be_complete,
    a_corrupt_copy_is_not_served_and_heals_by_a_push,
    a_range_of_a_corrupt_copy_is_not_served,
    a_copy_whose_file_is_gone_is_unknown
];

async fn a_blob_is_pulled_as_it_was_pushed(server: TestServer) {
    let admin = server.admin();
    for length in [0, 1, 70_000, 1_500_000] {
        let bytes = random_bytes(length, length as u64);
        let digest = admin.push_blob(IMAGE, bytes.clone()).await;
        let path = format!("/v2/{IMAGE}/blobs/{digest}");
        let pulled = admin.get(&path).await.expect_status(200);
        assert_eq!(pulled.body, bytes);
        assert_eq!(pulled.header("docker-content-digest"), digest.as_str());
        assert_eq!(pulled.header("content-length"), length.to_string());
        let head = admin.head(&path).await.expect_status(200);
        assert_eq!(head.header("content-length"), length.to_string());
        assert!(head.body.is_empty());
    }
}

async fn a_range_of_a_blob_is_served(server: TestServer) {
    let admin = server.admin();
    let bytes = random_bytes(1000, 7);
    let digest = admin.push_blob(IMAGE, bytes.clone()).await;
    let path = format!("/v2/{IMAGE}/blobs/{digest}");
    let part = async |range: &str| admin.clone().with_header("range", range).get(&path).await;
    let middle = part("bytes=10-19").await.expect_status(206);
    assert_eq!(middle.body, bytes[10..20]);
    assert_eq!(middle.header("content-range"), "bytes 10-19/1000");
    assert_eq!(part("bytes=-5").await.expect_status(206).body, bytes[995..]);
    assert_eq!(part("bytes=990-").await.expect_status(206).body, bytes[990..]);
    let beyond = part("bytes=1000-").await.expect_status(416);
    assert_eq!(beyond.header("content-range"), "bytes */1000");
}

async fn a_blob_is_deleted_and_pushed_again(server: TestServer) {
    let admin = server.admin();
    let digest = admin.push_blob(IMAGE, "content").await;
    let path = format!("/v2/{IMAGE}/blobs/{digest}");
    admin.delete(&path).await.expect_status(202);
    admin.get(&path).await.expect_oci_error("404 BLOB_UNKNOWN");
    admin.head(&path).await.expect_status(404);
    admin.delete(&path).await.expect_oci_error("404 BLOB_UNKNOWN");
    admin.push_blob(IMAGE, "content").await;
    admin.get(&path).await.expect_status(200);
}

async fn a_blob_that_a_manifest_needs_stays(server: TestServer) {
    let admin = server.admin();
    let image = crate::util::Image::new(1);
    image.push(&admin, (IMAGE, "latest")).await;
    let layer = digest_of(&image.blobs[1]);
    let path = format!("/v2/{IMAGE}/blobs/{layer}");
    let refused = admin.delete(&path).await.expect_oci_error("405 UNSUPPORTED");
    assert_eq!(refused.header("allow"), "GET, HEAD", "what it does take now");
    let message = refused.json()["errors"][0]["message"].to_string();
    assert!(message.contains(&image.digest()), "{message}");
    admin.delete(&format!("/v2/{IMAGE}/manifests/{}", image.digest())).await.expect_status(202);
    admin.delete(&path).await.expect_status(202);
}

async fn a_digest_may_be_escaped_and_must_be_complete(server: TestServer) {
    let admin = server.admin();
    let digest = admin.push_blob(IMAGE, "content").await;
    let escaped = digest.to_string().replace(':', "%3A");
    admin.get(&format!("/v2/{IMAGE}/blobs/{escaped}")).await.expect_status(200);
    let short = &digest.as_str()[..70];
    let refused = admin.get(&format!("/v2/{IMAGE}/blobs/{short}")).await;
    refused.expect_oci_error("400 DIGEST_INVALID");
}

async fn a_corrupt_copy_is_not_served_and_heals_by_a_push(server: TestServer) {
    let admin = server.admin();
    let bytes = random_bytes(600_000, 3);
    let digest = admin.push_blob(IMAGE, bytes.clone()).await;
    let mut files = server.blob_paths().into_iter();
    let file = files.find(|file| std::fs::read(file).expect("readable") == bytes);
    let file = file.expect("the blob's file");
    let mut rotten = bytes.to_vec();
    rotten[300_000] ^= 1;
    std::fs::write(&file, &rotten).expect("writable");
    let path = format!("/v2/{IMAGE}/blobs/{digest}");
    let cut = admin.get(&path).await.expect_status(200);
    assert!(cut.body.len() < bytes.len(), "the end of rotten content is held back");
    admin.get(&path).await.expect_oci_error("404 BLOB_UNKNOWN");
    admin.head(&path).await.expect_status(404);
    admin.push_blob(IMAGE, bytes.clone()).await;
    assert_eq!(admin.get(&path).await.expect_status(200).body, bytes);
}

async fn a_range_of_a_corrupt_copy_is_not_served(server: TestServer) {
    let admin = server.admin();
    let digest = admin.push_blob(IMAGE, "some content").await;
    for file in server.blob_paths() {
        std::fs::write(file, "some c0ntent").expect("writable");
    }
    let path = format!("/v2/{IMAGE}/blobs/{digest}");
    let part = admin.clone().with_header("range", "bytes=0-3").get(&path).await;
    part.expect_oci_error("404 BLOB_UNKNOWN");
}

async fn a_copy_whose_file_is_gone_is_unknown(server: TestServer) {
    let admin = server.admin();
    let digest = admin.push_blob(IMAGE, "content").await;
    for file in server.blob_paths() {
        std::fs::remove_file(file).expect("removable");
    }
    let path = format!("/v2/{IMAGE}/blobs/{digest}");
    admin.get(&path).await.expect_oci_error("404 BLOB_UNKNOWN");
    admin.head(&path).await.expect_status(404);
    admin.push_blob(IMAGE, "content").await;
    admin.get(&path).await.expect_status(200);
}
