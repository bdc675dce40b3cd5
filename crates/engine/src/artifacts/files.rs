//! Files: the blobs and manifests of a repository, each by its digest, as the APIs show and hand them out.

use std::sync::Arc;

use identity::Authorized;
use meta::files::{self, FileScope, RepositoryFile};
use meta::{Id, Tx, packages, versions};
use model::artifact_name::{FileName, PackageName, VersionName, escape_slashes};
use model::digest::Digest;
use model::list_filter::{FilterPattern, ListFilter, SortDirection};
use model::name::{NameError, RepositoryName};
use model::permission::Permission;

use crate::access::{ImageContext, find_repository};
use crate::artifacts::listing::{ListPage, NameRange, RowFilter, read_page};
use crate::content::blob_read::OpenContent;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::download_rules::{MAX_HOLDING_IMAGES, check_file_download};
use model::permissions::artifactregistry;

/// Whose files a list shows.
enum OwnerFilter {
    /// Anybody's.
    Any,
    /// An image's.
    Package(Id),
    /// A manifest's.
    Version(Id),
    /// Nobody's who is there.
    Unknown,
}

impl OwnerFilter {
    /// A filter's one owner, where it names one. Any other pattern is compared with what is shown.
    fn find(
        tx: &mut Tx<'_>,
        (name, repository): (&RepositoryName, &Id),
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
    /// The files of a repository whose names and owners match, in the order of their digests.
    pub async fn files(
        &self,
        admitted: &Authorized,
        repository: &RepositoryName,
        (filter, direction): (&ListFilter, SortDirection),
        (start, limit): (&str, usize),
    ) -> Result<ListPage<RepositoryFile>, EngineError> {
        admitted.require_repository(artifactregistry::FILES_LIST, repository)?;
        let (name, filter) = (repository.clone(), filter.clone());
        let names = NameRange::new(&filter, &format!("{name}/files/"));
        let start = names.start(start, direction);
        self.meta
            .read(move |tx| {
                let repository = find_repository(tx, &name)?.id;
                let owner = OwnerFilter::find(tx, (&name, &repository), &filter)?;
                let of = match &owner {
                    OwnerFilter::Any => FileScope::Repository(&repository),
                    OwnerFilter::Package(id) => FileScope::Package(id),
                    OwnerFilter::Version(id) => FileScope::Version(id),
                    OwnerFilter::Unknown => return Ok(ListPage { found: Vec::new(), next: None }),
                };
                let look = |file: &RepositoryFile| {
                    let shown = owner_of(&name, file);
                    let matches = filter.matches(|field| match (field, of) {
                        ("owner", FileScope::Repository(_)) => shown.clone(),
                        // All are of the one that was asked for.
                        ("owner", FileScope::Package(_) | FileScope::Version(_)) => {
                            owner_asked_for(&filter)
                        }
                        _ => format!("{name}/files/{}", file.digest),
                    });
                    RowFilter::wanted(matches, 2 * shown.len() + 400)
                };
                read_page(
                    (start.clone(), limit),
                    |last, step| Ok(files::list(tx, of, direction, last, step)?),
                    |file| file.digest.to_string(),
                    |file| names.look(file.digest.as_str(), direction, look(file)),
                )
            })
            .await
    }

    /// One file.
    pub async fn file(
        &self,
        admitted: &Authorized,
        name: &FileName,
    ) -> Result<RepositoryFile, EngineError> {
        admitted.require_repository(artifactregistry::FILES_GET, &name.repository)?;
        let name = name.clone();
        self.meta
            .read_by_key(move |tx| {
                let repository = find_repository(tx, &name.repository)?.id;
                files::find(tx, &repository, &name.digest)?
                    .ok_or_else(|| unknown_file(&name.digest))
            })
            .await
    }

    /// The bytes of a file. Whoever may download the files of a repository may read whatever is in it.
    pub async fn file_content(
        &self,
        admitted: &Authorized,
        name: &FileName,
    ) -> Result<OpenContent, EngineError> {
        admitted.require_repository(artifactregistry::FILES_DOWNLOAD, &name.repository)?;
        let wanted = name.clone();
        let (repository, manifest) = self
            .meta
            .read_by_key(move |tx| {
                let repository = find_repository(tx, &wanted.repository)?;
                let manifest = files::find_manifest_bytes(tx, &repository.id, &wanted.digest)?;
                if manifest.is_some() {
                    check_file_download(tx, &repository, &wanted.digest)?;
                }
                Ok::<_, EngineError>((repository.id, manifest))
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
    /// Deletes a file that nothing needs: a blob that no manifest of the repository names, or a manifest from every image
    /// that holds it, as a version is deleted that must have no tags.
    pub async fn remove_file(
        &self,
        admitted: &Authorized,
        name: &FileName,
    ) -> Result<(), EngineError> {
        let FileName { repository, digest } = name;
        let permission = artifactregistry::FILES_DELETE;
        let images = self.holders(admitted, permission, (repository, digest)).await?;
        self.delete_everywhere(&images, digest).await?;
        let wanted = repository.clone();
        let found = self.meta.read_by_key(move |tx| find_repository(tx, &wanted)).await?;
        match self.delete_blob_of(&found.id, digest).await {
            Err(EngineError::BlobUnknown(_)) if !images.is_empty() => Ok(()),
            Err(EngineError::BlobUnknown(digest)) => Err(unknown_file(&digest)),
            removed => removed,
        }
    }

    /// The images of a repository that hold a manifest, for who may delete it from all of them.
    pub(crate) async fn holders(
        &self,
        admitted: &Authorized,
        permission: Permission,
        (repository, digest): (&RepositoryName, &Digest),
    ) -> Result<Vec<Arc<ImageContext>>, EngineError> {
        admitted.require_repository(permission, repository)?;
        let (name, wanted) = (repository.clone(), digest.clone());
        let images = self
            .meta
            .read_by_key(move |tx| {
                let repository = find_repository(tx, &name)?.id;
                let limit = MAX_HOLDING_IMAGES + 1;
                Ok::<_, EngineError>(files::list_images_with_manifest(
                    tx,
                    &repository,
                    &wanted,
                    limit,
                )?)
            })
            .await?;
        if images.len() as i64 > MAX_HOLDING_IMAGES {
            return Err(EngineError::Precondition(format!(
                "more than {MAX_HOLDING_IMAGES} images hold {digest}: delete its versions first"
            )));
        }
        let mut opened = Vec::new();
        for image in images {
            let unreadable =
                |error: NameError| EngineError::Internal(format!("image {image}: {error}"));
            let image = image.parse().map_err(unreadable)?;
            let package = PackageName { repository: repository.clone(), image };
            opened.push(self.image_context(admitted, permission, &package).await?);
        }
        Ok(opened)
    }
}

/// The full name of a file's owner; nothing where it has none.
fn owner_of(repository: &RepositoryName, file: &RepositoryFile) -> String {
    file.owner.as_ref().map_or(String::new(), |owner| {
        format!(
            "{repository}/packages/{}/versions/{}",
            escape_slashes(&owner.package),
            owner.digest
        )
    })
}

fn owner_asked_for(filter: &ListFilter) -> String {
    let owner = filter.pattern("owner").and_then(FilterPattern::exact_text);
    owner.unwrap_or_default().to_owned()
}

fn unknown_file(digest: &Digest) -> EngineError {
    EngineError::ResourceUnknown(format!("File \"{digest}\""))
}
