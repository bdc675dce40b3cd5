//! A disk that is nearly full: pushes are refused with words that clients show, and whatever frees room goes on.
//! `clients/disk/run` fills a real one.

use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use serde_json::json;
use server::config::Config;

use crate::gc::collect;
use crate::util::kept::Kept;
use crate::util::{Client, Image, Reply, TestServer, digest_of, on_both, random_bytes};

const IMAGE: &str = "p/r1/image";
/// In a repository that the first push makes.
const NEW: &str = "p/new/image";

/// Keeps more than any disk has.
fn keep_everything(config: &mut Config) {
    config.limits.disk_reserve = "9999999GiB".parse().expect("an amount");
}

/// Sends the head of a request whose body is said to have so many bytes, and nothing of that.
async fn announced(client: &Client, line: &str, length: u64) -> Reply {
    let mut connection = Kept::new(client).await;
    connection.head(line, &format!("content-length: {length}\r\n")).await;
    connection.answer().await
}

/// Starts again with other settings.
async fn again(mut server: TestServer, change: impl FnOnce(&mut Config)) -> TestServer {
    server.stop().await;
    server.again(change).await
}

on_both! {
    async fn what_is_kept_is_for_what_frees_room(started: TestServer) {
        let (image, blob) = (Image::new(1), random_bytes(10_000, 2));
        image.push(&started.admin(), (IMAGE, "1")).await;
        started.admin().push_blob("p/r2/image", "other bytes").await;
        let (begun, other) =
            (started.admin().start_upload(IMAGE).await, started.admin().start_upload(IMAGE).await);
        for upload in [&begun, &other] {
            started.admin().patch(upload, "some bytes").await.expect(202);
        }
        let server = again(started, |config| {
            keep_everything(config);
            config.gc.grace = "0s".parse().expect("a span");
            config.gc.retention = "0s".parse().expect("a span");
        }).await;
        let (admin, ops) = (server.admin(), Client::new(server.ops));

        let refused = async |path: &str, reply: Reply| {
            let text = reply.text().into_owned();
            reply.expect_error("403 DENIED");
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
        let files = server.blob_files();
        refused("PATCH", admin.patch(&begun, blob.clone()).await).await;
        let put = format!("{other}?digest={digest}");
        refused("PUT", admin.put(&put, blob.clone()).await).await;
        assert_eq!(server.blob_files(), files - 2, "their bytes are free at once");
        for upload in [&begun, &other] {
            admin.get(upload).await.expect_error("404 BLOB_UPLOAD_UNKNOWN");
        }
        let manifest = format!("/v2/{IMAGE}/manifests/2");
        let typed = admin.clone().with("content-type", OCI_MANIFEST);
        refused("manifest", typed.put(&manifest, image.manifest.clone()).await).await;

        // Whoever asks whether it is ready must not take it out of service.
        let ready = ops.get("/readyz").await.expect(200).text().into_owned();
        assert!(ready.contains("nearly full"), "{ready}");
        let figures = ops.get("/metrics").await.expect(200).text().into_owned();
        let figure = |name: &str| -> u64 {
            let line = figures.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            line.expect(name).parse().expect("a number")
        };
        assert_eq!(figure("berth_disk_reserve_bytes"), 9_999_999 << 30);
        let (free, size) = (figure("berth_disk_free_bytes"), figure("berth_disk_size_bytes"));
        assert!(0 < free && free < size, "{free} of {size}");

        // Pulls, mounts of what is here, deletes and collection are served.
        admin.get(&format!("/v2/{IMAGE}/manifests/1")).await.expect(200);
        let here = digest_of(&image.blobs[0]);
        admin.post(&format!("/v2/p/r2/image/blobs/uploads/?mount={here}&from={IMAGE}"), "").await.expect(201);
        admin.delete(&format!("/v2/{IMAGE}/manifests/{}", image.digest())).await.expect(202);
        for _ in 0..3 {
            server.clock.advance_hours(25);
            collect(&server).await;
        }
        assert_eq!(server.blob_files(), 0, "nothing needs them, and they are gone");
        let server = again(server, |_| ()).await;
        let admin = server.admin();
        assert_eq!(Client::new(server.ops).get("/readyz").await.expect(200).body, "ready\n");
        image.push(&admin, (IMAGE, "1")).await;
    }

    async fn a_session_can_be_ended_and_one_that_is_whole_be_finished(started: TestServer) {
        let admin = started.admin();
        let (ended, whole) = (admin.start_upload(IMAGE).await, admin.start_upload(IMAGE).await);
        for upload in [&ended, &whole] {
            admin.patch(upload, "all bytes").await.expect(202);
        }
        let server = again(started, keep_everything).await;
        let admin = server.admin();
        admin.delete(&ended).await.expect(204);
        admin.put(&format!("{whole}?digest={}", digest_of("all bytes")), "").await.expect(201);
    }

    async fn a_push_that_is_refused_makes_no_repository(started: TestServer) {
        let image = Image::new(1);
        image.push(&started.admin(), (IMAGE, "1")).await;
        let (index, here) = (json!({ "schemaVersion": 2, "manifests": [] }), digest_of(&image.blobs[0]));
        let makes_none = async |client: &Client, reply: Reply, outcome: &str| {
            reply.expect_error(outcome);
            let tags = client.get(&format!("/v2/{NEW}/tags/list")).await;
            let text = tags.text().into_owned();
            tags.expect_error("404 NAME_UNKNOWN");
            assert!(text.contains("Repository \\\"new\\\" not found"), "{text}");
        };
        let start = format!("/v2/{NEW}/blobs/uploads/");
        let admin = started.admin();
        let typed = |client: &Client| client.clone().with("content-type", OCI_MANIFEST);
        let manifest = format!("/v2/{NEW}/manifests/1");
        let needs = typed(&admin).put(&manifest, image.manifest.clone()).await;
        makes_none(&admin, needs, "400 MANIFEST_BLOB_UNKNOWN").await;
        makes_none(&admin, typed(&admin).put(&manifest, "{").await, "400 MANIFEST_INVALID").await;
        let packed = admin.clone().with("content-encoding", "gzip").post(&start, "").await;
        makes_none(&admin, packed, "415 UNSUPPORTED").await;
        let unnamed = admin.post(&format!("{start}?digest=sha256:x"), "x").await;
        makes_none(&admin, unnamed, "400 DIGEST_INVALID").await;
        let large = announced(&admin, &format!("POST {start}?digest={here}"), (5 << 40) + 1).await;
        makes_none(&admin, large, "413 SIZE_INVALID").await;

        let server = again(started, keep_everything).await;
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
        let typed = admin.clone().with("content-type", OCI_INDEX);
        makes_none(&admin, typed.put(&manifest, index.to_string()).await, "403 DENIED").await;
        let server = again(server, |_| ()).await;
        image.push(&server.admin(), (NEW, "1")).await;
    }

    /// The answer comes although nothing of the body does.
    async fn a_body_that_says_that_it_finds_no_room_is_not_read(server: TestServer) {
        const TOO_MUCH: u64 = 1 << 42;
        let admin = server.admin();
        admin.push_blob(IMAGE, "other bytes").await;
        let refused = async |line: String| {
            let reply = announced(&admin, &line, TOO_MUCH).await;
            let text = reply.text().into_owned();
            reply.expect_error("403 DENIED");
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
            admin.patch(&upload, "byt").await.expect(202);
            refused(format!("{method} {upload}?digest={digest}")).await;
            admin.get(&upload).await.expect_error("404 BLOB_UPLOAD_UNKNOWN");
        }
        assert_eq!(server.blob_files(), 1, "what was there of them is gone");
        let ready = Client::new(server.ops).get("/readyz").await.expect(200);
        assert_eq!(ready.body, "ready\n", "the disk is not full because somebody wants much");
        admin.push_blob(IMAGE, "bytes").await;
    }

    async fn nothing_is_kept_where_nobody_wants_it(started: TestServer) {
        let server = again(started, |config| {
            config.limits.disk_reserve = "0%".parse().expect("nothing");
        }).await;
        server.admin().push_blob(IMAGE, "bytes").await;
        let ops = Client::new(server.ops);
        assert_eq!(ops.get("/readyz").await.expect(200).body, "ready\n");
        let figures = ops.get("/metrics").await.expect(200).text().into_owned();
        assert!(figures.contains("\nberth_disk_reserve_bytes 0\n"), "{figures}");
        assert!(!figures.contains("\nberth_disk_size_bytes 0\n"), "{figures}");
    }
}
