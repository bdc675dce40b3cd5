//! Names that are not there, that are nothing's, and that are meant to do harm.

use serde_json::json;

use super::{R1, at, begin, push, version_of};
use crate::util::accounts::PROJECT;
use crate::util::google::repository;
use crate::util::{Accounts, Image, on_both};

/// What is asked of each name, and how it is refused where there is nothing of that name.
const RESTS: [&str; 16] = [
    "packages/NAME",
    "packages/NAME/versions",
    "packages/NAME/tags",
    "packages/NAME/tags/latest",
    "packages/image/tags/NAME",
    "packages/image/versions/NAME",
    "packages/NAME/versions/DIGEST",
    "packages/image/versions/DIGEST",
    "dockerImages/NAME",
    "dockerImages/NAME@DIGEST",
    "dockerImages/image@NAME",
    "dockerImages/image@DIGEST",
    "files/NAME",
    "files/DIGEST",
    "files/NAME:download?alt=media",
    "attachments/NAME",
];

const NAMES: [&str; 14] = [
    "nothing",
    "a%2Fb",
    "%25",
    "_",
    "%27",
    "%22",
    "%3B--",
    "..",
    "..%2F..%2Fx",
    "A",
    "a%00b",
    "%2F",
    "%F0%9F%90%B3",
    "sha256:00",
];

on_both![
    what_is_not_there_is_not_found,
    settings_say_what_is_so,
    who_may_not_is_told_so_before_what_there_is
];

async fn what_is_not_there_is_not_found(accounts: Accounts) {
    let owner = begin(&accounts).await;
    push(owner, "image", "v1", &Image::new(1)).await;
    let digest = Image::new(2).digest();
    for rest in RESTS {
        for wanted in NAMES {
            let rest = rest.replace("NAME", wanted).replace("DIGEST", &digest);
            let reply = owner.get(&at(&rest)).await;
            assert_eq!(reply.google(), "404 NOT_FOUND", "{rest}: {reply:#?}");
        }
    }
    for list in ["dockerImages", "packages", "files", "attachments"] {
        let elsewhere =
            format!("/v1/projects/{PROJECT}/locations/us-west1/repositories/none/{list}");
        let unknown = owner.get(&elsewhere).await.expect_google("404 NOT_FOUND");
        assert!(unknown.text().contains("repositories/none"), "{unknown:#?}");
    }
    for (query, outcome) in [
        ("pageSize=-1", "400 INVALID_ARGUMENT"),
        ("pageSize=x", "400 INVALID_ARGUMENT"),
        ("pageToken=x", "400 INVALID_ARGUMENT"),
        ("pageSize=100000", "200"),
    ] {
        assert_eq!(
            owner.get(&at(&format!("dockerImages?{query}"))).await.google(),
            outcome,
            "{query}"
        );
    }
    let view = at("packages/image/versions?view=LARGE");
    owner.get(&view).await.expect_google("400 INVALID_ARGUMENT");
}

async fn settings_say_what_is_so(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let project = format!("projects/{PROJECT}/projectSettings");
    let settings = owner.get(&format!("/v1/{project}")).await.expect(200).json();
    assert_eq!(
        settings,
        json!({ "name": project, "legacyRedirectionState": "REDIRECTION_FROM_GCR_IO_FINALIZED" })
    );
    let place = format!("projects/{PROJECT}/locations/us-west1/vpcscConfig");
    let config = owner.get(&format!("/v1/{place}")).await.expect(200).json();
    assert_eq!(config, json!({ "name": place, "vpcscPolicy": "ALLOW" }));
    owner
        .get(&format!("/v1/{}", place.replace("us-west1", "moon")))
        .await
        .expect_google("404 NOT_FOUND");
    for path in [project, place] {
        owner.patch(&format!("/v1/{path}"), &json!({})).await.expect_google("501 UNIMPLEMENTED");
        let nobody = accounts.actor("nobody").await;
        nobody.get(&format!("/v1/{path}")).await.expect_google("403 PERMISSION_DENIED");
    }
}

async fn who_may_not_is_told_so_before_what_there_is(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let image = Image::new(1);
    push(owner, "image", "v1", &image).await;
    let (reader, nobody) = (accounts.actor("reader").await, accounts.actor("nobody").await);
    owner.bind(&repository(PROJECT, R1), "roles/artifactregistry.reader", &reader.member()).await;
    let version = at(&format!("packages/image/versions/{}", image.digest()));
    for rest in [
        "dockerImages",
        "packages",
        "packages/image",
        "packages/image/versions",
        "packages/image/tags/v1",
        "packages/none",
    ] {
        let denied = nobody.get(&at(rest)).await.expect_google("403 PERMISSION_DENIED");
        assert!(denied.text().contains("or it may not exist"), "{denied:#?}");
        accounts.anonymous().get(&at(rest)).await.expect_google("401 UNAUTHENTICATED");
        assert_ne!(reader.get(&at(rest)).await.status, 403, "{rest}");
    }
    reader.get(&version).await.expect(200);
    let batch = json!({ "names": [version_of("image", &image)["version"]] });
    for denied in [
        reader.delete(&version).await,
        reader.delete(&at("packages/image")).await,
        reader.delete(&at("packages/image/tags/v1")).await,
        reader.post(&at("packages/image/tags?tagId=x"), &version_of("image", &image)).await,
        reader.patch(&at("packages/image/tags/v1"), &version_of("image", &image)).await,
        reader.post(&at("packages/image/versions:batchDelete"), &batch).await,
    ] {
        denied.expect_google("403 PERMISSION_DENIED");
    }
}
