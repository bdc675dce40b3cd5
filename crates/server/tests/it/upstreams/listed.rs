//! Lists of a virtual repository.

use serde_json::{Value, json};

use super::{VIRTUAL, api_path, image_in, push, set_up_virtual};
use crate::util::{AccountServer, GoogleClient, Image, on_both};

on_both![
    tags_are_merged_and_paged,
    images_below_are_merged,
    the_extended_list_names_each_version_once,
    referrers_are_merged,
    the_apis_list_what_pulls_get,
    clients_that_read_whole_lists_get_pages
];

/// The tags of all pages of a list.
async fn list_tags(owner: &GoogleClient, path: &str) -> Vec<String> {
    let pages = owner.client.get_pages(path).await;
    let tags = pages.iter().flat_map(|page| {
        let tags: Vec<String> =
            serde_json::from_value(page.json()["tags"].clone()).expect("a list");
        tags
    });
    tags.collect()
}

async fn tags_are_merged_and_paged(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    let owner = &accounts.owner;
    for (repository, tags) in [("high", ["a", "c", "e"]), ("low", ["b", "c", "d"])] {
        for tag in tags {
            push(&owner.client, repository, ("app", tag), 1).await;
        }
    }
    let path = format!("/v2/{}/tags/list", image_in(VIRTUAL, "app"));
    for size in [1, 2, 3, 5, 100] {
        let tags = list_tags(owner, &format!("{path}?n={size}")).await;
        assert_eq!(tags, ["a", "b", "c", "d", "e"], "pages of {size}");
    }
    assert_eq!(list_tags(owner, &format!("{path}?n=2&last=c")).await, ["d", "e"]);
    let missing = format!("/v2/{}/tags/list", image_in(VIRTUAL, "absent"));
    owner.client.get(&missing).await.expect_oci_error("404 NAME_UNKNOWN");
}

async fn images_below_are_merged(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    let owner = &accounts.owner;
    for (repository, image) in
        [("high", "a"), ("high", "team/x"), ("low", "a/b"), ("low", "a-b"), ("low", "team/y")]
    {
        push(&owner.client, repository, (image, "1"), 1).await;
    }
    let children = async |path: &str| {
        let pages = owner.client.get_pages(path).await;
        let names = pages.iter().flat_map(|page| {
            let names: Vec<String> =
                serde_json::from_value(page.json()["child"].clone()).expect("a list");
            names
        });
        names.collect::<Vec<_>>()
    };
    for size in [1, 2, 100] {
        let path = format!("/v2/my-project/{VIRTUAL}/tags/list?n={size}");
        let mut found = children(&path).await;
        found.sort_unstable();
        assert_eq!(found, ["a", "a-b", "team"], "pages of {size}");
        let path = format!("/v2/{}/tags/list?n={size}", image_in(VIRTUAL, "team"));
        assert_eq!(children(&path).await, ["x", "y"], "pages of {size}");
    }
}

async fn the_extended_list_names_each_version_once(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    let owner = &accounts.owner;
    let high = push(&owner.client, "high", ("app", "1"), 1).await;
    let shadowed = push(&owner.client, "low", ("app", "1"), 2).await;
    let both = push(&owner.client, "low", ("app", "2"), 1).await;
    assert_eq!(high, both);
    let untagged = Image::new(3);
    untagged.push(&owner.client, (&image_in("low", "app"), &untagged.digest())).await;
    let path = format!("/v2/{}/tags/list", image_in(VIRTUAL, "app"));
    let list = owner.client.get(&path).await.expect_status(200).json();
    assert_eq!(list["tags"], json!(["1", "2"]));
    assert_eq!(list["manifest"][&high]["tag"], json!(["1", "2"]));
    assert_eq!(list["manifest"][untagged.digest()]["tag"], json!([]));
    assert_eq!(list["manifest"][&shadowed], Value::Null, "no tag of the list names it");
}

async fn referrers_are_merged(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    let owner = &accounts.owner.client;
    let image = Image::new(1);
    let mut expected = Vec::new();
    for (repository, types) in [("high", ["a/x", "a/y"]), ("low", ["a/y", "a/z"])] {
        let name = image_in(repository, "app");
        image.push(owner, (&name, "1")).await;
        for artifact_type in types {
            let referrer = Image::referring_to(&image.descriptor(), artifact_type);
            referrer.push(owner, (&name, &referrer.digest())).await;
            expected.push(referrer.digest());
        }
    }
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(expected.len(), 3);
    let path = format!("/v2/{}/referrers/{}", image_in(VIRTUAL, "app"), image.digest());
    let list = owner.get(&path).await.expect_status(200).json();
    let digests: Vec<_> = list["manifests"].as_array().expect("a list").iter().collect();
    let digests: Vec<_> = digests.iter().map(|entry| entry["digest"].clone()).collect();
    assert_eq!(json!(digests), json!(expected));
    let filtered = owner.get(&format!("{path}?artifactType=a%2Fz")).await.expect_status(200);
    assert_eq!(filtered.json()["manifests"].as_array().map(Vec::len), Some(1));
}

