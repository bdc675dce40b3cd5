//! Who asks, what they may do, and the proof of it: a [`RepoAccess`] is the only way to content.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use identity::{Authorized, Caller};
use meta::Tx;
use meta::events::{self, EventAction};
use meta::repositories::{self, RepositoryRow};
use model::artifact_name::PackageName;
use model::name::{ImageName, ImagePath, Location, RepositoryName};
use model::permission::Permission;
use model::registry_scope::ScopeAction;
use model::repository::RepositoryMode;
use model::resource::Resource;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::webhook::Webhook;
use model::permissions::artifactregistry;

/// An image at a location: what a path under `/v2/` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageTarget {
    /// Where the request's host says the repository is.
    pub location: Location,
    /// Project, repository and image.
    pub path: ImagePath,
    /// Whether the host is one of Container Registry's, which name the repository: pushes to them may make it.
    pub on_registry_host: bool,
}

impl ImageTarget {
    /// The repository that the image is in.
    pub fn repository(&self) -> RepositoryName {
        RepositoryName {
            project: self.path.project.clone(),
            location: self.location.clone(),
            repository: self.path.repository.clone(),
        }
    }
}

/// Access to read.
#[derive(Debug)]
pub struct Pull;
/// Access to write.
#[derive(Debug)]
pub struct Push;
/// Access to delete.
#[derive(Debug)]
pub struct Delete;

/// A kind of access, and the permission that it takes.
pub trait AccessKind {
    /// The permission.
    const PERMISSION: Permission;
}

impl AccessKind for Pull {
    const PERMISSION: Permission = artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS;
}
impl AccessKind for Push {
    const PERMISSION: Permission = artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS;
}
impl AccessKind for Delete {
    const PERMISSION: Permission = artifactregistry::REPOSITORIES_DELETE_ARTIFACTS;
}

/// Proof that the caller may do `K` in a repository that exists. Only [`Engine::open`], [`Engine::open_existing`] and, for
/// what a method of the APIs pushes, `open_admitted` make one; it is the only way to bytes, besides the download of a
/// file. What the APIs show and change without touching bytes goes by [`Admitted`], and so does that one.
pub struct RepoAccess<K> {
    pub(crate) engine: Engine,
    pub(crate) image: Arc<ImageContext>,
    /// What the caller was found to have.
    permission: Permission,
    kind: PhantomData<fn() -> K>,
}

/// The rows that a read is answered from: those of one image in one repository.
#[derive(Debug)]
pub(crate) struct ImageHolding {
    pub(crate) repository: RepositoryRow,
    pub(crate) image: ImageName,
}

impl ImageHolding {
    pub(crate) fn image(&self) -> &str {
        self.image.as_str()
    }

    pub(crate) fn address(&self) -> meta::versions::ImageAddress<'_> {
        meta::versions::ImageAddress { repository: &self.repository.id, image: self.image() }
    }
}

/// The image that a request is about, and its caller. Transactions of the request share it.
#[derive(Debug)]
pub(crate) struct ImageContext {
    /// The rows of the image in the repository that the request names.
    pub(crate) holding: Arc<ImageHolding>,
    pub(crate) repository_name: RepositoryName,
    pub(crate) target: ImageTarget,
    pub(crate) caller: Caller,
    /// The caller's principal as rows hold it.
    pub(crate) principal: String,
    /// Who may want to be told of what changes here.
    pub(crate) webhooks: Arc<[Webhook]>,
}

impl ImageContext {
    pub(crate) fn new(
        repository: RepositoryRow,
        target: ImageTarget,
        caller: Caller,
        webhooks: Arc<[Webhook]>,
    ) -> Self {
        let holding = Arc::new(ImageHolding { repository, image: target.path.image.clone() });
        let (name, principal) = (target.repository(), caller.principal.to_string());
        Self { holding, repository_name: name, target, caller, principal, webhooks }
    }

    pub(crate) fn repository(&self) -> &RepositoryRow {
        &self.holding.repository
    }

    pub(crate) fn image_name(&self) -> &str {
        self.holding.image()
    }

    pub(crate) fn address(&self) -> meta::versions::ImageAddress<'_> {
        self.holding.address()
    }

    /// Refuses a repository that only reads from others.
    pub(crate) fn check_standard(&self) -> Result<(), EngineError> {
        match self.repository().mode {
            RepositoryMode::Standard => Ok(()),
            RepositoryMode::Remote(_) | RepositoryMode::Virtual(_) => {
                Err(EngineError::ModeNotServed(self.repository_name.clone()))
            }
        }
    }

    /// Refuses to put anything into a repository that was deleted since it was opened.
    pub(crate) fn check_live(&self, tx: &mut Tx<'_>) -> Result<(), EngineError> {
        match repositories::is_live(tx, &self.repository().id)? {
            true => Ok(()),
            false => Err(EngineError::RepositoryUnknown(self.repository_name.clone())),
        }
    }

    /// The event row of something that the caller does to this image.
    pub(crate) fn event(&self, action: EventAction, now: i64) -> events::AuditEvent {
        events::AuditEvent {
            action,
            principal: self.principal.clone(),
            resource: format!("{}/{}", self.repository_name, self.image_name()),
            tag: None,
            digest: None,
            occurred_at: now,
        }
    }
}

impl<K> Clone for RepoAccess<K> {
    fn clone(&self) -> Self {
        let (engine, at, permission) = (self.engine.clone(), self.image.clone(), self.permission);
        Self { engine, image: at, permission, kind: PhantomData }
    }
}

impl<K> fmt::Debug for RepoAccess<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepoAccess").field("at", &self.image).finish_non_exhaustive()
    }
}

