//! Indexes whose entries are blobs, as BuildKit's registry cache writes them.

use engine::EngineError;
use meta::Tx;
use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use serde_json::json;

use crate::gc::{collect_garbage, run_command};
use crate::util::{
    Backend, Client, Image, TestServer, blob_path, descriptor_of, digest_of, index_of,
    manifest_path, on_both, random_bytes,
};

const IMAGE: &str = "p/r1/cache";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CACHE_CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";

/// The blobs and the index that `--cache-to type=registry,image-manifest=false` pushes. The cache's config follows its
/// layers.
fn build_cache(number: u64) -> (Vec<bytes::Bytes>, String) {
    let mut blobs: Vec<_> = (0..3).map(|layer| random_bytes(200, number * 10 + layer)).collect();
    let mut entries: Vec<_> = blobs
        .iter()
        .map(|layer| {
            let mut entry = descriptor_of(LAYER, layer);
            entry["annotations"] = json!({ "buildkit/createdat": "2024-02-29T12:00:00Z" });
            entry
        })
        .collect();
    let config = json!({ "layers": [{ "blob": digest_of(&blobs[0]) }], "number": number });
    blobs.push(config.to_string().into());
    entries.push(descriptor_of(CACHE_CONFIG, &blobs[3]));
    (blobs, index_of(&entries))
}

async fn push_index(admin: &Client, tag: &str, index: &str) -> crate::util::Reply {
    admin.push_manifest((IMAGE, tag), OCI_INDEX, index.to_owned()).await
}

/// Collects after the grace.
async fn collect_later(server: &TestServer) {
    server.clock.advance_hours(25);
    collect_garbage(server).await;
}

on_both![
    a_cache_is_pushed_kept_and_collected,
    entries_are_looked_for_by_their_media_type,
    indexes_of_the_last_release_keep_their_blobs
];

async fn a_cache_is_pushed_kept_and_collected(server: TestServer) {
    let admin = server.admin();
    let (blobs, index) = build_cache(1);
    let missing =
        push_index(&admin, "cache", &index).await.expect_oci_error("400 MANIFEST_BLOB_UNKNOWN");
    assert_eq!(missing.json()["errors"][0]["detail"]["missing"].as_array().map(Vec::len), Some(4));
    for blob in &blobs {
        admin.push_blob(IMAGE, blob.clone()).await;
    }
    push_index(&admin, "cache", &index).await.expect_status(201);
    collect_later(&server).await;
    for bytes in &blobs {
        assert_eq!(
            admin.get(&blob_path(IMAGE, digest_of(bytes))).await.expect_status(200).body,
            bytes
        );
        admin.delete(&blob_path(IMAGE, digest_of(bytes))).await.expect_oci_error("405 UNSUPPORTED");
    }
    assert_eq!(
        admin.get(&manifest_path(IMAGE, digest_of(&index))).await.expect_status(200).body,
        index
    );
    // The next build pushes another cache under the same tag. The two share layers.
    let shared = index.replace(&digest_of(&blobs[3]), &digest_of("other config"));
    let shared = shared.replace(&format!("\"size\":{}", blobs[3].len()), "\"size\":12");
    admin.push_blob(IMAGE, "other config").await;
    push_index(&admin, "cache", &shared).await.expect_status(201);
    admin.delete(&manifest_path(IMAGE, digest_of(&index))).await.expect_status(202);
    collect_later(&server).await;
    for bytes in &blobs[..3] {
        admin.get(&blob_path(IMAGE, digest_of(bytes))).await.expect_status(200);
    }
    admin.get(&blob_path(IMAGE, digest_of(&blobs[3]))).await.expect_status(404);
    admin.delete(&manifest_path(IMAGE, digest_of(&shared))).await.expect_status(202);
    collect_later(&server).await;
    for bytes in &blobs {
        admin.get(&blob_path(IMAGE, digest_of(bytes))).await.expect_status(404);
    }
}

async fn entries_are_looked_for_by_their_media_type(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push(&admin, (IMAGE, "image")).await;
    let layer = &image.blobs[1][..];
    // An entry with the media type of a manifest is looked for among manifests only.
    for media_type in [OCI_MANIFEST, OCI_INDEX] {
        let refused = push_index(&admin, "x", &index_of(&[descriptor_of(media_type, layer)])).await;
        refused.expect_oci_error("400 MANIFEST_BLOB_UNKNOWN");
    }
    // An entry of any other type is looked for among manifests, and then among blobs of that size.
    for media_type in [LAYER, "application/x-unknown", "application/json", ""] {
        push_index(&admin, "x", &index_of(&[descriptor_of(media_type, layer)]))
            .await
            .expect_status(201);
        let mut resized = descriptor_of(media_type, layer);
        resized["size"] = json!(layer.len() + 1);
        push_index(&admin, "x", &index_of(&[resized.clone()]))
            .await
            .expect_oci_error("400 SIZE_INVALID");
        resized["digest"] = json!(digest_of("missing"));
        push_index(&admin, "x", &index_of(&[resized.clone()]))
            .await
            .expect_oci_error("400 MANIFEST_BLOB_UNKNOWN");
        // Content with other URLs need not be here.
        resized["urls"] = json!(["https://example.com/blob"]);
        push_index(&admin, "x", &index_of(&[resized])).await.expect_status(201);
        let mut child = descriptor_of(media_type, image.manifest.as_bytes());
        push_index(&admin, "by-type", &index_of(&[child.clone()])).await.expect_status(201);
        child["size"] = json!(1);
        push_index(&admin, "x", &index_of(&[child])).await.expect_oci_error("400 SIZE_INVALID");
    }
    // An index may have entries of both kinds, and the same blob twice.
    let both = index_of(&[
        image.descriptor(),
        descriptor_of(LAYER, layer),
        descriptor_of(CACHE_CONFIG, layer),
    ]);
    push_index(&admin, "both", &both).await.expect_status(201);
    // A manifest stays while an index names it, under any media type.
    let kept = admin.delete(&manifest_path(IMAGE, digest_of(&image.manifest))).await;
    assert!([400, 405].contains(&kept.status.as_u16()), "{kept:?}");
    // The blob of another repository does not count.
    let refused = admin
        .push_manifest(("p/r2/cache", "x"), OCI_INDEX, index_of(&[descriptor_of(LAYER, layer)]))
        .await;
    refused.expect_oci_error("400 MANIFEST_BLOB_UNKNOWN");
}

