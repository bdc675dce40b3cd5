//! Lists: their entries, orders and pages.

use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use serde_json::json;

use super::{
    api_path, image_path, list_all, list_names, percent_encode, push_image, put_tag, resource_name,
    set_up_repository,
};
use crate::util::accounts::PROJECT;
use crate::util::{AccountServer, Image, index_of, on_both};

on_both![
    a_docker_image_shows_what_was_pushed,
    an_index_shows_its_images_and_an_artifact_its_subject,
    lists_are_ordered_and_paged,
    filters_keep_matching_entries,
    repositories_are_filtered_by_name,
    a_page_token_is_valid_for_its_own_list_only
];

async fn a_docker_image_shows_what_was_pushed(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let image = Image::new(1);
    push_image(owner, "a/b", "v1", &image).await;
    accounts.server.clock.advance_seconds(60);
    put_tag(owner, "a/b", "latest", &image).await.expect_status(201);
    let digest = image.digest();
    let shown =
        owner.get(&api_path("dockerImages")).await.expect_status(200).json()["dockerImages"][0]
            .clone();
    assert_eq!(shown["name"], resource_name(&format!("dockerImages/a%2Fb@{digest}")));
    let uri = shown["uri"].as_str().expect("text");
    assert!(uri.starts_with("us-west1-docker."), "{uri}");
    assert!(uri.ends_with(&format!("/{PROJECT}/r1/a/b@{digest}")), "{uri}");
    assert_eq!(shown["tags"], json!(["latest", "v1"]));
    let size: usize =
        image.manifest.len() + image.blobs.iter().map(|blob| blob.len()).sum::<usize>();
    assert_eq!(shown["imageSizeBytes"], size.to_string());
    assert_eq!(shown["mediaType"], OCI_MANIFEST);
    assert_eq!(shown["buildTime"], "2024-02-29T12:00:00Z");
    assert!(shown["artifactType"].is_null() && shown["subjectDigest"].is_null(), "{shown}");
    assert!(shown["uploadTime"].as_str() < shown["updateTime"].as_str(), "{shown}");
    // Clients encode the slash once or twice.
    for image in ["a%2Fb", "a%252Fb"] {
        let one = owner
            .get(&api_path(&format!("dockerImages/{image}@{digest}")))
            .await
            .expect_status(200);
        assert_eq!(one.json(), shown);
    }
    // The version shows the same facts.
    let version = owner
        .get(&api_path(&format!("packages/a%2Fb/versions/{digest}")))
        .await
        .expect_status(200)
        .json();
    let own = resource_name(&format!("packages/a%2Fb/versions/{digest}"));
    assert_eq!(version["name"], own);
    assert_eq!(
        (&version["createTime"], &version["updateTime"]),
        (&shown["uploadTime"], &shown["updateTime"])
    );
    let tag = |tag: &str| {
        let name = resource_name(&format!("packages/a%2Fb/tags/{tag}"));
        json!({ "name": name, "version": own })
    };
    assert_eq!(version["relatedTags"], json!([tag("latest"), tag("v1")]));
    let metadata = &version["metadata"];
    for field in ["name", "imageSizeBytes", "mediaType", "buildTime"] {
        assert_eq!(metadata[field], shown[field], "{field}");
    }
    let basic =
        owner.get(&api_path(&format!("packages/a%2Fb/versions/{digest}?view=BASIC"))).await.json();
    assert_eq!((basic["relatedTags"].is_null(), &basic["metadata"]), (true, metadata));
    for (view, tags) in [("", 0), ("?view=BASIC", 0), ("?view=FULL", 2), ("?view=2", 2)] {
        let list = owner
            .get(&api_path(&format!("packages/a%2Fb/versions{view}")))
            .await
            .expect_status(200)
            .json();
        let shown = list["versions"][0]["relatedTags"].as_array().map_or(0, Vec::len);
        assert_eq!(shown, tags, "{view}");
    }
}

