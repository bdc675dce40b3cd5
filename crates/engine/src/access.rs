//! Who asks, what they may do, and the proof of it: a [`RepoAccess`] is the only way to content.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use meta::repositories::{self, Repository};
use meta::{epochs, events};
use model::name::{ImagePath, Location, RepositoryName};
use model::permission::Permission;

use crate::{Engine, EngineError};

/// A set of permissions on repositories.
#[derive(Debug, Clone)]
pub enum Grants {
    /// Everything, everywhere: what `--dev` gives to every caller.
    All,
    /// Just these.
    Listed(Vec<Grant>),
}

/// Permissions on one repository.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The repository, whether it exists or not.
    pub repository: RepositoryName,
    /// What is allowed there.
    pub permissions: Vec<Permission>,
}

impl Grants {
    fn allow(&self, permission: Permission, repository: &RepositoryName) -> bool {
        match self {
            Self::All => true,
            Self::Listed(grants) => grants.iter().any(|grant| {
                grant.repository == *repository && grant.permissions.contains(&permission)
            }),
        }
    }
}

/// Who makes a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The principal, as audit and history show it.
    pub principal: String,
    /// Whether the request carried no credential.
    pub anonymous: bool,
    /// What the principal may do.
    pub grants: Grants,
    /// What the credential is limited to. A request needs both.
    pub scope: Grants,
}

impl Caller {
    /// Whether policy and credential both allow this.
    pub fn may(&self, permission: Permission, repository: &RepositoryName) -> bool {
        self.grants.allow(permission, repository) && self.scope.allow(permission, repository)
    }
}

/// An image at a location: what a path under `/v2/` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where the request's host says the repository is.
    pub location: Location,
    /// Project, repository and image.
    pub path: ImagePath,
}

impl Target {
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
pub trait Kind {
    /// The permission.
    const PERMISSION: Permission;
}

impl Kind for Pull {
    const PERMISSION: Permission = Permission::DownloadArtifacts;
}
impl Kind for Push {
    const PERMISSION: Permission = Permission::UploadArtifacts;
}
impl Kind for Delete {
    const PERMISSION: Permission = Permission::DeleteArtifacts;
}

/// Proof that the caller may do `K` in a repository that exists. Only [`Engine::open`] and
/// [`Engine::open_existing`] make one.
pub struct RepoAccess<K> {
    pub(crate) engine: Engine,
    pub(crate) at: Arc<Opened>,
    kind: PhantomData<fn() -> K>,
}

/// What was opened: shared with the transactions that a request runs.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) repository: Repository,
    pub(crate) name: RepositoryName,
    pub(crate) target: Target,
    pub(crate) caller: Caller,
}

impl Opened {
    pub(crate) fn image(&self) -> &str {
        self.target.path.image.as_str()
    }

    pub(crate) fn address(&self) -> meta::versions::Address<'_> {
        meta::versions::Address { repository: &self.repository.id, image: self.image() }
    }

    /// The event row of something that the caller does to this image.
    pub(crate) fn event(&self, action: &str, now: i64) -> events::Event {
        events::Event {
            action: action.to_owned(),
            principal: self.caller.principal.clone(),
            resource: format!("{}/{}", self.name, self.image()),
            tag: None,
            digest: None,
            occurred_at: now,
        }
    }
}

impl<K> Clone for RepoAccess<K> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone(), at: self.at.clone(), kind: PhantomData }
    }
}

impl<K> fmt::Debug for RepoAccess<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepoAccess").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Engine {
    /// Loads the target's repository and proves that the caller may do `K` there.
    ///
    /// A repository that the caller may not see answers as one that does not exist: the same refusal.
    /// A push by a caller who may create on push creates it.
    pub async fn open<K: Kind>(
        &self,
        caller: &Caller,
        target: &Target,
    ) -> Result<RepoAccess<K>, EngineError> {
        match self.open_existing(caller, target).await? {
            Some(access) => Ok(access),
            None => {
                let repository = self.create_repository(caller, &target.repository()).await?;
                Ok(self.access(repository, caller, target))
            }
        }
    }

    /// As [`Engine::open`], but creates nothing. `None`: there is no such repository, and `open` would create it.
    pub async fn open_existing<K: Kind>(
        &self,
        caller: &Caller,
        target: &Target,
    ) -> Result<Option<RepoAccess<K>>, EngineError> {
        let name = target.repository();
        match self.authorize::<K>(caller, &name).await? {
            Some(repository) => Ok(Some(self.access(repository, caller, target))),
            None if K::PERMISSION == Permission::UploadArtifacts
                && caller.may(Permission::CreateOnPush, &name) =>
            {
                Ok(None)
            }
            None => Err(EngineError::RepositoryUnknown(name)),
        }
    }

    fn access<K>(&self, repository: Repository, caller: &Caller, target: &Target) -> RepoAccess<K> {
        let (name, target) = (target.repository(), target.clone());
        let at = Opened { repository, name, target, caller: caller.clone() };
        RepoAccess { engine: self.clone(), at: Arc::new(at), kind: PhantomData }
    }

    /// Proves that the caller may do `K` there, and loads the repository if it exists.
    pub(crate) async fn authorize<K: Kind>(
        &self,
        caller: &Caller,
        name: &RepositoryName,
    ) -> Result<Option<Repository>, EngineError> {
        if !caller.may(K::PERMISSION, name) {
            return Err(EngineError::Denied {
                permission: K::PERMISSION,
                resource: name.to_string(),
                anonymous: caller.anonymous,
            });
        }
        let name = name.clone();
        self.meta.point(move |tx| Ok(repositories::find(tx, &name)?)).await
    }

    async fn create_repository(
        &self,
        caller: &Caller,
        name: &RepositoryName,
    ) -> Result<Repository, EngineError> {
        let (name, principal) = (name.clone(), caller.principal.clone());
        let (sparse, now) = (self.settings.new_repositories_sparse, self.clock.now());
        self.meta
            .write(move |tx| {
                if repositories::insert(tx, &name, sparse, now)? {
                    epochs::bump(tx, epochs::ACCESS)?;
                    let event = events::Event {
                        action: "create".to_owned(),
                        principal: principal.clone(),
                        resource: name.to_string(),
                        tag: None,
                        digest: None,
                        occurred_at: now,
                    };
                    events::insert(tx, &event)?;
                }
                repositories::find(tx, &name)?
                    .ok_or_else(|| EngineError::RepositoryUnknown(name.clone()))
            })
            .await
    }
}

impl Opened {
    /// Whether the caller may read another repository of the same project and location.
    pub(crate) fn may_read_sibling(&self, repository: &str) -> bool {
        let Ok(repository) = repository.parse() else { return false };
        let sibling = RepositoryName {
            project: self.name.project.clone(),
            location: self.name.location.clone(),
            repository,
        };
        self.caller.may(Permission::DownloadArtifacts, &sibling)
    }
}
