//! The commands of gcloud and curl that say the same as a page.
//!
//! Names of projects, repositories, images and tags, and digests, have only characters that a shell takes as they are.

use engine::{DeletionPlan, PlannedDeletion};
use model::artifact_name::PackageName;
use model::digest::Digest;
use model::name::{ImageName, RepositoryName};

use crate::request::{ConsoleRequest, Viewer};

impl ConsoleRequest {
    /// Returns the name by which tools know an image, without tag and digest.
    pub(crate) fn image_address(&self, name: &PackageName) -> String {
        format!("{}/{}", self.app.registry_uri(&name.repository), name.image)
    }

    /// Returns the URL below which tools ask for the images of a repository.
    fn registry_url(&self, name: &RepositoryName) -> String {
        let address = self.app.registry_uri(name);
        let (host, path) = address.split_once('/').unwrap_or((&address, ""));
        format!("{}://{host}/v2/{path}", self.app.origin.scheme())
    }

    /// Returns the beginning of a command of curl, which sends the credentials of gcloud where some are needed.
    fn curl(&self) -> &'static str {
        match self.viewer {
            Viewer::Developer(_) => "curl -s",
            Viewer::SignedIn(_) | Viewer::SignedOut(_) => {
                "curl -s -H \"Authorization: Bearer $(gcloud auth print-access-token)\""
            }
        }
    }
}

/// Returns the command that lists the versions below an address, those that were pushed or tagged last first.
pub(crate) fn newest_versions(address: &str) -> String {
    format!(
        "gcloud artifacts docker images list {address} --include-tags --sort-by=~UPDATE_TIME --limit=50"
    )
}

/// Returns the command that lists the images below an address, or the versions of one image.
pub(crate) fn versions(address: &str) -> String {
    format!("gcloud artifacts docker images list {address} --include-tags")
}

/// Returns the command that lists the versions of an image that have no tag.
pub(crate) fn untagged_versions(address: &str) -> String {
    format!("gcloud artifacts docker images list {address} --include-tags --filter='NOT tags:*'")
}

/// Returns the command that lists the tags of an image.
pub(crate) fn tags(address: &str) -> String {
    format!("gcloud artifacts docker tags list {address}")
}

/// Returns the command that makes a tag name a version.
pub(crate) fn set_tag(address: &str, tag: &str, digest: &str) -> String {
    format!("gcloud artifacts docker tags add {address}@{digest} {address}:{tag}")
}

/// The most versions that a command deletes.
const MAX_DELETED: usize = 20;

/// Returns the commands that delete what goes, in the order of the plan. Returns none for very many.
pub(crate) fn delete_versions(address: &str, plan: &DeletionPlan) -> Vec<String> {
    if plan.goes.is_empty() || plan.goes.len() > MAX_DELETED {
        return Vec::new();
    }
    let command = |planned: &PlannedDeletion| {
        let digest = &planned.version.digest;
        format!("gcloud artifacts docker images delete {address}@{digest} --delete-tags")
    };
    vec![plan.goes.iter().map(command).collect::<Vec<_>>().join("\n")]
}

/// Returns the command that compares the manifests of two versions of an image.
pub(crate) fn compare(
    request: &ConsoleRequest,
    name: &PackageName,
    [a, b]: [&Digest; 2],
) -> String {
    let (curl, url) = (request.curl(), request.registry_url(&name.repository));
    format!(
        "manifest() {{ {curl} {url}/{}/manifests/$1 | jq .; }}\ndiff <(manifest {a}) <(manifest {b})",
        name.image
    )
}

/// Returns the command that lists the images whose names contain a text.
pub(crate) fn find_images(request: &ConsoleRequest, text: &ImageName) -> String {
    let url = format!("{}/v2/_catalog?n=1000", request.address.url);
    format!("{} '{url}' | jq -r '.repositories[]' | grep -F -- {text}", request.curl())
}
