//! Rows that no client reads yet: history, counts and events. And many concurrent writers.

use engine::EngineError;
use meta::gc_queue::{self, ReviewKind};
use meta::{Id, epochs, events, leases, packages, repositories, tags, usage, versions};
use model::digest::Digest;
use model::media_type::OCI_MANIFEST;

use crate::util::callers::principal_of;
use crate::util::server::repository_of_p;
use crate::util::{Backend, Image, TestServer, descriptor_of, on_both, random_bytes};

const IMAGE: &str = "p/r1/image";

on_both![
    tags_keep_their_history,
    events_are_recorded_with_their_changes,
    pulls_and_sizes_are_counted,
    epochs_queues_and_leases_are_updated,
    many_large_manifests_are_pushed_beside_blobs
];

async fn tags_keep_their_history(server: TestServer) {
    let (one, two) = (Image::new(1), Image::new(2));
    one.push(&server.admin(), (IMAGE, "latest")).await;
    two.push(&server.client_of("other-admin"), (IMAGE, "latest")).await;
    two.push(&server.admin(), (IMAGE, "latest")).await;
    server.admin().delete(&format!("/v2/{IMAGE}/manifests/latest")).await.expect_status(202);
    let meta = server.open_meta().await;
    let history = meta.read(|tx| {
        let repository = repositories::find(tx, &repository_of_p("r1"))?.expect("pushed to").id;
        let package = packages::find(tx, &repository, "image")?.expect("pushed");
        tags::list_changes(tx, &package, "latest")
    });
    let history = history.await.expect("readable");
    let digest = |image: &Image| Some(image.digest().parse::<Digest>().expect("a digest"));
    let mut changes: Vec<_> =
        history.into_iter().map(|change| (change.from, change.to, change.principal)).collect();
    changes.sort_by_key(|(from, to, _)| (from.is_some(), to.is_none()));
    let (admin, other) = (principal_of("first-admin"), principal_of("other-admin"));
    assert_eq!(
        changes,
        [
            (None, digest(&one), admin.clone()),
            (digest(&one), digest(&two), other),
            (digest(&two), None, admin),
        ]
    );
}

async fn events_are_recorded_with_their_changes(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push(&admin, (IMAGE, "latest")).await;
    admin.delete(&format!("/v2/{IMAGE}/manifests/{}", image.digest())).await.expect_status(202);
    let first: Id = "0".repeat(32).parse().expect("an id");
    let meta = server.open_meta().await;
    let events = meta.read(move |tx| events::list_after(tx, &first, 100));
    let events = events.await.expect("readable");
    let events: Vec<_> = events.into_iter().map(|(_, event)| event).collect();
    let actions: Vec<_> = events.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["create", "push", "tag", "untag", "delete"]);
    assert_eq!(events[2].tag.as_deref(), Some("latest"));
    assert_eq!(events[1].resource, "projects/p/locations/us-west1/repositories/r1/image");
    assert_eq!(events[4].principal, principal_of("first-admin"));
    assert!(events.iter().all(|event| event.way == meta::change_way::ChangeWay::Push));
}

async fn pulls_and_sizes_are_counted(server: TestServer) {
    let mut server = server;
    let admin = server.admin();
    let image = Image::new(1);
    image.push(&admin, (IMAGE, "latest")).await;
    let pull =
        async || admin.get(&format!("/v2/{IMAGE}/manifests/latest")).await.expect_status(200);
    for _ in 0..3 {
        pull().await;
    }
    server.clock.advance_hours(24);
    for _ in 0..2 {
        pull().await;
    }
    admin.head(&format!("/v2/{IMAGE}/manifests/latest")).await.expect_status(200);
    let meta = server.open_meta().await;
    server.stop().await;
    let digest: Digest = image.digest().parse().expect("a digest");
    let sizes = |tx: &mut meta::Tx<'_>| {
        let repository = repositories::find(tx, &repository_of_p("r1"))?.expect("pushed to").id;
        repositories::find_size_bytes(tx, &repository)
    };
    let pulls = meta.read(move |tx| {
        let repository = repositories::find(tx, &repository_of_p("r1"))?.expect("pushed to").id;
        let package = packages::find(tx, &repository, "image")?.expect("pushed");
        let (version, _) = versions::find_in_package(tx, &package, &digest)?.expect("pushed");
        Ok::<_, meta::MetaError>((
            usage::list_pulls_by_day(tx, &version)?,
            usage::find_last_pull(tx, &version)?,
        ))
    });
    let (days, last) = pulls.await.expect("readable");
    let today = last.expect("pulled") / (24 * 3_600_000_000);
    assert_eq!(days, [(today - 1, 3), (today, 2)]);
    let expected = image.blobs.iter().map(|blob| blob.len() as i64).sum::<i64>();
    let expected = Some(expected + image.manifest.len() as i64);
    assert_eq!(meta.read(sizes).await.expect("readable"), expected);
    let folded = meta.write(|tx| usage::fold_deltas(tx, 1, 100)).await.expect("writable");
    assert_eq!(folded, 4);
    assert_eq!(meta.read(sizes).await.expect("readable"), expected, "folding changes nothing");
}

