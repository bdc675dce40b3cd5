//! Images, as small as they may be.

use bytes::Bytes;
use model::digest::Digest;
use model::media_type::OCI_MANIFEST;
use serde_json::json;

use super::Client;

/// Bytes that compress badly and are the same in each run.
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

/// An image: a config and layers, all different for each `seed`.
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
        let blobs: Vec<Bytes> = std::iter::once(Bytes::from(config)).chain(layers).collect();
        let descriptor = |media_type: &str, bytes: &Bytes| json!({ "mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len() });
        let layer = |bytes| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", bytes);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &blobs[0]),
            "layers": blobs[1..].iter().map(layer).collect::<Vec<_>>(),
        })
        .to_string();
        Self { blobs, manifest }
    }

    pub(crate) fn digest(&self) -> String {
        digest_of(&self.manifest)
    }

    /// How an index names it.
    pub(crate) fn descriptor(&self) -> serde_json::Value {
        json!({ "mediaType": OCI_MANIFEST, "digest": self.digest(), "size": self.manifest.len() })
    }

    /// An artifact that refers to something.
    pub(crate) fn referring_to(subject: &serde_json::Value, artifact_type: &str) -> Self {
        let empty = Bytes::from_static(b"{}");
        let descriptor = json!({
            "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(&empty), "size": 2
        });
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
