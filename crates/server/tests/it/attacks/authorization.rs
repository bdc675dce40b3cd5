//! Attacks 1 to 8: reading or writing another's content.

use model::digest::Digest;
use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use serde_json::json;

use crate::util::{Image, TestServer, digest_of, on_both};

/// Pushes a blob to a repository that the attackers cannot read. No other repository has it.
async fn push_secret_blob(server: &TestServer) -> Digest {
    server.admin().push_blob("p/r1/image", "secret").await
}

on_both![
    attack_01_a_private_blob_looks_like_a_missing_one,
    attack_02_a_private_blob_cannot_be_mounted,
    attack_03_a_narrow_token_mounts_no_more_than_it_reads,
    attack_04_a_manifest_does_not_make_a_private_blob_readable,
    attack_05_an_index_does_not_make_a_private_manifest_readable,
    attack_06_referrers_come_from_their_own_repository,
    attack_07_an_upload_belongs_to_its_caller_and_its_image,
    attack_08_the_id_of_an_upload_cannot_be_guessed,
    each_method_needs_its_permission,
    a_push_without_permission_is_refused_before_the_body
];

/// Status, headers and body are compared. The time of an answer is not: on a busy machine such a test would fail
/// without a reason, or never. Both requests ask the database the same question about a blob in `r2`.
async fn attack_01_a_private_blob_looks_like_a_missing_one(server: TestServer) {
    let secret = push_secret_blob(&server).await;
    let attacker = server.client_of("writer-2");
    attacker.push_blob("p/r2/image", "own").await;
    let unknown = digest_of("never pushed anywhere");
    let path = |digest: &str| format!("/v2/p/r2/image/blobs/{digest}");
    let hidden = attacker.get(&path(secret.as_str())).await.expect_oci_error("404 BLOB_UNKNOWN");
    let absent = attacker.get(&path(&unknown)).await.expect_oci_error("404 BLOB_UNKNOWN");
    let named = String::from_utf8_lossy(&hidden.body).replace(secret.as_str(), &unknown);
    assert_eq!(named.as_bytes(), absent.body, "both answers are the same");
    let hidden = attacker.head(&path(secret.as_str())).await.expect_status(404);
    let absent = attacker.head(&path(&unknown)).await.expect_status(404);
    for name in hidden.headers.keys().chain(absent.headers.keys()) {
        let own = ["x-request-id", "date"].contains(&name.as_str());
        assert!(own || hidden.headers.get(name) == absent.headers.get(name), "{name}");
    }
    let there = format!("/v2/p/r1/image/blobs/{secret}");
    attacker.get(&there).await.expect_oci_error("403 DENIED");
    let nowhere = format!("/v2/p/r9/image/blobs/{secret}");
    attacker.get(&nowhere).await.expect_oci_error("403 DENIED");
}

async fn attack_02_a_private_blob_cannot_be_mounted(server: TestServer) {
    let secret = push_secret_blob(&server).await;
    let attacker = server.client_of("writer-2");
    for from in ["&from=p/r1/image", ""] {
        let path = format!("/v2/p/r2/image/blobs/uploads/?mount={secret}{from}");
        let reply = attacker.post(&path, "").await.expect_status(202);
        assert!(reply.header("location").starts_with("/v2/p/r2/image/blobs/uploads/"));
    }
    attacker.get(&format!("/v2/p/r2/image/blobs/{secret}")).await.expect_status(404);
}

async fn attack_03_a_narrow_token_mounts_no_more_than_it_reads(server: TestServer) {
    let secret = push_secret_blob(&server).await;
    let path = format!("/v2/p/r2/image/blobs/uploads/?mount={secret}&from=p/r1/image");
    let scoped = server.client_scoped_to_2().await;
    scoped.push_blob("p/r2/image", "own").await;
    scoped.get(&format!("/v2/p/r1/image/blobs/{secret}")).await.expect_status(401);
    scoped.post(&path, "").await.expect_status(202);
    let path = format!("/v2/p/r2/image/blobs/uploads/?mount={secret}");
    scoped.post(&path, "").await.expect_status(202);
    server.client_of("reader-1-writer-2").post(&path, "").await.expect_status(201);
    let named = server.admin().push_blob("p/r1/image", "named").await;
    let path = format!("/v2/p/r2/image/blobs/uploads/?mount={named}&from=p/r1/image");
    server.client_of("reader-1-writer-2").post(&path, "").await.expect_status(201);
}

async fn attack_04_a_manifest_does_not_make_a_private_blob_readable(server: TestServer) {
    let secret = push_secret_blob(&server).await;
    let attacker = server.client_of("writer-2");
    let config = attacker.push_blob("p/r2/image", "{}").await;
    let manifest = json!({
        "schemaVersion": 2,
        "config": { "mediaType": "application/x", "digest": config.as_str(), "size": 2 },
        "layers": [{ "mediaType": "application/y", "digest": secret.as_str(), "size": 6 }],
    });
    let manifest = manifest.to_string();
    let refused = attacker.push_manifest(("p/r2/image", "x"), OCI_MANIFEST, manifest).await;
    refused.expect_oci_error("400 MANIFEST_BLOB_UNKNOWN");
    attacker.get(&format!("/v2/p/r2/image/blobs/{secret}")).await.expect_status(404);
}

