//! Remote repositories of other registries.

use berth_server::config::Config;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{api_path, create_from_body, image_in};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{
    AccountServer, Backend, Image, Reply, ScriptedUpstream, UpstreamAnswer, blob_path, digest_of,
    manifest_path, on_both, random_bytes, with_deadline,
};

const READER: &str = "roles/artifactregistry.reader";

on_both![
    what_is_pulled_is_fetched_once,
    many_readers_of_a_cold_image_cause_one_fetch,
    a_tag_is_asked_for_again_after_an_hour,
    the_time_for_which_a_tag_is_fresh_is_a_setting,
    a_cached_tag_is_served_when_the_upstream_cannot_be_asked,
    what_the_upstream_does_not_have_is_not_asked_for_at_once,
    failures_of_the_upstream_are_named,
    attack_46_lies_of_the_upstream_are_not_cached,
    attack_26_fetched_content_is_read_in_its_repository_alone,
    attack_41_nothing_private_is_reached,
    attack_43_redirects_are_followed_without_the_token,
    anonymous_tokens_are_fetched_and_kept,
    a_registry_with_a_path_has_its_images_below_it,
    what_was_fetched_is_listed_and_goes_with_the_repository,
    what_was_fetched_can_be_deleted_and_is_fetched_anew,
    a_circle_by_url_ends,
    a_damaged_copy_is_fetched_anew,
    a_wrong_size_in_another_manifest_blocks_nothing,
    another_upstream_confirms_nothing_of_the_one_before,
    fetches_have_a_bound_and_cached_tags_do_not_need_one
];

/// A server that may reach this machine, an upstream, and the remote repository `remote` of it.
pub(super) struct RemoteTest {
    pub(super) accounts: AccountServer,
    pub(super) upstream: ScriptedUpstream,
}

impl RemoteTest {
    pub(super) async fn start(backend: Backend) -> Self {
        Self::start_with(backend, |_| ()).await
    }

    /// Starts with settings that the test changes.
    pub(super) async fn start_with(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        let accounts = AccountServer::start_with(backend, |config| {
            config.egress.allow = vec!["127.0.0.0/8".to_owned()];
            change(config);
        });
        let (accounts, upstream) = (accounts.await, ScriptedUpstream::start().await);
        let url = upstream.url();
        create_from_body(&accounts, "remote", &remote_body(&url)).await.expect_status(200);
        Self { accounts, upstream }
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.accounts.owner.client.get(path).await
    }

    pub(super) async fn pull_manifest(&self, reference: &str) -> Reply {
        self.get(&manifest_path(&image_in("remote", "app"), reference)).await
    }

    pub(super) async fn pull_blob(&self, bytes: &[u8]) -> Reply {
        self.get(&blob_path(&image_in("remote", "app"), digest_of(bytes))).await
    }

    pub(super) fn advance_seconds(&self, seconds: i64) {
        self.accounts.server.clock.advance_seconds(seconds);
    }

    /// Signs in again, after the clock was moved past the end of the owner's token.
    pub(super) async fn sign_in_again(&mut self) {
        let key = &self.accounts.owner_key;
        self.accounts.owner = crate::util::accounts::sign_in(&self.accounts.server, key).await;
    }
}

pub(super) fn remote_body(url: &str) -> Value {
    json!({ "format": "DOCKER", "mode": "REMOTE_REPOSITORY",
            "remoteRepositoryConfig": { "commonRepository": { "uri": url } } })
}

/// The body of a remote repository whose upstream is not asked whether it is a registry.
fn unchecked_body(url: &str) -> Value {
    let mut body = remote_body(url);
    body["remoteRepositoryConfig"]["disableUpstreamValidation"] = json!(true);
    body
}

#[track_caller]
pub(super) fn expect_manifest(reply: Reply, image: &Image) -> Reply {
    let reply = reply.expect_status(200);
    assert_eq!(reply.text(), image.manifest);
    assert_eq!(reply.header("docker-content-digest"), image.digest());
    reply
}

#[track_caller]
pub(super) fn expect_problem(reply: Reply, outcome: &str, text: &str) {
    let reply = reply.expect_oci_error(outcome);
    let message = reply.oci_message();
    assert!(message.contains("the upstream 127.0.0.1:"), "{message}");
    assert!(message.contains(text), "{message}");
}