async fn epochs_queues_and_leases_are_updated(server: TestServer) {
    let admin = server.admin();
    let digest = admin.push_blob(IMAGE, "content").await;
    crate::gc::collect_garbage(&server).await;
    let meta = server.open_meta().await;
    let epoch = meta.read(|tx| epochs::get(tx, epochs::ACCESS)).await.expect("readable");
    assert_eq!(epoch, 1, "a repository came to be");
    let waiting = meta.read(move |tx| {
        let repository = repositories::find(tx, &repository_of_p("r1"))?.expect("pushed to").id;
        gc_queue::find_review_time(tx, ReviewKind::Link, &format!("{repository}/{digest}"))
    });
    assert!(waiting.await.expect("readable").is_some());
    let fence = meta.write(|tx| leases::acquire(tx, "gc", "a test", 0, 1)).await;
    assert_eq!(fence.expect("writable"), Some(2), "the collection held it, and gave it back");
}

/// With the default settings no writer is told to come again, although transactions are serializable.
async fn many_large_manifests_are_pushed_beside_blobs(server: TestServer) {
    let admin = server.admin();
    const LAYERS: u64 = 200;
    let layers: Vec<_> = (0..LAYERS).map(|n| random_bytes(50, n)).collect();
    for chunk in layers.chunks(20) {
        let push = |layer: &bytes::Bytes| {
            let (admin, layer) = (admin.clone(), layer.clone());
            async move { admin.push_blob(IMAGE, layer).await }
        };
        futures_util::future::join_all(chunk.iter().map(push)).await;
    }
    let push = |n: u64| {
        let (admin, layers) = (admin.clone(), layers.clone());
        async move {
            let config = format!("{{\"n\":{n}}}");
            admin.push_blob(IMAGE, config.clone()).await;
            let layer = |layer: &bytes::Bytes| descriptor_of("application/x", layer);
            let manifest = serde_json::json!({
                "schemaVersion": 2,
                "config": descriptor_of("application/x", &config),
                "layers": layers.iter().map(layer).collect::<Vec<_>>(),
            });
            let tag = format!("t{n}");
            let pushed =
                admin.push_manifest((IMAGE, &tag), OCI_MANIFEST, manifest.to_string()).await;
            pushed.expect_status(201);
        }
    };
    let beside = |n: u64| {
        let admin = admin.clone();
        async move { admin.push_blob(IMAGE, random_bytes(60, 1_000 + n)).await }
    };
    let manifests = futures_util::future::join_all((0..64).map(push));
    let blobs = futures_util::future::join_all((0..64).map(beside));
    futures_util::future::join(manifests, blobs).await;
    let list = admin.get(&format!("/v2/{IMAGE}/tags/list")).await.expect_status(200);
    assert_eq!(list.json()["tags"].as_array().map(Vec::len), Some(64));
}

/// An error of the engine rolls a transaction back, as an error of the database does.
#[tokio::test]
async fn an_engine_error_rolls_back() {
    let server = TestServer::start(Backend::Sqlite).await;
    let meta = server.open_meta().await;
    let refused = meta.write(|tx| {
        repositories::insert(tx, &repository_of_p("r1"), false, 0)?;
        Err::<(), _>(EngineError::UploadUnknown)
    });
    assert!(matches!(refused.await, Err(EngineError::UploadUnknown)));
    let found =
        meta.read(|tx| repositories::find(tx, &repository_of_p("r1"))).await.expect("readable");
    assert_eq!(found, None);
}