async fn attack_05_an_index_does_not_make_a_private_manifest_readable(server: TestServer) {
    let image = Image::new(1);
    image.push(&server.admin(), ("p/r1/image", "latest")).await;
    let attacker = server.client_of("writer-2");
    let index = json!({ "schemaVersion": 2, "manifests": [image.descriptor()] }).to_string();
    attacker.push_blob("p/r2/image", "own").await;
    let refused = attacker.push_manifest(("p/r2/image", "x"), OCI_INDEX, index).await;
    refused.expect_oci_error("400 MANIFEST_BLOB_UNKNOWN");
    let path = format!("/v2/p/r2/image/manifests/{}", image.digest());
    attacker.get(&path).await.expect_oci_error("404 MANIFEST_UNKNOWN");
}

async fn attack_06_referrers_come_from_their_own_repository(server: TestServer) {
    let image = Image::new(1);
    image.push(&server.admin(), ("p/r1/image", "latest")).await;
    let attacker = server.client_of("writer-2");
    let forged = Image::referring_to(&image.descriptor(), "application/x.signature");
    forged.push(&attacker, ("p/r2/image", "x")).await;
    let path = format!("/v2/p/r1/image/referrers/{}", image.digest());
    let seen = server.client_of("reader-1").get(&path).await.expect_status(200).json();
    assert_eq!(seen["manifests"], json!([]));
    attacker.get(&path).await.expect_oci_error("403 DENIED");
}

async fn attack_07_an_upload_belongs_to_its_caller_and_its_image(server: TestServer) {
    let owner = server.client_of("writer-2");
    let upload = owner.start_upload("p/r2/image").await;
    owner.patch(&upload, "some bytes").await.expect_status(202);
    let id = upload.rsplit('/').next().expect("an id");
    let finish = format!("?digest={}", digest_of("some bytes"));
    let places = [
        upload.clone(),
        format!("/v2/p/r2/other/blobs/uploads/{id}"),
        format!("/v2/p/r1/image/blobs/uploads/{id}"),
    ];
    for (thief, paths) in
        [("first-admin", &places[..]), ("owner-2", &places[..2]), ("writer-2", &places[1..2])]
    {
        let thief = server.client_of(thief);
        // The other repository must exist, or its absence would be the reason of the refusal.
        server.admin().push_blob("p/r1/image", "x").await;
        for path in paths {
            let unknown = "404 BLOB_UPLOAD_UNKNOWN";
            thief.get(path).await.expect_oci_error(unknown);
            thief.patch(path, "stolen").await.expect_oci_error(unknown);
            thief.put(&format!("{path}{finish}"), "").await.expect_oci_error(unknown);
            thief.delete(path).await.expect_oci_error(unknown);
        }
    }
    owner.put(&format!("{upload}{finish}"), "").await.expect_status(201);
}

async fn attack_08_the_id_of_an_upload_cannot_be_guessed(server: TestServer) {
    let mut ids = Vec::new();
    for _ in 0..40 {
        let upload = server.admin().start_upload("p/r1/image").await;
        ids.push(upload.rsplit('/').next().expect("an id").to_owned());
    }
    assert!(ids.iter().all(|id| id.len() == 32 && id.as_bytes()[12] == b'4'), "{ids:?}");
    assert!(!ids.is_sorted(), "ids that come in order tell of each other");
    // Each of the 122 random bits is sometimes set and sometimes not.
    let numbers = ids.iter().map(|id| u128::from_str_radix(id, 16).expect("hex"));
    let (ones, zeros) = numbers.fold((0, 0), |(ones, zeros), id| (ones | id, zeros | !id));
    assert_eq!((ones & zeros).count_ones(), 122);
}

async fn each_method_needs_its_permission(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push(&admin, ("p/r2/image", "latest")).await;
    let manifest = "/v2/p/r2/image/manifests/latest";
    let blob = format!("/v2/p/r2/image/blobs/{}", digest_of(&image.blobs[1]));
    let writer = server.client_of("writer-2");
    writer.get(manifest).await.expect_status(200);
    writer.delete(manifest).await.expect_oci_error("403 DENIED");
    writer.delete(&blob).await.expect_oci_error("403 DENIED");
    let reader = server.client_of("reader-1");
    image.push(&admin, ("p/r1/image", "latest")).await;
    reader.get("/v2/p/r1/image/manifests/latest").await.expect_status(200);
    reader.get("/v2/p/r1/image/tags/list").await.expect_status(200);
    reader.post("/v2/p/r1/image/blobs/uploads/", "").await.expect_oci_error("403 DENIED");
    reader.put("/v2/p/r1/image/manifests/x", "").await.expect_oci_error("403 DENIED");
    reader.get("/v2/p/r2/image/tags/list").await.expect_oci_error("403 DENIED");
    server.client_of("owner-2").delete(manifest).await.expect_status(202);
}

/// The body never comes, so that a server that waits for the body does not answer.
async fn a_push_without_permission_is_refused_before_the_body(server: TestServer) {
    let writer = server.client_of("writer-2");
    let head = format!(
        "PUT /v2/p/r1/image/manifests/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         authorization: {}\r\ncontent-length: 100\r\n\r\n",
        writer.authorization()
    );
    let answer = writer.send_raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}
