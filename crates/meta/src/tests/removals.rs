//! Images that are removed: slice by slice, until nothing is left of them, and of nothing else.

use model::digest::Digest;

use super::{NOW, Place, TestDatabase, add_blob, add_manifest, on_each, place, reference};
use crate::versions::Binding;
use crate::{MetaError, Tx, packages, removal, tags, usage};

/// An image with everything that rows can hold of one: manifests, one of which names the others, tags that moved, and
/// pulls on many days.
fn fill(tx: &mut Tx<'_>, place: &Place) -> Result<(), MetaError> {
    let mut children = Vec::new();
    for number in 0..5 {
        let bytes = format!("image{number}");
        let layer = reference(b"layer", Binding::Blob);
        let image = add_manifest(tx, place, (bytes.as_bytes(), None), &[layer])?.expect("new");
        for tag in 0..3 {
            tags::set(tx, &place.package, (&format!("t{number}-{tag}"), &image), NOW)?;
        }
        for day in 0..4 {
            usage::add_pulls(tx, &image, (day, 1), NOW)?;
        }
        children.push(reference(bytes.as_bytes(), Binding::Child(image)));
    }
    add_manifest(tx, place, (b"index", None), &children)?.expect("new");
    for tag in 0..7 {
        let change = tags::Change {
            tag: format!("t{tag}"),
            from: None,
            to: Some(Digest::of(b"index")),
            principal: "user:a@example.com".to_owned(),
            changed_at: NOW,
        };
        tags::record(tx, &place.package, &change)?;
    }
    Ok(())
}

/// How many rows there are of what belongs to images.
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
    .map(|sql| Ok(tx.opt(sql, &[], |row| row.int(0))?.unwrap_or_default()))
    .collect()
}

on_each! {
    async fn an_image_goes_slice_by_slice(db: &TestDatabase) {
        for limit in [1, 2, 3, 7, 1_000] {
            let (before, gone) = db.write(move |tx| {
                let kept = place(tx, "r", "kept")?;
                if add_blob(tx, &kept.repository, b"layer").is_ok() && limit == 1 {
                    fill(tx, &kept)?;
                }
                let before = rows(tx)?;
                let gone = place(tx, "r", "gone")?;
                fill(tx, &gone)?;
                packages::hide(tx, &gone.package)?;
                // Its name is free, and taken at once.
                let again = place(tx, "r", "gone")?;
                assert_ne!(again.package, gone.package);
                packages::hide(tx, &again.package)?;
                while removal::remove_some_of_package(tx, &again.package, 10)?.is_some() {}
                Ok((before, gone.package))
            }).await;
            let (mut slices, mut contents, mut bytes, mut names) = (0, Vec::new(), 0, Vec::new());
            loop {
                let slice = db.write(move |tx| {
                    assert_eq!(removal::is_package_due(tx, &gone)?, packages_has(tx, &gone)?);
                    removal::remove_some_of_package(tx, &gone, limit)
                }).await;
                let Some(slice) = slice else { break };
                contents.extend(slice.contents);
                names.extend(slice.gone);
                bytes += slice.bytes;
                slices += 1;
                assert!(slices < 500, "it comes to an end");
            }
            assert_eq!(db.read(rows).await, before, "by {limit}");
            contents.sort();
            contents.dedup();
            assert_eq!((contents.len(), bytes), (6, 5 * 6 + 5), "by {limit}");
            assert!(names.iter().all(|gone| gone.image == "gone"), "{names:?}");
            assert_eq!(names.iter().filter(|gone| gone.tag.is_some()).count(), 15);
            assert_eq!(names.iter().filter(|gone| gone.digest.is_some()).count(), 6);
            // 6 versions with 15 tags, 20 days, 5 layers, 5 children twice, and 7 changes.
            assert!(slices >= 50 / limit, "{slices} slices by {limit}");
        }
    }
}

fn packages_has(tx: &mut Tx<'_>, id: &crate::Id) -> Result<bool, MetaError> {
    let sql = "SELECT 1 FROM packages WHERE id = ?1";
    Ok(tx.opt(sql, crate::params![id], |row| row.int(0))?.is_some())
}