async fn an_index_shows_its_images_and_an_artifact_its_subject(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let child = Image::new(1);
    push_image(owner, "image", &child.digest(), &child).await;
    let mut descriptor = child.descriptor();
    descriptor["platform"] = json!({ "architecture": "arm64", "os": "linux", "variant": "v8" });
    let index = index_of(&[descriptor]);
    owner
        .client
        .push_manifest((&image_path("image"), "multi"), OCI_INDEX, index)
        .await
        .expect_status(201);
    let about = Image::referring_to(&child.descriptor(), "application/spdx+json");
    push_image(owner, "image", &about.digest(), &about).await;

    let (shown, _) = list_all(owner, &api_path("dockerImages"), "dockerImages").await;
    let find = |text: &str| {
        shown.iter().find(|image| image["mediaType"] == text || image["artifactType"] == text)
    };
    let index = find(OCI_INDEX).expect("listed");
    let expected = json!([{
        "architecture": "arm64", "os": "linux", "variant": "v8",
        "digest": child.digest(), "mediaType": OCI_MANIFEST,
    }]);
    assert_eq!(index["imageManifests"], expected);
    assert_eq!(index["imageSizeBytes"], "0", "gcloud shows None where there is nothing");
    assert!(index["buildTime"].is_null() && index["tags"] == json!(["multi"]), "{index}");
    let about = find("application/spdx+json").expect("listed");
    assert_eq!(about["subjectDigest"], child.digest());
}

async fn lists_are_ordered_and_paged(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let images: Vec<Image> = (0..7).map(Image::new).collect();
    for (number, image) in images.iter().enumerate() {
        push_image(owner, ["b", "a", "a/c"][number % 3], &format!("v{number}"), image).await;
        accounts.server.clock.advance_seconds(60);
    }
    // The oldest image becomes the one that changed last.
    put_tag(owner, "b", "again", &images[0]).await.expect_status(201);
    let digests = |order: &[usize]| order.iter().map(|n| images[*n].digest()).collect::<Vec<_>>();
    for (order, expected) in [
        ("", [6, 5, 4, 3, 2, 1, 0]),
        ("upload_time", [0, 1, 2, 3, 4, 5, 6]),
        ("uploadTime desc", [6, 5, 4, 3, 2, 1, 0]),
        ("UPDATE_TIME desc", [0, 6, 5, 4, 3, 2, 1]),
        ("update_time asc", [1, 2, 3, 4, 5, 6, 0]),
    ] {
        for size in [1, 3, 7, 100] {
            let list = api_path(&format!(
                "dockerImages?orderBy={}&pageSize={size}",
                percent_encode(order)
            ));
            let (found, pages) = list_all(owner, &list, "dockerImages").await;
            let found: Vec<&str> = found
                .iter()
                .map(|image| image["uri"].as_str().expect("text").split_once('@').expect("one").1)
                .collect();
            assert_eq!(found, digests(&expected), "{order} by {size}");
            assert_eq!(pages, 7_usize.div_ceil(size), "{order} by {size}");
        }
    }
    let packages = ("packages", "name");
    assert_eq!(
        list_names(owner, &api_path("packages?pageSize=2"), packages).await,
        ["a", "a%2Fc", "b"]
    );
    for (order, expected) in [
        ("create_time", ["b", "a", "a%2Fc"]),
        ("create_time%20desc", ["a%2Fc", "a", "b"]),
        ("update_time", ["a", "a%2Fc", "b"]),
        ("UPDATE_TIME%20desc", ["b", "a%2Fc", "a"]),
    ] {
        for size in [1, 2, 100] {
            let list = api_path(&format!("packages?pageSize={size}&orderBy={order}"));
            assert_eq!(list_names(owner, &list, packages).await, expected, "{order} by {size}");
        }
    }
    let downwards = api_path("packages?pageSize=1&orderBy=name%20desc");
    assert_eq!(list_names(owner, &downwards, packages).await, ["b", "a%2Fc", "a"]);
    // Names are unique, so that a second order has no effect.
    let several = api_path("packages?orderBy=name%20desc,update_time");
    assert_eq!(list_names(owner, &several, packages).await, ["b", "a%2Fc", "a"]);
    owner
        .get(&api_path("packages?orderBy=update_time,name"))
        .await
        .expect_google_error("400 INVALID_ARGUMENT");
    let versions = list_names(
        owner,
        &api_path("packages/b/versions?orderBy=UPDATE_TIME%20desc&pageSize=2"),
        ("versions", "name"),
    )
    .await;
    assert_eq!(versions, digests(&[0, 6, 3]));
    let list = api_path("packages/b/versions?orderBy=CREATE_TIME%20desc&pageSize=2");
    assert_eq!(list_names(owner, &list, ("versions", "name")).await, digests(&[6, 3, 0]));
    let mut by_digest = digests(&[0, 3, 6]);
    by_digest.sort();
    for order in ["", "name", "name%20asc"] {
        let list = api_path(&format!("packages/b/versions?pageSize=1&orderBy={order}"));
        assert_eq!(list_names(owner, &list, ("versions", "name")).await, by_digest);
    }
    by_digest.reverse();
    let list = api_path("packages/b/versions?pageSize=1&orderBy=name%20desc");
    assert_eq!(list_names(owner, &list, ("versions", "name")).await, by_digest);
    assert_eq!(
        list_names(owner, &api_path("packages/b/tags?pageSize=1"), ("tags", "name")).await,
        ["again", "v0", "v3", "v6"]
    );
    let package = owner.get(&api_path("packages/b")).await.expect_status(200).json();
    assert_eq!(package["name"], resource_name("packages/b"));
    assert!(package["createTime"].as_str() < package["updateTime"].as_str(), "{package}");
}

