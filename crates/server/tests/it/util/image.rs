//! Small images.

use std::fmt::Display;

use bytes::Bytes;
use meta::{Id, MetaError, SqlParam, Tx, repositories};
use model::digest::Digest;
use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use model::name::RepositoryName;
use serde_json::{Value, json};

use super::Client;

/// Bytes that do not compress and are the same in each run.
pub(crate) fn random_bytes(length: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

pub(crate) fn digest_of(bytes: impl AsRef<[u8]>) -> String {
    Digest::of(bytes.as_ref()).to_string()
}

/// The path of a blob under `/v2/`.
pub(crate) fn blob_path(image: &str, digest: impl Display) -> String {
    format!("/v2/{image}/blobs/{digest}")
}

/// The path of a manifest under `/v2/`, by tag or digest.
pub(crate) fn manifest_path(image: &str, reference: impl Display) -> String {
    format!("/v2/{image}/manifests/{reference}")
}

/// A descriptor of these bytes.
pub(crate) fn descriptor_of(media_type: &str, bytes: impl AsRef<[u8]>) -> Value {
    let bytes = bytes.as_ref();
    json!({ "mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len() })
}

/// An image index with these entries.
pub(crate) fn index_of(entries: &[Value]) -> String {
    json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries }).to_string()
}

/// An image with a config and layers. Each `seed` gives other bytes.
pub(crate) struct Image {
    pub(crate) blobs: Vec<Bytes>,
    pub(crate) manifest: String,
}

impl Image {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_layers(seed, 2)
    }

    pub(crate) fn with_layers(seed: u64, layers: u64) -> Self {
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","created":"2024-02-29T12:00:00Z","seed":{seed}}}"#
        );
        let layers = (0..layers).map(|n| random_bytes(100, seed * 10_000 + n));
        Self::of_blobs(std::iter::once(Bytes::from(config)).chain(layers).collect())
    }

    /// An image with this layer.
    pub(crate) fn of_layer(layer: Bytes) -> Self {
        Self::of_blobs(vec![Bytes::from_static(br#"{"architecture":"amd64","os":"linux"}"#), layer])
    }

    /// An image whose config is the first of these blobs, and whose layers are the others.
    fn of_blobs(blobs: Vec<Bytes>) -> Self {
        let layer = |bytes| descriptor_of("application/vnd.oci.image.layer.v1.tar+gzip", bytes);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor_of("application/vnd.oci.image.config.v1+json", &blobs[0]),
            "layers": blobs[1..].iter().map(layer).collect::<Vec<_>>(),
        })
        .to_string();
        Self { blobs, manifest }
    }

    pub(crate) fn digest(&self) -> String {
        digest_of(&self.manifest)
    }

    /// The image's entry in an index.
    pub(crate) fn descriptor(&self) -> Value {
        descriptor_of(OCI_MANIFEST, &self.manifest)
    }

    /// An artifact whose subject is this descriptor.
    pub(crate) fn referring_to(subject: &Value, artifact_type: &str) -> Self {
        let empty = Bytes::from_static(b"{}");
        let descriptor = descriptor_of("application/vnd.oci.empty.v1+json", &empty);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": artifact_type,
            "config": descriptor, "layers": [descriptor], "subject": subject,
            "annotations": { "about": artifact_type },
        })
        .to_string();
        Self { blobs: vec![empty], manifest }
    }

    pub(crate) async fn push_blobs(&self, client: &Client, image: &str) {
        for blob in &self.blobs {
            client.push_blob(image, blob.clone()).await;
        }
    }

    pub(crate) async fn push(&self, client: &Client, (image, reference): (&str, &str)) {
        self.push_blobs(client, image).await;
        let pushed =
            client.push_manifest((image, reference), OCI_MANIFEST, self.manifest.clone()).await;
        let pushed = pushed.expect_status(201);
        assert_eq!(pushed.header("docker-content-digest"), self.digest());
    }
}

/// Inserts images without content into the tables of a repository, past the server.
pub(crate) fn insert_images(
    tx: &mut Tx<'_>,
    repository: &RepositoryName,
    names: &[String],
) -> Result<(), MetaError> {
    let id = repositories::find(tx, repository)?.expect("it is there").id;
    let (location, parent) = (repository.location.as_str(), repository.path());
    let images: Vec<_> =
        names.iter().map(|name| (Id::new(), name.as_str(), format!("{parent}/{name}"))).collect();
    let rows: Vec<Vec<SqlParam<'_>>> = images
        .iter()
        .map(|(image, name, path)| {
            let texts = [*name, location, path.as_str()].map(SqlParam::from);
            [&[SqlParam::from(image), SqlParam::from(&id)], &texts[..], &[SqlParam::from(0)]]
                .concat()
        })
        .collect();
    let table = "INSERT INTO packages (id, repository_id, name, location, path, created_at)";
    tx.execute_values(table, "", &rows)?;
    Ok(())
}
