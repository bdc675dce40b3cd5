//! Creation of attachments: files of a repository become a manifest that refers to one of its images, through a push.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream;
use identity::Authorized;
use meta::attachments::AttachmentDetails;
use meta::blobs;
use meta::versions::{self, VersionRow};
use model::artifact_name::{AttachmentName, FileName, VersionName};
use model::attachment::AttachmentId;
use model::digest::{Digest, DigestAlgorithm};
use model::manifest::{EMPTY_BLOB, ManifestError};
use model::media_type::{OCI_EMPTY_BLOB, OCI_MANIFEST};
use model::name::RepositoryName;
use model::reference::Reference;
use serde_json::json;

use crate::access::{Push, RepoAccess};
use crate::content::push::{AttachmentLabel, ReceivedManifest};
use crate::content::receive::UploadBody;
use crate::engine::Engine;
use crate::error::EngineError;
use model::permissions::artifactregistry;

/// The largest number of files of an attachment, which is also the number that lists show.
const MAX_FILES: usize = 100;

/// The longest namespace, in bytes.
const MAX_NAMESPACE_BYTES: usize = 255;

/// An attachment that is to be created.
#[derive(Debug)]
pub struct NewAttachment {
    /// The id that the client chose. Without one, the digest is the name.
    pub id: Option<AttachmentId>,
    /// The version that the attachment refers to.
    pub target: VersionName,
    /// The artifact type.
    pub artifact_type: String,
    /// The namespace of the client that attaches.
    pub namespace: String,
    /// The annotations.
    pub annotations: BTreeMap<String, String>,
    /// The files of the attachment.
    pub files: Vec<FileName>,
}

impl Engine {
    /// Attaches files of a repository to a version in it.
    pub async fn create_attachment(
        &self,
        authorized: &Authorized,
        repository: &RepositoryName,
        new: NewAttachment,
    ) -> Result<AttachmentDetails, EngineError> {
        check_request(repository, &new)?;
        let permission = artifactregistry::ATTACHMENTS_CREATE;
        let access = self.open_authorized(authorized, permission, &new.target.package).await?;
        let (target, sizes) = access.find_attachment_content(&new).await?;
        let empty = access.ensure_empty_blob().await?;
        let bytes = attachment_manifest(&new, &target, &sizes, &empty);
        let digest = Digest::of(&bytes);
        let received = ReceivedManifest {
            bytes,
            content_type: Some(OCI_MANIFEST.to_owned()),
            reference: Reference::Digest(digest.clone()),
            tags: Vec::new(),
        };
        let manifest = self.read_manifest(received).await.map_err(|error| match error {
            EngineError::ManifestInvalid(ManifestError::ArtifactType) => {
                EngineError::invalid("attachment.type", ManifestError::ArtifactType)
            }
            error => error,
        })?;
        let id = new.id.unwrap_or(AttachmentId::Digest(digest));
        let label = AttachmentLabel { id: id.clone(), namespace: new.namespace };
        access.put(manifest, Some(label)).await?;
        self.read_attachment(&AttachmentName { repository: repository.clone(), id }).await
    }
}

impl RepoAccess<Push> {
    /// Returns the version that an attachment is to refer to, and the sizes of its files. All of them must be in this
    /// repository.
    async fn find_attachment_content(
        &self,
        new: &NewAttachment,
    ) -> Result<(VersionRow, Vec<i64>), EngineError> {
        let (image, target, files) = (self.image.clone(), new.target.clone(), new.files.clone());
        self.engine
            .read(move |tx| {
                let unknown = |field: &str, name: &dyn std::fmt::Display| {
                    EngineError::ResourceUnknown(format!("{field} \"{name}\""))
                };
                let version = versions::find_by_digest(tx, image.address(), &target.digest)?;
                let version = version.ok_or_else(|| unknown("attachment.target", &target))?;
                let mut sizes = Vec::new();
                for file in &files {
                    let size = blobs::find_size(tx, &image.repository().id, &file.digest)?;
                    sizes.push(size.ok_or_else(|| unknown("the blob of attachment.files", file))?);
                }
                Ok((version, sizes))
            })
            .await
    }

    /// Makes the empty blob readable in this repository. The manifest of the attachment names it as its config.
    async fn ensure_empty_blob(&self) -> Result<Digest, EngineError> {
        let digest = Digest::of(EMPTY_BLOB);
        if !self.holds(&digest).await? {
            let upload = self.start_upload(DigestAlgorithm::Sha256).await?;
            let body: UploadBody<'_> = Box::pin(stream::iter([Ok(Bytes::from_static(EMPTY_BLOB))]));
            self.finish_upload(&upload.id, &digest, body.into()).await?;
        }
        Ok(digest)
    }

    async fn holds(&self, digest: &Digest) -> Result<bool, EngineError> {
        match self.engine.open_blob(&self.image.repository().id, digest).await {
            Ok(_) => Ok(true),
            Err(EngineError::BlobUnknown(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Refuses a request that is wrong whatever the repository holds.
fn check_request(repository: &RepositoryName, new: &NewAttachment) -> Result<(), EngineError> {
    let elsewhere = || format!("must be in {repository}");
    if new.target.package.repository != *repository {
        return Err(EngineError::invalid("attachment.target", elsewhere()));
    }
    if new.artifact_type.is_empty() {
        return Err(EngineError::invalid("attachment.type", "must not be empty"));
    }
    if new.files.is_empty() || new.files.len() > MAX_FILES {
        return Err(EngineError::invalid(
            "attachment.files",
            format!("must be from 1 to {MAX_FILES}"),
        ));
    }
    if new.files.iter().any(|file| file.repository != *repository) {
        return Err(EngineError::invalid("attachment.files", elsewhere()));
    }
    if new.namespace.len() > MAX_NAMESPACE_BYTES || new.namespace.chars().any(char::is_control) {
        let problem =
            format!("must have at most {MAX_NAMESPACE_BYTES} bytes, and no control characters");
        return Err(EngineError::invalid("attachment.attachment_namespace", problem));
    }
    Ok(())
}

/// Returns the manifest of an attachment. Equal input always makes equal bytes.
fn attachment_manifest(
    new: &NewAttachment,
    target: &VersionRow,
    file_sizes: &[i64],
    config: &Digest,
) -> Bytes {
    let descriptor = |media_type: &str, digest: &Digest, size: i64| json!({ "mediaType": media_type, "digest": digest.as_str(), "size": size });
    let files = new.files.iter().zip(file_sizes);
    let layers: Vec<_> = files
        .map(|(file, size)| descriptor("application/octet-stream", &file.digest, *size))
        .collect();
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": new.artifact_type,
        "config": descriptor(OCI_EMPTY_BLOB, config, EMPTY_BLOB.len() as i64),
        "layers": layers,
        "subject": descriptor(&target.media_type, &target.digest, target.manifest_bytes),
    });
    if !new.annotations.is_empty() {
        manifest["annotations"] = json!(new.annotations);
    }
    manifest.to_string().into()
}
