use std::collections::BTreeSet;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meta::{MetaError, Tx, repositories};
use model::name::RepositoryName;
use serde_json::json;

use crate::util::image::insert_images;
use crate::util::server::repository_of_p;
use crate::util::{Image, TestServer, next_page, on_both};

const IMAGE: &str = "p/r1/image";

/// Adds numbered images to a repository, past the server.
fn add_images(tx: &mut Tx<'_>, repository: &RepositoryName, count: usize) -> Result<(), MetaError> {
    let names: Vec<_> = (0..count).map(|n| format!("i{n:05}")).collect();
    insert_images(tx, repository, &names)
}

/// Makes repositories whose images only administrators may read.
fn insert_hidden(
    tx: &mut Tx<'_>,
    repositories: Range<usize>,
    images: usize,
) -> Result<(), MetaError> {
    for n in repositories {
        let name = repository_of_p(&format!("h{n:04}"));
        repositories::insert(tx, &name, false, 0)?;
        add_images(tx, &name, images)?;
    }
    Ok(())
}

on_both![
    tags_are_listed_in_byte_order_and_in_pages,
    gcrane_and_cleaners_find_their_fields,
    children_come_in_pages_beside_tags,
    the_catalog_reveals_no_hidden_image,
    the_catalog_continues_among_hidden_images,
    the_catalog_shows_what_the_caller_may_read,
    the_host_names_the_location
];

async fn tags_are_listed_in_byte_order_and_in_pages(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    for tag in ["b", "a", "B", "_", "a.b", "a-b", "10", "9"] {
        image.push(&admin, (IMAGE, tag)).await;
    }
    let sorted = json!(["10", "9", "B", "_", "a", "a-b", "a.b", "b"]);
    let list = admin.get(&format!("/v2/{IMAGE}/tags/list")).await.expect_status(200);
    assert_eq!(list.json()["tags"], sorted);
    assert_eq!(list.json()["name"], IMAGE);
    assert_eq!(list.header("link"), "");
    let mut found = Vec::new();
    let mut next = Some(format!("/v2/{IMAGE}/tags/list?n=3"));
    while let Some(path) = next {
        let page = admin.get(&path).await.expect_status(200);
        let tags = page.json()["tags"].as_array().expect("a list").clone();
        assert!((1..=3).contains(&tags.len()));
        found.extend(tags);
        next = next_page(&page);
    }
    assert_eq!(json!(found), sorted);
    let after = admin.get(&format!("/v2/{IMAGE}/tags/list?last=a")).await.expect_status(200);
    assert_eq!(after.json()["tags"], json!(["a-b", "a.b", "b"]));
    let none = admin.get(&format!("/v2/{IMAGE}/tags/list?n=0")).await.expect_status(200);
    assert_eq!(none.json()["tags"], json!([]));
    assert_eq!(none.header("link"), "");
}

async fn gcrane_and_cleaners_find_their_fields(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push(&admin, (IMAGE, "one")).await;
    image.push(&admin, (IMAGE, "two")).await;
    image.push(&admin, ("p/r1/image/below/deep", "x")).await;
    image.push(&admin, ("p/r1/other", "x")).await;
    let list = admin.get(&format!("/v2/{IMAGE}/tags/list")).await.expect_status(200).json();
    assert_eq!(list["child"], json!(["below"]));
    let entry = &list["manifest"][image.digest()];
    assert_eq!(entry["tag"], json!(["one", "two"]));
    let size: u64 = image.blobs.iter().map(|blob| blob.len() as u64).sum();
    let size = size + image.manifest.len() as u64;
    assert_eq!(entry["imageSizeBytes"], size.to_string());
    assert_eq!(entry["mediaType"], model::media_type::OCI_MANIFEST);
    assert_eq!(entry["timeCreatedMs"], "1709208000000");
    // Cleaners look for untagged versions, which are on the first page.
    let untagged = Image::new(2);
    untagged.push(&admin, (IMAGE, &untagged.digest())).await;
    for (page, shown) in [("", true), ("?n=1", true), ("?last=one", false)] {
        let list =
            admin.get(&format!("/v2/{IMAGE}/tags/list{page}")).await.expect_status(200).json();
        let entry = &list["manifest"][untagged.digest()];
        assert_eq!(entry["tag"].as_array().map(Vec::len), shown.then_some(0), "{page}: {list}");
    }
    let repository = admin.get("/v2/p/r1/tags/list").await.expect_status(200).json();
    assert_eq!(repository["child"], json!(["image", "other"]));
    assert_eq!(repository["name"], "p/r1");
    let between = admin.get("/v2/p/r1/image/below/tags/list").await.expect_status(200).json();
    assert_eq!(between["child"], json!(["deep"]));
    admin.get("/v2/p/r1/nothing/tags/list").await.expect_oci_error("404 NAME_UNKNOWN");
}

