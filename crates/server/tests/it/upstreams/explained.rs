//! The explanation of a pull.

use serde_json::{Value, json};

use super::{VIRTUAL, api_path, push, set_up_virtual, set_up_virtual_with};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{AccountServer, GoogleClient, on_both};

const READER: &str = "roles/artifactregistry.reader";

on_both![
    each_upstream_is_explained,
    upstreams_that_the_caller_may_not_read_have_no_name,
    an_adder_who_lost_access_is_flagged,
    bad_questions_are_refused
];

async fn explain(caller: &GoogleClient, image: &str) -> Value {
    let path = api_path(VIRTUAL, &format!(":explain?image={image}"));
    caller.get(&path).await.expect_status(200).json()
}

/// The ids and outcomes of all upstreams.
fn outcomes(explained: &Value) -> Vec<[&str; 2]> {
    let upstreams = explained["upstreams"].as_array().expect("a list").iter();
    upstreams
        .map(|entry| {
            [
                entry["id"].as_str().unwrap_or_default(),
                entry["outcome"].as_str().unwrap_or_default(),
            ]
        })
        .collect()
}

async fn each_upstream_is_explained(accounts: AccountServer) {
    let more = json!({ "pins": [{ "imagePrefix": "corp/", "upstreamId": "c" }] });
    set_up_virtual_with(&accounts, &[("a", 9), ("b", 5), ("c", 1)], more).await;
    let owner = &accounts.owner;
    let digest = push(&owner.client, "b", ("app", "1"), 1).await;
    let latest = push(&owner.client, "c", ("app", "latest"), 2).await;
    let explained = explain(owner, "app:1").await;
    assert_eq!(explained["answeringUpstream"], "b");
    assert_eq!(outcomes(&explained), [["a", "NOT_FOUND"], ["b", "FOUND"], ["c", "NOT_ASKED"]]);
    assert_eq!(explained["upstreams"][1]["digest"], digest);
    assert_eq!(explained["upstreams"][1]["priority"], 5);
    assert_eq!(explained["upstreams"][1]["repository"], repository_name(PROJECT, "b"));
    // Without a tag, it is about `latest`, and a digest is as good as a tag.
    assert_eq!(explain(owner, "app").await["upstreams"][2]["digest"], latest);
    assert_eq!(explain(owner, &format!("app@{digest}")).await["answeringUpstream"], "b");
    let nowhere = explain(owner, "app:2").await;
    assert_eq!(nowhere["answeringUpstream"], Value::Null);
    let pinned = explain(owner, "corp/app:1").await;
    assert_eq!(outcomes(&pinned), [["a", "PINNED_AWAY"], ["b", "PINNED_AWAY"], ["c", "NOT_FOUND"]]);
    let rule = json!({ "action": "DENY", "operation": "DOWNLOAD" });
    owner.post(&api_path("b", "/rules?ruleId=deny"), &rule).await.expect_status(200);
    let denied = explain(owner, "app:1").await;
    assert_eq!(denied["answeringUpstream"], "b");
    assert_eq!(outcomes(&denied)[1], ["b", "DENIED"]);
    owner.delete(&api_path("a", "")).await.expect_status(200);
    let failed = explain(owner, "app:1").await;
    assert_eq!(failed["answeringUpstream"], "a");
    assert_eq!(outcomes(&failed), [["a", "FAILED"], ["b", "NOT_ASKED"], ["c", "NOT_ASKED"]]);
    assert_eq!(failed["upstreams"][0]["problem"], "its repository was deleted");
}

async fn upstreams_that_the_caller_may_not_read_have_no_name(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("a", 2), ("b", 1)]).await;
    push(&accounts.owner.client, "b", ("app", "1"), 1).await;
    let shown = repository_name(PROJECT, VIRTUAL);
    let reader = accounts.create_actor_with("reader", (READER, &shown)).await;
    accounts.owner.grant_role(&repository_name(PROJECT, "b"), READER, &reader.member()).await;
    let explained = explain(&reader, "app:1").await;
    assert_eq!(explained["upstreams"][0]["id"], "a");
    assert_eq!(explained["upstreams"][0]["repository"], Value::Null);
    assert_eq!(explained["upstreams"][1]["repository"], repository_name(PROJECT, "b"));
    let stranger = accounts.create_actor("stranger").await;
    let path = api_path(VIRTUAL, ":explain?image=app");
    stranger.get(&path).await.expect_google_error("403 PERMISSION_DENIED");
}

async fn an_adder_who_lost_access_is_flagged(accounts: AccountServer) {
    accounts.create_repository("tenant-b", "theirs").await;
    accounts.create_repository(PROJECT, "unused").await;
    let theirs = repository_name("tenant-b", "theirs");
    let role = "roles/artifactregistry.admin";
    let admin =
        accounts.create_actor_with("admin-of-a", (role, &format!("projects/{PROJECT}"))).await;
    accounts.owner.grant_role(&theirs, READER, &admin.member()).await;
    let body = super::virtual_body(&[json!({ "id": "theirs", "repository": theirs })], json!({}));
    let path = crate::util::accounts::repositories_path(PROJECT);
    admin.post(&format!("{path}?repositoryId={VIRTUAL}"), &body).await.expect_status(200);
    let flag =
        async || explain(&accounts.owner, "app").await["upstreams"][0]["adderLostAccess"].clone();
    assert_eq!(flag().await, Value::Null);
    accounts.owner.revoke_role(&theirs, READER, &admin.member()).await;
    assert_eq!(flag().await, true);
    accounts.owner.grant_role(&theirs, READER, &admin.member()).await;
    assert_eq!(flag().await, Value::Null);
}

async fn bad_questions_are_refused(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("a", 2)]).await;
    for image in ["", ":1", "App", "app:", "app@sha256:1", "app:a%20b", &"a".repeat(3_000)] {
        let refused =
            accounts.owner.get(&api_path(VIRTUAL, &format!(":explain?image={image}"))).await;
        refused.expect_google_error("400 INVALID_ARGUMENT");
    }
    let standard = accounts.owner.get(&api_path("a", ":explain?image=app")).await;
    standard.expect_google_error("400 FAILED_PRECONDITION");
    let absent = accounts.owner.get(&api_path("absent", ":explain?image=app")).await;
    absent.expect_google_error("404 NOT_FOUND");
}
