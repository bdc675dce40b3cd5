//! A disk that is nearly full. Pushes are refused with a text that clients show, and requests that free room are
//! served. `clients/disk/run` fills a real disk.

use berth_server::config::Config;
use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use serde_json::json;

use crate::gc::collect_garbage;
use crate::util::kept::RawConnection;
use crate::util::{Client, Image, Reply, TestServer, digest_of, on_both, random_bytes};

const IMAGE: &str = "p/r1/image";
/// An image in a repository that the first push creates.
const NEW: &str = "p/new/image";

/// Reserves more than any disk has.
fn keep_everything(config: &mut Config) {
    config.limits.disk_reserve = "9999999GiB".parse().expect("an amount");
}

/// Sends the head of a request that announces a body of this length, and no body.
async fn announce_body(client: &Client, line: &str, length: u64) -> Reply {
    let mut connection = RawConnection::new(client).await;
    connection.send_head(line, &format!("content-length: {length}\r\n")).await;
    connection.read_answer().await
}

/// Restarts the server with other settings.
async fn restart_server(mut server: TestServer, change: impl FnOnce(&mut Config)) -> TestServer {
    server.stop().await;
    server.restart_with(change).await
}

on_both![
    the_reserve_is_for_requests_that_free_room,
    an_upload_can_be_cancelled_or_finished_without_room,
    a_refused_push_makes_no_repository,
    a_body_that_announces_too_much_is_not_read,
    a_reserve_of_zero_refuses_nothing
];

async fn the_reserve_is_for_requests_that_free_room(started: TestServer) {
    let (image, blob) = (Image::new(1), random_bytes(10_000, 2));
    image.push(&started.admin(), (IMAGE, "1")).await;
    started.admin().push_blob("p/r2/image", "other bytes").await;
    let (begun, other) =
        (started.admin().start_upload(IMAGE).await, started.admin().start_upload(IMAGE).await);
    for upload in [&begun, &other] {
        started.admin().patch(upload, "some bytes").await.expect_status(202);
    }
    let server = restart_server(started, |config| {
        keep_everything(config);
        config.gc.grace = "0s".parse().expect("a span");
        config.gc.retention = "0s".parse().expect("a span");
    })
    .await;
    let (admin, ops) = (server.admin(), Client::new(server.ops));

    let refused = async |path: &str, reply: Reply| {
        let text = reply.text().into_owned();
        reply.expect_oci_error("403 DENIED");
        assert!(text.contains("limits.disk_reserve keeps"), "{path}: {text}");
        assert!(text.contains("MiB are free"), "{path}: {text}");
    };
    let start = format!("/v2/{IMAGE}/blobs/uploads/");
    let digest = digest_of(&blob);
    for query in [
        String::new(),
        format!("?digest={digest}"),
        format!("?mount={digest}&from=p/r2/image"),
        format!("?mount={digest}"),
    ] {
        let path = format!("{start}{query}");
        refused(&path, admin.post(&path, blob.clone()).await).await;
    }
    let files = server.count_blob_files();
    refused("PATCH", admin.patch(&begun, blob.clone()).await).await;
    let put = format!("{other}?digest={digest}");
    refused("PUT", admin.put(&put, blob.clone()).await).await;
    assert_eq!(server.count_blob_files(), files - 2, "their bytes are free at once");
    for upload in [&begun, &other] {
        admin.get(upload).await.expect_oci_error("404 BLOB_UPLOAD_UNKNOWN");
    }
    let manifest = format!("/v2/{IMAGE}/manifests/2");
    let typed = admin.clone().with_header("content-type", OCI_MANIFEST);
    refused("manifest", typed.put(&manifest, image.manifest.clone()).await).await;

    // A full disk must not take the server out of service.
    let ready = ops.get("/readyz").await.expect_status(200).text().into_owned();
    assert!(ready.contains("nearly full"), "{ready}");
    let figures = ops.get("/metrics").await.expect_status(200).text().into_owned();
    let figure = |name: &str| -> u64 {
        let line = figures.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.expect(name).parse().expect("a number")
    };
    assert_eq!(figure("berth_disk_reserve_bytes"), 9_999_999 << 30);
    let (free, size) = (figure("berth_disk_free_bytes"), figure("berth_disk_size_bytes"));
    assert!(0 < free && free < size, "{free} of {size}");

    // Pulls, mounts of blobs of the repository, deletes and collections are served.
    admin.get(&format!("/v2/{IMAGE}/manifests/1")).await.expect_status(200);
    let here = digest_of(&image.blobs[0]);
    admin
        .post(&format!("/v2/p/r2/image/blobs/uploads/?mount={here}&from={IMAGE}"), "")
        .await
        .expect_status(201);
    admin.delete(&format!("/v2/{IMAGE}/manifests/{}", image.digest())).await.expect_status(202);
    for _ in 0..3 {
        server.clock.advance_hours(25);
        collect_garbage(&server).await;
    }
    assert_eq!(server.count_blob_files(), 0, "nothing needs them, and they are gone");
    let server = restart_server(server, |_| ()).await;
    let admin = server.admin();
    assert_eq!(Client::new(server.ops).get("/readyz").await.expect_status(200).body, "ready\n");
    image.push(&admin, (IMAGE, "1")).await;
}

