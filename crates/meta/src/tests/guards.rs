//! What the foreign keys refuse, and references to content that comes later.

use model::digest::Digest;

use super::{NOW, Place, TestDatabase, add_blob, add_manifest, on_each, place, reference};
use crate::versions::{Binding, Reference, ReferenceOwner};
use crate::{ErrorKind, Id, MetaError, Tx, blobs, tags, versions};

/// The kind of error that this ends in; what it did before is undone.
async fn refusal<T: Send + 'static>(
    db: &TestDatabase,
    closure: impl FnMut(&mut Tx<'_>) -> Result<T, MetaError> + Send + 'static,
) -> Option<ErrorKind> {
    db.meta.write(closure).await.err().map(|error| error.kind())
}

/// An image `image` with the one layer `layer`.
async fn image(db: &TestDatabase) -> (Place, Id) {
    db.write(|tx| {
        let place = place(tx, "r", "i")?;
        add_blob(tx, &place.repository, b"layer")?;
        let layer = [reference(b"layer", Binding::Blob)];
        Ok((place, add_manifest(tx, &place, (b"image", None), &layer)?.expect("new")))
    })
    .await
}

/// What the manifest `index` or `image` of the image waits for.
fn open_references(tx: &mut Tx<'_>, version: &Id) -> Result<i64, MetaError> {
    let count = tx.opt(
        "SELECT count(*) FROM manifest_refs WHERE version_id = ?1 AND blob_digest IS NULL AND child_id IS NULL",
        params![version],
        |row| row.int(0),
    )?;
    Ok(count.expect("a count"))
}

fn owner<'a>(place: &'a Place, version: &'a Id) -> ReferenceOwner<'a> {
    ReferenceOwner { version, repository: &place.repository, package: &place.package }
}

