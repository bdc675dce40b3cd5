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
use crate::artifacts::listing::{ListPage, RowFilter, read_page};
use crate::engine::Engine;
use crate::error::EngineError;
use model::permissions::artifactregistry;

impl Engine {
    /// Lists the attachments of a repository that match, in the order of their digests.
    pub async fn attachments(
        &self,
        admitted: &Authorized,
        repository: &RepositoryName,
        filter: &ListFilter,
        (start, limit): (&str, usize),
    ) -> Result<ListPage<AttachmentDetails>, EngineError> {
        admitted.require_repository(artifactregistry::ATTACHMENTS_LIST, repository)?;
        let (name, filter, start) = (repository.clone(), filter.clone(), start.to_owned());
        self.read(move |tx| {
            let repository = find_repository(tx, &name)?.id;
            let look = |found: &AttachmentDetails| {
                let matches = filter.matches(|field| shown(&name, found, field));
                let files = found.files.len() * (name.to_string().len() + 90);
                let bytes = found.annotations.len() + files + 3 * found.package.len() + 1_000;
                RowFilter::wanted(matches, bytes)
            };
            // There is an index of the attachments of one target, and one manifest of an image is found by its
            // digest.
            let mut named = |field| {
                let wanted = filter.pattern(field).and_then(FilterPattern::exact_text);
                let at = (&name, &repository);
                wanted.map(|wanted| find_version(tx, at, wanted)).transpose()
            };
            let (one, target) = (named("oci_version_name")?, named("target")?);
            let of = match (&one, &target) {
                (Some(None), _) | (_, Some(None)) => {
                    return Ok(ListPage { found: Vec::new(), next: None });
                }
                (Some(Some((package, digest))), _) => AttachmentScope::Version(package, digest),
                (None, Some(Some((package, subject)))) => AttachmentScope::Target(package, subject),
                (None, None) => AttachmentScope::Repository(&repository),
            };
            read_page(
                (start.clone(), limit),
                |last, step| Ok(attachments::list(tx, of, last, step)?),
                |found| found.digest.to_string(),
                look,
            )
        })
        .await
    }

    /// Returns one attachment.
    pub async fn attachment(
        &self,
        admitted: &Authorized,
        name: &AttachmentName,
    ) -> Result<AttachmentDetails, EngineError> {
        admitted.require_repository(artifactregistry::ATTACHMENTS_GET, &name.repository)?;
        self.find_attachment(name).await
    }

    /// Deletes an attachment like a version that must have no tags. The version that it refers to stays.
    pub async fn remove_attachment(
        &self,
        admitted: &Authorized,
        name: &AttachmentName,
    ) -> Result<(), EngineError> {
        let permission = artifactregistry::ATTACHMENTS_DELETE;
        admitted.require_repository(permission, &name.repository)?;
        // The permission to delete attachments must not delete any other manifest.
        let digest = self.find_attachment(name).await?.digest;
        let images = self.holders(admitted, permission, (&name.repository, &digest)).await?;
        self.delete_everywhere(&images, &digest).await
    }

    pub(crate) async fn find_attachment(
        &self,
        name: &AttachmentName,
    ) -> Result<AttachmentDetails, EngineError> {
        let name = name.clone();
        self.read_by_key(move |tx| {
            let repository = find_repository(tx, &name.repository)?.id;
            let found = attachments::find(tx, &repository, &name.id)?;
            let unknown = || EngineError::ResourceUnknown(format!("Attachment \"{}\"", name.id));
            found.ok_or_else(unknown)
        })
        .await
    }
}

/// Returns the value of a field of an attachment, as filters compare it.
fn shown(repository: &RepositoryName, found: &AttachmentDetails, field: &str) -> String {
    let version = |digest: &Digest| {
        format!("{repository}/packages/{}/versions/{digest}", escape_slashes(&found.package))
    };
    match field {
        "target" => version(&found.subject),
        "oci_version_name" => version(&found.digest),
        "type" => found.artifact_type.clone().unwrap_or_default(),
        _ => {
            let (repository, id) = (repository.clone(), found.id.clone());
            AttachmentName { repository, id }.to_string()
        }
    }
}

/// Finds the image and the digest of a version that a filter names. Returns `None` if the version cannot be in this
/// repository.
fn find_version(
    tx: &mut Tx<'_>,
    (name, repository): (&RepositoryName, &Id),
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
