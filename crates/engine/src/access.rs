//! Access to content. A [`RepoAccess`] proves that the caller may do something in a repository, and is the only way
//! to content.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use identity::{AuthorizationMode, Authorized, Caller};
use meta::Tx;
use meta::events::{self, EventAction, EventPlace};
use meta::repositories::{self, RepositoryRow};
use model::artifact_name::PackageName;
use model::name::{ImageName, ImagePath, Location, RepositoryName};
use model::permission::Permission;
use model::registry_scope::ScopeAction;
use model::repository::ModeName;
use model::resource::Resource;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::webhook::Webhook;
use model::permissions::artifactregistry;

/// The image that a path under `/v2/` names, at the location that the request's host stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageTarget {
    /// The location that the request's host stands for.
    pub location: Location,
    /// The project, the repository and the image.
    pub path: ImagePath,
    /// `true` if the host is one of Container Registry's. Such a host names the repository, and a push to it may
    /// create that repository.
    pub on_registry_host: bool,
}

impl ImageTarget {
    /// Returns the name of the repository that holds the image.
    pub fn repository(&self) -> RepositoryName {
        RepositoryName {
            project: self.path.project.clone(),
            location: self.location.clone(),
            repository: self.path.repository.clone(),
        }
    }
}

/// The kind of access that reads.
#[derive(Debug)]
pub struct Pull;
/// The kind of access that writes.
#[derive(Debug)]
pub struct Push;
/// The kind of access that deletes.
#[derive(Debug)]
pub struct Delete;

/// A kind of access, and the permission that it needs.
pub trait AccessKind {
    /// The permission that this kind of access needs.
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

/// The proof that the caller may do `K` in a repository that exists. Only [`Engine::open`], [`Engine::open_existing`]
/// and, for an API method that pushes, `open_authorized` make one. All content is reached through it, except for the
/// download of a file. The methods of the APIs that read or change no content use [`Authorized`], and so does the
/// download of a file.
pub struct RepoAccess<K> {
    pub(crate) engine: Engine,
    pub(crate) image: Arc<ImageContext>,
    /// The permission that the caller was found to have.
    permission: Permission,
    kind: PhantomData<fn() -> K>,
}

/// The rows that answer a read: those of one image in one repository.
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

/// The image of one request, and the caller of that request. The transactions of the request share it.
#[derive(Debug)]
pub(crate) struct ImageContext {
    /// The rows of the image in the repository that the request names.
    pub(crate) holding: Arc<ImageHolding>,
    pub(crate) repository_name: RepositoryName,
    pub(crate) target: ImageTarget,
    pub(crate) caller: Caller,
    /// The caller's principal as rows hold it, once it was asked for. Reads do not need it.
    principal: OnceLock<String>,
    /// The webhooks that may want to hear of changes in this repository.
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
        let (repository_name, principal) = (target.repository(), OnceLock::new());
        Self { holding, repository_name, target, caller, principal, webhooks }
    }

    /// Returns the caller's principal as rows hold it.
    pub(crate) fn principal(&self) -> &str {
        self.principal.get_or_init(|| self.caller.principal.to_string())
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

    /// Refuses to change the content of a remote or virtual repository: these only read from others. Content that a
    /// remote one has fetched can be deleted.
    pub(crate) fn check_takes(&self, permission: Permission) -> Result<(), EngineError> {
        const DELETIONS: [Permission; 4] = [
            artifactregistry::REPOSITORIES_DELETE_ARTIFACTS,
            artifactregistry::PACKAGES_DELETE,
            artifactregistry::VERSIONS_DELETE,
            artifactregistry::TAGS_DELETE,
        ];
        match self.repository().mode {
            ModeName::Standard => Ok(()),
            ModeName::Remote if DELETIONS.contains(&permission) => Ok(()),
            mode @ (ModeName::Remote | ModeName::Virtual) => {
                let repository = self.repository_name.clone();
                Err(EngineError::ReadOnlyRepository { repository, mode })
            }
        }
    }

    /// Refuses to write to a repository that was deleted after it was opened.
    pub(crate) fn check_live(&self, tx: &mut Tx<'_>) -> Result<(), EngineError> {
        match repositories::is_live(tx, &self.repository().id)? {
            true => Ok(()),
            false => Err(EngineError::RepositoryUnknown(self.repository_name.clone())),
        }
    }

    /// Returns the audit event of an action of the caller on this image.
    pub(crate) fn event(&self, action: EventAction, now: i64) -> events::AuditEvent {
        events::AuditEvent {
            action,
            principal: self.principal().to_owned(),
            resource: format!("{}/{}", self.repository_name, self.image_name()),
            tag: None,
            digest: None,
            occurred_at: now,
            way: self.caller.way,
            place: Some(EventPlace {
                repository: self.repository().id,
                image: Some(self.image_name().to_owned()),
            }),
        }
    }
}

impl<K> Clone for RepoAccess<K> {
    fn clone(&self) -> Self {
        let (engine, image, permission) =
            (self.engine.clone(), self.image.clone(), self.permission);
        Self { engine, image, permission, kind: PhantomData }
    }
}

impl<K> fmt::Debug for RepoAccess<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepoAccess").field("image", &self.image).finish_non_exhaustive()
    }
}

impl Engine {
    /// Loads the target's repository and proves that the caller may do `K` there.
    ///
    /// A repository that the caller may not see is refused exactly like one that does not exist. A push creates a
    /// missing repository where the settings say so, if the caller may create on push.
    pub async fn open<K: AccessKind>(
        &self,
        caller: &Caller,
        target: &ImageTarget,
    ) -> Result<RepoAccess<K>, EngineError> {
        match self.open_existing(caller, target).await? {
            Some(access) => Ok(access),
            None => {
                let repository = self.create_on_push(caller, target).await?;
                self.access_for(repository, caller, target)
            }
        }
    }

