//! Copies, blobs and the uploads that make them. Every step checks the state of the row.

use model::digest::Digest;

use super::{NOW, TestDatabase, add_blob, ensure_image, on_each};
use crate::blobs::{self, CopyState};
use crate::uploads::{Upload, UploadKey};
use crate::{ErrorKind, Id, Tx, uploads};

on_each! {
    async fn a_blob_has_one_live_copy(db: &TestDatabase) {
        db.write(|tx| {
            let repository = ensure_image(tx, "r", "i")?.repository;
            let (digest, size) = (Digest::of(b"blob"), 4);
            assert_eq!(blobs::find(tx, &repository, &digest)?, None);
            let copy = add_blob(tx, &repository, b"blob")?;
            let found = blobs::find(tx, &repository, &digest)?.expect("linked");
            assert_eq!(found, blobs::BlobCopy { copy_id: copy, size, mtime_ns: 1, ctime_ns: 2, verified_at: NOW });
            assert_eq!(blobs::find_size(tx, &repository, &digest)?, Some(size));
            // A copy is quarantined, and becomes live again after a check finds its bytes right.
            assert_eq!(blobs::mark_verified(tx, &copy, 5, 6, NOW + 1)?, 1);
            assert_eq!(blobs::quarantine(tx, &copy, NOW + 2)?, 1);
            assert_eq!(blobs::find(tx, &repository, &digest)?, None);
            let bad = blobs::BlobCopy { mtime_ns: 5, ctime_ns: 6, verified_at: NOW + 2, ..found };
            assert_eq!(blobs::find_quarantined(tx, &repository, &digest)?, Some(bad));
            assert_eq!(blobs::mark_checked(tx, &copy, NOW + 3)?, 1);
            assert_eq!(blobs::mark_verified(tx, &copy, 5, 6, NOW + 4)?, 1);
            assert_eq!(blobs::find(tx, &repository, &digest)?.expect("right").verified_at, NOW + 4);
            assert_eq!((blobs::mark_checked(tx, &copy, NOW)?, blobs::find_quarantined(tx, &repository, &digest)?), (0, None));
            // The copy that was hashed last replaces the other one.
            let second = Id::new();
            blobs::insert_copy(tx, &second, NOW)?;
            let finished = blobs::FinishedCopy { id: &second, digest: &digest, size, mtime_ns: 3, ctime_ns: 4, now: NOW };
            assert_eq!(blobs::make_live(tx, &finished)?, Some(copy));
            assert!(!blobs::link(tx, &repository, &digest, size, NOW)?);
            assert_eq!(blobs::find(tx, &repository, &digest)?.expect("sound").copy_id, second);
            assert_eq!(blobs::find_copy_state(tx, &copy)?, Some(CopyState::Live));
            assert_eq!(blobs::mark_verified(tx, &copy, 5, 6, NOW)?, 0, "no blob has it any more");
            assert_eq!(blobs::trash_replaced(tx, &copy)?, 1);
            assert_eq!(blobs::delete_copy(tx, &copy)?, 1);
            assert_eq!(blobs::find_copy_state(tx, &copy)?, None);
            Ok(())
        }).await;
    }

    /// Each step checks the state of the copy. A step that was decided on an older state changes nothing.
    async fn a_copy_goes_one_way(db: &TestDatabase) {
        db.write(|tx| {
            let repository = ensure_image(tx, "r", "i")?.repository;
            let state = |tx: &mut Tx<'_>, id: &Id| blobs::find_copy_state(tx, id).map(Option::unwrap);
            let live = add_blob(tx, &repository, b"blob")?;
            assert_eq!(blobs::trash_unfinished(tx, &live)?, 0);
            assert_eq!(state(tx, &live)?, CopyState::Live);
            let unfinished = Id::new();
            blobs::insert_copy(tx, &unfinished, NOW)?;
            assert_eq!((blobs::trash_replaced(tx, &unfinished)?, blobs::quarantine(tx, &unfinished, NOW)?), (0, 0));
            assert_eq!(blobs::trash_unfinished(tx, &unfinished)?, 1);
            assert_eq!(blobs::trash_unfinished(tx, &unfinished)?, 0);
            assert_eq!((blobs::trash_replaced(tx, &unfinished)?, blobs::quarantine(tx, &unfinished, NOW)?), (0, 0));
            assert_eq!(state(tx, &unfinished)?, CopyState::Trash);
            Ok(())
        }).await;
        let revived = db.meta.write(|tx| {
            let trash = Id::new();
            blobs::insert_copy(tx, &trash, NOW)?;
            blobs::trash_unfinished(tx, &trash)?;
            let (digest, size) = (Digest::of(b"other"), 5);
            blobs::make_live(tx, &blobs::FinishedCopy { id: &trash, digest: &digest, size, mtime_ns: 1, ctime_ns: 2, now: NOW })
        });
        assert_eq!(revived.await.unwrap_err().kind(), ErrorKind::Corrupt);
    }

    async fn a_blob_goes_with_its_last_link(db: &TestDatabase) {
        db.write(|tx| {
            let [r, q] = [ensure_image(tx, "r", "i")?.repository, ensure_image(tx, "q", "i")?.repository];
            let digest = Digest::of(b"blob");
            let copy = add_blob(tx, &r, b"blob")?;
            assert!(blobs::link(tx, &q, &digest, 4, NOW)?);
            let holders = blobs::list_holders(tx, "p", "us", &digest, 10)?;
            assert_eq!(holders, [(q, "q".to_owned()), (r, "r".to_owned())]);
            assert!(blobs::list_holders(tx, "p", "eu", &digest, 10)?.is_empty());
            assert_eq!(blobs::unlink(tx, &r, &digest)?, Some(4));
            assert_eq!(blobs::unlink(tx, &r, &digest)?, None);
            assert!(blobs::is_linked(tx, &digest)?);
            assert_eq!(blobs::find(tx, &r, &digest)?, None);
            assert_eq!(blobs::unlink(tx, &q, &digest)?, Some(4));
            assert!(!blobs::is_linked(tx, &digest)?);
            assert_eq!(blobs::delete(tx, &digest)?, Some(copy));
            assert_eq!(blobs::delete(tx, &digest)?, None);
            Ok(())
        }).await;
    }

    async fn an_upload_advances_and_ends(db: &TestDatabase) {
        db.write(|tx| {
            let repository = ensure_image(tx, "r", "i")?.repository;
            let owner = UploadKey { repository: &repository, image: "i", principal: "user:a" };
            let (copy, id) = (Id::new(), Id::random());
            blobs::insert_copy(tx, &copy, NOW)?;
            let upload = Upload {
                id, copy_id: Some(copy), algorithm: "sha256".into(), size: 0, checkpoint: None, digest: None,
                expires_at: NOW + 10,
            };
            uploads::insert(tx, owner, &upload, NOW)?;
            let found = uploads::find(tx, owner, &id)?.expect("started");
            assert_eq!((found.id, found.copy_id, found.size), (id, Some(copy), 0));
            assert_eq!(found.expires_at, NOW + 10);
            assert_eq!((found.algorithm.as_str(), &found.checkpoint, &found.digest), ("sha256", &None, &None));
            assert!(uploads::find(tx, UploadKey { principal: "user:b", ..owner }, &id)?.is_none());
            assert!(uploads::find(tx, UploadKey { image: "j", ..owner }, &id)?.is_none());
            let first = found;
            assert_eq!(uploads::advance(tx, &first, 5, b"state", NOW + 20)?, 1);
            assert_eq!(uploads::find_expiry(tx, &id)?, Some((NOW + 20, Some(copy))));
            assert_eq!(uploads::set_expiry(tx, &first, NOW + 30)?, 1);
            let found = uploads::find(tx, owner, &id)?.expect("running");
            assert_eq!((found.size, found.checkpoint.as_deref()), (5, Some(b"state".as_slice())));
            // Steps from the state before the advance come too late.
            let digest = Digest::of(b"bytes");
            assert_eq!(uploads::advance(tx, &first, 9, b"other", NOW + 50)?, 0);
            assert_eq!(uploads::finish(tx, &first, &digest, 9, NOW + 50)?, 0);
            assert_eq!(uploads::finish(tx, &found, &digest, 5, NOW + 40)?, 1);
            assert_eq!(uploads::finish(tx, &found, &digest, 5, NOW + 50)?, 0);
            assert_eq!(uploads::advance(tx, &found, 6, b"late", NOW + 50)?, 0);
            assert_eq!((uploads::set_expiry(tx, &found, NOW + 50)?, uploads::delete_unfinished(tx, &found)?), (0, 0));
            let found = uploads::find(tx, owner, &id)?.expect("remembered");
            assert_eq!((found.copy_id, &found.checkpoint, &found.digest), (None, &None, &Some(digest)));
            assert_eq!(uploads::delete_unfinished(tx, &found)?, 0);
            assert_eq!(uploads::find_expiry(tx, &id)?, Some((NOW + 40, None)));
            assert_eq!(uploads::delete(tx, &id)?, 1);
            assert_eq!(uploads::find_expiry(tx, &id)?, None);
            uploads::insert(tx, owner, &first, NOW)?;
            assert_eq!(uploads::delete_unfinished(tx, &first)?, 1);
            assert_eq!(uploads::find_expiry(tx, &id)?, None);
            Ok(())
        }).await;
    }
}
