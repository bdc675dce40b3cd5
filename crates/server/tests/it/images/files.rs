//! Files: lists, descriptions and downloads by digest.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::media_type::OCI_INDEX;
use serde_json::json;

use super::{
    R1, api_path, image_path, list_all, list_names, percent_encode, push_image, put_tag,
    resource_name, set_immutable, set_up_repository,
};
use crate::gc::collect_garbage;
use crate::util::accounts::{PROJECT, sign_in};
use crate::util::google::repository_name;
use crate::util::{AccountServer, GoogleClient, Image, digest_of, index_of, on_both, random_bytes};

/// The digests of an image: its manifest and its blobs.
fn image_digests(image: &Image) -> BTreeSet<String> {
    image.blobs.iter().map(digest_of).chain([image.digest()]).collect()
}

fn file_path(digest: &str) -> String {
    api_path(&format!("files/{digest}"))
}

fn media_path(digest: &str) -> String {
    api_path(&format!("files/{digest}:download?alt=media"))
}

fn files_owned_by(owner: &str) -> String {
    let filter = format!("owner=\"{}\"", resource_name(owner));
    api_path(&format!("files?pageSize=2&filter={}", percent_encode(&filter)))
}

async fn list_files(owner: &GoogleClient, list: &str) -> Vec<String> {
    list_names(owner, list, ("files", "name")).await
}

fn sort_unique(digests: impl IntoIterator<Item = String>) -> Vec<String> {
    digests.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

on_both![
    a_file_shows_its_hash_and_owner,
    files_are_listed_once_in_the_order_of_digests,
    files_are_filtered_by_image_and_version,
    a_file_is_downloaded_whole_or_in_parts,
    a_digest_of_another_repository_is_not_found,
    only_readers_may_download,
    a_page_token_is_valid_for_its_own_list_only,
    the_files_of_a_deleted_image_are_deleted,
    a_file_is_deleted_when_nothing_needs_it,
    a_file_under_an_immutable_tag_is_not_deleted
];

async fn a_file_shows_its_hash_and_owner(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let image = Image::new(1);
    push_image(owner, "a/b", "v1", &image).await;
    let lone = owner.client.push_blob(&image_path("a/b"), "nobody's").await.to_string();
    let (shown, _) = list_all(owner, &api_path("files"), "files").await;
    assert_eq!(shown.len(), 5);
    for (digest, bytes) in image
        .blobs
        .iter()
        .map(|blob| (digest_of(blob), &blob[..]))
        .chain([(image.digest(), image.manifest.as_bytes())])
    {
        let one = owner.get(&file_path(&digest)).await.expect_status(200).json();
        assert!(shown.contains(&one), "{one}");
        assert_eq!(one["name"], resource_name(&format!("files/{digest}")));
        assert_eq!(one["sizeBytes"], bytes.len().to_string());
        let hash: Vec<u8> =
            STANDARD.decode(one["hashes"][0]["value"].as_str().expect("text")).expect("base64");
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (&one["hashes"][0]["type"], format!("sha256:{hex}")),
            (&json!("SHA256"), digest)
        );
        assert_eq!(
            one["owner"],
            resource_name(&format!("packages/a%2Fb/versions/{}", image.digest()))
        );
        assert!(one["createTime"].is_string() && one["createTime"] == one["updateTime"], "{one}");
    }
    // No version names the blob yet, so it has no owner.
    let one = owner.get(&file_path(&lone)).await.expect_status(200).json();
    assert!(one["owner"].is_null(), "{one}");
    // Clients encode the colon once or twice.
    for encoded in ["%3A", "%253A"] {
        assert_eq!(
            owner.get(&file_path(&lone.replace(':', encoded))).await.expect_status(200).json(),
            one
        );
    }
}

async fn files_are_listed_once_in_the_order_of_digests(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let images: Vec<Image> = (0..4).map(Image::new).collect();
    for (number, image) in images.iter().enumerate() {
        push_image(owner, ["a", "a/c", "b"][number % 3], &format!("v{number}"), image).await;
    }
    // Two images have the same manifest, and one manifest is also a blob.
    push_image(owner, "b", "same", &images[0]).await;
    owner.client.push_blob(&image_path("b"), images[1].manifest.clone()).await;
    let expected = sort_unique(images.iter().flat_map(image_digests));
    for size in [1, 2, 3, 5, 16, 100] {
        let (found, pages) =
            list_all(owner, &api_path(&format!("files?pageSize={size}")), "files").await;
        assert_eq!(
            (found.len(), pages),
            (expected.len(), expected.len().div_ceil(size)),
            "by {size}"
        );
        let mut found =
            list_files(owner, &api_path(&format!("files?orderBy=NAME%20desc&pageSize={size}")))
                .await;
        found.reverse();
        assert_eq!(found, expected, "downwards by {size}");
    }
    assert_eq!(list_files(owner, &api_path("files?orderBy=name&pageSize=3")).await, expected);
    let of =
        |filter: String| api_path(&format!("files?pageSize=2&filter={}", percent_encode(&filter)));
    let begins = &expected[3][..9];
    let those: Vec<_> =
        expected.iter().filter(|digest| digest.starts_with(begins)).cloned().collect();
    let prefix = of(format!("name=\"{}*\"", resource_name(&format!("files/{begins}"))));
    assert_eq!(list_files(owner, &prefix).await, those);
    let ends = &expected[5][60..];
    let those: Vec<_> = expected.iter().filter(|digest| digest.ends_with(ends)).cloned().collect();
    assert_eq!(list_files(owner, &of(format!("name=\"*{ends}\""))).await, those);
    let exact = of(format!("name=\"{}\"", resource_name(&format!("files/{}", expected[2]))));
    assert_eq!(list_files(owner, &exact).await, expected[2..3]);
    for (query, field) in [
        ("orderBy=create_time", "order_by"),
        ("filter=size%3D1", "filter"),
        ("pageSize=-1", "page_size"),
        ("pageToken=x", "page_token"),
    ] {
        let refused = owner
            .get(&api_path(&format!("files?{query}")))
            .await
            .expect_google_error("400 INVALID_ARGUMENT");
        assert!(refused.text().contains(field), "{refused:#?}");
    }
}