    /// Does the same as [`Engine::open`], but creates nothing. Returns `None` if there is no such repository and
    /// `open` would create it.
    pub async fn open_existing<K: AccessKind>(
        &self,
        caller: &Caller,
        target: &ImageTarget,
    ) -> Result<Option<RepoAccess<K>>, EngineError> {
        let name = target.repository();
        let path = target.path.path();
        match self.authorize::<K>(caller, &name, &path).await? {
            Some(repository) => Ok(Some(self.access_for(repository, caller, target)?)),
            None if K::PERMISSION == artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS
                && self.creates_on_push(caller, target).await? =>
            {
                Ok(None)
            }
            None => Err(self.missing_error(name).await),
        }
    }

    fn access_for<K: AccessKind>(
        &self,
        repository: RepositoryRow,
        caller: &Caller,
        target: &ImageTarget,
    ) -> Result<RepoAccess<K>, EngineError> {
        let webhooks = self.settings.webhooks.clone();
        let image = ImageContext::new(repository, target.clone(), caller.clone(), webhooks);
        self.access_to(Arc::new(image), K::PERMISSION)
    }

    /// Returns the access by which a remote repository stores what it fetches.
    pub(crate) fn storing_access(
        &self,
        image: Arc<ImageContext>,
        permission: Permission,
    ) -> RepoAccess<Push> {
        RepoAccess { engine: self.clone(), image, permission, kind: PhantomData }
    }

    fn access_to<K>(
        &self,
        image: Arc<ImageContext>,
        permission: Permission,
    ) -> Result<RepoAccess<K>, EngineError> {
        if permission != artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS {
            self.check_stores_present()?;
            image.check_takes(permission)?;
        }
        Ok(RepoAccess { engine: self.clone(), image, permission, kind: PhantomData })
    }

    /// Opens a repository for a method of the APIs that pushes. The permission is the method's own.
    pub(crate) async fn open_authorized(
        &self,
        authorized: &Authorized,
        permission: Permission,
        package: &PackageName,
    ) -> Result<RepoAccess<Push>, EngineError> {
        let image = self.image_context(authorized, permission, package).await?;
        self.access_to(image, authorized.permission())
    }

    /// Proves that the caller may do `K` in a repository, and loads the repository if it exists. `path` is the path
    /// that the credential must cover.
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
        self.read_by_key(move |tx| Ok(repositories::find(tx, &name)?)).await
    }
}

impl Engine {
    /// Loads the image that a method of the APIs works on. The caller must have been authorized for its repository.
    pub(crate) async fn image_context(
        &self,
        authorized: &Authorized,
        permission: Permission,
        package: &PackageName,
    ) -> Result<Arc<ImageContext>, EngineError> {
        let PackageName { repository: name, image } = package;
        authorized.require_repository(permission, name)?;
        let wanted = name.clone();
        let repository = self.read_by_key(move |tx| find_repository(tx, &wanted)).await?;
        let path = ImagePath {
            project: name.project.clone(),
            repository: name.repository.clone(),
            image: image.clone(),
        };
        let target = ImageTarget { location: name.location.clone(), path, on_registry_host: false };
        let (caller, webhooks) = (authorized.caller().clone(), self.settings.webhooks.clone());
        Ok(Arc::new(ImageContext::new(repository, target, caller, webhooks)))
    }
}

impl Engine {
    /// Does the same as `image_context`, for a method that changes the image.
    pub(crate) async fn image_to_change(
        &self,
        authorized: &Authorized,
        permission: Permission,
        package: &PackageName,
    ) -> Result<Arc<ImageContext>, EngineError> {
        let image = self.image_context(authorized, permission, package).await?;
        image.check_takes(permission)?;
        Ok(image)
    }
}

/// Loads a repository, and fails with the error that the APIs have for a missing one.
pub(crate) fn find_repository(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
) -> Result<RepositoryRow, EngineError> {
    let unknown = || EngineError::ResourceUnknown(format!("Repository \"{name}\""));
    repositories::find(tx, name)?.ok_or_else(unknown)
}

impl RepoAccess<Push> {
    /// Checks again that the caller may write here. A request that took long asks before it commits, so that a right
    /// counts as lost even if it was taken away meanwhile.
    pub(crate) async fn confirm_permission(&self) -> Result<(), EngineError> {
        let caller = &self.image.caller;
        self.engine.identity.check_again(caller).await?;
        let repository = Resource::Repository(self.image.repository_name.clone());
        self.engine.identity.admit(caller, self.permission, repository).await?;
        Ok(())
    }

    /// Returns whether the caller may move tags that exist. Not every role that pushes has this permission: a custom one
    /// can be for new tags only. A remote repository stores what it fetches whoever reads. OAuth scopes do not count,
    /// because those for pushes are older than the permission.
    pub(crate) async fn may_move_tags(&self) -> Result<bool, EngineError> {
        let caller = &self.image.caller;
        if self.permission != artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS {
            return Ok(true);
        }
        match caller.mode {
            AuthorizationMode::Everything => Ok(true),
            AuthorizationMode::Policies => {
                let repository = Resource::Repository(self.image.repository_name.clone());
                let (principal, permission) = (&caller.principal, artifactregistry::TAGS_UPDATE);
                Ok(self.engine.identity.may_principal(principal, permission, &repository).await?)
            }
        }
    }

    /// Returns whether the caller may read another repository of the same project and location. The credential must
    /// cover at least one image of that repository.
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
