//! Attachments as the APIs show them: manifests that refer to an image and say something about it, such as its bill
//! of materials.

use identity::Authorized;
use meta::attachments::{self, AttachmentDetails, AttachmentScope};
use meta::{Id, Tx, packages};
use model::artifact_name::{AttachmentName, VersionName, escape_slashes};
use model::digest::Digest;
use model::list_filter::{FilterPattern, ListFilter};
use model::name::RepositoryName;

use crate::access::find_repository;
use crate::artifacts::listing::{RowFilter, read_page};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::page::{ListPage, PageRequest};
use model::permissions::artifactregistry;

impl Engine {
    /// Lists the attachments of a repository that match, in the order of their digests.
    pub async fn list_attachments(
        &self,
        authorized: &Authorized,
        repository: &RepositoryName,
        filter: ListFilter,
        page: PageRequest,
    ) -> Result<ListPage<AttachmentDetails>, EngineError> {
        authorized.require_repository(artifactregistry::ATTACHMENTS_LIST, repository)?;
        let name = repository.clone();
        self.read(move |tx| {
            let repository = find_repository(tx, &name)?.id;
            let row_filter = |attachment: &AttachmentDetails| {
                let matches = filter.matches(|field| field_text(&name, attachment, field));
                let files = attachment.files.len() * (name.to_string().len() + 90);
                let bytes =
                    attachment.annotations.len() + files + 3 * attachment.package.len() + 1_000;
                RowFilter::include_if(matches, bytes)
            };
            // There is an index of the attachments of one target, and one manifest of an image is found by its
            // digest.
            let mut wanted_version = |field| {
                let wanted = filter.pattern(field).and_then(FilterPattern::exact_text);
                wanted.map(|wanted| find_version(tx, &name, &repository, wanted)).transpose()
            };
            let version = wanted_version("oci_version_name")?;
            let target = wanted_version("target")?;
            let scope = match (&version, &target) {
                (Some(None), _) | (_, Some(None)) => {
                    return Ok(ListPage::empty());
                }
                (Some(Some((package, digest))), _) => AttachmentScope::Version(package, digest),
                (None, Some(Some((package, subject)))) => AttachmentScope::Target(package, subject),
                (None, None) => AttachmentScope::Repository(&repository),
            };
            read_page(
                page.clone(),
                |last, step| Ok(attachments::list(tx, scope, last, step)?),
                |attachment| attachment.digest.to_string(),
                row_filter,
            )
        })
        .await
    }

    /// Returns one attachment.
    pub async fn find_attachment(
        &self,
        authorized: &Authorized,
        name: &AttachmentName,
    ) -> Result<AttachmentDetails, EngineError> {
        authorized.require_repository(artifactregistry::ATTACHMENTS_GET, &name.repository)?;
        self.read_attachment(name).await
    }

    /// Deletes an attachment like a version that must have no tags. The version that it refers to stays.
    pub async fn delete_attachment(
        &self,
        authorized: &Authorized,
        name: &AttachmentName,
    ) -> Result<(), EngineError> {
        let permission = artifactregistry::ATTACHMENTS_DELETE;
        authorized.require_repository(permission, &name.repository)?;
        // The permission to delete attachments must not delete any other manifest.
        let digest = self.read_attachment(name).await?.digest;
        let images =
            self.list_holding_images(authorized, permission, &name.repository, &digest).await?;
        self.delete_everywhere(&images, &digest).await
    }

    pub(crate) async fn read_attachment(
        &self,
        name: &AttachmentName,
    ) -> Result<AttachmentDetails, EngineError> {
        let name = name.clone();
        self.read_by_key(move |tx| {
            let repository = find_repository(tx, &name.repository)?.id;
            let attachment = attachments::find(tx, &repository, &name.id)?;
            let unknown = || EngineError::ResourceUnknown(format!("Attachment \"{}\"", name.id));
            attachment.ok_or_else(unknown)
        })
        .await
    }
}

/// Returns the value of a field of an attachment, as filters compare it.
fn field_text(repository: &RepositoryName, attachment: &AttachmentDetails, field: &str) -> String {
    let version = |digest: &Digest| {
        format!("{repository}/packages/{}/versions/{digest}", escape_slashes(&attachment.package))
    };
    match field {
        "target" => version(&attachment.subject),
        "oci_version_name" => version(&attachment.digest),
        "type" => attachment.artifact_type.clone().unwrap_or_default(),
        _ => {
            let (repository, id) = (repository.clone(), attachment.id.clone());
            AttachmentName { repository, id }.to_string()
        }
    }
}

/// Finds the image and the digest of a version that a filter names. Returns `None` if the version cannot be in this
/// repository.
fn find_version(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    repository: &Id,
    version: &str,
) -> Result<Option<(Id, Digest)>, EngineError> {
    match version.parse::<VersionName>() {
        Ok(VersionName { package, digest }) if package.repository == *name => {
            let id = packages::find(tx, repository, package.image.as_str())?;
            Ok(id.map(|id| (id, digest)))
        }
        Ok(_) | Err(_) => Ok(None),
    }
}