async fn files_are_filtered_by_image_and_version(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (one, two, other) = (Image::new(1), Image::new(2), Image::new(3));
    push_image(owner, "a/b", "v1", &one).await;
    push_image(owner, "a/b", "v2", &two).await;
    push_image(owner, "other", "v1", &other).await;
    put_tag(owner, "a/b", "again", &one).await.expect_status(201);
    // Two versions of an image name the same layers, and one version names the same blob twice.
    let about = Image::referring_to(&one.descriptor(), "application/spdx+json");
    push_image(owner, "a/b", &about.digest(), &about).await;
    let index = index_of(&[one.descriptor(), two.descriptor()]);
    owner
        .client
        .push_manifest((&image_path("a/b"), "multi"), OCI_INDEX, index.clone())
        .await
        .expect_status(201);

    let version = |digest: &str| files_owned_by(&format!("packages/a%2Fb/versions/{digest}"));
    assert_eq!(list_files(owner, &version(&one.digest())).await, sort_unique(image_digests(&one)));
    assert_eq!(
        list_files(owner, &version(&about.digest())).await,
        sort_unique(image_digests(&about))
    );
    assert_eq!(list_files(owner, &version(&digest_of(&index))).await, [digest_of(&index)]);
    let (found, _) = list_all(owner, &version(&one.digest()), "files").await;
    let own = resource_name(&format!("packages/a%2Fb/versions/{}", one.digest()));
    assert!(found.iter().all(|file| file["owner"] == own), "{found:#?}");

    let mut of_image = image_digests(&one);
    of_image.extend(image_digests(&two));
    of_image.extend(image_digests(&about));
    of_image.insert(digest_of(&index));
    let of_image = sort_unique(of_image);
    assert_eq!(list_files(owner, &files_owned_by("packages/a%2Fb")).await, of_image);
    let mut downwards =
        list_files(owner, &format!("{}&orderBy=name%20desc", files_owned_by("packages/a%2Fb")))
            .await;
    downwards.reverse();
    assert_eq!(downwards, of_image);
    assert_eq!(
        list_files(owner, &files_owned_by("packages/other")).await,
        sort_unique(image_digests(&other))
    );
    // A pattern is compared with the owner that is shown.
    assert_eq!(
        list_files(owner, &files_owned_by("packages/other*")).await,
        sort_unique(image_digests(&other))
    );
    for nobody in
        ["packages/none", "packages/A", "x", &format!("packages/other/versions/{}", one.digest())]
    {
        assert_eq!(
            list_files(owner, &files_owned_by(nobody)).await,
            Vec::<String>::new(),
            "{nobody}"
        );
    }
    let elsewhere = format!("owner=\"{}/packages/other\"", repository_name(PROJECT, "none"));
    assert_eq!(
        list_files(owner, &api_path(&format!("files?filter={}", percent_encode(&elsewhere)))).await,
        Vec::<String>::new()
    );
}

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

async fn a_page_token_is_valid_for_its_own_list_only(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    push_image(owner, "image", "v1", &Image::new(1)).await;
    let reader = accounts
        .create_actor_with(
            "reader",
            ("roles/artifactregistry.reader", &repository_name(PROJECT, R1)),
        )
        .await;
    let page = owner.get(&api_path("files?pageSize=1")).await.expect_status(200).json();
    let token = percent_encode(page["nextPageToken"].as_str().expect("there is more"));
    owner.get(&api_path(&format!("files?pageSize=2&pageToken={token}"))).await.expect_status(200);
    for other in
        ["files?orderBy=name%20desc", "files?filter=name%3D%22*%22", "packages?", "dockerImages?"]
    {
        owner
            .get(&api_path(&format!("{other}&pageToken={token}")))
            .await
            .expect_google_error("400 INVALID_ARGUMENT");
    }
    reader
        .get(&api_path(&format!("files?pageToken={token}")))
        .await
        .expect_google_error("400 INVALID_ARGUMENT");
}

