//! The rules of a remote repository: which images it serves, whether it asks its upstream, and what it deletes.

use serde_json::{Value, json};

use super::remote::{RemoteTest, expect_manifest, remote_body};
use super::{api_path, create_from_body, image_in};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{
    AccountServer, Backend, Image, UpstreamAnswer, blob_path, digest_of, manifest_path, on_both,
};

on_both![
    images_are_allowed_and_denied,
    cached_images_that_become_denied_are_not_served,
    a_denied_image_is_explained,
    an_offline_repository_serves_what_is_cached,
    a_tag_that_the_upstream_lost_is_deleted_on_request,
    an_update_of_the_whole_configuration_keeps_the_rules,
    rules_are_checked
];

impl RemoteTest {
    /// Sets fields of the configuration of the remote repository.
    pub(super) async fn set_rules(&self, rules: Value) -> Value {
        let fields = rules.as_object().expect("fields").keys();
        let paths: Vec<_> = fields.map(|name| format!("remoteRepositoryConfig.{name}")).collect();
        let path = api_path("remote", &format!("?updateMask={}", paths.join(",")));
        let body = json!({ "remoteRepositoryConfig": rules });
        self.accounts.owner.patch(&path, &body).await.expect_status(200).json()
    }

    async fn tag_list(&self) -> Value {
        let path = api_path("remote", "/packages/app/tags");
        let listed = self.accounts.owner.get(&path).await.expect_status(200).json();
        let tags = listed["tags"].as_array().cloned().unwrap_or_default();
        let name = |tag: &Value| {
            tag["name"].as_str().and_then(|name| name.rsplit('/').next()).map(str::to_owned)
        };
        tags.iter().filter_map(name).collect()
    }
}

async fn images_are_allowed_and_denied(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let image = Image::new(1);
    test.set_rules(json!({ "allowedImages": ["app", "team/"], "deniedImages": ["team/evil*"] }))
        .await;
    for name in ["app", "team/app", "team/a/b"] {
        test.upstream.serve(&image, (name, "1"));
        expect_manifest(test.get(&manifest_path(&image_in("remote", name), "1")).await, &image);
    }
    let asked = test.upstream.asked().len();
    for (name, reason) in [
        ("other", "does not serve other: no entry of its allowed_images matches"),
        (
            "team/evil1",
            "does not serve team/evil1: \\\"team/evil*\\\" of its denied_images matches",
        ),
    ] {
        for reference in ["1", &image.digest()] {
            let refused = test.get(&manifest_path(&image_in("remote", name), reference)).await;
            let refused = refused.expect_oci_error("403 DENIED");
            assert!(refused.text().contains(reason), "{refused:#?}");
        }
        let blob = blob_path(&image_in("remote", name), digest_of(&image.blobs[1]));
        test.get(&blob).await.expect_oci_error("403 DENIED");
    }
    assert_eq!(test.upstream.asked().len(), asked);
    // The names are those of the upstream, below the path of its URL.
    let mut below = remote_body(&format!("{}/some/path", test.upstream.url()));
    below["remoteRepositoryConfig"]["allowedImages"] = json!(["some/path/app"]);
    create_from_body(&test.accounts, "below", &below).await.expect_status(200);
    test.upstream.serve(&image, ("some/path/app", "1"));
    expect_manifest(test.get(&manifest_path(&image_in("below", "app"), "1")).await, &image);
    let other = manifest_path(&image_in("below", "some/path/app"), "1");
    test.get(&other).await.expect_oci_error("403 DENIED");
}

async fn cached_images_that_become_denied_are_not_served(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let image = Image::new(1);
    test.upstream.serve(&image, ("app", "1"));
    expect_manifest(test.pull_manifest("1").await, &image);
    let layer = &image.blobs[1];
    test.pull_blob(layer).await.expect_status(200);
    let file = api_path("remote", &format!("/files/{}:download?alt=media", image.digest()));
    test.accounts.owner.get(&file).await.expect_status(200);
    test.set_rules(json!({ "deniedImages": ["app"] })).await;
    test.pull_manifest("1").await.expect_oci_error("403 DENIED");
    test.pull_manifest(&image.digest()).await.expect_oci_error("403 DENIED");
    test.pull_blob(layer).await.expect_oci_error("403 DENIED");
    for list in ["tags/list".to_owned(), format!("referrers/{}", image.digest())] {
        let path = format!("/v2/{}/{list}", image_in("remote", "app"));
        test.get(&path).await.expect_oci_error("403 DENIED");
    }
    test.accounts.owner.get(&file).await.expect_google_error("403 PERMISSION_DENIED");
    test.set_rules(json!({ "deniedImages": [] })).await;
    expect_manifest(test.pull_manifest("1").await, &image);
}

