use serde_json::json;

use crate::util::{Image, TestServer, next_page, on_both};

const IMAGE: &str = "p/r1/image";

on_both! {
    async fn tags_in_byte_order_and_in_pages(server: TestServer) {
        let admin = server.admin();
        let image = Image::new(1);
        for tag in ["b", "a", "B", "_", "a.b", "a-b", "10", "9"] {
            image.push(&admin, (IMAGE, tag)).await;
        }
        let sorted = json!(["10", "9", "B", "_", "a", "a-b", "a.b", "b"]);
        let list = admin.get(&format!("/v2/{IMAGE}/tags/list")).await.expect(200);
        assert_eq!(list.json()["tags"], sorted);
        assert_eq!(list.json()["name"], IMAGE);
        assert_eq!(list.header("link"), "");
        let mut found = Vec::new();
        let mut next = Some(format!("/v2/{IMAGE}/tags/list?n=3"));
        while let Some(path) = next {
            let page = admin.get(&path).await.expect(200);
            let tags = page.json()["tags"].as_array().expect("a list").clone();
            assert!((1..=3).contains(&tags.len()));
            found.extend(tags);
            next = next_page(&page);
        }
        assert_eq!(json!(found), sorted);
        let after = admin.get(&format!("/v2/{IMAGE}/tags/list?last=a")).await.expect(200);
        assert_eq!(after.json()["tags"], json!(["a-b", "a.b", "b"]));
        let none = admin.get(&format!("/v2/{IMAGE}/tags/list?n=0")).await.expect(200);
        assert_eq!(none.json()["tags"], json!([]));
        assert_eq!(none.header("link"), "");
    }

    async fn what_gcrane_and_cleaners_read(server: TestServer) {
        let admin = server.admin();
        let image = Image::new(1);
        image.push(&admin, (IMAGE, "one")).await;
        image.push(&admin, (IMAGE, "two")).await;
        image.push(&admin, ("p/r1/image/below/deep", "x")).await;
        image.push(&admin, ("p/r1/other", "x")).await;
        let list = admin.get(&format!("/v2/{IMAGE}/tags/list")).await.expect(200).json();
        assert_eq!(list["child"], json!(["below"]));
        let entry = &list["manifest"][image.digest()];
        assert_eq!(entry["tag"], json!(["one", "two"]));
        let size: u64 = image.blobs.iter().map(|blob| blob.len() as u64).sum();
        let size = size + image.manifest.len() as u64;
        assert_eq!(entry["imageSizeBytes"], size.to_string());
        assert_eq!(entry["mediaType"], model::media_type::OCI_MANIFEST);
        assert_eq!(entry["timeCreatedMs"], "1709208000000");
        let repository = admin.get("/v2/p/r1/tags/list").await.expect(200).json();
        assert_eq!(repository["child"], json!(["image", "other"]));
        assert_eq!(repository["name"], "p/r1");
        let between = admin.get("/v2/p/r1/image/below/tags/list").await.expect(200).json();
        assert_eq!(between["child"], json!(["deep"]));
        admin.get("/v2/p/r1/nothing/tags/list").await.expect_error("404 NAME_UNKNOWN");
    }

    async fn the_catalog_shows_what_the_caller_may_read(server: TestServer) {
        let admin = server.admin();
        let image = Image::new(1);
        for path in ["p/r1/b", "p/r1/a", "p/r2/a", "q/r/a"] {
            image.push(&admin, (path, "x")).await;
        }
        let catalog = async |name: &str, query: &str| {
            server.by(name).get(&format!("/v2/_catalog{query}")).await.expect(200)
        };
        let all = catalog("admin", "").await.json();
        assert_eq!(all["repositories"], json!(["p/r1/a", "p/r1/b", "p/r2/a", "q/r/a"]));
        let one = catalog("reader-1", "").await.json();
        assert_eq!(one["repositories"], json!(["p/r1/a", "p/r1/b"]));
        assert_eq!(catalog("nobody", "").await.json()["repositories"], json!([]));
        let page = catalog("admin", "?n=3").await;
        assert_eq!(page.json()["repositories"], json!(["p/r1/a", "p/r1/b", "p/r2/a"]));
        let next = next_page(&page).expect("there is one more");
        let rest = admin.get(&next).await.expect(200);
        assert_eq!(rest.json()["repositories"], json!(["q/r/a"]));
        assert_eq!(next_page(&rest), None);
        // Another location's images are another location's.
        let host = "europe-west4-docker.localhost";
        let elsewhere = server.admin().with("host", host).get("/v2/_catalog").await.expect(200);
        assert_eq!(elsewhere.json()["repositories"], json!([]));
    }

    async fn a_host_names_a_location(server: TestServer) {
        let image = Image::new(1);
        let europe = server.admin().with("host", "europe-west4-docker.localhost:5050");
        image.push(&europe, (IMAGE, "latest")).await;
        let path = format!("/v2/{IMAGE}/manifests/latest");
        europe.get(&path).await.expect(200);
        server.admin().get(&path).await.expect_error("404 NAME_UNKNOWN");
        let gcr = server.admin().with("host", "gcr.io");
        image.push(&gcr, ("p/image", "latest")).await;
        gcr.get("/v2/p/image/manifests/latest").await.expect(200);
        let us = server.admin().with("host", "us-docker.localhost");
        us.get("/v2/p/gcr.io/image/manifests/latest").await.expect(200);
    }
}