async fn filters_keep_matching_entries(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (first, second) = (Image::new(1), Image::new(2));
    for image in ["api", "api/v2", "apix", "web"] {
        push_image(owner, image, "v1", &first).await;
    }
    push_image(owner, "web", "v10", &second).await;
    put_tag(owner, "web", "V1", &second).await.expect_status(201);
    let filtered =
        |list: &str, filter: &str| api_path(&format!("{list}?filter={}", percent_encode(filter)));
    for (pattern, expected) in [
        ("packages/api*", vec!["api", "api%2Fv2", "apix"]),
        ("packages/api", vec!["api"]),
        ("packages/api%2Fv2", vec!["api%2Fv2"]),
        ("packages/api%2F*", vec!["api%2Fv2"]),
        ("packages/%", vec![]),
        ("packages/_pi", vec![]),
    ] {
        let list = filtered("packages", &format!("name=\"{}\"", resource_name(pattern)));
        assert_eq!(list_names(owner, &list, ("packages", "name")).await, expected, "{pattern}");
    }
    let list = filtered("packages", "name=\"*x\"");
    assert_eq!(list_names(owner, &list, ("packages", "name")).await, ["apix"]);
    let version =
        |image: &Image| resource_name(&format!("packages/web/versions/{}", image.digest()));
    for (filter, expected) in [
        (format!("version=\"{}\"", version(&second)), vec!["V1", "v10"]),
        (
            format!(
                "version=\"{}\" AND name=\"{}\"",
                version(&second),
                resource_name("packages/web/tags/v*")
            ),
            vec!["v10"],
        ),
        (format!("version=\"{}\"", version(&Image::new(3))), vec![]),
        (format!("version=\"{}\"", version(&first).replace("/web/", "/api/")), vec![]),
        (format!("name=\"{}\"", resource_name("packages/web/tags/v1*")), vec!["v1", "v10"]),
        (format!("name=\"{}\"", resource_name("packages/web/tags/v1")), vec!["v1"]),
        ("version=\"nothing\"".to_owned(), vec![]),
        (format!("name=\"{}\"", resource_name("packages/web/tags/v1 0*")), vec![]),
    ] {
        let list = filtered("packages/web/tags", &filter);
        assert_eq!(list_names(owner, &list, ("tags", "name")).await, expected, "{filter}");
    }
    let list = filtered("packages/web/versions", &format!("name=\"{}\"", version(&first)));
    assert_eq!(list_names(owner, &list, ("versions", "name")).await, [first.digest()]);
    for list in [
        "packages?filter=name%3Da%00b*",
        "packages?filter=owner%3Dx",
        "packages/web/versions?filter=x",
        "packages/web/tags?filter=size%3D1",
    ] {
        owner.get(&api_path(list)).await.expect_google_error("400 INVALID_ARGUMENT");
    }
    for list in ["dockerImages", "packages", "packages/web/versions"] {
        let refused = owner
            .get(&api_path(&format!("{list}?orderBy=size")))
            .await
            .expect_google_error("400 INVALID_ARGUMENT");
        assert!(refused.text().contains("ordered by one of"), "{refused:#?}");
    }
}