async fn a_denied_image_is_explained(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    test.set_rules(json!({ "deniedImages": ["evil/"] })).await;
    let owner = &test.accounts.owner;
    let denied = owner.get(&api_path("remote", ":explain?image=evil/app:1")).await;
    let denied = denied.expect_status(200).json();
    assert_eq!(denied["upstreams"][0]["outcome"], "DENIED");
    assert_eq!(denied["upstreams"][0]["problem"], "\"evil/\" of its denied_images matches");
    owner
        .get(&api_path("remote", ":explain?image=app:1"))
        .await
        .expect_google_error("400 FAILED_PRECONDITION");
}

async fn an_offline_repository_serves_what_is_cached(backend: Backend) {
    let mut test = RemoteTest::start(backend).await;
    let (image, layer) = (Image::new(1), Image::new(1).blobs[1].clone());
    test.upstream.serve(&image, ("app", "1"));
    test.upstream.serve(&Image::new(2), ("app", "2"));
    expect_manifest(test.pull_manifest("1").await, &image);
    test.set_rules(json!({ "offline": true })).await;
    let asked = test.upstream.asked().len();
    let fresh = expect_manifest(test.pull_manifest("1").await, &image);
    assert_eq!(fresh.header("warning"), "");
    expect_manifest(test.pull_manifest(&image.digest()).await, &image);
    for refused in [
        test.pull_manifest("2").await,
        test.pull_manifest(&Image::new(2).digest()).await,
        test.pull_blob(&layer).await,
    ] {
        let refused = refused.expect_oci_error("503 UNAVAILABLE");
        let text = "is not asked, because this remote repository is offline";
        assert!(refused.oci_message().contains(text), "{refused:#?}");
    }
    // A tag is served however old it is.
    test.advance_seconds(10 * 3_600);
    test.sign_in_again().await;
    let stale = expect_manifest(test.pull_manifest("1").await, &image);
    assert!(stale.header("warning").starts_with("110 "), "{stale:#?}");
    assert_eq!(test.upstream.asked().len(), asked);
    test.set_rules(json!({ "offline": false })).await;
    test.pull_blob(&layer).await.expect_status(200);
    let fresh = expect_manifest(test.pull_manifest("1").await, &image);
    assert_eq!(fresh.header("warning"), "");
}

async fn a_tag_that_the_upstream_lost_is_deleted_on_request(backend: Backend) {
    let mut test = RemoteTest::start(backend).await;
    let image = Image::new(1);
    test.upstream.serve(&image, ("app", "1"));
    expect_manifest(test.pull_manifest("1").await, &image);
    test.upstream.set(&manifest_path("app", "1"), UpstreamAnswer::status(404));
    test.advance_seconds(3_700);
    test.sign_in_again().await;
    test.pull_manifest("1").await.expect_oci_error("404 MANIFEST_UNKNOWN");
    assert_eq!(test.tag_list().await, json!(["1"]));
    let set = test.set_rules(json!({ "deleteNotFoundCacheFiles": true })).await;
    assert_eq!(set["remoteRepositoryConfig"]["deleteNotFoundCacheFiles"], true);
    test.advance_seconds(61);
    // A failure says nothing about the tag.
    test.upstream.set(&manifest_path("app", "1"), UpstreamAnswer::status(500));
    test.pull_manifest("1").await.expect_status(200);
    assert_eq!(test.tag_list().await, json!(["1"]));
    test.upstream.set(&manifest_path("app", "1"), UpstreamAnswer::status(404));
    test.pull_manifest("1").await.expect_oci_error("404 MANIFEST_UNKNOWN");
    assert_eq!(test.tag_list().await, json!([]));
    // What has a digest stays.
    expect_manifest(test.pull_manifest(&image.digest()).await, &image);
    test.upstream.serve(&image, ("app", "1"));
    test.advance_seconds(61);
    expect_manifest(test.pull_manifest("1").await, &image);
    assert_eq!(test.tag_list().await, json!(["1"]));
}