/// The digests and tags of a list of Google's, in its order, over pages of one entry.
async fn list_entries(owner: &GoogleClient, path: &str, field: &str) -> Vec<Value> {
    let (mut entries, mut token) = (Vec::new(), String::new());
    loop {
        let page = owner.get(&format!("{path}pageSize=1&pageToken={token}")).await;
        let page = page.expect_status(200).json();
        entries.extend(page[field].as_array().cloned().unwrap_or_default());
        match page["nextPageToken"].as_str() {
            None | Some("") => return entries,
            Some(next) => next.clone_into(&mut token),
        }
    }
}

async fn the_apis_list_what_pulls_get(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    let owner = &accounts.owner;
    let first = push(&owner.client, "low", ("app", "1"), 1).await;
    let second = push(&owner.client, "high", ("app", "1"), 2).await;
    let third = push(&owner.client, "low", ("app", "2"), 2).await;
    let other = push(&owner.client, "low", ("team/other", "x"), 3).await;
    assert_eq!(second, third);
    let tail = |entry: &Value, field: &str| {
        let name = entry[field].as_str().unwrap_or_default();
        name.rsplit('/').next().unwrap_or_default().to_owned()
    };
    // By default, the newest push comes first. `second` is shown from `high`.
    let images = list_entries(owner, &api_path(VIRTUAL, "/dockerImages?"), "dockerImages").await;
    let shown: Vec<_> =
        images.iter().map(|image| json!([tail(image, "name"), image["tags"]])).collect();
    assert_eq!(
        shown,
        [
            json!([format!("team%2Fother@{other}"), ["x"]]),
            json!([format!("app@{second}"), ["1"]]),
            json!([format!("app@{first}"), null]),
        ]
    );
    let uri = images[1]["uri"].as_str().unwrap_or_default();
    assert!(uri.ends_with(&format!("/my-project/{VIRTUAL}/app@{second}")), "{uri}");
    for order in ["name", "name%20desc", "create_time", "create_time%20desc"] {
        let path = api_path(VIRTUAL, &format!("/packages/app/versions?orderBy={order}&"));
        let mut versions: Vec<_> =
            list_entries(owner, &path, "versions").await.iter().map(|v| tail(v, "name")).collect();
        versions.sort_unstable();
        let mut expected = [first.clone(), second.clone()];
        expected.sort_unstable();
        assert_eq!(versions, expected, "{order}");
    }
    let packages = list_entries(owner, &api_path(VIRTUAL, "/packages?"), "packages").await;
    let packages: Vec<_> = packages.iter().map(|package| tail(package, "name")).collect();
    assert_eq!(packages, ["app", "team%2Fother"]);
    let tags = list_entries(owner, &api_path(VIRTUAL, "/packages/app/tags?"), "tags").await;
    let tags: Vec<_> = tags.iter().map(|tag| [tail(tag, "name"), tail(tag, "version")]).collect();
    assert_eq!(tags, [["1".to_owned(), second.clone()], ["2".to_owned(), second.clone()]]);
    // Single entries say the same.
    let tag = owner.get(&api_path(VIRTUAL, "/packages/app/tags/1")).await.expect_status(200);
    assert_eq!(tail(&tag.json(), "version"), second);
    for (rest, field) in [
        (format!("/dockerImages/app@{first}"), "tags"),
        (format!("/packages/app/versions/{first}?view=FULL"), "relatedTags"),
    ] {
        let entry = owner.get(&api_path(VIRTUAL, &rest)).await.expect_status(200).json();
        assert_eq!(entry[field], Value::Null, "{rest}");
    }
    owner.get(&api_path(VIRTUAL, "/packages/team%2Fother")).await.expect_status(200);
    owner.get(&api_path(VIRTUAL, "/packages/absent")).await.expect_google_error("404 NOT_FOUND");
}

/// gcrane takes the first page for the whole list of a standard repository.
async fn clients_that_read_whole_lists_get_pages(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    let owner = &accounts.owner;
    push(&owner.client, "low", ("app", "1"), 1).await;
    let gcrane = owner.client.clone().with_header("user-agent", "gcrane/v0.22.1");
    for (path, field, expected) in [
        (image_in(VIRTUAL, "app"), "tags", json!(["1"])),
        (format!("my-project/{VIRTUAL}"), "child", json!(["app"])),
    ] {
        let list = gcrane.get(&format!("/v2/{path}/tags/list?n=1000")).await.expect_status(200);
        assert_eq!(list.json()[field], expected, "{path}");
    }
}
