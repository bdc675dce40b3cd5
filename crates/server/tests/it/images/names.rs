//! Names that are not there, that cannot be a name, or that are meant to do harm.

use serde_json::json;

use super::{R1, api_path, push_image, set_up_repository, version_body};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{AccountServer, Image, on_both};

/// Paths that answer 404 for each of the `NAMES`.
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
    unknown_names_are_not_found,
    fixed_settings_are_shown,
    the_permission_is_checked_before_the_existence
];

async fn unknown_names_are_not_found(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    push_image(owner, "image", "v1", &Image::new(1)).await;
    let digest = Image::new(2).digest();
    for rest in RESTS {
        for wanted in NAMES {
            let rest = rest.replace("NAME", wanted).replace("DIGEST", &digest);
            let reply = owner.get(&api_path(&rest)).await;
            assert_eq!(reply.google_outcome(), "404 NOT_FOUND", "{rest}: {reply:#?}");
        }
    }
    for list in ["dockerImages", "packages", "files", "attachments"] {
        let elsewhere =
            format!("/v1/projects/{PROJECT}/locations/us-west1/repositories/none/{list}");
        let unknown = owner.get(&elsewhere).await.expect_google_error("404 NOT_FOUND");
        assert!(unknown.text().contains("repositories/none"), "{unknown:#?}");
    }
    for (query, outcome) in [
        ("pageSize=-1", "400 INVALID_ARGUMENT"),
        ("pageSize=x", "400 INVALID_ARGUMENT"),
        ("pageToken=x", "400 INVALID_ARGUMENT"),
        ("pageSize=100000", "200"),
    ] {
        assert_eq!(
            owner.get(&api_path(&format!("dockerImages?{query}"))).await.google_outcome(),
            outcome,
            "{query}"
        );
    }
    let view = api_path("packages/image/versions?view=LARGE");
    owner.get(&view).await.expect_google_error("400 INVALID_ARGUMENT");
}

async fn fixed_settings_are_shown(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let project = format!("projects/{PROJECT}/projectSettings");
    let settings = owner.get(&format!("/v1/{project}")).await.expect_status(200).json();
    assert_eq!(
        settings,
        json!({ "name": project, "legacyRedirectionState": "REDIRECTION_FROM_GCR_IO_FINALIZED" })
    );
    let place = format!("projects/{PROJECT}/locations/us-west1/vpcscConfig");
    let config = owner.get(&format!("/v1/{place}")).await.expect_status(200).json();
    assert_eq!(config, json!({ "name": place, "vpcscPolicy": "ALLOW" }));
    owner
        .get(&format!("/v1/{}", place.replace("us-west1", "moon")))
        .await
        .expect_google_error("404 NOT_FOUND");
    for path in [project, place] {
        owner
            .patch(&format!("/v1/{path}"), &json!({}))
            .await
            .expect_google_error("501 UNIMPLEMENTED");
        let nobody = accounts.create_actor("nobody").await;
        nobody.get(&format!("/v1/{path}")).await.expect_google_error("403 PERMISSION_DENIED");
    }
}

async fn the_permission_is_checked_before_the_existence(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let image = Image::new(1);
    push_image(owner, "image", "v1", &image).await;
    let (reader, nobody) =
        (accounts.create_actor("reader").await, accounts.create_actor("nobody").await);
    owner
        .grant_role(
            &repository_name(PROJECT, R1),
            "roles/artifactregistry.reader",
            &reader.member(),
        )
        .await;
    let version = api_path(&format!("packages/image/versions/{}", image.digest()));
    for rest in [
        "dockerImages",
        "packages",
        "packages/image",
        "packages/image/versions",
        "packages/image/tags/v1",
        "packages/none",
    ] {
        let denied = nobody.get(&api_path(rest)).await.expect_google_error("403 PERMISSION_DENIED");
        assert!(denied.text().contains("or it may not exist"), "{denied:#?}");
        accounts.anonymous().get(&api_path(rest)).await.expect_google_error("401 UNAUTHENTICATED");
        assert_ne!(reader.get(&api_path(rest)).await.status, 403, "{rest}");
    }
    reader.get(&version).await.expect_status(200);
    let batch = json!({ "names": [version_body("image", &image)["version"]] });
    for denied in [
        reader.delete(&version).await,
        reader.delete(&api_path("packages/image")).await,
        reader.delete(&api_path("packages/image/tags/v1")).await,
        reader.post(&api_path("packages/image/tags?tagId=x"), &version_body("image", &image)).await,
        reader.patch(&api_path("packages/image/tags/v1"), &version_body("image", &image)).await,
        reader.post(&api_path("packages/image/versions:batchDelete"), &batch).await,
    ] {
        denied.expect_google_error("403 PERMISSION_DENIED");
    }
}