async fn an_upload_can_be_cancelled_or_finished_without_room(started: TestServer) {
    let admin = started.admin();
    let (ended, whole) = (admin.start_upload(IMAGE).await, admin.start_upload(IMAGE).await);
    for upload in [&ended, &whole] {
        admin.patch(upload, "all bytes").await.expect_status(202);
    }
    let server = restart_server(started, keep_everything).await;
    let admin = server.admin();
    admin.delete(&ended).await.expect_status(204);
    admin.put(&format!("{whole}?digest={}", digest_of("all bytes")), "").await.expect_status(201);
}

async fn a_refused_push_makes_no_repository(started: TestServer) {
    let image = Image::new(1);
    image.push(&started.admin(), (IMAGE, "1")).await;
    let (index, here) =
        (json!({ "schemaVersion": 2, "manifests": [] }), digest_of(&image.blobs[0]));
    let makes_none = async |client: &Client, reply: Reply, outcome: &str| {
        reply.expect_oci_error(outcome);
        let tags = client.get(&format!("/v2/{NEW}/tags/list")).await;
        let text = tags.text().into_owned();
        tags.expect_oci_error("404 NAME_UNKNOWN");
        assert!(text.contains("Repository \\\"new\\\" not found"), "{text}");
    };
    let start = format!("/v2/{NEW}/blobs/uploads/");
    let admin = started.admin();
    let typed = |client: &Client| client.clone().with_header("content-type", OCI_MANIFEST);
    let manifest = format!("/v2/{NEW}/manifests/1");
    let needs = typed(&admin).put(&manifest, image.manifest.clone()).await;
    makes_none(&admin, needs, "400 MANIFEST_BLOB_UNKNOWN").await;
    makes_none(&admin, typed(&admin).put(&manifest, "{").await, "400 MANIFEST_INVALID").await;
    let packed = admin.clone().with_header("content-encoding", "gzip").post(&start, "").await;
    makes_none(&admin, packed, "415 UNSUPPORTED").await;
    let unnamed = admin.post(&format!("{start}?digest=sha256:x"), "x").await;
    makes_none(&admin, unnamed, "400 DIGEST_INVALID").await;
    let large = announce_body(&admin, &format!("POST {start}?digest={here}"), (5 << 40) + 1).await;
    makes_none(&admin, large, "413 SIZE_INVALID").await;

    let server = restart_server(started, keep_everything).await;
    let admin = server.admin();
    for query in [
        String::new(),
        format!("?digest={here}"),
        format!("?mount={here}&from={IMAGE}"),
        format!("?mount={here}"),
    ] {
        let refused = admin.post(&format!("{start}{query}"), "some bytes").await;
        makes_none(&admin, refused, "403 DENIED").await;
    }
    let typed = admin.clone().with_header("content-type", OCI_INDEX);
    makes_none(&admin, typed.put(&manifest, index.to_string()).await, "403 DENIED").await;
    let server = restart_server(server, |_| ()).await;
    image.push(&server.admin(), (NEW, "1")).await;
}

/// The server answers although no part of the body comes.
async fn a_body_that_announces_too_much_is_not_read(server: TestServer) {
    const TOO_MUCH: u64 = 1 << 42;
    let admin = server.admin();
    admin.push_blob(IMAGE, "other bytes").await;
    let refused = async |line: String| {
        let reply = announce_body(&admin, &line, TOO_MUCH).await;
        let text = reply.text().into_owned();
        reply.expect_oci_error("403 DENIED");
        assert!(text.contains("limits.disk_reserve keeps"), "{line}: {text}");
    };
    let digest = digest_of("bytes");
    for image in [IMAGE, NEW] {
        refused(format!("POST /v2/{image}/blobs/uploads/?digest={digest}")).await;
    }
    let tags = admin.get(&format!("/v2/{NEW}/tags/list")).await;
    assert!(tags.text().contains("Repository \\\"new\\\" not found"), "{}", tags.text());
    for method in ["PATCH", "PUT"] {
        let upload = admin.start_upload(IMAGE).await;
        admin.patch(&upload, "byt").await.expect_status(202);
        refused(format!("{method} {upload}?digest={digest}")).await;
        admin.get(&upload).await.expect_oci_error("404 BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(server.count_blob_files(), 1, "what was there of them is gone");
    let ready = Client::new(server.ops).get("/readyz").await.expect_status(200);
    assert_eq!(ready.body, "ready\n", "the disk is not full because somebody wants much");
    admin.push_blob(IMAGE, "bytes").await;
}

async fn a_reserve_of_zero_refuses_nothing(started: TestServer) {
    let server = restart_server(started, |config| {
        config.limits.disk_reserve = "0%".parse().expect("nothing");
    })
    .await;
    server.admin().push_blob(IMAGE, "bytes").await;
    let ops = Client::new(server.ops);
    assert_eq!(ops.get("/readyz").await.expect_status(200).body, "ready\n");
    let figures = ops.get("/metrics").await.expect_status(200).text().into_owned();
    assert!(figures.contains("\nberth_disk_reserve_bytes 0\n"), "{figures}");
    assert!(!figures.contains("\nberth_disk_size_bytes 0\n"), "{figures}");
}
