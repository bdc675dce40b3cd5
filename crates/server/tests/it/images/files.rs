//! Files: lists, descriptions and downloads by digest.

mod deletes;
mod downloads;
mod lists;

use super::{api_path, list_names};
use crate::util::{GoogleClient, Image, digest_of};
use std::collections::BTreeSet;

/// The digests of an image: its manifest and its blobs.
fn image_digests(image: &Image) -> BTreeSet<String> {
    image.blobs.iter().map(digest_of).chain([image.digest()]).collect()
}

fn file_path(digest: &str) -> String {
    api_path(&format!("files/{digest}"))
}

fn media_path(digest: &str) -> String {
    api_path(&format!("files/{digest}:download?alt=media"))
}

async fn list_files(owner: &GoogleClient, list: &str) -> Vec<String> {
    list_names(owner, list, ("files", "name")).await
}

fn sort_unique(digests: impl IntoIterator<Item = String>) -> Vec<String> {
    digests.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}
