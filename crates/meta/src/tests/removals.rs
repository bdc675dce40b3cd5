//! The deletion of images, some rows at a time. All rows of an image are deleted, and no others.

use model::digest::Digest;

use super::{
    NOW, TestDatabase, TestImage, add_blob, add_manifest, ensure_image, on_each, reference,
};
use crate::versions::ReferenceBinding;
use crate::{MetaError, Tx, deletion, packages, tags, usage};

/// Fills an image with rows of every kind: manifests, an index that names them, tags, a history of the tags, and pulls
/// on several days.
fn fill(tx: &mut Tx<'_>, test_image: &TestImage) -> Result<(), MetaError> {
    let mut children = Vec::new();
    for number in 0..5 {
        let bytes = format!("image{number}");
        let layer = reference(b"layer", ReferenceBinding::Blob);
        let image = add_manifest(tx, test_image, bytes.as_bytes(), None, &[layer])?.expect("new");
        for tag in 0..3 {
            tags::set(tx, &test_image.package, &format!("t{number}-{tag}"), &image, NOW)?;
        }
        for day in 0..4 {
            usage::add_pulls(tx, &image, day, 1, NOW)?;
        }
        children.push(reference(bytes.as_bytes(), ReferenceBinding::Manifest(image)));
    }
    add_manifest(tx, test_image, b"index", None, &children)?.expect("new");
    for tag in 0..7 {
        let change = tags::TagChange {
            tag: format!("t{tag}"),
            from: None,
            to: Some(Digest::of(b"index")),
            principal: "user:a@example.com".to_owned(),
            changed_at: NOW,
            way: crate::change_way::ChangeWay::Push,
        };
        tags::record_change(tx, &test_image.package, &change)?;
    }
    Ok(())
}

/// Counts the rows of each table with rows of images.
fn rows(tx: &mut Tx<'_>) -> Result<Vec<i64>, MetaError> {
    [
        "SELECT count(*) FROM packages",
        "SELECT count(*) FROM versions",
        "SELECT count(*) FROM tags",
        "SELECT count(*) FROM tag_history",
        "SELECT count(*) FROM manifest_refs",
        "SELECT count(*) FROM pull_counts",
        "SELECT count(*) FROM version_usage",
    ]
    .into_iter()
    .map(|sql| Ok(tx.query_first(sql, &[], |row| row.int(0))?.unwrap_or_default()))
    .collect()
}

on_each! {
    async fn an_image_goes_slice_by_slice(db: &TestDatabase) {
        for limit in [1, 2, 3, 7, 1_000] {
            let (before, gone) = db.write(move |tx| {
                let kept = ensure_image(tx, "r", "kept")?;
                if add_blob(tx, &kept.repository, b"layer").is_ok() && limit == 1 {
                    fill(tx, &kept)?;
                }
                let before = rows(tx)?;
                let gone = ensure_image(tx, "r", "gone")?;
                fill(tx, &gone)?;
                packages::hide(tx, &gone.package)?;
                // The name is free, and another image takes it.
                let again = ensure_image(tx, "r", "gone")?;
                assert_ne!(again.package, gone.package);
                packages::hide(tx, &again.package)?;
                while deletion::delete_some_of_package(tx, &again.package, 10)?.is_some() {}
                Ok((before, gone.package))
            }).await;
            let (mut slices, mut contents, mut bytes, mut names) = (0, Vec::new(), 0, Vec::new());
            loop {
                let slice = db.write(move |tx| {
                    assert_eq!(deletion::is_package_deleting(tx, &gone)?, package_exists(tx, &gone)?);
                    deletion::delete_some_of_package(tx, &gone, limit)
                }).await;
                let Some(slice) = slice else { break };
                contents.extend(slice.contents);
                names.extend(slice.gone);
                bytes += slice.bytes;
                slices += 1;
                assert!(slices < 500, "the deletion does not end");
            }
            assert_eq!(db.read(rows).await, before, "by {limit}");
            contents.sort();
            contents.dedup();
            assert_eq!((contents.len(), bytes), (6, 5 * 6 + 5), "by {limit}");
            assert!(names.iter().all(|gone| gone.image == "gone"), "{names:?}");
            assert_eq!(names.iter().filter(|gone| gone.tag.is_some()).count(), 15);
            assert_eq!(names.iter().filter(|gone| gone.digest.is_some()).count(), 6);
            // The image has 6 versions, 15 tags, 20 days of pulls, 5 layers, 5 children (which count twice) and 7
            // changes.
            assert!(slices >= 50 / limit, "{slices} slices by {limit}");
        }
    }
}

fn package_exists(tx: &mut Tx<'_>, id: &crate::Id) -> Result<bool, MetaError> {
    let sql = "SELECT 1 FROM packages WHERE id = ?1";
    Ok(tx.query_first(sql, crate::params![id], |row| row.int(0))?.is_some())
}
