//! A disk that is nearly full: pushes are refused with words that clients show, and whatever frees room goes on.
//! `clients/disk` fills a real one.

use model::media_type::OCI_MANIFEST;
use server::config::Config;

use crate::gc::collect;
use crate::util::{Client, Image, Reply, TestServer, digest_of, on_both, random_bytes};

const IMAGE: &str = "p/r1/image";

/// Keeps more than any disk has.
fn keep_everything(config: &mut Config) {
    config.limits.disk_reserve = "9999999GiB".parse().expect("an amount");
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