/// The last release stored entries as references to manifests, or as no references.
async fn indexes_of_the_last_release_keep_their_blobs(server: TestServer) {
    let admin = server.admin();
    let (blobs, index) = build_cache(1);
    for blob in &blobs {
        admin.push_blob(IMAGE, blob.clone()).await;
    }
    push_index(&admin, "cache", &index).await.expect_status(201);
    let (other_blobs, other) = build_cache(2);
    for blob in &other_blobs {
        admin.push_blob(IMAGE, blob.clone()).await;
    }
    push_index(&admin, "other", &other).await.expect_status(201);
    forget_blobs_of_indexes(&server).await;
    // A delete before the first collection finds the references, too.
    admin.delete(&blob_path(IMAGE, digest_of(&blobs[0]))).await.expect_oci_error("405 UNSUPPORTED");
    forget_blobs_of_indexes(&server).await;
    let dry = async || run_command(&server, json!({ "command": "gc", "dry_run": true })).await;
    assert_eq!(dry().await["done"]["links_unknown"], true, "before they are looked through");
    collect_later(&server).await;
    assert_eq!(dry().await["done"]["links_unknown"], false);
    for bytes in blobs.iter().chain(&other_blobs) {
        admin.get(&blob_path(IMAGE, digest_of(bytes))).await.expect_status(200);
        admin.delete(&blob_path(IMAGE, digest_of(bytes))).await.expect_oci_error("405 UNSUPPORTED");
    }
    admin.delete(&manifest_path(IMAGE, digest_of(&index))).await.expect_status(202);
    collect_later(&server).await;
    for bytes in &blobs {
        admin.get(&blob_path(IMAGE, digest_of(bytes))).await.expect_status(404);
    }
}

/// Changes the rows to those that the last release wrote.
async fn forget_blobs_of_indexes(server: &TestServer) {
    let meta = server.open_meta().await;
    let forget = |tx: &mut Tx<'_>| {
        for sql in [
            "DELETE FROM manifest_refs WHERE NOT is_manifest AND version_id IN
               (SELECT id FROM versions
                 WHERE media_type = 'application/vnd.oci.image.index.v1+json')",
            "UPDATE versions SET references_made = 0",
        ] {
            tx.execute(sql, &[])?;
        }
        Ok::<_, EngineError>(())
    };
    meta.write(forget).await.expect("writable");
}

/// A large index is completed by several transactions. Each continues after the one before.
#[tokio::test]
async fn a_large_index_of_the_last_release_is_completed_in_slices() {
    for backend in [Some(Backend::Sqlite), Backend::postgres().await].into_iter().flatten() {
        let server =
            TestServer::start_with(backend, |config| config.new_repositories.sparse = true).await;
        let admin = server.admin();
        admin.push_blob(IMAGE, "here").await;
        let mut entries: Vec<_> =
            (0..1_500).map(|entry: u32| descriptor_of(LAYER, entry.to_le_bytes())).collect();
        entries.push(descriptor_of(LAYER, b"here"));
        push_index(&admin, "large", &index_of(&entries)).await.expect_status(201);
        let meta = server.open_meta().await;
        let open = async || {
            let sql = "SELECT count(*) FROM manifest_refs WHERE NOT is_manifest";
            let count = meta.read(|tx| tx.query_first(sql, &[], |row| row.int(0))).await;
            count.expect("readable").expect("a count")
        };
        assert_eq!(open().await, 1_501);
        forget_blobs_of_indexes(&server).await;
        // Some references were made before the process ended.
        let stale = |tx: &mut Tx<'_>| {
            tx.execute("DELETE FROM manifest_refs WHERE is_manifest AND position % 7 = 0", &[])
        };
        meta.write(stale).await.expect("writable");
        collect_later(&server).await;
        assert_eq!(open().await, 1_501);
        let sql = "SELECT count(*) FROM manifest_refs WHERE is_manifest";
        let entries = meta.read(|tx| tx.query_first(sql, &[], |row| row.int(0))).await;
        assert_eq!(entries.expect("readable"), Some(1_501));
        admin.get(&blob_path(IMAGE, digest_of(b"here"))).await.expect_status(200);
        // A blob that is pushed later is bound as well.
        admin.push_blob(IMAGE, 7_u32.to_le_bytes().to_vec()).await;
        collect_later(&server).await;
        admin
            .delete(&blob_path(IMAGE, digest_of(7_u32.to_le_bytes())))
            .await
            .expect_oci_error("405 UNSUPPORTED");
    }
}