async fn what_is_pulled_is_fetched_once(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let image = Image::new(1);
    test.upstream.serve(&image, ("app", "1"));
    for _ in 0..3 {
        expect_manifest(test.pull_manifest("1").await, &image);
        expect_manifest(test.pull_manifest(&image.digest()).await, &image);
        for blob in &image.blobs {
            assert_eq!(test.pull_blob(blob).await.expect_status(200).body, *blob);
            let path = blob_path(&image_in("remote", "app"), digest_of(blob));
            let ranged = test.accounts.owner.client.clone().with_header("range", "bytes=3-7");
            assert_eq!(ranged.get(&path).await.expect_status(206).body, blob[3..8]);
            let seen = test.accounts.owner.client.head(&path).await.expect_status(200);
            assert_eq!(seen.header("content-length"), blob.len().to_string());
        }
    }
    let asked = test.upstream.asked();
    assert_eq!(asked.len(), 1 + image.blobs.len(), "{asked:?}");
    // A blob that no manifest of the repository names is not asked for.
    let other = random_bytes(50, 9);
    test.pull_blob(&other).await.expect_oci_error("404 BLOB_UNKNOWN");
    assert_eq!(test.upstream.asked().len(), asked.len());
}

async fn many_readers_of_a_cold_image_cause_one_fetch(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let image = Image::of_layer(random_bytes(5 << 20, 7));
    test.upstream.serve(&image, ("app", "1"));
    let pulled = join_all((0..40).map(|_| test.pull_manifest("1"))).await;
    for reply in pulled {
        expect_manifest(reply, &image);
    }
    let layer = &image.blobs[1];
    for reply in join_all((0..40).map(|_| test.pull_blob(layer))).await {
        assert_eq!(reply.expect_status(200).body, *layer);
    }
    assert!(layer.len() > 4 << 20);
    assert_eq!(test.upstream.count(&format!("GET {}", manifest_path("app", "1"))), 1);
    assert_eq!(test.upstream.count(&format!("GET {}", blob_path("app", digest_of(layer)))), 1);
}

async fn a_tag_is_asked_for_again_after_an_hour(backend: Backend) {
    let mut test = RemoteTest::start(backend).await;
    let (old, new) = (Image::new(1), Image::new(2));
    test.upstream.serve(&old, ("app", "1"));
    expect_manifest(test.pull_manifest("1").await, &old);
    test.upstream.serve(&new, ("app", "1"));
    test.advance_seconds(3_500);
    expect_manifest(test.pull_manifest("1").await, &old);
    test.advance_seconds(101);
    test.sign_in_again().await;
    expect_manifest(test.pull_manifest("1").await, &new);
    // The old manifest stays, by its digest.
    expect_manifest(test.pull_manifest(&old.digest()).await, &old);
    // A tag that has not moved costs a HEAD.
    test.advance_seconds(3_601);
    test.sign_in_again().await;
    let before = test.upstream.asked().len();
    expect_manifest(test.pull_manifest("1").await, &new);
    let since = test.upstream.asked().split_off(before);
    let lines: Vec<_> = since.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(lines, [format!("HEAD {}", manifest_path("app", "1"))]);
}

async fn the_time_for_which_a_tag_is_fresh_is_a_setting(backend: Backend) {
    let change = |config: &mut Config| config.cache.fresh_for = "30s".parse().expect("a time");
    let test = RemoteTest::start_with(backend, change).await;
    let (old, new) = (Image::new(1), Image::new(2));
    test.upstream.serve(&old, ("app", "1"));
    expect_manifest(test.pull_manifest("1").await, &old);
    test.upstream.serve(&new, ("app", "1"));
    test.advance_seconds(29);
    expect_manifest(test.pull_manifest("1").await, &old);
    test.advance_seconds(2);
    expect_manifest(test.pull_manifest("1").await, &new);
}

