//! Repositories that appear with the first push to them, and what is said where they do not.
//!
//! Google's do on the hosts of Container Registry alone. Elsewhere a misspelt name would be a new repository, and
//! nobody would hear of it.

use identity::{AuthorizationMode, Caller};
use meta::events::{self, EventAction};
use meta::repositories::{self, RepositoryRow};
use meta::{MetaError, Tx, epochs, projects};
use model::name::RepositoryName;
use model::resource::Resource;

use crate::access::ImageTarget;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::settings::CreateOnPush;
use model::permissions::artifactregistry;

impl Engine {
    /// Whether a push by the caller creates the repository, which is missing. In development mode every push does.
    pub(crate) async fn creates_on_push(
        &self,
        caller: &Caller,
        target: &ImageTarget,
    ) -> Result<bool, EngineError> {
        let here = target.on_registry_host
            || self.settings.create_on_push == CreateOnPush::Always
            || matches!(caller.mode, AuthorizationMode::Everything);
        let name = target.repository();
        let resource = Resource::Repository(name.clone());
        if !here
            || !self
                .identity
                .may(caller, artifactregistry::REPOSITORIES_CREATE_ON_PUSH, &resource)
                .await?
        {
            return Ok(false);
        }
        match (self.missing(name).await, &caller.mode) {
            (EngineError::RepositoryUnknown(_), _) => Ok(true),
            // In development mode, and for callers without policies, projects appear as well.
            (
                EngineError::ProjectUnknown(_),
                AuthorizationMode::Everything | AuthorizationMode::Listed(_),
            ) => Ok(true),
            (error, _) => Err(error),
        }
    }

    /// What is missing, to somebody who may use the repository: it, or the project that it would be in.
    pub(crate) async fn missing(&self, name: RepositoryName) -> EngineError {
        self.meta.read_by_key(move |tx| missing(tx, &name)).await.unwrap_or_else(|error| error)
    }

    pub(crate) async fn create_on_push(
        &self,
        caller: &Caller,
        target: &ImageTarget,
    ) -> Result<RepositoryRow, EngineError> {
        // A manifest may have taken its time to come.
        self.identity.check_again(caller).await?;
        // What could not be stored in it makes no repository.
        self.check_present()?;
        self.check_announced(0).await?;
        let (name, principal) = (target.repository(), caller.principal.to_string());
        let rights = caller.mode.clone();
        let (sparse, now) = (self.settings.new_repositories_sparse, self.clock.now());
        self.meta
            .write(move |tx| {
                match rights {
                    AuthorizationMode::Everything => {
                        projects::ensure(tx, name.project.as_str(), now)?
                    }
                    // A project is made by who may make one, not by a push to it.
                    AuthorizationMode::Policies if !has_project(tx, &name)? => {
                        return Err(EngineError::ProjectUnknown(name.project.clone()));
                    }
                    AuthorizationMode::Policies | AuthorizationMode::Listed(_) => {}
                }
                if repositories::insert(tx, &name, sparse, now)? {
                    epochs::bump(tx, epochs::ACCESS)?;
                    let event = events::AuditEvent {
                        action: EventAction::Create,
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

fn missing(tx: &mut Tx<'_>, name: &RepositoryName) -> Result<EngineError, EngineError> {
    Ok(match has_project(tx, name)? {
        true => EngineError::RepositoryUnknown(name.clone()),
        false => EngineError::ProjectUnknown(name.project.clone()),
    })
}

fn has_project(tx: &mut Tx<'_>, name: &RepositoryName) -> Result<bool, MetaError> {
    Ok(projects::find(tx, name.project.as_str())?.is_some_and(|project| project.active))
}