async fn repositories_are_filtered_by_name(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    for id in ["api", "api-v2", "web"] {
        accounts.server.clock.advance_seconds(1);
        owner.create_repository(PROJECT, id).await.expect_status(200);
    }
    let location = format!("/v1/projects/{PROJECT}/locations/us-west1/repositories");
    let parent = location.trim_start_matches("/v1/");
    let field = ("repositories", "name");
    for (pattern, expected) in [
        ("api*", vec!["api", "api-v2"]),
        ("api", vec!["api"]),
        ("*", vec!["api", "api-v2", "r1", "web"]),
        ("x*", vec![]),
    ] {
        let filter = percent_encode(&format!("name=\"{parent}/{pattern}\""));
        let list = format!("{location}?pageSize=1&filter={filter}");
        assert_eq!(list_names(owner, &list, field).await, expected, "{pattern}");
    }
    for (order, expected) in [
        ("name%20desc", ["web", "r1", "api-v2", "api"]),
        ("create_time", ["r1", "api", "api-v2", "web"]),
        ("CREATE_TIME%20desc", ["web", "api-v2", "api", "r1"]),
    ] {
        let list = format!("{location}?pageSize=3&orderBy={order}");
        assert_eq!(list_names(owner, &list, field).await, expected, "{order}");
    }
    owner
        .get(&format!("{location}?filter=format%3DDOCKER"))
        .await
        .expect_google_error("400 INVALID_ARGUMENT");
    owner
        .get(&format!("{location}?orderBy=size"))
        .await
        .expect_google_error("400 INVALID_ARGUMENT");
}

async fn a_page_token_is_valid_for_its_own_list_only(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    for image in ["a", "b"] {
        push_image(owner, image, "v1", &Image::new(1)).await;
        push_image(owner, image, "v2", &Image::new(2)).await;
    }
    let token = async |list: &str| {
        let page =
            owner.get(&api_path(&format!("{list}pageSize=1"))).await.expect_status(200).json();
        page["nextPageToken"].as_str().expect("another page").to_owned()
    };
    let lists = [
        "dockerImages?",
        "dockerImages?orderBy=update_time&",
        "packages?",
        "packages/a/versions?",
        "packages/b/versions?",
        "packages/a/tags?",
        "packages/b/tags?",
    ];
    for own in lists {
        let token = token(own).await;
        for other in lists {
            let page = owner.get(&api_path(&format!("{other}pageToken={token}"))).await;
            let expected = if own == other { "200" } else { "400 INVALID_ARGUMENT" };
            assert_eq!(page.google_outcome(), expected, "the token of {own} at {other}");
        }
        let reader = accounts.create_actor("reader").await;
        owner
            .grant_role(
                &format!("projects/{PROJECT}"),
                "roles/artifactregistry.reader",
                &reader.member(),
            )
            .await;
        reader
            .get(&api_path(&format!("{own}pageToken={token}")))
            .await
            .expect_google_error("400 INVALID_ARGUMENT");
    }
}
