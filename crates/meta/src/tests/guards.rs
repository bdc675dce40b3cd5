//! The deletions and references that foreign keys refuse, and references to content that is pushed later.

use model::digest::Digest;

use super::{
    NOW, TestDatabase, TestImage, add_blob, add_manifest, ensure_image, on_each, reference,
};
use crate::versions::{ContentReference, ReferenceBinding, ReferenceOwner};
use crate::{ErrorKind, Id, MetaError, Tx, blobs, tags, versions};

/// Returns the kind of the error with which a closure fails. The transaction is rolled back.
async fn refusal<T: Send + 'static>(
    db: &TestDatabase,
    closure: impl FnMut(&mut Tx<'_>) -> Result<T, MetaError> + Send + 'static,
) -> Option<ErrorKind> {
    db.meta.write(closure).await.err().map(|error| error.kind())
}

/// Creates an image with the manifest `image`, which has the one layer `layer`.
async fn image(db: &TestDatabase) -> (TestImage, Id) {
    db.write(|tx| {
        let test_image = ensure_image(tx, "r", "i")?;
        add_blob(tx, &test_image.repository, b"layer")?;
        let layer = [reference(b"layer", ReferenceBinding::Blob)];
        Ok((test_image, add_manifest(tx, &test_image, b"image", None, &layer)?.expect("new")))
    })
    .await
}

/// Returns the number of references of a version that are not bound.
fn open_references(tx: &mut Tx<'_>, version: &Id) -> Result<i64, MetaError> {
    let count = tx.query_first(
        "SELECT count(*) FROM manifest_refs WHERE version_id = ?1 AND blob_digest IS NULL AND child_id IS NULL",
        params![version],
        |row| row.int(0),
    )?;
    Ok(count.expect("a count"))
}

fn owner<'a>(test_image: &'a TestImage, version: &'a Id) -> ReferenceOwner<'a> {
    ReferenceOwner { version, repository: &test_image.repository, package: &test_image.package }
}