/// A child that is an image is listed at its own name. Any other child is listed at its first image.
async fn children_come_in_pages_beside_tags(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    let names = ["a", "a-b", "a-c/x", "a/x", "a/y", "b/y/z", "b.c", "c", "c0/d", "c/e"];
    let children: BTreeSet<_> = ["a", "a-b", "a-c", "b", "b.c", "c", "c0"].map(String::from).into();
    let tags: BTreeSet<_> = ["0", "a-b", "b", "c-1", "d"].map(String::from).into();
    for name in names {
        image.push(&admin, (&format!("p/r1/{name}"), "latest")).await;
        image.push(&admin, (&format!("p/r2/top/{name}"), "latest")).await;
    }
    for tag in &tags {
        image.push(&admin, ("p/r2/top", tag)).await;
    }
    for (path, tags) in [("/v2/p/r1/tags/list", BTreeSet::new()), ("/v2/p/r2/top/tags/list", tags)]
    {
        for n in 1..9 {
            let (mut found_children, mut found_tags) = (Vec::new(), Vec::new());
            let mut next = Some(format!("{path}?n={n}"));
            while let Some(path) = next {
                let page = admin.get(&path).await.expect_status(200);
                let names = |list: &str| {
                    let json = page.json();
                    let list = json[list].as_array().expect("a list").iter();
                    list.map(|name| name.as_str().expect("text").to_owned()).collect::<Vec<_>>()
                };
                let (child, tags) = (names("child"), names("tags"));
                assert!(child.len() <= n && tags.len() <= n && child.len() + tags.len() > 0);
                found_children.extend(child);
                found_tags.extend(tags);
                next = next_page(&page);
            }
            assert_eq!(found_children.len(), children.len(), "none twice: {found_children:?}");
            assert_eq!(BTreeSet::from_iter(found_children), children, "{path}, {n}");
            assert!(found_tags.is_sorted_by(|a, b| a < b));
            assert_eq!(BTreeSet::from_iter(found_tags), tags, "{path}, {n}");
        }
        let none = admin.get(&format!("{path}?n=0")).await.expect_status(200);
        assert_eq!((none.json()["child"].clone(), none.header("link")), (json!([]), ""));
    }
    admin.get("/v2/p/r2/top/b/tags/list?n=0").await.expect_status(200);
}

/// There are more hidden images than one read returns.
async fn the_catalog_reveals_no_hidden_image(server: TestServer) {
    let admin = server.admin();
    for image in ["p/r1/a", "p/r10/a", "p/r2/a"] {
        Image::new(1).push(&admin, (image, "x")).await;
    }
    let meta = server.open_meta().await;
    let written = meta.write(move |tx| {
        let hidden = repository_of_p("r10");
        add_images(tx, &hidden, 10_500)
    });
    written.await.expect("writable");
    let caller = server.client_of("reader-1-writer-2");
    let whole = caller.get("/v2/_catalog").await.expect_status(200);
    assert_eq!(whole.json()["repositories"], json!(["p/r1/a", "p/r2/a"]));
    assert_eq!(next_page(&whole), None);
    let first = caller.get("/v2/_catalog?n=1").await.expect_status(200);
    assert_eq!(first.json()["repositories"], json!(["p/r1/a"]));
    assert_eq!(next_page(&first).as_deref(), Some("/v2/_catalog?n=1&last=p%2Fr1%2Fa"));
    let second = caller.get("/v2/_catalog?n=1&last=p%2Fr1%2Fa").await.expect_status(200);
    assert_eq!(second.json()["repositories"], json!(["p/r2/a"]));
    assert_eq!(next_page(&second), None);
    let nothing = server.client_of("nobody").get("/v2/_catalog").await.expect_status(200);
    assert_eq!((nothing.json()["repositories"].clone(), next_page(&nothing)), (json!([]), None));
    let stranger =
        server.anonymous().get("/v2/_catalog").await.expect_oci_error("401 UNAUTHORIZED");
    assert!(stranger.header("www-authenticate").starts_with("Bearer realm="));
}

