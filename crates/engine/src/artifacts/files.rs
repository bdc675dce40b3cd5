//! Files: the blobs and manifests of a repository, each by its digest, as the APIs show them and let clients download
//! them.

use std::sync::Arc;

use identity::Authorized;
use meta::files::{self, FileScope, RepositoryFile};
use meta::repositories::RepositoryRow;
use meta::{Id, Tx, packages, versions};
use model::artifact_name::{FileName, PackageName, VersionName, escape_slashes};
use model::digest::Digest;
use model::list_filter::{FilterPattern, ListFilter, SortDirection};
use model::name::{NameError, RepositoryName};
use model::permission::Permission;
use model::repository::ModeName;

use crate::access::{ImageContext, find_repository};
use crate::artifacts::listing::{NameRange, RowFilter, read_page};
use crate::content::blob_read::OpenContent;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::page::{ListPage, ListQuery};
use crate::tags::download_rules::{MAX_HOLDING_IMAGES, check_file_download};
use crate::upstream_set::RepositoryReads;
use model::permissions::artifactregistry;

/// The owner that a list of files is limited to.
enum OwnerFilter {
    /// Any owner, or none.
    Any,
    /// The manifests of an image.
    Package(Id),
    /// A manifest.
    Version(Id),
    /// An owner that does not exist.
    Unknown,
}

impl OwnerFilter {
    /// Returns the one owner that a filter names. Any other pattern is compared with the owner of each file.
    fn find(
        tx: &mut Tx<'_>,
        name: &RepositoryName,
        repository: &Id,
        filter: &ListFilter,
    ) -> Result<Self, EngineError> {
        let Some(owner) = filter.pattern("owner").and_then(FilterPattern::exact_text) else {
            return Ok(Self::Any);
        };
        let (package, digest) = match (owner.parse::<VersionName>(), owner.parse::<PackageName>()) {
            (Ok(version), _) => (version.package, Some(version.digest)),
            (Err(_), Ok(package)) => (package, None),
            (Err(_), Err(_)) => return Ok(Self::Unknown),
        };
        if package.repository != *name {
            return Ok(Self::Unknown);
        }
        let Some(id) = packages::find(tx, repository, package.image.as_str())? else {
            return Ok(Self::Unknown);
        };
        Ok(match digest {
            None => Self::Package(id),
            Some(digest) => match versions::find_in_package(tx, &id, &digest)? {
                Some((id, _)) => Self::Version(id),
                None => Self::Unknown,
            },
        })
    }
}

impl Engine {
    /// Lists the files of a repository whose names and owners match, in the order of their digests.
    pub async fn list_files(
        &self,
        authorized: &Authorized,
        repository: &RepositoryName,
        query: ListQuery<SortDirection>,
    ) -> Result<ListPage<RepositoryFile>, EngineError> {
        authorized.require_repository(artifactregistry::FILES_LIST, repository)?;
        let name = repository.clone();
        let ListQuery { filter, order: direction, page } = query;
        let names = NameRange::new(&filter, &format!("{name}/files/"));
        let page = names.narrow(page, direction);
        self.read(move |tx| {
            let repository = find_repository(tx, &name)?.id;
            let owner = OwnerFilter::find(tx, &name, &repository, &filter)?;
            let scope = match &owner {
                OwnerFilter::Any => FileScope::Repository(&repository),
                OwnerFilter::Package(id) => FileScope::Package(id),
                OwnerFilter::Version(id) => FileScope::Version(id),
                OwnerFilter::Unknown => return Ok(ListPage::empty()),
            };
            let row_filter = |file: &RepositoryFile| {
                let owner = owner_name(&name, file);
                let matches = filter.matches(|field| match (field, scope) {
                    ("owner", FileScope::Repository(_)) => owner.clone(),
                    // The database has returned files of the wanted owner only.
                    ("owner", FileScope::Package(_) | FileScope::Version(_)) => {
                        wanted_owner(&filter)
                    }
                    _ => format!("{name}/files/{}", file.digest),
                });
                RowFilter::include_if(matches, 2 * owner.len() + 400)
            };
            read_page(
                page.clone(),
                |last, step| Ok(files::list(tx, scope, direction, last, step)?),
                |file| file.digest.to_string(),
                |file| names.filter(file.digest.as_str(), direction, row_filter(file)),
            )
        })
        .await
    }

    /// Returns one file.
    pub async fn find_file(
        &self,
        authorized: &Authorized,
        name: &FileName,
    ) -> Result<RepositoryFile, EngineError> {
        authorized.require_repository(artifactregistry::FILES_GET, &name.repository)?;
        let name = name.clone();
        self.read_by_key(move |tx| {
            let repository = find_repository(tx, &name.repository)?.id;
            files::find(tx, &repository, &name.digest)?.ok_or_else(|| unknown_file(&name.digest))
        })
        .await
    }