/// gcloud does not know these fields, and sends the whole configuration without them.
async fn an_update_of_the_whole_configuration_keeps_the_rules(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let rules = json!({ "allowedImages": ["app"], "deniedImages": ["x/"], "offline": true,
                        "deleteNotFoundCacheFiles": true, "maxCacheBytes": "5000000000" });
    test.set_rules(rules.clone()).await;
    let owner = &test.accounts.owner;
    let expect = |answer: Value, description: Value, rules: &Value| {
        let mut config = remote_body(&test.upstream.url())["remoteRepositoryConfig"].clone();
        config.as_object_mut().expect("fields").extend(rules.as_object().expect("fields").clone());
        if !description.is_null() {
            config["description"] = description;
        }
        assert_eq!(answer["remoteRepositoryConfig"], config);
    };
    let mut whole = remote_body(&test.upstream.url());
    whole["remoteRepositoryConfig"]["description"] = json!("of others");
    for mask in ["", "?updateMask=remoteRepositoryConfig"] {
        let answer = owner.patch(&api_path("remote", mask), &whole).await.expect_status(200);
        expect(answer.json(), json!("of others"), &rules);
    }
    // A mask that names a part changes this part alone.
    let only = "?updateMask=remoteRepositoryConfig.description";
    // Without the configuration in the body, the part is cleared as well, and the upstream stays.
    for body in [json!({ "remoteRepositoryConfig": {} }), json!({})] {
        let answer = owner.patch(&api_path("remote", only), &body).await.expect_status(200);
        expect(answer.json(), Value::Null, &rules);
    }
    let off = json!({ "allowedImages": [], "offline": false, "maxCacheBytes": null,
                      "noCache": true });
    let rest = json!({ "deniedImages": ["x/"], "deleteNotFoundCacheFiles": true, "noCache": true });
    expect(test.set_rules(off).await, Value::Null, &rest);
    let answer = owner.patch(&api_path("remote", ""), &whole).await.expect_status(200);
    expect(answer.json(), json!("of others"), &rest);
}

async fn rules_are_checked(accounts: AccountServer) {
    let own = repository_name(PROJECT, "source");
    accounts.create_repository(PROJECT, "source").await;
    for (uri, rules, problem) in [
        ("https://a.test", json!({ "allowedImages": ["App"] }), "\\\"App\\\" is no image"),
        ("https://a.test", json!({ "deniedImages": [""] }), "denied_images"),
        ("https://a.test", json!({ "deniedImages": vec!["a"; 101] }), "at most 100"),
        (&own, json!({ "offline": true }), "are for upstreams that are other registries"),
        (&own, json!({ "allowedImages": ["a"] }), "are for upstreams that are other registries"),
        (&own, json!({ "maxCacheBytes": 1 }), "are for upstreams that are other registries"),
        (&own, json!({ "noCache": true }), "are for upstreams that are other registries"),
        ("https://a.test", json!({ "maxCacheBytes": -5 }), "-5 bytes cannot be a limit"),
        ("https://a.test", json!({ "maxCacheBytes": "0" }), "set no_cache to keep nothing"),
        ("https://a.test", json!({ "maxCacheBytes": "1GiB" }), "maxCacheBytes"),
        ("https://a.test", json!({ "noCache": true, "offline": true }), "does not go with offline"),
    ] {
        let mut body = remote_body(uri);
        let config = body["remoteRepositoryConfig"].as_object_mut().expect("fields");
        config.extend(rules.as_object().expect("fields").clone());
        let refused = create_from_body(&accounts, "refused", &body).await;
        let refused = refused.expect_google_error("400 INVALID_ARGUMENT");
        assert!(refused.text().contains(problem), "{problem}: {refused:#?}");
    }
    // No other mode has such a field.
    let limit = json!({ "remoteRepositoryConfig": { "maxCacheBytes": "1000" } });
    let path = api_path("source", "?updateMask=remoteRepositoryConfig.maxCacheBytes");
    accounts.owner.patch(&path, &limit).await.expect_google_error("400 INVALID_ARGUMENT");
    let mut body = json!({ "format": "DOCKER", "mode": "STANDARD_REPOSITORY" });
    body["remoteRepositoryConfig"] = limit["remoteRepositoryConfig"].clone();
    let refused = create_from_body(&accounts, "refused", &body).await;
    let refused = refused.expect_google_error("400 INVALID_ARGUMENT");
    assert!(refused.text().contains("configuration of another mode"), "{refused:#?}");
}