async fn a_cached_tag_is_served_when_the_upstream_cannot_be_asked(backend: Backend) {
    let mut test = RemoteTest::start(backend).await;
    let image = Image::new(1);
    test.upstream.serve(&image, ("app", "1"));
    let fresh = expect_manifest(test.pull_manifest("1").await, &image);
    assert_eq!((fresh.header("warning"), fresh.header("age")), ("", ""));
    test.advance_seconds(3_700);
    test.sign_in_again().await;
    for answer in [UpstreamAnswer::status(503), UpstreamAnswer::status(429)] {
        test.upstream.set_all(&answer);
        let stale = expect_manifest(test.pull_manifest("1").await, &image);
        assert!(stale.header("warning").starts_with("110 "), "{stale:#?}");
        let age: u64 = stale.header("age").parse().expect("seconds");
        assert!((3_700..4_000).contains(&age), "{age}");
        expect_manifest(test.pull_manifest(&image.digest()).await, &image);
    }
    // The upstream's word that the tag is gone counts.
    test.upstream.set_all(&UpstreamAnswer::status(404));
    expect_problem(test.pull_manifest("1").await, "404 MANIFEST_UNKNOWN", "has no such image");
    expect_manifest(test.pull_manifest(&image.digest()).await, &image);
}

async fn what_the_upstream_does_not_have_is_not_asked_for_at_once(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    for _ in 0..3 {
        expect_problem(test.pull_manifest("1").await, "404 MANIFEST_UNKNOWN", "has no such image");
    }
    let line = format!("GET {}", manifest_path("app", "1"));
    assert_eq!(test.upstream.count(&line), 1);
    test.upstream.serve(&Image::new(1), ("app", "1"));
    test.advance_seconds(61);
    expect_manifest(test.pull_manifest("1").await, &Image::new(1));
    assert_eq!(test.upstream.count(&line), 2);
}

async fn failures_of_the_upstream_are_named(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let denied =
        json!({ "errors": [{ "code": "DENIED", "message": "not for you", "detail": "secret" }] });
    let status = |status, header, body: &str| UpstreamAnswer::Status {
        status,
        header,
        body: body.to_owned(),
    };
    let none = || ("x-none", String::new());
    let cases = [
        (
            status(403, none(), &denied.to_string()),
            "502 UNAVAILABLE",
            "answered 403: DENIED: not for you",
        ),
        (status(500, none(), "<p>secret</p>"), "502 UNAVAILABLE", "answered 500"),
        (status(401, none(), ""), "502 UNAVAILABLE", "answered 401"),
        (status(204, none(), ""), "502 UNAVAILABLE", "answered 204"),
        (UpstreamAnswer::redirect("ftp://x"), "502 UNAVAILABLE", "redirects to a place"),
        (
            UpstreamAnswer::redirect(format!("http://me:secret@{}/x", test.upstream.address)),
            "502 UNAVAILABLE",
            "holds a user name",
        ),
        (
            UpstreamAnswer::redirect(manifest_path("app", "1")),
            "502 UNAVAILABLE",
            "redirects too often",
        ),
        // Afterwards the host is left alone.
        (status(429, ("retry-after", "17".to_owned()), ""), "429 TOOMANYREQUESTS", "answered 429"),
    ];
    for (answer, outcome, text) in cases {
        test.upstream.set(&manifest_path("app", "1"), answer);
        let reply = test.pull_manifest("1").await;
        assert!(!reply.text().contains("secret"), "{reply:#?}");
        assert_eq!(reply.header("retry-after"), if outcome.starts_with("429") { "17" } else { "" });
        expect_problem(reply, outcome, text);
    }
    // A registry that is not there.
    let gone = unchecked_body("http://127.0.0.1:1");
    create_from_body(&test.accounts, "gone", &gone).await.expect_status(200);
    let reply = test.get(&manifest_path(&image_in("gone", "app"), "1")).await;
    expect_problem(reply, "502 UNAVAILABLE", "gave no answer");
}