on_each! {
    async fn a_needed_blob_stays(db: &TestDatabase) {
        let (here, version) = image(db).await;
        let unlink = move |tx: &mut Tx<'_>| blobs::unlink(tx, &here.repository, &Digest::of(b"layer"));
        assert_eq!(refusal(db, unlink).await, Some(ErrorKind::ForeignKey));
        let forget = |tx: &mut Tx<'_>| blobs::delete(tx, &Digest::of(b"layer"));
        assert_eq!(refusal(db, forget).await, Some(ErrorKind::ForeignKey));
        // Another repository's link is not needed.
        db.write(move |tx| {
            let other = place(tx, "q", "i")?.repository;
            blobs::link(tx, &other, (&Digest::of(b"layer"), 5), NOW)?;
            assert_eq!(blobs::unlink(tx, &other, &Digest::of(b"layer"))?, Some(5));
            Ok(())
        }).await;
        db.write(move |tx| versions::delete(tx, &version)).await;
        assert_eq!(db.write(unlink).await, Some(5));
        assert_eq!(refusal(db, forget).await, None);
    }

    async fn a_manifest_names_only_what_is_there(db: &TestDatabase) {
        let (here, _) = image(db).await;
        let add = move |reference: Reference| move |tx: &mut Tx<'_>| {
            add_manifest(tx, &here, (b"new", None), std::slice::from_ref(&reference))
        };
        let missing = reference(b"never pushed", Binding::Blob);
        assert_eq!(refusal(db, add(missing)).await, Some(ErrorKind::ForeignKey));
        let resized = Reference { size: 6, ..reference(b"layer", Binding::Blob) };
        assert_eq!(refusal(db, add(resized)).await, Some(ErrorKind::ForeignKey));
        let childless = reference(b"child", Binding::Child(Id::new()));
        assert_eq!(refusal(db, add(childless)).await, Some(ErrorKind::ForeignKey));
        // Linked, but to another repository.
        let elsewhere = move |tx: &mut Tx<'_>| {
            let other = place(tx, "q", "i")?;
            add_manifest(tx, &other, (b"new", None), &[reference(b"layer", Binding::Blob)])
        };
        assert_eq!(refusal(db, elsewhere).await, Some(ErrorKind::ForeignKey));
        let stored = db.read(move |tx| versions::id_in_package(tx, &here.package, &Digest::of(b"new")));
        assert_eq!(stored.await, None);
    }

    async fn a_named_version_stays(db: &TestDatabase) {
        let (here, version) = image(db).await;
        let delete = move |tx: &mut Tx<'_>| versions::delete(tx, &version);
        db.write(move |tx| tags::set(tx, &here.package, ("t", &version), NOW)).await;
        assert_eq!(refusal(db, delete).await, Some(ErrorKind::ForeignKey));
        let index = db.write(move |tx| {
            tags::delete(tx, &here.package, "t")?;
            add_manifest(tx, &here, (b"index", None), &[reference(b"image", Binding::Child(version))])
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
            let repository = place(tx, "r", "i")?.repository;
            add_blob(tx, &repository, b"layer")
        }).await;
        let delete = move |tx: &mut Tx<'_>| blobs::delete_copy(tx, &copy);
        assert_eq!(refusal(db, delete).await, Some(ErrorKind::ForeignKey));
    }

    async fn a_blob_that_comes_later_is_bound(db: &TestDatabase) {
        db.write(|tx| {
            let here = place(tx, "r", "i")?;
            let references = [
                reference(b"layer", Binding::OpenBlob),
                Reference { size: 99, ..reference(b"layer", Binding::OpenBlob) },
                // The same digest as a manifest's: another thing.
                reference(b"layer", Binding::OpenChild),
            ];
            let version = add_manifest(tx, &here, (b"image", None), &references)?.expect("new");
            assert_eq!(open_references(tx, &version)?, 3);
            let layer = Digest::of(b"layer");
            add_blob(tx, &here.repository, b"layer")?;
            let other = place(tx, "q", "i")?.repository;
            assert_eq!(versions::bind_blob(tx, &other, (&layer, 5))?, 0);
            assert_eq!(versions::user_of_blob(tx, &here.repository, &layer)?, None);
            // Also the one that states another size: it names the same content.
            assert_eq!(versions::bind_blob(tx, &here.repository, (&layer, 5))?, 2);
            assert_eq!(versions::bind_blob(tx, &here.repository, (&layer, 5))?, 0);
            assert_eq!(open_references(tx, &version)?, 1);
            assert_eq!(versions::user_of_blob(tx, &here.repository, &layer)?, Some(Digest::of(b"image")));
            Ok(())
        }).await;
        let unlink = |tx: &mut Tx<'_>| {
            let here = place(tx, "r", "i")?;
            blobs::unlink(tx, &here.repository, &Digest::of(b"layer"))
        };
        assert_eq!(refusal(db, unlink).await, Some(ErrorKind::ForeignKey));
    }

    async fn a_manifest_that_comes_later_is_bound(db: &TestDatabase) {
        db.write(|tx| {
            let (here, other) = (place(tx, "r", "i")?, place(tx, "r", "j")?);
            let open = [reference(b"child", Binding::OpenChild)];
            let index = add_manifest(tx, &here, (b"index", None), &open)?.expect("new");
            let elsewhere = add_manifest(tx, &other, (b"index", None), &open)?.expect("new");
            let child = add_manifest(tx, &here, (b"child", None), &[])?.expect("new");
            let digest = Digest::of(b"child");
            let at = owner(&here, &child);
            assert_eq!(versions::bind_child(tx, at, &Digest::of(b"another"))?, 0);
            assert_eq!(versions::bind_child(tx, at, &digest)?, 1);
            assert_eq!(open_references(tx, &index)?, 0);
            assert_eq!(open_references(tx, &elsewhere)?, 1);
            let image = versions::Address { repository: &here.repository, image: "i" };
            let child = versions::by_digest(tx, image, &digest)?.expect("there");
            assert_eq!(versions::parents(tx, &here.repository, &child, 5)?, [Digest::of(b"index")]);
            Ok(())
        }).await;
    }

    /// However many wait, one transaction binds some of them, and whoever asks again the next ones.
    async fn waiting_references_are_bound_in_slices(db: &TestDatabase) {
        let here = db.write(|tx| {
            let here = place(tx, "r", "i")?;
            let open = [reference(b"layer", Binding::OpenBlob), reference(b"child", Binding::OpenChild)];
            for number in 0..301 {
                add_manifest(tx, &here, (format!("m{number}").as_bytes(), None), &open)?;
            }
            add_blob(tx, &here.repository, b"layer")?;
            Ok(here)
        }).await;
        db.write(move |tx| {
            let layer = (&Digest::of(b"layer"), 5);
            for expected in [300, 1, 0] {
                assert_eq!(versions::waits_for_blob(tx, &here.repository, layer.0)?, expected > 0);
                assert_eq!(versions::bind_blob(tx, &here.repository, layer)?, expected);
            }
            let child = add_manifest(tx, &here, (b"child", None), &[])?.expect("new");
            let at = owner(&here, &child);
            for expected in [300, 1, 0] {
                assert_eq!(versions::bind_child(tx, at, &Digest::of(b"child"))?, expected);
            }
            Ok(())
        }).await;
    }
}
