//! Images by the API: what is listed and described, and how tags and versions are changed.

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
use crate::util::google::repository;
use crate::util::{Accounts, Google, Image, Reply};

/// The repository of these tests.
const R1: &str = "r1";

/// The path of something in the repository.
fn at(rest: &str) -> String {
    format!("/v1/{}", name(rest))
}

/// The name of something in the repository.
fn name(rest: &str) -> String {
    format!("{}/{rest}", repository(PROJECT, R1))
}

/// An image's name under `/v2/`.
fn path(image: &str) -> String {
    format!("{PROJECT}/{R1}/{image}")
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

/// A repository, and its owner.
async fn begin(accounts: &Accounts) -> &Google {
    accounts.owner.create_repository(PROJECT, R1).await.expect(200);
    &accounts.owner
}

async fn push(owner: &Google, image: &str, tag: &str, content: &Image) {
    content.push(&owner.client, (&path(image), tag)).await;
}

async fn tag(owner: &Google, image: &str, tag: &str, content: &Image) -> Reply {
    let place = (path(image), tag);
    owner.client.push_manifest((&place.0, tag), OCI_MANIFEST, content.manifest.clone()).await
}

/// Everything on a list, page by page, and how many pages there were.
async fn all(owner: &Google, list: &str, field: &str) -> (Vec<Value>, usize) {
    let (mut found, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let separator = if list.contains('?') { '&' } else { '?' };
        let page =
            owner.get(&format!("{list}{separator}pageToken={token}")).await.expect(200).json();
        found.extend(page[field].as_array().cloned().unwrap_or_default());
        pages += 1;
        match page["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => return (found, pages),
        }
    }
}

/// A field of everything on a list.
async fn texts(owner: &Google, list: &str, (field, text): (&str, &str)) -> Vec<String> {
    let (found, _) = all(owner, list, field).await;
    let last = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
    found.iter().map(|one| last(one[text].as_str().expect("text"))).collect()
}

fn version_of(image: &str, content: &Image) -> Value {
    json!({ "version": name(&format!("packages/{image}/versions/{}", content.digest())) })
}
