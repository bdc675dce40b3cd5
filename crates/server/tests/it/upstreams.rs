//! Virtual repositories: what they serve from their upstreams, and how upstreams are administered.

mod administration;
mod cached;
mod checked;
mod cold;
mod credentials;
mod evicted;
mod explained;
mod failing;
mod health;
mod hostile;
mod leaders;
mod lies;
mod listed;
mod mirrored;
mod reached;
mod remote;
mod remote_lists;
mod restricted;
mod sealed_secrets;
mod served;
mod stopped;
mod through;

pub(crate) use health::start_with_upstream_figures;

use serde_json::{Value, json};

use crate::util::accounts::{PROJECT, repositories_path};
use crate::util::google::repository_name;
use crate::util::{AccountServer, Client, Image, Reply};

/// The virtual repository of these tests.
const VIRTUAL: &str = "all";

/// The path under `/v2/` of an image of the first project.
fn image_in(repository: &str, image: &str) -> String {
    format!("{PROJECT}/{repository}/{image}")
}

/// The path of a repository, or of something below it, in the API.
fn api_path(repository: &str, rest: &str) -> String {
    format!("/v1/{}{rest}", repository_name(PROJECT, repository))
}

/// A policy whose id is the name of the repository.
fn policy(repository: &str, priority: i32) -> Value {
    json!({
        "id": repository, "repository": repository_name(PROJECT, repository), "priority": priority,
    })
}

/// The body of a virtual repository with these policies, and further fields of its configuration.
fn virtual_body(policies: &[Value], more: Value) -> Value {
    let mut config = json!({ "upstreamPolicies": policies });
    let fields = config.as_object_mut().expect("fields");
    fields.extend(more.as_object().expect("fields").clone());
    json!({ "format": "DOCKER", "mode": "VIRTUAL_REPOSITORY", "virtualRepositoryConfig": config })
}

/// Creates a repository of the first project by this body.
async fn create_from_body(accounts: &AccountServer, id: &str, body: &Value) -> Reply {
    accounts.owner.post(&format!("{}?repositoryId={id}", repositories_path(PROJECT)), body).await
}

/// Creates standard repositories in the first project, and over them the virtual repository [`VIRTUAL`].
async fn set_up_virtual(accounts: &AccountServer, upstreams: &[(&str, i32)]) {
    set_up_virtual_with(accounts, upstreams, json!({})).await;
}

async fn set_up_virtual_with(accounts: &AccountServer, upstreams: &[(&str, i32)], more: Value) {
    let mut policies = Vec::new();
    for (id, priority) in upstreams {
        accounts.create_repository(PROJECT, id).await;
        policies.push(policy(id, *priority));
    }
    create_from_body(accounts, VIRTUAL, &virtual_body(&policies, more)).await.expect_status(200);
}

/// Pushes an image to a repository of the first project, and returns its digest.
async fn push(client: &Client, repository: &str, reference: (&str, &str), seed: u64) -> String {
    let (name, image) = (image_in(repository, reference.0), Image::new(seed));
    image.push(client, (&name, reference.1)).await;
    image.digest()
}
