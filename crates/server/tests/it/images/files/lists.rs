//! Lists and descriptions of files.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::media_type::OCI_INDEX;
use serde_json::json;

use super::{file_path, image_digests, list_files, sort_unique};
use crate::images::{
    R1, api_path, image_path, list_all, percent_encode, push_image, put_tag, resource_name,
    set_up_repository,
};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{AccountServer, Image, digest_of, index_of, on_both};

fn files_owned_by(owner: &str) -> String {
    let filter = format!("owner=\"{}\"", resource_name(owner));
    api_path(&format!("files?pageSize=2&filter={}", percent_encode(&filter)))
}

on_both![
    a_file_shows_its_hash_and_owner,
    files_are_listed_once_in_the_order_of_digests,
    files_are_filtered_by_image_and_version,
    a_page_token_is_valid_for_its_own_list_only
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
