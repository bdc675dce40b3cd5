//! Deletes of more rows than one transaction may change.

use berth_engine::{Delete, EngineError, Pull};
use meta::{packages, tags, versions};
use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use model::reference::Reference;
use serde_json::json;

use crate::registry::{TestRegistry, descriptor_of, numbered_image, poll_once};

#[tokio::test]
async fn many_tags_are_deleted_in_slices_before_their_version() {
    let registry = TestRegistry::new().await;
    registry.push_blob(b"{}").await;
    let names: Vec<String> = (0..700).map(|number| format!("t{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let digest = registry.push_manifest(numbered_image(1, b"{}"), &names).await;
    let (repository, access) =
        (registry.repository_id().await, registry.open_access::<Delete>().await);
    let left = move |tx: &mut meta::Tx<'_>| {
        let package = packages::find(tx, &repository, "image")?.expect("pushed");
        Ok::<_, EngineError>(tags::list(tx, &package, "", 1000)?.len())
    };
    let reference = Reference::Digest(digest.clone());
    let held = registry.hold_database().await;
    let delete = poll_once(access.delete_manifest(&reference)).await;
    let between = poll_once(registry.meta.write(left)).await;
    drop(held);
    assert_eq!(between.await.expect("readable"), 400, "what came behind the first slice");
    delete.await.expect("nothing needs it");
    assert_eq!(registry.meta.read(left).await.expect("readable"), 0);
    let gone = registry.open_access::<Pull>().await.stat_manifest(&reference).await;
    assert!(matches!(gone, Err(EngineError::ManifestUnknown(_))));
    let untagged = registry.meta.read(|tx| {
        let sql = "SELECT count(*) FROM events WHERE action = 'untag'";
        tx.query_first(sql, &[], |row| row.int(0))
    });
    assert_eq!(untagged.await.expect("readable"), Some(700));
}

/// Any number of manifests may wait for the same blob. Manifests that are not bound to it yet need it as well.
#[tokio::test]
async fn a_manifest_that_waited_for_a_blob_keeps_it() {
    let registry =
        TestRegistry::with_settings(|settings| settings.new_repositories_sparse = true).await;
    let mut images = Vec::new();
    for number in 0..301 {
        images.push(registry.push_manifest(numbered_image(number, b"late"), &[]).await);
    }
    let blob = registry.push_blob(b"late").await;
    let unbound = registry.meta.read(|tx| {
        let sql = "SELECT v.digest FROM versions v JOIN manifest_refs r ON r.version_id = v.id
                   WHERE r.blob_digest IS NULL";
        tx.query(sql, &[], |row| row.text(0))
    });
    let [last] = &unbound.await.expect("readable")[..] else { panic!("300 at once, of 301") };
    let access = registry.open_access::<Delete>().await;
    for image in images.iter().filter(|image| image.as_str() != last) {
        access.delete_manifest(&Reference::Digest(image.clone())).await.expect("nothing needs it");
    }
    registry.clock.advance_minutes(25 * 60);
    registry.collect_garbage().await;
    assert_eq!(registry.read_blob(&blob).await, b"late");
    let needed = access.delete_blob(&blob).await;
    assert!(
        matches!(&needed, Err(EngineError::InUse { by, .. }) if by.as_str() == last),
        "{needed:?}"
    );
    let last = Reference::Digest(last.parse().expect("a digest"));
    access.delete_manifest(&last).await.expect("ours");
    registry.clock.advance_minutes(25 * 60);
    assert_eq!(registry.collect_garbage().await, 1);
}

#[tokio::test]
async fn an_index_that_waited_for_a_manifest_keeps_it() {
    let registry =
        TestRegistry::with_settings(|settings| settings.new_repositories_sparse = true).await;
    let child = numbered_image(0, b"elsewhere");
    let bytes = child.to_string();
    let named = descriptor_of(OCI_MANIFEST, bytes.as_bytes());
    let mut indexes = Vec::new();
    for number in 0..301 {
        let index = json!({
            "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [named],
            "annotations": { "number": number.to_string() },
        });
        indexes.push(registry.push_manifest(index, &[]).await);
    }
    let child = registry.push_manifest(child, &[]).await;
    let bound = registry.meta.read(|tx| {
        let sql = "SELECT v.digest FROM versions v JOIN manifest_refs r ON r.version_id = v.id
                   WHERE r.child_id IS NOT NULL";
        tx.query(sql, &[], |row| row.text(0))
    });
    let bound = bound.await.expect("readable");
    assert_eq!(bound.len(), 300);
    let access = registry.open_access::<Delete>().await;
    for index in indexes.iter().filter(|index| bound.iter().any(|bound| bound == index.as_str())) {
        access.delete_manifest(&Reference::Digest(index.clone())).await.expect("nothing needs it");
    }
    let needed = access.delete_manifest(&Reference::Digest(child.clone())).await;
    assert!(matches!(needed, Err(EngineError::InUse { .. })), "{needed:?}");
    let found = registry.meta.read(move |tx| versions::is_content_used(tx, &child));
    assert!(found.await.expect("readable"));
}
