//! Records of sizes and pulls.

use berth_engine::{EngineError, Pull};
use meta::{packages, tags, usage};
use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use model::reference::Reference;
use serde_json::json;

use crate::registry::{TestRegistry, descriptor_of};

#[tokio::test]
async fn an_index_has_no_size_and_its_pull_counts_for_its_images() {
    let registry = TestRegistry::new().await;
    registry.push_blob(b"{}").await;
    registry.push_blob(b"layer").await;
    let blob = |bytes: &[u8]| descriptor_of("application/x", bytes);
    let image = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": blob(b"{}"),
        // The same layer twice is one blob.
        "layers": [blob(b"layer"), blob(b"layer")],
    });
    let length = image.to_string().len();
    let digest = registry.push_manifest(image, &["image"]).await;
    let named = json!({ "mediaType": OCI_MANIFEST, "digest": digest.as_str(), "size": length });
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [named] });
    let index = registry.push_manifest(index, &["index"]).await;
    registry
        .open_access::<Pull>()
        .await
        .pull_manifest(&Reference::Digest(index))
        .await
        .expect("pushed");
    registry.engine.flush_pulls().await.expect("writable");
    let repository = registry.repository_id().await;
    let (listed, pulls) = registry
        .meta
        .read(move |tx| {
            let package = packages::find(tx, &repository, "image")?.expect("pushed");
            let listed = tags::list(tx, &package, "", 10)?;
            let mut pulls = Vec::new();
            for tag in &listed {
                let version = tags::find(tx, &package, &tag.name)?.expect("listed").version_id;
                pulls.push((
                    usage::find_last_pull(tx, &version)?.expect("of use"),
                    usage::list_pulls_by_day(tx, &version)?.len(),
                ));
            }
            Ok::<_, EngineError>((listed, pulls))
        })
        .await
        .expect("readable");
    let sizes: Vec<_> =
        listed.iter().map(|tag| (tag.name.as_str(), tag.version.image_bytes)).collect();
    assert_eq!(sizes, [("image", 2 + 5 + length as i64), ("index", 0)]);
    let [(image_used, 0), (index_used, 1)] = pulls[..] else { panic!("{pulls:?}") };
    assert_eq!(image_used, index_used);
}
