//! Many pushes at once, which are the hard case of a serializable database.

use std::sync::Arc;

use model::digest::Digest;

use super::{NOW, TestDatabase, add_blob, add_manifest, ensure_image, on_each, reference};
use crate::change_way::ChangeWay;
use crate::events::{self, EventAction};
use crate::gc_queue::{self, ReviewKind};
use crate::versions::{ReferenceBinding, ReferenceOwner};
use crate::{MetaError, blobs, tags, usage_deltas, versions};

const PUSHES: usize = 64;
const LAYERS: usize = 200;

on_each! {
    /// Pushes manifests of one image that name the same 200 layers, together with uploads to the same repository.
    async fn large_manifests_beside_uploads_all_succeed(db: &TestDatabase) {
        let layers: Arc<Vec<String>> = Arc::new((0..LAYERS).map(|number| format!("layer {number}")).collect());
        let all = layers.clone();
        let test_image = db.write(move |tx| {
            let test_image = ensure_image(tx, "r", "i")?;
            for layer in all.iter() {
                add_blob(tx, &test_image.repository, layer.as_bytes())?;
            }
            Ok(test_image)
        }).await;
        let pushes = (0..PUSHES).map(|number| {
            let (meta, layers) = (db.meta.clone(), layers.clone());
            tokio::spawn(async move {
                meta.write(move |tx| {
                    let bytes = format!("manifest {number}");
                    let references: Vec<_> =
                        layers.iter().map(|layer| reference(layer.as_bytes(), ReferenceBinding::Blob)).collect();
                    let version = add_manifest(tx, &test_image, bytes.as_bytes(), None, &references)?.expect("new");
                    let (digest, size) = (Digest::of(bytes.as_bytes()), bytes.len() as i64);
                    let owner = ReferenceOwner {
                        version: &version,
                        repository: &test_image.repository,
                        package: &test_image.package,
                    };
                    versions::bind_manifest(tx, owner, &digest)?;
                    usage_deltas::add_delta(tx, &test_image.repository, size)?;
                    let tag = format!("t{number}");
                    assert_eq!(tags::find(tx, &test_image.package, &tag)?, None);
                    tags::set(tx, &test_image.package, &tag, &version, NOW)?;
                    events::insert(tx, &events::AuditEvent {
                        action: EventAction::Push,
                        principal: "user:a".into(),
                        resource: "projects/p".into(),
                        tag: Some(tag),
                        digest: Some(digest),
                        occurred_at: NOW,
                        way: ChangeWay::Push,
                        place: None,
                    })
                }).await
            })
        });
        let uploads = (0..PUSHES).map(|number| {
            let meta = db.meta.clone();
            tokio::spawn(async move {
                meta.write(move |tx| {
                    let bytes = format!("upload {number}");
                    let (digest, size) = (Digest::of(bytes.as_bytes()), bytes.len() as i64);
                    add_blob(tx, &test_image.repository, bytes.as_bytes())?;
                    usage_deltas::add_delta(tx, &test_image.repository, size)?;
                    gc_queue::enqueue(tx, ReviewKind::Link, &[digest.to_string()], NOW)?;
                    versions::bind_blob(tx, &test_image.repository, &digest, size)?;
                    Ok::<_, MetaError>(())
                }).await
            })
        });
        for push in pushes.chain(uploads).collect::<Vec<_>>() {
            push.await.unwrap().expect("it is only a matter of retries");
        }
        let (tags, upload) = db.read(move |tx| {
            let upload = Digest::of(b"upload 0");
            Ok((tags::list(tx, &test_image.package, "", 100)?.len(), blobs::find(tx, &test_image.repository, &upload)?))
        }).await;
        assert_eq!(tags, PUSHES);
        assert!(upload.is_some());
    }
}
