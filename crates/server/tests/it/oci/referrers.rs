use model::manifest::MAX_MANIFEST_BYTES;
use model::media_type::OCI_INDEX;
use serde_json::json;

use crate::util::{Client, Image, Reply, TestServer, digest_of, on_both};

const IMAGE: &str = "p/r1/image";

/// Gets the digests of every page of a list, and asserts that no page is longer than a manifest may be.
async fn referrer_pages(client: &Client, path: &str) -> Vec<Vec<String>> {
    let digests = |page: Reply| {
        assert!(page.body.len() <= MAX_MANIFEST_BYTES, "{} bytes", page.body.len());
        let json = page.json();
        let manifests = json["manifests"].as_array().expect("a list").iter();
        manifests.map(|entry| entry["digest"].as_str().expect("text").to_owned()).collect()
    };
    client.get_pages(path).await.into_iter().map(digests).collect()
}

on_both![
    referrers_are_listed_and_filtered,
    referrers_come_in_pages,
    a_page_of_referrers_is_no_longer_than_a_manifest,
    an_invalid_digest_is_refused,
    a_filter_may_have_a_plus
];

async fn referrers_are_listed_and_filtered(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    let path = format!("/v2/{IMAGE}/referrers/{}", image.digest());
    let before = admin.get(&path).await.expect_status(200);
    assert_eq!(before.header("content-type"), OCI_INDEX);
    assert_eq!(before.json()["manifests"].as_array().map(Vec::len), Some(0));
    // A referrer may be pushed before its subject.
    let signature = Image::referring_to(&image.descriptor(), "application/x.signature");
    signature.push_blobs(&admin, IMAGE).await;
    let media_type = model::media_type::OCI_MANIFEST;
    let pushed = admin
        .push_manifest((IMAGE, &signature.digest()), media_type, signature.manifest.clone())
        .await
        .expect_status(201);
    assert_eq!(pushed.header("oci-subject"), image.digest());
    image.push(&admin, (IMAGE, "latest")).await;
    let bill = Image::referring_to(&image.descriptor(), "application/x.bill");
    bill.push(&admin, (IMAGE, &bill.digest())).await;
    let all = admin.get(&path).await.expect_status(200).json();
    assert_eq!(all["mediaType"], OCI_INDEX);
    assert_eq!(all["manifests"].as_array().map(Vec::len), Some(2));
    let filtered =
        admin.get(&format!("{path}?artifactType=application/x.bill")).await.expect_status(200);
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    let only = &filtered.json()["manifests"];
    assert_eq!(only.as_array().map(Vec::len), Some(1));
    assert_eq!(only[0]["digest"], bill.digest());
    assert_eq!(only[0]["size"], bill.manifest.len());
    assert_eq!(only[0]["artifactType"], "application/x.bill");
    assert_eq!(only[0]["annotations"]["about"], "application/x.bill");
    admin.delete(&format!("/v2/{IMAGE}/manifests/{}", bill.digest())).await.expect_status(202);
    let left = admin.get(&path).await.expect_status(200).json();
    assert_eq!(left["manifests"].as_array().map(Vec::len), Some(1));
}

async fn referrers_come_in_pages(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push(&admin, (IMAGE, "latest")).await;
    let referrers = (0..503).map(|n| Image::referring_to(&image.descriptor(), &format!("x/{n}")));
    let referrers: Vec<_> = referrers.collect();
    referrers[0].push_blobs(&admin, IMAGE).await;
    for chunk in referrers.chunks(50) {
        let push = async |referrer: &Image| {
            let media_type = model::media_type::OCI_MANIFEST;
            let at = (IMAGE, referrer.digest());
            let manifest = referrer.manifest.clone();
            admin.push_manifest((at.0, &at.1), media_type, manifest).await.expect_status(201);
        };
        futures_util::future::join_all(chunk.iter().map(push)).await;
    }
    let pages = referrer_pages(&admin, &format!("/v2/{IMAGE}/referrers/{}", image.digest())).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [500, 3]);
    assert!(pages.concat().is_sorted_by(|a, b| a < b), "nothing comes twice");
}

/// Annotations may be long, but clients read no more of an index than of a manifest.
async fn a_page_of_referrers_is_no_longer_than_a_manifest(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push(&admin, (IMAGE, "latest")).await;
    let path = format!("/v2/{IMAGE}/referrers/{}", image.digest());
    let push = async |artifact_type: &str, about: String| {
        let manifest = json!({
            "schemaVersion": 2, "manifests": [], "artifactType": artifact_type,
            "subject": image.descriptor(), "annotations": { "about": about },
        });
        let (manifest, media_type) = (manifest.to_string(), OCI_INDEX);
        let at = digest_of(&manifest);
        admin.push_manifest((IMAGE, &at), media_type, manifest).await.expect_status(201);
        at
    };
    let (mut long, mut short) = (Vec::new(), Vec::new());
    for n in 0..7 {
        long.push(push("x/long", format!("{n}{}", "\"".repeat(500_000))).await);
        short.push(push("x/short", format!("{n}\0")).await);
    }
    let longest = push("x/longest", "a".repeat(4_193_800)).await;
    long.sort();
    short.sort();
    let found = referrer_pages(&admin, &path).await.concat();
    let mut all = [&long[..], &short[..], &[longest]].concat();
    all.sort();
    assert_eq!(found, all);
    let found = referrer_pages(&admin, &format!("{path}?artifactType=x/long")).await;
    assert_eq!((found.concat(), found.len() > 1), (long, true));
    // Referrers that the filter leaves out take no room on a page.
    assert_eq!(referrer_pages(&admin, &format!("{path}?artifactType=x/short")).await, [short]);
    assert_eq!(
        referrer_pages(&admin, &format!("{path}?artifactType=x%00")).await,
        [Vec::<String>::new()]
    );
}

async fn an_invalid_digest_is_refused(server: TestServer) {
    let admin = server.admin();
    Image::new(1).push(&admin, (IMAGE, "latest")).await;
    let unknown = admin.get(&format!("/v2/{IMAGE}/referrers/{}", digest_of("nothing"))).await;
    unknown.expect_status(200);
    let refused = admin.get(&format!("/v2/{IMAGE}/referrers/latest")).await;
    refused.expect_oci_error("400 DIGEST_INVALID");
}

/// A plus in a URI's query stands for itself.
async fn a_filter_may_have_a_plus(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push(&admin, (IMAGE, "latest")).await;
    let wanted = "application/vnd.example.bill.v1+json";
    for artifact_type in [wanted, "application/vnd.example.bill.v1"] {
        let referrer = Image::referring_to(&image.descriptor(), artifact_type);
        referrer.push(&admin, (IMAGE, &referrer.digest())).await;
    }
    let path = format!("/v2/{IMAGE}/referrers/{}", image.digest());
    for written in [wanted.to_owned(), wanted.replace('+', "%2B"), wanted.replace('/', "%2F")] {
        let found = admin.get(&format!("{path}?artifactType={written}")).await.expect_status(200);
        let found = found.json();
        let types: Vec<_> = found["manifests"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| &one["artifactType"])
            .collect();
        assert_eq!(types, [wanted], "{written}");
    }
    let none = admin.get(&format!("{path}?artifactType={}", wanted.replace('+', "%20"))).await;
    assert_eq!(none.expect_status(200).json()["manifests"], serde_json::json!([]));
}
