//! Virtual repositories as they are created and changed, and upstreams as their administrators see them.

use serde_json::{Value, json};

use super::{
    VIRTUAL, api_path, create_from_body, image_in, policy, push, set_up_virtual, virtual_body,
};
use crate::util::accounts::{PROJECT, repositories_path};
use crate::util::google::repository_name;
use crate::util::{AccountServer, manifest_path, on_both};

const ADMIN: &str = "roles/artifactregistry.admin";
const READER: &str = "roles/artifactregistry.reader";

on_both![
    the_settings_come_back_as_they_were_sent,
    bad_settings_are_refused_by_name,
    circles_are_refused,
    an_upstream_of_another_project_must_be_readable_when_it_is_added,
    administrators_see_and_stop_who_reads_their_repository
];

async fn the_settings_come_back_as_they_were_sent(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    let owner = &accounts.owner;
    let described = owner.get(&api_path(VIRTUAL, "")).await.expect_status(200).json();
    let sent = [policy("high", 2), policy("low", 1)];
    assert_eq!(described["virtualRepositoryConfig"], json!({ "upstreamPolicies": sent }));
    assert_eq!(described["mode"], "VIRTUAL_REPOSITORY");
    // The order of the file is kept, and an update replaces the whole list.
    let changed = [policy("low", 5)];
    let body = virtual_body(&changed, json!({}));
    let answer = owner.patch(&api_path(VIRTUAL, ""), &body).await.expect_status(200).json();
    assert_eq!(answer["virtualRepositoryConfig"], json!({ "upstreamPolicies": changed }));
    push(&owner.client, "high", ("app", "1"), 1).await;
    let path = manifest_path(&image_in(VIRTUAL, "app"), "1");
    owner.client.get(&path).await.expect_oci_error("404 MANIFEST_UNKNOWN");
    let mode = json!({ "format": "DOCKER", "mode": "STANDARD_REPOSITORY" });
    owner.patch(&api_path(VIRTUAL, ""), &mode).await.expect_google_error("400 INVALID_ARGUMENT");
    owner.delete(&api_path(VIRTUAL, "")).await.expect_status(200);
    owner.delete(&api_path("high", "")).await.expect_status(200);
}

async fn bad_settings_are_refused_by_name(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2)]).await;
    let elsewhere = format!("/v1/projects/{PROJECT}/locations/europe-west1/repositories");
    let standard = json!({ "format": "DOCKER" });
    let made = accounts.owner.post(&format!("{elsewhere}?repositoryId=far"), &standard).await;
    made.expect_status(200);
    let far = format!("projects/{PROJECT}/locations/europe-west1/repositories/far");
    let many: Vec<_> = (0..31)
        .map(|n| {
            let mut policy = policy("high", 1);
            policy["id"] = json!(format!("id{n}"));
            policy
        })
        .collect();
    let with_id = |id: &str, repository: String| json!({ "id": id, "repository": repository });
    let named = |repository: String| vec![with_id("a", repository)];
    let cases: [(Vec<Value>, &str); 8] = [
        (named(repository_name(PROJECT, "new")), "is this repository itself"),
        (named(repository_name(PROJECT, "absent")), "does not exist"),
        (named(repository_name(PROJECT, VIRTUAL)), "is a virtual one"),
        (named(far), "is in another location: it has to be in us-west1"),
        (named("high".to_owned()), "is no repository"),
        (vec![policy("high", 1), policy("high", 2)], "the id \"high\" stands twice"),
        (named(String::new()), "is no repository"),
        (many, "there are 31, and at most 30"),
    ];
    for (policies, problem) in cases {
        let refused = create_from_body(&accounts, "new", &virtual_body(&policies, json!({}))).await;
        let refused = refused.expect_google_error("400 INVALID_ARGUMENT");
        assert!(refused.text().contains(&problem.replace('"', "\\\"")), "{problem}: {refused:#?}");
    }
    let pins = json!({ "pins": [{ "imagePrefix": "corp/", "upstreamId": "absent" }] });
    let refused =
        create_from_body(&accounts, "new", &virtual_body(&[policy("high", 1)], pins)).await;
    let refused = refused.expect_google_error("400 INVALID_ARGUMENT");
    assert!(refused.text().contains("is the id of no policy"), "{refused:#?}");
    accounts.owner.get(&api_path("new", "")).await.expect_google_error("404 NOT_FOUND");
}

/// A remote repository may read a virtual one, so that a circle is possible.
async fn circles_are_refused(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2)]).await;
    let remote = json!({ "format": "DOCKER", "mode": "REMOTE_REPOSITORY", "remoteRepositoryConfig":
        { "commonRepository": { "uri": repository_name(PROJECT, VIRTUAL) } } });
    create_from_body(&accounts, "remote", &remote).await.expect_status(200);
    let body = virtual_body(&[policy("high", 2), policy("remote", 1)], json!({}));
    let refused = accounts.owner.patch(&api_path(VIRTUAL, ""), &body).await;
    let refused = refused.expect_google_error("400 INVALID_ARGUMENT");
    assert!(refused.text().contains("reads this repository itself"), "{refused:#?}");
}