on_each! {
    async fn a_needed_blob_stays(db: &TestDatabase) {
        let (test_image, version) = image(db).await;
        let unlink = move |tx: &mut Tx<'_>| blobs::unlink(tx, &test_image.repository, &Digest::of(b"layer"));
        assert_eq!(refusal(db, unlink).await, Some(ErrorKind::ForeignKey));
        let forget = |tx: &mut Tx<'_>| blobs::delete(tx, &Digest::of(b"layer"));
        assert_eq!(refusal(db, forget).await, Some(ErrorKind::ForeignKey));
        // The manifest does not need the link of another repository.
        db.write(move |tx| {
            let other = ensure_image(tx, "q", "i")?.repository;
            blobs::link(tx, &other, &Digest::of(b"layer"), 5, NOW)?;
            assert_eq!(blobs::unlink(tx, &other, &Digest::of(b"layer"))?, Some(5));
            Ok(())
        }).await;
        db.write(move |tx| versions::delete(tx, &version)).await;
        assert_eq!(db.write(unlink).await, Some(5));
        assert_eq!(refusal(db, forget).await, None);
    }

    async fn a_manifest_names_only_what_is_there(db: &TestDatabase) {
        let (test_image, _) = image(db).await;
        let add = move |reference: ContentReference| move |tx: &mut Tx<'_>| {
            add_manifest(tx, &test_image, b"new", None, std::slice::from_ref(&reference))
        };
        let missing = reference(b"never pushed", ReferenceBinding::Blob);
        assert_eq!(refusal(db, add(missing)).await, Some(ErrorKind::ForeignKey));
        let resized = ContentReference { size: 6, ..reference(b"layer", ReferenceBinding::Blob) };
        assert_eq!(refusal(db, add(resized)).await, Some(ErrorKind::ForeignKey));
        let childless = reference(b"child", ReferenceBinding::Manifest(Id::new()));
        assert_eq!(refusal(db, add(childless)).await, Some(ErrorKind::ForeignKey));
        // The layer is linked, but to another repository.
        let elsewhere = move |tx: &mut Tx<'_>| {
            let other = ensure_image(tx, "q", "i")?;
            add_manifest(tx, &other, b"new", None, &[reference(b"layer", ReferenceBinding::Blob)])
        };
        assert_eq!(refusal(db, elsewhere).await, Some(ErrorKind::ForeignKey));
        let stored = db.read(move |tx| versions::find_in_package(tx, &test_image.package, &Digest::of(b"new")));
        assert_eq!(stored.await, None);
    }

    async fn a_named_version_stays(db: &TestDatabase) {
        let (test_image, version) = image(db).await;
        let delete = move |tx: &mut Tx<'_>| versions::delete(tx, &version);
        db.write(move |tx| tags::set(tx, &test_image.package, "t", &version, NOW)).await;
        assert_eq!(refusal(db, delete).await, Some(ErrorKind::ForeignKey));
        let index = db.write(move |tx| {
            tags::delete(tx, &test_image.package, "t")?;
            add_manifest(tx, &test_image, b"index", None, &[reference(b"image", ReferenceBinding::Manifest(version))])
        }).await.expect("new");
        assert_eq!(refusal(db, delete).await, Some(ErrorKind::ForeignKey));
        let bytes = |tx: &mut Tx<'_>| versions::delete_content(tx, &Digest::of(b"image"));
        assert_eq!(refusal(db, bytes).await, Some(ErrorKind::ForeignKey));
        db.write(move |tx| versions::delete(tx, &index)).await;
        db.write(delete).await;
        db.write(bytes).await;
    }

    async fn a_copy_in_use_stays(db: &TestDatabase) {
        let copy = db.write(|tx| {
            let repository = ensure_image(tx, "r", "i")?.repository;
            add_blob(tx, &repository, b"layer")
        }).await;
        let delete = move |tx: &mut Tx<'_>| blobs::delete_copy(tx, &copy);
        assert_eq!(refusal(db, delete).await, Some(ErrorKind::ForeignKey));
    }

    async fn a_blob_that_comes_later_is_bound(db: &TestDatabase) {
        db.write(|tx| {
            let test_image = ensure_image(tx, "r", "i")?;
            let references = [
                reference(b"layer", ReferenceBinding::MissingBlob),
                ContentReference { size: 99, ..reference(b"layer", ReferenceBinding::MissingBlob) },
                // A manifest with the same digest is different content.
                reference(b"layer", ReferenceBinding::MissingManifest),
            ];
            let version = add_manifest(tx, &test_image, b"image", None, &references)?.expect("new");
            assert_eq!(open_references(tx, &version)?, 3);
            let layer = Digest::of(b"layer");
            add_blob(tx, &test_image.repository, b"layer")?;
            let other = ensure_image(tx, "q", "i")?.repository;
            assert_eq!(versions::bind_blob(tx, &other, &layer, 5)?, 0);
            assert_eq!(versions::find_manifest_with_blob(tx, &test_image.repository, &layer)?, None);
            // The reference that states another size is bound too, because it names the same content.
            assert_eq!(versions::bind_blob(tx, &test_image.repository, &layer, 5)?, 2);
            assert_eq!(versions::bind_blob(tx, &test_image.repository, &layer, 5)?, 0);
            assert_eq!(open_references(tx, &version)?, 1);
            assert_eq!(versions::find_manifest_with_blob(tx, &test_image.repository, &layer)?, Some(Digest::of(b"image")));
            Ok(())
        }).await;
        let unlink = |tx: &mut Tx<'_>| {
            let test_image = ensure_image(tx, "r", "i")?;
            blobs::unlink(tx, &test_image.repository, &Digest::of(b"layer"))
        };
        assert_eq!(refusal(db, unlink).await, Some(ErrorKind::ForeignKey));
    }

    async fn a_manifest_that_comes_later_is_bound(db: &TestDatabase) {
        db.write(|tx| {
            let (test_image, other) = (ensure_image(tx, "r", "i")?, ensure_image(tx, "r", "j")?);
            let open = [reference(b"child", ReferenceBinding::MissingManifest)];
            let index = add_manifest(tx, &test_image, b"index", None, &open)?.expect("new");
            let elsewhere = add_manifest(tx, &other, b"index", None, &open)?.expect("new");
            let child = add_manifest(tx, &test_image, b"child", None, &[])?.expect("new");
            let digest = Digest::of(b"child");
            let at = owner(&test_image, &child);
            assert_eq!(versions::bind_manifest(tx, at, &Digest::of(b"another"))?, 0);
            assert_eq!(versions::bind_manifest(tx, at, &digest)?, 1);
            assert_eq!(open_references(tx, &index)?, 0);
            assert_eq!(open_references(tx, &elsewhere)?, 1);
            let image = versions::ImageAddress { repository: &test_image.repository, image: "i" };
            let child = versions::find_by_digest(tx, image, &digest)?.expect("there");
            assert_eq!(versions::list_parents(tx, &test_image.repository, &child, 5)?, [Digest::of(b"index")]);
            Ok(())
        }).await;
    }

    /// Any number of references may wait. One call binds a part of them, and the next call binds more.
    async fn waiting_references_are_bound_in_slices(db: &TestDatabase) {
        let test_image = db.write(|tx| {
            let test_image = ensure_image(tx, "r", "i")?;
            let open = [reference(b"layer", ReferenceBinding::MissingBlob), reference(b"child", ReferenceBinding::MissingManifest)];
            for number in 0..301 {
                add_manifest(tx, &test_image, format!("m{number}").as_bytes(), None, &open)?;
            }
            add_blob(tx, &test_image.repository, b"layer")?;
            Ok(test_image)
        }).await;
        db.write(move |tx| {
            let layer = Digest::of(b"layer");
            for expected in [300, 1, 0] {
                assert_eq!(versions::waits_for_blob(tx, &test_image.repository, &layer)?, expected > 0);
                assert_eq!(versions::bind_blob(tx, &test_image.repository, &layer, 5)?, expected);
            }
            let child = add_manifest(tx, &test_image, b"child", None, &[])?.expect("new");
            let at = owner(&test_image, &child);
            for expected in [300, 1, 0] {
                assert_eq!(versions::bind_manifest(tx, at, &Digest::of(b"child"))?, expected);
            }
            Ok(())
        }).await;
    }
}