/// One request looks at a bounded number of hidden images. The place at which it stopped is sealed.
async fn the_catalog_continues_among_hidden_images(server: TestServer) {
    Image::new(1).push(&server.admin(), ("p/r1/a", "x")).await;
    let meta = server.open_meta().await;
    for (repositories, images) in [(0..2_100, 1), (2_100..2_112, 1_000)] {
        let written = meta.write(move |tx| insert_hidden(tx, repositories.clone(), images));
        written.await.expect("writable");
    }
    let reader = server.client_of("reader-1");
    let (mut places, mut page) = (Vec::new(), reader.get("/v2/_catalog").await.expect_status(200));
    while let Some(next) = next_page(&page) {
        assert_eq!(page.json()["repositories"], json!([]));
        let (_, place) = next.split_once("?n=1000&last=.").expect("a place that is no name");
        places.push(URL_SAFE_NO_PAD.decode(place).expect("base64"));
        page = reader.get(&next).await.expect_status(200);
    }
    assert_eq!(page.json()["repositories"], json!(["p/r1/a"]));
    assert_eq!(places.len(), 2, "after 2,000 repositories, and after some thousand images of few");
    for mut place in places {
        assert!(!place.windows(3).any(|part| part == b"p/h"), "{place:?}");
        // A place that the server did not make counts as none, so the list begins anew.
        place[20] ^= 1;
        let made = format!("/v2/_catalog?last=.{}", URL_SAFE_NO_PAD.encode(&place));
        let page = reader.get(&made).await.expect_status(200);
        assert_eq!(
            (page.json()["repositories"].clone(), next_page(&page).is_some()),
            (json!([]), true)
        );
    }
    let all = server.admin().get("/v2/_catalog").await.expect_status(200);
    assert_eq!(all.json()["repositories"].as_array().map(Vec::len), Some(1_000));
}

async fn the_catalog_shows_what_the_caller_may_read(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    for path in ["p/r1/b", "p/r1/a", "p/r2/a", "q/r/a"] {
        image.push(&admin, (path, "x")).await;
    }
    let catalog = async |name: &str, query: &str| {
        server.client_of(name).get(&format!("/v2/_catalog{query}")).await.expect_status(200)
    };
    let all = catalog("first-admin", "").await.json();
    assert_eq!(all["repositories"], json!(["p/r1/a", "p/r1/b", "p/r2/a", "q/r/a"]));
    let one = catalog("reader-1", "").await.json();
    assert_eq!(one["repositories"], json!(["p/r1/a", "p/r1/b"]));
    assert_eq!(catalog("nobody", "").await.json()["repositories"], json!([]));
    let page = catalog("first-admin", "?n=3").await;
    assert_eq!(page.json()["repositories"], json!(["p/r1/a", "p/r1/b", "p/r2/a"]));
    let next = next_page(&page).expect("there is one more");
    let rest = admin.get(&next).await.expect_status(200);
    assert_eq!(rest.json()["repositories"], json!(["q/r/a"]));
    assert_eq!(next_page(&rest), None);
    // The catalog of one location does not show another one.
    let host = "europe-west4-docker.localhost";
    let elsewhere =
        server.admin().with_header("host", host).get("/v2/_catalog").await.expect_status(200);
    assert_eq!(elsewhere.json()["repositories"], json!([]));
}

async fn the_host_names_the_location(server: TestServer) {
    let image = Image::new(1);
    let europe = server.admin().with_header("host", "europe-west4-docker.localhost:5050");
    image.push(&europe, (IMAGE, "latest")).await;
    let path = format!("/v2/{IMAGE}/manifests/latest");
    europe.get(&path).await.expect_status(200);
    server.admin().get(&path).await.expect_oci_error("404 NAME_UNKNOWN");
    let gcr = server.admin().with_header("host", "gcr.io");
    image.push(&gcr, ("p/image", "latest")).await;
    gcr.get("/v2/p/image/manifests/latest").await.expect_status(200);
    let us = server.admin().with_header("host", "us-docker.localhost");
    us.get("/v2/p/gcr.io/image/manifests/latest").await.expect_status(200);
}
