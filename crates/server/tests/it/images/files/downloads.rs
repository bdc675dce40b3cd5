//! Downloads of files, and who may download.

use serde_json::json;

use super::{file_path, image_digests, list_files, media_path, sort_unique};
use crate::images::{R1, api_path, image_path, push_image, resource_name, set_up_repository};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{AccountServer, Image, digest_of, on_both, random_bytes};

on_both![
    a_file_is_downloaded_whole_or_in_parts,
    a_digest_of_another_repository_is_not_found,
    only_readers_may_download
];

async fn a_file_is_downloaded_whole_or_in_parts(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let image = Image::new(1);
    push_image(owner, "image", "v1", &image).await;
    let large = random_bytes(700_000, 5);
    let blob = owner.client.push_blob(&image_path("image"), large.clone()).await.to_string();
    let empty = owner.client.push_blob(&image_path("image"), "").await.to_string();
    for (digest, bytes) in [(image.digest(), image.manifest.as_bytes()), (blob.clone(), &large[..])]
    {
        let whole = owner.get(&media_path(&digest)).await.expect_status(200);
        assert_eq!(whole.body, bytes);
        assert_eq!(
            (whole.header("content-length"), whole.header("accept-ranges")),
            (&*bytes.len().to_string(), "bytes")
        );
        assert_eq!(
            owner.get(&media_path(&digest.replace(':', "%3A"))).await.expect_status(200).body,
            bytes
        );
        assert_eq!(
            owner.get(&media_path(&digest.replace(':', "%253A"))).await.expect_status(200).body,
            bytes
        );
        let part = owner
            .client
            .clone()
            .with_header("range", "bytes=10-99")
            .get(&media_path(&digest))
            .await
            .expect_status(206);
        assert_eq!(part.body, bytes[10..100]);
        assert_eq!(part.header("content-range"), format!("bytes 10-99/{}", bytes.len()));
        // gcloud asks for a range that ends behind the file.
        let part = owner
            .client
            .clone()
            .with_header("range", "bytes=100-3145827")
            .get(&media_path(&digest))
            .await
            .expect_status(206);
        assert_eq!(part.body, bytes[100..]);
        let parts = owner
            .client
            .clone()
            .with_header("range", "bytes=0-9,20-29")
            .get(&media_path(&digest))
            .await
            .expect_status(206);
        assert!(parts.header("content-type").starts_with("multipart/byteranges; boundary="));
        let etag = format!("\"{digest}\"");
        owner
            .client
            .clone()
            .with_header("if-none-match", &etag)
            .get(&media_path(&digest))
            .await
            .expect_status(304);
        let other = owner
            .client
            .clone()
            .with_header("if-match", "\"other\"")
            .get(&media_path(&digest))
            .await;
        assert_eq!(other.google_outcome(), "412 FAILED_PRECONDITION");
        let head = owner.client.head(&media_path(&digest)).await.expect_status(200);
        assert_eq!(
            (head.header("content-length"), head.body.len()),
            (&*bytes.len().to_string(), 0)
        );
        let behind = format!("bytes={}-", bytes.len());
        let behind =
            owner.client.clone().with_header("range", &behind).get(&media_path(&digest)).await;
        assert_eq!(behind.google_outcome(), "416 OUT_OF_RANGE");
        assert_eq!(behind.header("content-range"), format!("bytes */{}", bytes.len()));
        // Without `alt=media` the answer is an empty message.
        let message =
            owner.get(&api_path(&format!("files/{digest}:download"))).await.expect_status(200);
        assert_eq!(
            (message.header("content-type"), message.json()),
            ("application/json", json!({}))
        );
    }
    assert_eq!(owner.get(&media_path(&empty)).await.expect_status(200).body, "");
    let asks = owner.client.clone().with_header("range", "bytes=0-3145727");
    assert_eq!(
        asks.get(&media_path(&empty)).await.expect_status(416).header("content-range"),
        "bytes */0"
    );
    // `alt=media` changes nothing for a method without media.
    let described = owner.get(&file_path(&blob)).await.expect_status(200).json();
    assert_eq!(
        owner.get(&format!("{}?alt=media", file_path(&blob))).await.expect_status(200).json(),
        described
    );
    owner.get(&media_path(&digest_of("never pushed"))).await.expect_google_error("404 NOT_FOUND");
}

/// Attack 13: knowing a digest gives no access.
async fn a_digest_of_another_repository_is_not_found(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (here, there) = (Image::new(1), Image::new(2));
    push_image(owner, "image", "v1", &here).await;
    owner.create_repository(PROJECT, "r2").await.expect_status(200);
    accounts.create_repository("other-project", R1).await;
    for elsewhere in [format!("{PROJECT}/r2/image"), format!("other-project/{R1}/image")] {
        there.push(&owner.client, (&elsewhere, "v1")).await;
    }
    for digest in image_digests(&there) {
        for path in [file_path(&digest), media_path(&digest)] {
            owner.get(&path).await.expect_google_error("404 NOT_FOUND");
            let own = path.replace("/repositories/r1/", "/repositories/r2/");
            owner.get(&own).await.expect_status(200);
        }
    }
    assert_eq!(list_files(owner, &api_path("files")).await, sort_unique(image_digests(&here)));
    // A reader of one repository reads no other one by other forms of its name.
    let reader = accounts
        .create_actor_with(
            "reader",
            ("roles/artifactregistry.reader", &repository_name(PROJECT, R1)),
        )
        .await;
    let digest = there.digest();
    for path in [
        format!("/v1/{}/files/{digest}", repository_name(PROJECT, "r2")),
        format!("/v1/{}/files/{digest}:download?alt=media", repository_name(PROJECT, "r2")),
        format!(
            "/v1/{}/files/{digest}:download?alt=media&name={}",
            repository_name(PROJECT, "r2"),
            resource_name(&format!("files/{digest}"))
        ),
    ] {
        reader.get(&path).await.expect_google_error("403 PERMISSION_DENIED");
    }
    let misled =
        format!("{}&name={}/files/{digest}", media_path(&digest), repository_name(PROJECT, "r2"));
    reader.get(&misled).await.expect_google_error("404 NOT_FOUND");
}

async fn only_readers_may_download(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let image = Image::new(1);
    push_image(owner, "image", "v1", &image).await;
    let here = repository_name(PROJECT, R1);
    let reader =
        accounts.create_actor_with("reader", ("roles/artifactregistry.reader", &here)).await;
    let attachments = accounts
        .create_actor_with("attachments", ("roles/artifactregistry.attachmentReader", &here))
        .await;
    let stranger = accounts.create_actor("stranger").await;
    let digest = digest_of(&image.blobs[1]);
    for path in [
        api_path("files"),
        file_path(&digest),
        media_path(&digest),
        api_path(&format!("files/{digest}:download")),
        media_path(&digest_of("x")),
    ] {
        stranger.get(&path).await.expect_google_error("403 PERMISSION_DENIED");
        accounts.anonymous().get(&path).await.expect_google_error("401 UNAUTHENTICATED");
        assert_ne!(reader.get(&path).await.status, 403, "{path}");
    }
    attachments.get(&media_path(&digest)).await.expect_status(200);
    attachments.get(&file_path(&digest)).await.expect_google_error("403 PERMISSION_DENIED");
    // A public repository's files are public.
    owner.grant_role(&here, "roles/artifactregistry.reader", "allUsers").await;
    assert_eq!(
        accounts.anonymous().get(&media_path(&digest)).await.expect_status(200).body,
        image.blobs[1]
    );
}