async fn attack_46_lies_of_the_upstream_are_not_cached(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let (image, other) = (Image::new(1), Image::new(2));
    let content = |bytes: &str, digest: &str| UpstreamAnswer::Content {
        bytes: bytes.to_owned().into(),
        media_type: model::media_type::OCI_MANIFEST,
        digest: Some(digest.to_owned()),
    };
    let by_tag = manifest_path("app", "1");
    let by_digest = manifest_path("app", image.digest());
    for (path, answer) in [
        (&by_tag, content(&other.manifest, &image.digest())),
        (&by_digest, content(&other.manifest, &image.digest())),
        (&by_tag, content("{}", &digest_of("{}"))),
        (&by_tag, content("no JSON", &digest_of("no JSON"))),
        (&by_tag, content(&"x".repeat(5 << 20), &image.digest())),
    ] {
        test.upstream.set(path, answer);
        let reference = path.rsplit('/').next().expect("one");
        let refused = test.pull_manifest(reference).await;
        expect_problem(refused, "502 UNAVAILABLE", "sent a manifest that");
    }
    // The truth is fetched anew each time.
    test.upstream.serve(&image, ("app", "1"));
    expect_manifest(test.pull_manifest("1").await, &image);
    let layer = &image.blobs[1];
    let path = blob_path("app", digest_of(layer));
    let longer = [&layer[..], b"x"].concat();
    for answer in [
        UpstreamAnswer::blob(random_bytes(layer.len(), 99)),
        UpstreamAnswer::blob(layer.slice(..layer.len() - 1)),
        UpstreamAnswer::blob(longer),
        UpstreamAnswer::blob(""),
        UpstreamAnswer::Cut { bytes: layer.slice(..50), announced: layer.len() },
    ] {
        test.upstream.set(&path, answer);
        expect_problem(test.pull_blob(layer).await, "502 UNAVAILABLE", &digest_of(layer));
    }
    test.upstream.set(&path, UpstreamAnswer::blob(layer.clone()));
    assert_eq!(test.pull_blob(layer).await.expect_status(200).body, *layer);
}

async fn attack_26_fetched_content_is_read_in_its_repository_alone(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let image = Image::new(1);
    test.upstream.serve(&image, ("app", "1"));
    let other = ScriptedUpstream::start().await;
    let body = remote_body(&other.url());
    create_from_body(&test.accounts, "other", &body).await.expect_status(200);
    expect_manifest(test.pull_manifest("1").await, &image);
    let layer = &image.blobs[1];
    test.pull_blob(layer).await.expect_status(200);
    let blob = blob_path(&image_in("other", "app"), digest_of(layer));
    test.get(&blob).await.expect_oci_error("404 BLOB_UNKNOWN");
    let manifest = manifest_path(&image_in("other", "app"), image.digest());
    test.get(&manifest).await.expect_oci_error("404 MANIFEST_UNKNOWN");
    let owner = &test.accounts.owner;
    let elsewhere = repository_name(PROJECT, "other");
    let reader = test.accounts.create_actor_with("reader", (READER, &elsewhere)).await;
    let path = manifest_path(&image_in("remote", "app"), "1");
    reader.client.get(&path).await.expect_oci_error("403 DENIED");
    owner.grant_role(&repository_name(PROJECT, "remote"), READER, &reader.member()).await;
    reader.client.get(&path).await.expect_status(200);
}

