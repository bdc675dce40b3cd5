//! Files: the blobs and manifests of a repository, each by its digest, as the APIs show and hand them out.

use std::sync::Arc;

use identity::Admitted;
use meta::files::{self, File, Of};
use meta::{Id, Tx, packages, versions};
use model::artifact::{FileName, PackageName, VersionName, escaped};
use model::digest::Digest;
use model::filter::{Direction, Filter, Pattern};
use model::name::{NameError, RepositoryName};

use crate::access::{ImageContext, find_repository};
use crate::artifacts::listing::{ListPage, Look, Names, fill};
use crate::content::blob_read::Content;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::download_rules::{MAX_HOLDING_IMAGES, check_file_download};

/// Whose files a list shows.
enum Owner {
    /// Anybody's.
    Any,
    /// An image's.
    Package(Id),
    /// A manifest's.
    Version(Id),
    /// Nobody's who is there.
    Unknown,
}

impl Owner {
    /// A filter's one owner, where it names one. Any other pattern is compared with what is shown.
    fn find(
        tx: &mut Tx<'_>,
        (name, repository): (&RepositoryName, &Id),
        filter: &Filter,
    ) -> Result<Self, EngineError> {
        let Some(owner) = filter.pattern("owner").and_then(Pattern::exact) else {
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
            Some(digest) => match versions::id_in_package(tx, &id, &digest)? {
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
        admitted: &Admitted,
        repository: &RepositoryName,
        (filter, direction): (&Filter, Direction),
        (start, limit): (&str, usize),
    ) -> Result<ListPage<File>, EngineError> {
        admitted.to_repository("artifactregistry.files.list", repository)?;
        let (name, filter) = (repository.clone(), filter.clone());
        let names = Names::new(&filter, &format!("{name}/files/"));
        let start = names.start(start, direction);
        self.meta
            .read(move |tx| {
                let repository = find_repository(tx, &name)?.id;
                let owner = Owner::find(tx, (&name, &repository), &filter)?;
                let of = match &owner {
                    Owner::Any => Of::Repository(&repository),
                    Owner::Package(id) => Of::Package(id),
                    Owner::Version(id) => Of::Version(id),
                    Owner::Unknown => return Ok(ListPage { found: Vec::new(), next: None }),
                };
                let look = |file: &File| {
                    let shown = owner_of(&name, file);
                    let matches = filter.matches(|field| match (field, of) {
                        ("owner", Of::Repository(_)) => shown.clone(),
                        // All are of the one that was asked for.
                        ("owner", Of::Package(_) | Of::Version(_)) => owner_asked_for(&filter),
                        _ => format!("{name}/files/{}", file.digest),
                    });
                    Look::wanted(matches, 2 * shown.len() + 400)
                };
                fill(
                    (start.clone(), limit),
                    |last, step| Ok(files::list(tx, (of, direction), (last, step))?),
                    |file| file.digest.to_string(),
                    |file| names.look(file.digest.as_str(), direction, look(file)),
                )
            })
            .await
    }

    /// One file.
    pub async fn file(&self, admitted: &Admitted, name: &FileName) -> Result<File, EngineError> {
        admitted.to_repository("artifactregistry.files.get", &name.repository)?;
        let name = name.clone();
        self.meta
            .point(move |tx| {
                let repository = find_repository(tx, &name.repository)?.id;
                files::find(tx, &repository, &name.digest)?
                    .ok_or_else(|| unknown_file(&name.digest))
            })
            .await
    }

    /// The bytes of a file. Whoever may download the files of a repository may read whatever is in it.
    pub async fn file_content(
        &self,
        admitted: &Admitted,
        name: &FileName,
    ) -> Result<Content, EngineError> {
        admitted.to_repository("artifactregistry.files.download", &name.repository)?;
        let wanted = name.clone();
        let (repository, manifest) = self
            .meta
            .point(move |tx| {
                let repository = find_repository(tx, &wanted.repository)?;
                let manifest = files::manifest(tx, &repository.id, &wanted.digest)?;
                if manifest.is_some() {
                    check_file_download(tx, &repository, &wanted.digest)?;
                }
                Ok::<_, EngineError>((repository.id, manifest))
            })
            .await?;
        if let Some(bytes) = manifest {
            return Ok(Content::Manifest(bytes.into()));
        }
        match self.open_blob(&repository, &name.digest).await {
            Ok(blob) => Ok(Content::Blob(blob)),
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
        admitted: &Admitted,
        name: &FileName,
    ) -> Result<(), EngineError> {
        let FileName { repository, digest } = name;
        let permission = "artifactregistry.files.delete";
        let images = self.holders(admitted, permission, (repository, digest)).await?;
        self.delete_everywhere(&images, digest).await?;
        let wanted = repository.clone();
        let found = self.meta.point(move |tx| find_repository(tx, &wanted)).await?;
        match self.remove_blob(&found.id, digest).await {
            Err(EngineError::BlobUnknown(_)) if !images.is_empty() => Ok(()),
            Err(EngineError::BlobUnknown(digest)) => Err(unknown_file(&digest)),
            removed => removed,
        }
    }

    /// The images of a repository that hold a manifest, for who may delete it from all of them.
    pub(crate) async fn holders(
        &self,
        admitted: &Admitted,
        permission: &str,
        (repository, digest): (&RepositoryName, &Digest),
    ) -> Result<Vec<Arc<ImageContext>>, EngineError> {
        admitted.to_repository(permission, repository)?;
        let (name, wanted) = (repository.clone(), digest.clone());
        let images = self
            .meta
            .point(move |tx| {
                let repository = find_repository(tx, &name)?.id;
                let limit = MAX_HOLDING_IMAGES + 1;
                Ok::<_, EngineError>(files::holders(tx, &repository, &wanted, limit)?)
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
            opened.push(self.opened(admitted, permission, &package).await?);
        }
        Ok(opened)
    }
}

/// The full name of a file's owner; nothing where it has none.
fn owner_of(repository: &RepositoryName, file: &File) -> String {
    file.owner.as_ref().map_or(String::new(), |owner| {
        format!("{repository}/packages/{}/versions/{}", escaped(&owner.package), owner.digest)
    })
}

fn owner_asked_for(filter: &Filter) -> String {
    let owner = filter.pattern("owner").and_then(Pattern::exact);
    owner.unwrap_or_default().to_owned()
}

fn unknown_file(digest: &Digest) -> EngineError {
    EngineError::ResourceUnknown(format!("File \"{digest}\""))
}
