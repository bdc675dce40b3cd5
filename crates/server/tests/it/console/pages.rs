//! What pages show of what was pushed.

use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use serde_json::json;

use super::{Browser, REPOSITORY, REPOSITORY_PAGE, person_with};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{AccountServer, Image, digest_of, index_of, on_both};

const READER: &str = "roles/artifactregistry.reader";
const IMAGE: &str = "my-project/my-repo/team/app";

on_both![
    a_version_is_shown_with_all_that_is_known_of_it,
    an_index_leads_to_its_platforms,
    a_remark_of_each_attachment_is_in_the_list,
    browsers_are_led_to_the_pages,
    two_versions_are_compared,
    content_that_a_rule_denies_is_not_shown,
    pages_do_not_count_as_pulls
];

async fn reader_of(accounts: &AccountServer) -> Browser {
    accounts.create_repository(PROJECT, REPOSITORY).await;
    let resource = repository_name(PROJECT, REPOSITORY);
    person_with(accounts, "reader@example.com", (READER, &resource)).await
}

async fn a_version_is_shown_with_all_that_is_known_of_it(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    let image = Image::new(1);
    image.push(&accounts.owner.client, (IMAGE, "v1")).await;
    let list = reader.open(&format!("{REPOSITORY_PAGE}/team/app")).await;
    assert!(list.contains(">v1</a>") && list.contains("linux/amd64"), "{list}");
    // A tag leads to the version that it names.
    let page = reader.open(&format!("{REPOSITORY_PAGE}/team/app:v1")).await;
    let digest = image.digest();
    assert!(page.contains(&format!("<code id=\"image-digest\">{digest}</code>")), "{page}");
    for part in [
        ">v1</a>",
        "Layers",
        "docker pull ",
        "podman pull ",
        "crictl pull ",
        "crane pull ",
        "linux/amd64",
        "2024-02-29T12:00:00Z",
        "gcloud artifacts docker images describe ",
        &digest_of(&image.blobs[1])[7..19],
        &format!("/my-project/my-repo/team/app@{digest}"),
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    let blobs: usize = image.blobs.iter().map(bytes::Bytes::len).sum();
    let only_here = format!("<dt>Only here</dt><dd><span title=\"{blobs} B\">");
    assert!(page.contains(&only_here), "{page}");
    // A second image shares the first layer and the config.
    Image::with_layers(1, 1).push(&accounts.owner.client, (IMAGE, "v2")).await;
    let page = reader.open(&format!("{REPOSITORY_PAGE}/team/app:v1")).await;
    let own = image.blobs[2].len();
    assert!(page.contains(&format!("<dt>Only here</dt><dd><span title=\"{own} B\">")), "{page}");
    let raw = format!("{REPOSITORY_PAGE}/team/app@{digest}/-/manifest");
    let manifest = reader.get(&raw).await.expect_status(200);
    assert_eq!(manifest.text(), image.manifest);
    assert!(manifest.header("content-disposition").starts_with("attachment; filename="));
    assert!(manifest.header("content-security-policy").starts_with("sandbox;"));
    let config = reader.get(&raw.replace("/-/manifest", "/-/config")).await.expect_status(200);
    assert_eq!(config.body, image.blobs[0]);
}

async fn an_index_leads_to_its_platforms(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    let client = &accounts.owner.client;
    let mut entries = Vec::new();
    for (seed, architecture) in [(1, "amd64"), (2, "arm64"), (3, "unknown")] {
        let image = Image::new(seed);
        image.push(client, (IMAGE, &image.digest())).await;
        let os = if architecture == "unknown" { "unknown" } else { "linux" };
        let mut entry = image.descriptor();
        entry["platform"] = json!({ "os": os, "architecture": architecture });
        entries.push(entry);
    }
    entries[2]["annotations"] = json!({
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": entries[0]["digest"],
    });
    // One manifest may be for several platforms.
    let mut other = entries[1].clone();
    other["platform"]["variant"] = json!("v8");
    entries.push(other);
    let index = index_of(&entries);
    client.push_manifest((IMAGE, "multi"), OCI_INDEX, index).await.expect_status(201);
    let page = reader.open(&format!("{REPOSITORY_PAGE}/team/app:multi")).await;
    for entry in &entries[..2] {
        let digest = entry["digest"].as_str().expect("text");
        let link = format!("href=\"{REPOSITORY_PAGE}/team/app@{digest}\"");
        assert!(page.contains(&link), "{link}\n{page}");
    }
    for platform in ["linux/amd64", "linux/arm64", "linux/arm64/v8"] {
        assert!(page.contains(&format!("\"><bdi>{platform}</bdi></a></th>")), "{platform}\n{page}");
    }
    assert!(page.contains("attestation for <bdi>linux/amd64</bdi>"), "{page}");
    assert!(!page.contains("unknown/unknown"), "{page}");
    let child = entries[0]["digest"].as_str().expect("text");
    let child = reader.open(&format!("{REPOSITORY_PAGE}/team/app@{child}")).await;
    assert!(child.contains("Used by"), "{child}");
    // What an index names is no clutter.
    let untagged = reader.open(&format!("{REPOSITORY_PAGE}/team/app?view=untagged")).await;
    assert!(untagged.contains("Nothing to clean"), "{untagged}");
}

async fn a_remark_of_each_attachment_is_in_the_list(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    let (client, image) = (&accounts.owner.client, Image::new(1));
    image.push(client, (IMAGE, "v1")).await;
    let page = format!("{REPOSITORY_PAGE}/team/app");
    assert!(!reader.open(&page).await.contains(">signed<"));
    let signature =
        Image::referring_to(&image.descriptor(), "application/vnd.dev.cosign.artifact.sig.v1+json");
    signature.push_blobs(client, IMAGE).await;
    client
        .push_manifest((IMAGE, &signature.digest()), OCI_MANIFEST, signature.manifest.clone())
        .await
        .expect_status(201);
    // Older tools tag what they attach.
    Image::new(2)
        .push(client, (IMAGE, &format!("{}.sbom", image.digest().replace(':', "-"))))
        .await;
    // Such a tag is not the newest one of the image.
    let images = reader.open(REPOSITORY_PAGE).await;
    assert!(images.contains(":v1\">v1</a>") && !images.contains(".sbom"), "{images}");
    let list = reader.open(&page).await;
    assert!(list.contains(">signed<") && list.contains(">SBOM<"), "{list}");
    assert!(!list.contains(".sbom"), "{list}");
    assert!(reader.open(&format!("{page}?attached=1")).await.contains(".sbom"));
    let version = reader.open(&format!("{page}:v1")).await;
    assert!(version.contains(&signature.digest()), "{version}");
}

async fn browsers_are_led_to_the_pages(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    let image = Image::new(1);
    image.push(&accounts.owner.client, (IMAGE, "v1")).await;
    let digest = image.digest();
    for (path, page) in [
        ("/", "/console/"),
        ("/my-project", "/console/my-project"),
        ("/my-project/my-repo", "/console/my-project/my-repo"),
        ("/my-project/my-repo/team/app", "/console/my-project/my-repo/team/app"),
        ("/my-project/my-repo/team/app:v1", "/console/my-project/my-repo/team/app:v1"),
        ("/example.com/scoped/my-repo/app", "/console/example.com:scoped/my-repo/app"),
    ] {
        let reply = reader.get(path).await.expect_status(302);
        assert!(reply.header("location").ends_with(page), "{path}: {reply:?}");
        assert!(reply.header("vary").to_ascii_lowercase().contains("accept"), "{reply:?}");
        // Tools get what they got before.
        let tool = accounts.anonymous().with_header("accept", "*/*").get(path).await;
        assert_eq!(tool.status, 404, "{path}");
        assert!(tool.header("content-type").starts_with("application/json"), "{tool:?}");
    }
    let path = format!("/my-project/my-repo/team/app@{digest}");
    let reply = reader.get(&path).await.expect_status(302);
    assert!(reply.header("location").ends_with(&format!("/console{path}")), "{reply:?}");
    // The host says the location, which the link keeps where it is not the usual one.
    let host = reader.client().with_header("host", "europe-west1-docker.localhost");
    let reply = host.get("/my-project/my-repo").await.expect_status(302);
    assert!(reply.header("location").ends_with("/my-repo?location=europe-west1"), "{reply:?}");
}

async fn two_versions_are_compared(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    let client = &accounts.owner.client;
    let (a, b) = (Image::with_layers(1, 2), Image::with_layers(1, 3));
    a.push(client, (IMAGE, "a")).await;
    b.push(client, (IMAGE, "b")).await;
    let compare = format!("{REPOSITORY_PAGE}/team/app/-/compare");
    let (first, second) = (a.digest(), b.digest());
    let page = reader.open(&format!("{compare}?digest={first}&digest={second}")).await;
    assert!(page.contains("2 of 3 layers are shared; B is 100 B larger."), "{page}");
    assert!(page.contains(&digest_of(&b.blobs[3])), "{page}");
    reader.get(&format!("{compare}?digest={first}")).await.expect_status(400);
    reader.get(&format!("{compare}?a={first}&b={}", digest_of("absent"))).await.expect_status(404);
}

async fn content_that_a_rule_denies_is_not_shown(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    let image = Image::new(1);
    image.push(&accounts.owner.client, (IMAGE, "v1")).await;
    let rule = json!({ "action": "DENY", "operation": "DOWNLOAD" });
    let rules = format!("/v1/{}/rules?ruleId=none", repository_name(PROJECT, REPOSITORY));
    accounts.owner.post(&rules, &rule).await.expect_status(200);
    let path = format!("{REPOSITORY_PAGE}/team/app@{}", image.digest());
    let page = reader.open(&path).await;
    assert!(page.contains("does not let its content be downloaded"), "{page}");
    assert!(!page.contains(&digest_of(&image.blobs[1])[7..19]), "{page}");
    reader.get(&format!("{path}/-/manifest")).await.expect_status(409);
}

async fn pages_do_not_count_as_pulls(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    let image = Image::new(1);
    image.push(&accounts.owner.client, (IMAGE, "v1")).await;
    let version = format!("{REPOSITORY_PAGE}/team/app@{}", image.digest());
    for _ in 0..3 {
        reader.open(&version).await;
        reader.get(&format!("{version}/-/manifest")).await.expect_status(200);
    }
    let pull = format!("/v2/{IMAGE}/manifests/v1");
    accounts.owner.client.get(&pull).await.expect_status(200);
    let mut server = accounts.server;
    // A stop stores what was counted.
    server.stop().await;
    let meta = server.open_meta().await;
    let pulls = meta
        .read(|tx| tx.query("SELECT pulls FROM pull_counts", meta::params![], |row| row.int(0)));
    let pulls: Result<Vec<i64>, meta::MetaError> = pulls.await;
    assert_eq!(pulls.expect("readable"), [1], "the pull counts, and no page does");
}