async fn attack_41_nothing_private_is_reached(backend: Backend) {
    // This server may reach nothing but public addresses.
    let accounts = AccountServer::start_with(backend, |_| ()).await;
    let upstream = ScriptedUpstream::start().await;
    upstream.serve(&Image::new(1), ("app", "1"));
    let port = upstream.address.port();
    let hosts = [
        format!("127.0.0.1:{port}"),
        format!("127.1:{port}"),
        format!("0x7f000001:{port}"),
        format!("2130706433:{port}"),
        format!("localhost.:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        "169.254.169.254".to_owned(),
        "[::ffff:169.254.169.254]".to_owned(),
        "[fd00:ec2::254]".to_owned(),
        "[64:ff9b::7f00:1]".to_owned(),
        "10.0.0.1".to_owned(),
    ];
    for (number, host) in hosts.iter().enumerate() {
        for scheme in ["http", "https"] {
            let id = format!("{scheme}{number}");
            let url = format!("{scheme}://{host}");
            if !host.starts_with("localhost.") {
                for body in [remote_body(&url), unchecked_body(&url)] {
                    let refused = create_from_body(&accounts, &id, &body).await;
                    let refused = refused.expect_google_error("400 INVALID_ARGUMENT");
                    assert!(refused.text().contains("egress.allow"), "{host}: {refused:#?}");
                }
                continue;
            }
            // The addresses of a name are those that it has when it is asked.
            let refused = create_from_body(&accounts, &id, &remote_body(&url)).await;
            refused.expect_google_error("400 FAILED_PRECONDITION");
            create_from_body(&accounts, &id, &unchecked_body(&url)).await.expect_status(200);
            let path = manifest_path(&image_in(&id, "app"), "1");
            accounts.owner.client.get(&path).await.expect_oci_error("502 UNAVAILABLE");
        }
    }
    assert_eq!(upstream.checks(), 0);
    assert_eq!(upstream.asked().len(), 0);
}

async fn attack_43_redirects_are_followed_without_the_token(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let (image, store) = (Image::new(1), ScriptedUpstream::start().await);
    test.upstream.serve(&image, ("app", "1"));
    let layer = &image.blobs[1];
    store.set("/stored", UpstreamAnswer::blob(layer.clone()));
    let blob = blob_path("app", digest_of(layer));
    test.upstream.set(&blob, UpstreamAnswer::redirect(format!("{}/stored", store.url())));
    // The registry wants a token for its manifest, and sends it for the layer.
    let token = UpstreamAnswer::blob(json!({ "token": "t0k3n", "expires_in": 300 }).to_string());
    test.upstream.set("/token", token);
    let challenge = format!("Bearer realm=\"{}/token\",service=\"s\"", test.upstream.url());
    let unauthorized = UpstreamAnswer::Status {
        status: 401,
        header: ("www-authenticate", challenge),
        body: String::new(),
    };
    test.upstream.set(&manifest_path("app", "0"), unauthorized);
    test.pull_manifest("0").await.expect_oci_error("502 UNAVAILABLE");
    expect_manifest(test.pull_manifest("1").await, &image);
    assert_eq!(test.pull_blob(layer).await.expect_status(200).body, *layer);
    let is_token = |headers: &http::HeaderMap| headers.contains_key("authorization");
    let with_token = test.upstream.asked().into_iter().filter(|asked| is_token(&asked.headers));
    assert!(with_token.count() > 1, "the registry itself gets it");
    let sent = store.asked();
    assert_eq!(sent.len(), 1);
    assert!(!is_token(&sent[0].headers), "{sent:?}");
}

async fn anonymous_tokens_are_fetched_and_kept(backend: Backend) {
    // The upstream is a registry of ours, with accounts, that everybody may read.
    let upstream = AccountServer::start_with(Backend::Sqlite, |_| ()).await;
    upstream.create_repository(PROJECT, "public").await;
    let image = Image::new(1);
    let name = image_in("public", "app");
    image.push(&upstream.owner.client, (&name, "1")).await;
    let shown = repository_name(PROJECT, "public");
    upstream.owner.grant_role(&shown, READER, "allUsers").await;
    let test = RemoteTest::start(backend).await;
    let url = format!("http://{}/{PROJECT}/public", upstream.server.address);
    create_from_body(&test.accounts, "ours", &remote_body(&url)).await.expect_status(200);
    let pulled = test.get(&manifest_path(&image_in("ours", "app"), "1")).await;
    expect_manifest(pulled, &image);
    for blob in &image.blobs {
        let path = blob_path(&image_in("ours", "app"), digest_of(blob));
        assert_eq!(test.get(&path).await.expect_status(200).body, *blob);
    }
}

async fn a_registry_with_a_path_has_its_images_below_it(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let image = Image::new(1);
    test.upstream.serve(&image, ("some/path/team/app", "1"));
    let url = format!("{}/some/path/", test.upstream.url());
    create_from_body(&test.accounts, "below", &remote_body(&url)).await.expect_status(200);
    let pulled = test.get(&manifest_path(&image_in("below", "team/app"), "1")).await;
    expect_manifest(pulled, &image);
}

async fn what_was_fetched_is_listed_and_goes_with_the_repository(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let image = Image::new(1);
    test.upstream.serve(&image, ("app", "1"));
    expect_manifest(test.pull_manifest("1").await, &image);
    let owner = &test.accounts.owner;
    let images = owner.get(&api_path("remote", "/dockerImages")).await.expect_status(200).json();
    assert_eq!(images["dockerImages"][0]["tags"], json!(["1"]));
    assert_eq!(images["dockerImages"][0]["buildTime"], "2024-02-29T12:00:00Z");
    let tags = test.get(&format!("/v2/{}/tags/list", image_in("remote", "app"))).await;
    assert_eq!(tags.expect_status(200).json()["tags"], json!(["1"]));
    let described = owner.get(&api_path("remote", "")).await.expect_status(200).json();
    assert!(described["sizeBytes"].as_str().is_some_and(|size| size != "0"), "{described}");
    owner.delete(&api_path("remote", "")).await.expect_status(200);
    create_from_body(&test.accounts, "remote", &remote_body(&test.upstream.url()))
        .await
        .expect_status(200);
    let before = test.upstream.asked().len();
    expect_manifest(test.pull_manifest("1").await, &image);
    assert!(test.upstream.asked().len() > before, "the new repository has nothing of the old one");
}

/// A remote repository may name its own registry by a name that the registry does not know as its own.
async fn what_was_fetched_can_be_deleted_and_is_fetched_anew(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let (owner, image) = (&test.accounts.owner, Image::new(1));
    test.upstream.serve(&image, ("app", "1"));
    let (path, line) = (image_in("remote", "app"), format!("GET {}", manifest_path("app", "1")));
    let by_digest = manifest_path(&path, image.digest());
    let package = api_path("remote", "/packages/app");
    let version = format!("{package}/versions/{}?force=true", image.digest());
    for (round, delete) in ["tag", "digest", "tag by API", "version", "package"].iter().enumerate()
    {
        expect_manifest(test.pull_manifest("1").await, &image);
        assert_eq!(test.upstream.count(&line), round + 1, "{delete}");
        let client = &owner.client;
        match *delete {
            "tag" => client.delete(&manifest_path(&path, "1")).await.expect_status(202),
            "digest" => client.delete(&by_digest).await.expect_status(202),
            "tag by API" => owner.delete(&format!("{package}/tags/1")).await.expect_status(200),
            "version" => owner.delete(&version).await.expect_status(200),
            _ => owner.delete(&package).await.expect_status(200),
        };
    }
    let tags = format!("{package}/tags?tagId=2");
    let body = json!({ "version": version[4..].trim_end_matches("?force=true") });
    owner.post(&tags, &body).await.expect_google_error("400 FAILED_PRECONDITION");
}

async fn a_circle_by_url_ends(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let accounts = &test.accounts;
    let own = format!("http://{}/{PROJECT}/circle", accounts.server.address);
    let refused = create_from_body(accounts, "circle", &remote_body(&own)).await;
    let refused = refused.expect_google_error("400 FAILED_PRECONDITION");
    assert!(refused.text().contains("fetches from this registry itself"), "{refused:#?}");
    create_from_body(accounts, "circle", &unchecked_body(&own)).await.expect_status(200);
    let path = manifest_path(&image_in("circle", "app"), "1");
    let refused = accounts.owner.client.get(&path).await;
    expect_problem(refused, "502 UNAVAILABLE", "fetches from this registry itself");
    // A name that it knows is refused when the repository is created.
    let known = AccountServer::start_with(Backend::Sqlite, |config| {
        config.domains = vec!["berth.test".to_owned()];
    })
    .await;
    let own = remote_body(&format!("https://us-west1-docker.berth.test/{PROJECT}/x"));
    let refused = create_from_body(&known, "circle", &own).await;
    let refused = refused.expect_google_error("400 INVALID_ARGUMENT");
    assert!(refused.text().contains("is one of this registry"), "{refused:#?}");
}

async fn a_damaged_copy_is_fetched_anew(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let image = Image::new(1);
    test.upstream.serve(&image, ("app", "1"));
    expect_manifest(test.pull_manifest("1").await, &image);
    let layer = &image.blobs[1];
    test.pull_blob(layer).await.expect_status(200);
    let stored = test.accounts.server.blob_paths();
    let is_layer =
        |path: &&std::path::PathBuf| std::fs::read(path).is_ok_and(|bytes| bytes == *layer);
    let path = stored.iter().find(is_layer).expect("the layer is stored");
    std::fs::write(path, random_bytes(layer.len(), 99)).expect("written");
    // The pull that finds the damage breaks off, or is refused.
    let damaged = test.pull_blob(layer).await;
    assert_ne!(damaged.body, *layer);
    assert_eq!(test.pull_blob(layer).await.expect_status(200).body, *layer);
    assert_eq!(test.upstream.count(&format!("GET {}", blob_path("app", digest_of(layer)))), 2);
}

/// Whoever can push any image to the upstream could state any size of a layer that others need.
async fn a_wrong_size_in_another_manifest_blocks_nothing(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let image = Image::new(1);
    let mut evil: Value = serde_json::from_str(&image.manifest).expect("JSON");
    evil["layers"][0]["size"] = json!(1);
    let evil = Image { blobs: image.blobs.clone(), manifest: evil.to_string() };
    test.upstream.serve(&evil, ("evil", "1"));
    test.upstream.serve(&image, ("app", "1"));
    let path = manifest_path(&image_in("remote", "evil"), "1");
    expect_manifest(test.get(&path).await, &evil);
    expect_manifest(test.pull_manifest("1").await, &image);
    let layer = &image.blobs[1];
    assert_eq!(test.pull_blob(layer).await.expect_status(200).body, *layer);
}

async fn another_upstream_confirms_nothing_of_the_one_before(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let (old, new) = (Image::new(1), Image::new(2));
    test.upstream.serve(&old, ("app", "1"));
    expect_manifest(test.pull_manifest("1").await, &old);
    let other = ScriptedUpstream::start().await;
    let owner = &test.accounts.owner;
    let body = remote_body(&other.url());
    owner.patch(&api_path("remote", ""), &body).await.expect_status(200);
    // The new upstream is asked, and its failure does not bring the old tag back.
    expect_problem(test.pull_manifest("1").await, "404 MANIFEST_UNKNOWN", "has no such image");
    other.set(&manifest_path("app", "2"), UpstreamAnswer::status(500));
    expect_problem(test.pull_manifest("2").await, "502 UNAVAILABLE", "answered 500");
    other.serve(&new, ("app", "1"));
    test.advance_seconds(61);
    expect_manifest(test.pull_manifest("1").await, &new);
}

/// The number of fetches that a process runs at once.
const MAX_FETCHES: usize = 64;

/// Whoever asks for very many tags of an upstream that hangs keeps nobody from what is cached.
async fn fetches_have_a_bound_and_cached_tags_do_not_need_one(backend: Backend) {
    let mut test = RemoteTest::start(backend).await;
    let image = Image::new(1);
    test.upstream.serve(&image, ("app", "1"));
    expect_manifest(test.pull_manifest("1").await, &image);
    // One host does not get all of them.
    let other = ScriptedUpstream::start().await;
    create_from_body(&test.accounts, "other", &remote_body(&other.url())).await.expect_status(200);
    let mut pulls = tokio::task::JoinSet::new();
    for number in 0..MAX_FETCHES {
        let (repository, upstream) = match number % 2 {
            0 => ("remote", &test.upstream),
            _ => ("other", &other),
        };
        upstream.set(&manifest_path("app", format!("hang-{number}")), UpstreamAnswer::Hang);
        let client = test.accounts.owner.client.clone();
        let path = manifest_path(&image_in(repository, "app"), format!("hang-{number}"));
        pulls.spawn(async move { client.get(&path).await });
    }
    let all_begun = async {
        while test.upstream.asked().len() + other.asked().len() < 2 + MAX_FETCHES {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    with_deadline(all_begun).await;
    // The clients leave, and the fetches go on.
    pulls.abort_all();
    expect_problem(test.pull_manifest("2").await, "503 UNAVAILABLE", "too many fetches run");
    test.advance_seconds(3_700);
    test.sign_in_again().await;
    let stale = expect_manifest(test.pull_manifest("1").await, &image);
    assert!(stale.header("warning").starts_with("110 "), "{stale:#?}");
}