impl Engine {
    /// Loads the target's repository and proves that the caller may do `K` there.
    ///
    /// A repository that the caller may not see answers as one that does not exist: the same refusal.
    /// A push creates it where pushes do, if the caller may create on push.
    pub async fn open<K: AccessKind>(
        &self,
        caller: &Caller,
        target: &ImageTarget,
    ) -> Result<RepoAccess<K>, EngineError> {
        match self.open_existing(caller, target).await? {
            Some(access) => Ok(access),
            None => {
                let repository = self.create_on_push(caller, target).await?;
                self.access(repository, caller, target)
            }
        }
    }

    /// As [`Engine::open`], but creates nothing. `None`: there is no such repository, and `open` would create it.
    pub async fn open_existing<K: AccessKind>(
        &self,
        caller: &Caller,
        target: &ImageTarget,
    ) -> Result<Option<RepoAccess<K>>, EngineError> {
        let name = target.repository();
        let path = target.path.path();
        match self.authorize::<K>(caller, &name, &path).await? {
            Some(repository) => Ok(Some(self.access(repository, caller, target)?)),
            None if K::PERMISSION == artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS
                && self.creates_on_push(caller, target).await? =>
            {
                Ok(None)
            }
            None => Err(self.missing(name).await),
        }
    }

    fn access<K: AccessKind>(
        &self,
        repository: RepositoryRow,
        caller: &Caller,
        target: &ImageTarget,
    ) -> Result<RepoAccess<K>, EngineError> {
        let webhooks = self.settings.webhooks.clone();
        let at = ImageContext::new(repository, target.clone(), caller.clone(), webhooks);
        self.access_to(Arc::new(at), K::PERMISSION)
    }

    fn access_to<K>(
        &self,
        at: Arc<ImageContext>,
        permission: Permission,
    ) -> Result<RepoAccess<K>, EngineError> {
        if permission != artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS {
            self.check_present()?;
            at.check_standard()?;
        }
        Ok(RepoAccess { engine: self.clone(), image: at, permission, kind: PhantomData })
    }

    /// Access to push what a method of the APIs makes, by the permission of that method.
    pub(crate) async fn open_admitted(
        &self,
        admitted: &Authorized,
        permission: Permission,
        package: &PackageName,
    ) -> Result<RepoAccess<Push>, EngineError> {
        let at = self.image_context(admitted, permission, package).await?;
        self.access_to(at, admitted.permission())
    }

    /// Proves that the caller may do `K` there, and loads the repository if it exists. `path` is what the
    /// credential must cover.
    pub(crate) async fn authorize<K: AccessKind>(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        path: &str,
    ) -> Result<Option<RepositoryRow>, EngineError> {
        let resource = Resource::Repository(name.clone());
        if !self.identity.may(caller, K::PERMISSION, &resource).await? {
            return Err(caller.denied(K::PERMISSION, &resource).into());
        }
        if !caller.scope.covers(ScopeAction::for_permission(K::PERMISSION), &name.location, path) {
            return Err(EngineError::InsufficientScope);
        }
        let name = name.clone();
        self.meta.read_by_key(move |tx| Ok(repositories::find(tx, &name)?)).await
    }
}

impl Engine {
    /// What a method of the APIs works on: an image of a repository that the caller was admitted to.
    pub(crate) async fn image_context(
        &self,
        admitted: &Authorized,
        permission: Permission,
        package: &PackageName,
    ) -> Result<Arc<ImageContext>, EngineError> {
        let PackageName { repository: name, image } = package;
        admitted.require_repository(permission, name)?;
        let wanted = name.clone();
        let repository = self.meta.read_by_key(move |tx| find_repository(tx, &wanted)).await?;
        let path = ImagePath {
            project: name.project.clone(),
            repository: name.repository.clone(),
            image: image.clone(),
        };
        let target = ImageTarget { location: name.location.clone(), path, on_registry_host: false };
        let (caller, webhooks) = (admitted.caller().clone(), self.settings.webhooks.clone());
        Ok(Arc::new(ImageContext::new(repository, target, caller, webhooks)))
    }
}

/// A repository, by the name that the APIs have for it.
pub(crate) fn find_repository(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
) -> Result<RepositoryRow, EngineError> {
    let unknown = || EngineError::ResourceUnknown(format!("Repository \"{name}\""));
    repositories::find(tx, name)?.ok_or_else(unknown)
}

impl RepoAccess<Push> {
    /// Asks again whether the caller may write here, for a request that took its time and is about to commit: what
    /// was taken away since counts.
    pub(crate) async fn confirm(&self) -> Result<(), EngineError> {
        let caller = &self.image.caller;
        self.engine.identity.check_again(caller).await?;
        let repository = Resource::Repository(self.image.repository_name.clone());
        self.engine.identity.admit(caller, self.permission, repository).await?;
        Ok(())
    }

    /// Whether the caller may read another repository of the same project and location, and the credential
    /// covers some image of it.
    pub(crate) async fn may_read_sibling(&self, repository: &str) -> Result<bool, EngineError> {
        let Ok(repository) = repository.parse() else { return Ok(false) };
        let RepositoryName { project, location, .. } = &self.image.repository_name;
        let (project, location) = (project.clone(), location.clone());
        let path = format!("{}/{repository}", project.path_prefix());
        if !self.image.caller.scope.covers_some_image_of(ScopeAction::Pull, &location, &path) {
            return Ok(false);
        }
        let sibling = Resource::Repository(RepositoryName { project, location, repository });
        let identity = &self.engine.identity;
        Ok(identity
            .may(&self.image.caller, artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS, &sibling)
            .await?)
    }
}
