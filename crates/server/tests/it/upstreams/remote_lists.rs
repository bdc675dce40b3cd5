//! Lists of remote repositories: the tags and referrers that their upstreams have.

use model::media_type::OCI_INDEX;
use serde_json::{Value, json};

use super::remote::{RemoteTest, expect_manifest, expect_problem};
use super::{VIRTUAL, create_from_body, image_in, policy, push, virtual_body};
use crate::util::accounts::PROJECT;
use crate::util::{
    Backend, Image, Reply, ScriptedUpstream, UpstreamAnswer, manifest_path, on_both,
};

on_both![
    the_tags_of_the_upstream_are_listed,
    attack_45_a_list_is_not_followed_to_another_origin,
    tags_are_merged_into_those_of_a_virtual_repository,
    referrers_of_the_upstream_are_listed_and_pulled
];

const TAGS: &str = "/v2/app/tags/list";

fn list_answer(body: &Value, link: &str) -> UpstreamAnswer {
    UpstreamAnswer::Status {
        status: 200,
        header: ("link", link.to_owned()),
        body: body.to_string(),
    }
}

fn tags_answer(tags: &[&str]) -> UpstreamAnswer {
    list_answer(&json!({ "name": "app", "tags": tags }), "")
}

async fn list_tags(test: &RemoteTest, repository: &str, query: &str) -> Reply {
    test.get(&format!("/v2/{}/tags/list{query}", image_in(repository, "app"))).await
}

#[track_caller]
fn expect_tags(reply: Reply, tags: &[&str]) -> Reply {
    let reply = reply.expect_status(200);
    assert_eq!(reply.json()["tags"], json!(tags));
    reply
}

async fn the_tags_of_the_upstream_are_listed(backend: Backend) {
    let mut test = RemoteTest::start(backend).await;
    // Without an answer, nothing is known.
    test.upstream.set(TAGS, UpstreamAnswer::status(503));
    expect_problem(list_tags(&test, "remote", "").await, "502 UNAVAILABLE", "answered 503");
    let second = "/v2/app/tags/more";
    let first = json!({ "name": "app", "tags": ["b", "1", "not a tag", "c"] });
    test.upstream.set(TAGS, list_answer(&first, &format!("<{second}>; rel=\"next\"")));
    test.upstream.set(second, tags_answer(&["a", "b"]));
    for _ in 0..2 {
        expect_tags(list_tags(&test, "remote", "").await, &["1", "a", "b", "c"]);
    }
    let page = expect_tags(list_tags(&test, "remote", "?n=2").await, &["1", "a"]);
    assert!(page.header("link").contains("last=a"), "{page:#?}");
    expect_tags(list_tags(&test, "remote", "?n=2&last=a").await, &["b", "c"]);
    assert_eq!(test.upstream.count(&format!("GET {TAGS}")), 2, "the second list is fresh");
    // A tag that is listed is not cached yet.
    let image = Image::new(1);
    test.upstream.serve(&image, ("app", "c"));
    expect_manifest(test.pull_manifest("c").await, &image);
    test.pull_manifest("b").await.expect_oci_error("404 MANIFEST_UNKNOWN");
    expect_tags(list_tags(&test, "remote", "").await, &["1", "a", "c"]);
    // After an hour, the upstream is asked again, and what it has lost is gone.
    test.advance_seconds(3_700);
    test.sign_in_again().await;
    test.upstream.set(TAGS, tags_answer(&["1", "c", "d"]));
    expect_tags(list_tags(&test, "remote", "").await, &["1", "c", "d"]);
    // A list that cannot be asked for again is shown as it was.
    test.advance_seconds(3_700);
    test.sign_in_again().await;
    for answer in [UpstreamAnswer::status(500), UpstreamAnswer::blob("no list")] {
        test.upstream.set(TAGS, answer);
        expect_tags(list_tags(&test, "remote", "").await, &["1", "c", "d"]);
    }
}

async fn attack_45_a_list_is_not_followed_to_another_origin(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let other = ScriptedUpstream::start().await;
    other.set(TAGS, tags_answer(&["theirs"]));
    let link = format!("<{}{TAGS}>; rel=\"next\"", other.url());
    test.upstream.set(TAGS, list_answer(&json!({ "tags": ["ours"] }), &link));
    expect_tags(list_tags(&test, "remote", "").await, &["ours"]);
    assert!(other.asked().is_empty());
}

async fn tags_are_merged_into_those_of_a_virtual_repository(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let owner = &test.accounts.owner;
    test.accounts.create_repository(PROJECT, "low").await;
    push(&owner.client, "low", ("app", "b"), 2).await;
    let body = virtual_body(&[policy("remote", 2), policy("low", 1)], json!({}));
    create_from_body(&test.accounts, VIRTUAL, &body).await.expect_status(200);
    // A registry without the image lets the others answer, and one that fails does not.
    expect_tags(list_tags(&test, VIRTUAL, "").await, &["b"]);
    test.upstream.set(TAGS, UpstreamAnswer::status(500));
    list_tags(&test, VIRTUAL, "").await.expect_oci_error("502 UNAVAILABLE");
    test.upstream.set(TAGS, tags_answer(&["a", "b", "c"]));
    expect_tags(list_tags(&test, VIRTUAL, "").await, &["a", "b", "c"]);
    expect_tags(list_tags(&test, VIRTUAL, "?n=1&last=a").await, &["b"]);
}

async fn referrers_of_the_upstream_are_listed_and_pulled(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    for (name, by_tag) in [("app", false), ("tagged", true)] {
        let image = Image::new(1);
        let signature = Image::referring_to(&image.descriptor(), "application/x-signature");
        test.upstream.serve(&image, (name, "1"));
        test.upstream.serve(&signature, (name, "unlisted"));
        let mut descriptor = signature.descriptor();
        descriptor["artifactType"] = json!("application/x-signature");
        let index =
            json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor] });
        let list = UpstreamAnswer::blob(index.to_string());
        let at = if by_tag {
            manifest_path(name, image.digest().replace(':', "-"))
        } else {
            format!("/v2/{name}/referrers/{}", image.digest())
        };
        test.upstream.set(&at, list);
        let in_remote = image_in("remote", name);
        expect_manifest(test.get(&manifest_path(&in_remote, "1")).await, &image);
        let path = format!("/v2/{in_remote}/referrers/{}", image.digest());
        for _ in 0..2 {
            let listed = test.get(&path).await.expect_status(200).json();
            assert_eq!(listed["manifests"][0]["digest"], signature.digest());
            assert_eq!(listed["manifests"][0]["artifactType"], "application/x-signature");
            assert_eq!(listed["manifests"].as_array().map(Vec::len), Some(1));
        }
        assert_eq!(test.upstream.count(&format!("GET {at}")), 1);
        let by_digest = manifest_path(&in_remote, signature.digest());
        expect_manifest(test.get(&by_digest).await, &signature);
    }
}