async fn the_files_of_a_deleted_image_are_deleted(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (kept, gone, shared) = (Image::new(1), Image::new(2), Image::new(3));
    push_image(owner, "kept", "v1", &kept).await;
    push_image(owner, "kept", "v2", &shared).await;
    push_image(owner, "gone", "v1", &gone).await;
    push_image(owner, "gone", "v2", &shared).await;
    owner.delete(&api_path("packages/gone")).await.expect_status(200);
    // The manifest is gone at once. Its blobs go after the grace.
    owner.get(&file_path(&gone.digest())).await.expect_google_error("404 NOT_FOUND");
    owner.get(&media_path(&gone.digest())).await.expect_google_error("404 NOT_FOUND");
    let blob = owner.get(&file_path(&digest_of(&gone.blobs[1]))).await.expect_status(200).json();
    assert!(blob["owner"].is_null(), "{blob}");
    for digest in image_digests(&shared) {
        let shown = owner.get(&file_path(&digest)).await.expect_status(200).json();
        assert_eq!(
            shown["owner"],
            resource_name(&format!("packages/kept/versions/{}", shared.digest()))
        );
    }
    assert!(!list_files(owner, &api_path("files")).await.contains(&gone.digest()));
    for _ in 0..3 {
        collect_garbage(&accounts.server).await;
        accounts.server.clock.advance_hours(25);
    }
    let owner = &sign_in(&accounts.server, &accounts.owner_key).await;
    let left: BTreeSet<_> = image_digests(&kept).union(&image_digests(&shared)).cloned().collect();
    assert_eq!(list_files(owner, &api_path("files")).await, sort_unique(left));
}

async fn a_file_is_deleted_when_nothing_needs_it(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (tagged, untagged) = (Image::new(1), Image::new(2));
    push_image(owner, "a", "v1", &tagged).await;
    push_image(owner, "a", &untagged.digest(), &untagged).await;
    push_image(owner, "b", &untagged.digest(), &untagged).await;
    let refused = |digest: String| async move {
        owner.delete(&file_path(&digest)).await.expect_google_error("400 FAILED_PRECONDITION")
    };
    // A manifest names each blob, and a tag names one of the manifests.
    let needed = refused(digest_of(&untagged.blobs[1])).await;
    assert!(needed.text().contains(&untagged.digest()), "{needed:#?}");
    let needed = refused(tagged.digest()).await;
    assert!(needed.text().contains("v1"), "{needed:#?}");
    // An index in one image keeps the manifest in the other image, too.
    let index = index_of(&[untagged.descriptor()]);
    owner
        .client
        .push_manifest((&image_path("b"), "multi"), OCI_INDEX, index.clone())
        .await
        .expect_status(201);
    let needed = refused(untagged.digest()).await;
    assert!(needed.text().contains(&digest_of(&index)), "{needed:#?}");
    owner
        .get(&api_path(&format!("packages/a/versions/{}", untagged.digest())))
        .await
        .expect_status(200);
    owner.delete(&api_path("packages/b/tags/multi")).await.expect_status(200);
    owner.delete(&file_path(&digest_of(&index))).await.expect_status(200);

    let gone = owner.delete(&file_path(&untagged.digest())).await.expect_status(200).json();
    assert_eq!(
        (&gone["done"], &gone["response"]["@type"]),
        (&json!(true), &json!("type.googleapis.com/google.protobuf.Empty"))
    );
    for image in ["a", "b"] {
        owner
            .get(&api_path(&format!("packages/{image}/versions/{}", untagged.digest())))
            .await
            .expect_google_error("404 NOT_FOUND");
    }
    owner.delete(&file_path(&untagged.digest())).await.expect_google_error("404 NOT_FOUND");
    for blob in &untagged.blobs {
        owner.delete(&file_path(&digest_of(blob))).await.expect_status(200);
        owner
            .client
            .head(&format!("/v2/{}/blobs/{}", image_path("a"), digest_of(blob)))
            .await
            .expect_status(404);
    }
    assert_eq!(list_files(owner, &api_path("files")).await, sort_unique(image_digests(&tagged)));
    let writer = accounts
        .create_actor_with(
            "writer",
            ("roles/artifactregistry.writer", &repository_name(PROJECT, R1)),
        )
        .await;
    for nobody in [writer, accounts.create_actor("stranger").await] {
        nobody
            .delete(&file_path(&digest_of(&tagged.blobs[1])))
            .await
            .expect_google_error("403 PERMISSION_DENIED");
    }
}

/// Attack 11 on files.
async fn a_file_under_an_immutable_tag_is_not_deleted(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let image = Image::new(1);
    push_image(owner, "a", "v1", &image).await;
    set_immutable(owner, true).await;
    for digest in image_digests(&image) {
        owner.delete(&file_path(&digest)).await.expect_google_error("400 FAILED_PRECONDITION");
    }
    owner.client.get(&format!("/v2/{}/manifests/v1", image_path("a"))).await.expect_status(200);
}
