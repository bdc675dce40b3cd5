//! The first account, which owns everything: made at the first start, with a key file in the data folder.

use std::path::PathBuf;

use anyhow::{Context, bail};
use engine::Engine;
use identity::IdentityError;
use model::name::ProjectId;
use web::server_url::ServerUrl;

use crate::data::DataFolder;

/// The account that the first start made, as the person who started the server is told of it.
pub struct FirstOwner {
    /// The account's email address.
    pub email: String,
    /// The id of the project that was made beside the account's own.
    pub project: String,
    /// The path of the account's key file.
    pub key_file: PathBuf,
}

/// Writes the token endpoint that clients reach into the owner's key file, or warns that `external_url` is not set.
fn update_token_uri(origin: &ServerUrl, data: &DataFolder) {
    match origin.fixed() {
        Some(url) => data.set_token_uri(&format!("{url}/token")),
        None => tracing::warn!(
            "external_url is not set: clients are told the address of this machine that they connected to, which is \
             wrong where a container's port is mapped or a proxy stands before it"
        ),
    }
}

/// Makes the first account if nobody can sign in yet, and keeps its key file in the data folder.
pub(super) async fn create_if_needed(
    engine: &Engine,
    data: &DataFolder,
    project: &str,
    origin: &ServerUrl,
) -> anyhow::Result<Option<FirstOwner>> {
    if !engine.identity().needs_owner().await? {
        update_token_uri(origin, data);
        return Ok(None);
    }
    let project: ProjectId = project.parse().context("first_project")?;
    let Some(own_url) = origin.fixed() else {
        bail!(
            "external_url is not set, and {} is every address of this machine: the owner's key file, which the first \
             start writes, has to say where clients reach the server; set external_url, as \
             \"https://registry.example.com\"",
            origin.listen()
        );
    };
    let token_uri = format!("{own_url}/token");
    let mut written = PathBuf::new();
    let owner = engine.identity().create_owner(&project, &token_uri, |owner| {
        written = data.write_owner_key(&owner.key_file).map_err(|error| {
            IdentityError::Internal(format!("cannot write the owner's key file: {error}"))
        })?;
        Ok(())
    });
    let Some(owner) = owner.await? else {
        // Another process was quicker, and its key file is the one of the account.
        std::fs::remove_file(written)?;
        return Ok(None);
    };
    let key_file = data.publish_owner_key(&written).context("cannot keep the owner's key file")?;
    Ok(Some(FirstOwner { email: owner.email, project: project.to_string(), key_file }))
}