    /// Opens the content of a file. The permission to download files covers all content of the repository.
    pub async fn open_file(
        &self,
        authorized: &Authorized,
        name: &FileName,
    ) -> Result<OpenContent, EngineError> {
        authorized.require_repository(artifactregistry::FILES_DOWNLOAD, &name.repository)?;
        let wanted = name.clone();
        let (repository, manifest) = self
            .read_by_key(move |tx| {
                let repository = find_repository(tx, &wanted.repository)?;
                let manifest = files::find_manifest_bytes(tx, &repository.id, &wanted.digest)?;
                if manifest.is_some() {
                    check_file_download(tx, &repository, &wanted.digest)?;
                    check_served(tx, &wanted, &repository)?;
                }
                Ok((repository.id, manifest))
            })
            .await?;
        if let Some(bytes) = manifest {
            return Ok(OpenContent::Manifest(bytes.into()));
        }
        match self.open_blob(&repository, &name.digest).await {
            Ok(blob) => Ok(OpenContent::Blob(blob)),
            Err(EngineError::BlobUnknown(digest)) => Err(unknown_file(&digest)),
            Err(error) => Err(error),
        }
    }
}

impl Engine {
    /// Deletes a file that nothing needs. A blob must not be named by a manifest of the repository. A manifest is
    /// deleted from every image that holds it, like a version that must have no tags.
    pub async fn delete_file(
        &self,
        authorized: &Authorized,
        name: &FileName,
    ) -> Result<(), EngineError> {
        let FileName { repository, digest } = name;
        let permission = artifactregistry::FILES_DELETE;
        let images = self.list_holding_images(authorized, permission, repository, digest).await?;
        self.delete_everywhere(&images, digest).await?;
        let wanted = repository.clone();
        let row = self.read_by_key(move |tx| find_repository(tx, &wanted)).await?;
        match self.delete_repository_blob(&row.id, digest).await {
            Err(EngineError::BlobUnknown(_)) if !images.is_empty() => Ok(()),
            Err(EngineError::BlobUnknown(digest)) => Err(unknown_file(&digest)),
            outcome => outcome,
        }
    }

    /// Returns the images of a repository that hold a manifest, if the caller may delete it from all of them.
    pub(crate) async fn list_holding_images(
        &self,
        authorized: &Authorized,
        permission: Permission,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Vec<Arc<ImageContext>>, EngineError> {
        authorized.require_repository(permission, repository)?;
        let (name, wanted) = (repository.clone(), digest.clone());
        let images = self
            .read_by_key(move |tx| {
                let repository = find_repository(tx, &name)?.id;
                let limit = MAX_HOLDING_IMAGES + 1;
                Ok(files::list_images_with_manifest(tx, &repository, &wanted, limit)?)
            })
            .await?;
        if images.len() as i64 > MAX_HOLDING_IMAGES {
            return Err(EngineError::Precondition(format!(
                "more than {MAX_HOLDING_IMAGES} images hold {digest}: delete its versions first"
            )));
        }
        let mut contexts = Vec::new();
        for image in images {
            let unreadable =
                |error: NameError| EngineError::Internal(format!("image {image}: {error}"));
            let image = image.parse().map_err(unreadable)?;
            let package = PackageName { repository: repository.clone(), image };
            contexts.push(self.image_context(authorized, permission, &package).await?);
        }
        Ok(contexts)
    }
}

/// Returns the full name of the owner of a file, or an empty text if it has none.
fn owner_name(repository: &RepositoryName, file: &RepositoryFile) -> String {
    file.owner.as_ref().map_or(String::new(), |owner| {
        format!(
            "{repository}/packages/{}/versions/{}",
            escape_slashes(&owner.package),
            owner.digest
        )
    })
}

fn wanted_owner(filter: &ListFilter) -> String {
    let owner = filter.pattern("owner").and_then(FilterPattern::exact_text);
    owner.unwrap_or_default().to_owned()
}

/// Refuses a manifest if a remote repository serves none of the images that have it.
fn check_served(
    tx: &mut Tx<'_>,
    name: &FileName,
    repository: &RepositoryRow,
) -> Result<(), EngineError> {
    let FileName { repository: repository_name, digest } = name;
    if repository.mode != ModeName::Remote {
        return Ok(());
    }
    let reads = RepositoryReads::read(tx, repository_name, repository)?;
    let RepositoryReads::Registry(registry) = reads else { return Ok(()) };
    let mut served = Ok(());
    for image in files::list_images_with_manifest(tx, &repository.id, digest, MAX_HOLDING_IMAGES)? {
        served = registry.check_image(repository_name, &image);
        if served.is_ok() {
            break;
        }
    }
    served
}

fn unknown_file(digest: &Digest) -> EngineError {
    EngineError::ResourceUnknown(format!("File \"{digest}\""))
}
