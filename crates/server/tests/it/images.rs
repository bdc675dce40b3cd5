//! Images through the API: lists, descriptions, and changes of tags and versions.

mod annotations;
mod attachments;
mod build_caches;
mod cleanup;
mod deletes;
mod documented;
mod files;
mod lists;
mod names;
mod notifications;
mod race;
mod rules;
mod sizes;
mod tags;
mod toggled;

use form_urlencoded::byte_serialize;
use model::media_type::OCI_MANIFEST;
use serde_json::{Value, json};

use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{AccountServer, GoogleClient, Image, Reply};

/// The repository of these tests.
const R1: &str = "r1";

/// The path of a resource in the repository.
fn api_path(rest: &str) -> String {
    format!("/v1/{}", resource_name(rest))
}

/// The name of a resource in the repository.
fn resource_name(rest: &str) -> String {
    format!("{}/{rest}", repository_name(PROJECT, R1))
}

/// An image's name under `/v2/`.
fn image_path(image: &str) -> String {
    format!("{PROJECT}/{R1}/{image}")
}

fn percent_encode(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

/// Creates the repository, and returns its owner.
async fn set_up_repository(accounts: &AccountServer) -> &GoogleClient {
    accounts.owner.create_repository(PROJECT, R1).await.expect_status(200);
    &accounts.owner
}

async fn push_image(owner: &GoogleClient, image: &str, tag: &str, content: &Image) {
    content.push(&owner.client, (&image_path(image), tag)).await;
}

async fn put_tag(owner: &GoogleClient, image: &str, tag: &str, content: &Image) -> Reply {
    let place = (image_path(image), tag);
    owner.client.push_manifest((&place.0, tag), OCI_MANIFEST, content.manifest.clone()).await
}

/// Gets all entries of a list, page by page, and the number of pages.
pub(crate) async fn list_all(owner: &GoogleClient, list: &str, field: &str) -> (Vec<Value>, usize) {
    let (mut found, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let separator = if list.contains('?') { '&' } else { '?' };
        let page = owner
            .get(&format!("{list}{separator}pageToken={token}"))
            .await
            .expect_status(200)
            .json();
        found.extend(page[field].as_array().cloned().unwrap_or_default());
        pages += 1;
        match page["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => return (found, pages),
        }
    }
}

/// Gets one field of each entry of a list, without what precedes the last slash.
async fn list_names(owner: &GoogleClient, list: &str, (field, text): (&str, &str)) -> Vec<String> {
    let (found, _) = list_all(owner, list, field).await;
    let last = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
    found.iter().map(|one| last(one[text].as_str().expect("text"))).collect()
}

/// Changes whether the repository's tags stay.
async fn set_immutable(owner: &GoogleClient, immutable: bool) {
    owner.set_immutable_tags(&repository_name(PROJECT, R1), immutable).await;
}

/// The repository's `sizeBytes`.
async fn repository_size(owner: &GoogleClient) -> u64 {
    let shown = owner.get(&format!("/v1/{}", repository_name(PROJECT, R1))).await;
    let shown = shown.expect_status(200).json();
    shown["sizeBytes"].as_str().unwrap_or("0").parse().expect("a number")
}

fn version_body(image: &str, content: &Image) -> Value {
    json!({ "version": resource_name(&format!("packages/{image}/versions/{}", content.digest())) })
}