async fn an_upstream_of_another_project_must_be_readable_when_it_is_added(accounts: AccountServer) {
    accounts.create_repository("tenant-b", "theirs").await;
    set_up_virtual(&accounts, &[("high", 2)]).await;
    let theirs = repository_name("tenant-b", "theirs");
    let own_project = format!("projects/{PROJECT}");
    let admin = accounts.create_actor_with("admin-of-a", (ADMIN, &own_project)).await;
    let foreign = json!({ "id": "theirs", "repository": theirs, "priority": 9 });
    let body = virtual_body(&[policy("high", 2), foreign], json!({}));
    let path = api_path(VIRTUAL, "");
    admin.patch(&path, &body).await.expect_google_error("403 PERMISSION_DENIED");
    accounts.owner.grant_role(&theirs, READER, &admin.member()).await;
    admin.patch(&path, &body).await.expect_status(200);
    let image = crate::util::Image::new(7);
    image.push(&accounts.owner.client, ("tenant-b/theirs/app", "1")).await;
    let through = manifest_path(&image_in(VIRTUAL, "app"), "1");
    // It goes on serving when the one who added it may read it no more, and a change of the rest is possible.
    accounts.owner.revoke_role(&theirs, READER, &admin.member()).await;
    admin.client.get(&through).await.expect_status(200);
    let mut reordered = body.clone();
    reordered["virtualRepositoryConfig"]["upstreamPolicies"][0]["priority"] = json!(10);
    admin.patch(&path, &reordered).await.expect_status(200);
    // Whoever takes it out needs the permission to put it back.
    let without = virtual_body(&[policy("high", 2)], json!({}));
    admin.patch(&path, &without).await.expect_status(200);
    admin.patch(&path, &body).await.expect_google_error("403 PERMISSION_DENIED");
    // It is the same for a repository that does not exist, which may so not be found out.
    let absent = json!({ "id": "x", "repository": repository_name("tenant-b", "absent") });
    let body = virtual_body(&[absent], json!({}));
    admin
        .post(&format!("{}?repositoryId=new", repositories_path(PROJECT)), &body)
        .await
        .expect_google_error("403 PERMISSION_DENIED");
}

async fn administrators_see_and_stop_who_reads_their_repository(accounts: AccountServer) {
    accounts.create_repository("tenant-b", "theirs").await;
    accounts.create_repository(PROJECT, "other").await;
    let theirs = repository_name("tenant-b", "theirs");
    let foreign = json!({ "id": "theirs", "repository": theirs });
    let body = virtual_body(&[foreign], json!({}));
    create_from_body(&accounts, VIRTUAL, &body).await.expect_status(200);
    let admin = accounts.create_actor_with("admin-of-b", (ADMIN, &theirs)).await;
    let list = format!("/v1/{theirs}:listVirtualReaders");
    let readers = admin.get(&list).await.expect_status(200).json();
    let reader = repository_name(PROJECT, VIRTUAL);
    assert_eq!(readers["readers"][0]["repository"], reader);
    assert_eq!(readers["readers"][0]["addedBy"], accounts.owner.member());
    assert!(readers["readers"][0]["addTime"].is_string(), "{readers}");
    assert_eq!(readers["readers"][0]["stopTime"], Value::Null);
    let body = json!({ "reader": reader });
    let stop = format!("/v1/{theirs}:stopVirtualReader");
    admin.post(&stop, &body).await.expect_status(200);
    let readers = admin.get(&list).await.expect_status(200).json();
    assert_eq!(readers["readers"][0]["stoppedBy"], admin.member());
    assert!(readers["readers"][0]["stopTime"].is_string(), "{readers}");
    // The stop outlives that the policies are set again.
    let policies =
        virtual_body(&[json!({ "id": "theirs", "repository": theirs, "priority": 3 })], json!({}));
    accounts.owner.patch(&api_path(VIRTUAL, ""), &policies).await.expect_status(200);
    let path = manifest_path(&image_in(VIRTUAL, "app"), "1");
    accounts.owner.client.get(&path).await.expect_oci_error("502 UNAVAILABLE");
    admin.post(&format!("/v1/{theirs}:resumeVirtualReader"), &body).await.expect_status(200);
    accounts.owner.client.get(&path).await.expect_oci_error("404 MANIFEST_UNKNOWN");
    // Nor can those of the virtual repository lift a stop by adding the upstream anew.
    admin.post(&stop, &body).await.expect_status(200);
    let without = virtual_body(&[policy("other", 1)], json!({}));
    accounts.owner.patch(&api_path(VIRTUAL, ""), &without).await.expect_status(200);
    accounts.owner.patch(&api_path(VIRTUAL, ""), &policies).await.expect_status(200);
    accounts.owner.client.get(&path).await.expect_oci_error("502 UNAVAILABLE");
    admin.post(&format!("/v1/{theirs}:resumeVirtualReader"), &body).await.expect_status(200);
    // A repository that does not read this one, and names that are none.
    for (reader, outcome) in [
        (repository_name(PROJECT, "other"), "404 NOT_FOUND"),
        (repository_name(PROJECT, "absent"), "404 NOT_FOUND"),
        ("all".to_owned(), "400 INVALID_ARGUMENT"),
        (String::new(), "400 INVALID_ARGUMENT"),
    ] {
        let refused = admin.post(&stop, &json!({ "reader": reader })).await;
        refused.expect_google_error(outcome);
    }
    // Who only reads the upstream can neither see nor stop it.
    let reader = accounts.create_actor_with("reader", (READER, &theirs)).await;
    reader.get(&list).await.expect_google_error("403 PERMISSION_DENIED");
    reader.post(&stop, &body).await.expect_google_error("403 PERMISSION_DENIED");
}
