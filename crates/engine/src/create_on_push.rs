//! Creation of repositories by the first push to them, and the errors for repositories that do not exist.
//!
//! Google creates repositories on push on the hosts of Container Registry alone. Elsewhere, a misspelt name would
//! silently become a new repository.

use identity::{AuthorizationMode, Caller};
use meta::events::{self, EventAction, EventPlace};
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
    /// Returns whether a push by the caller creates the repository, which must be missing. In development mode every
    /// push does.
    pub(crate) async fn creates_on_push(
        &self,
        caller: &Caller,
        target: &ImageTarget,
    ) -> Result<bool, EngineError> {
        let is_enabled = target.on_registry_host
            || self.settings.create_on_push == CreateOnPush::Always
            || matches!(caller.mode, AuthorizationMode::Everything);
        let name = target.repository();
        let resource = Resource::Repository(name.clone());
        if !is_enabled
            || !self
                .identity
                .may(caller, artifactregistry::REPOSITORIES_CREATE_ON_PUSH, &resource)
                .await?
        {
            return Ok(false);
        }
        match (self.missing_error(name).await, caller.mode) {
            (EngineError::RepositoryUnknown(_), _) => Ok(true),
            // In development mode, the push creates the project as well.
            (EngineError::ProjectUnknown(_), AuthorizationMode::Everything) => Ok(true),
            (error, _) => Err(error),
        }
    }

    /// Returns the error for a missing repository, or for a missing project. The caller must be allowed to use the
    /// repository.
    pub(crate) async fn missing_error(&self, name: RepositoryName) -> EngineError {
        self.read_by_key(move |tx| missing_error(tx, &name)).await.unwrap_or_else(|error| error)
    }

    pub(crate) async fn create_on_push(
        &self,
        caller: &Caller,
        target: &ImageTarget,
    ) -> Result<RepositoryRow, EngineError> {
        // The manifest may have taken long to arrive, so the credential is checked again.
        self.identity.check_again(caller).await?;
        // No repository is created for a push whose content could not be stored.
        self.check_stores_present()?;
        self.check_announced(0).await?;
        let (name, principal) = (target.repository(), caller.principal.to_string());
        let (mode, way) = (caller.mode, caller.way);
        let (sparse, now) = (self.settings.new_repositories_sparse, self.clock.now());
        self.write(move |tx| {
            match mode {
                AuthorizationMode::Everything => projects::ensure(tx, name.project.as_str(), now)?,
                // Creating a project takes a permission of its own: a push does not create it.
                AuthorizationMode::Policies if !has_project(tx, &name)? => {
                    return Err(EngineError::ProjectUnknown(name.project.clone()));
                }
                AuthorizationMode::Policies => {}
            }
            let is_new = repositories::insert(tx, &name, sparse, now)?;
            let row = repositories::find(tx, &name)?
                .ok_or_else(|| EngineError::RepositoryUnknown(name.clone()))?;
            if is_new {
                epochs::bump(tx, epochs::ACCESS)?;
                let event = events::AuditEvent {
                    action: EventAction::Create,
                    principal: principal.clone(),
                    resource: name.to_string(),
                    tag: None,
                    digest: None,
                    occurred_at: now,
                    way,
                    place: Some(EventPlace::of_repository(row.id)),
                };
                events::insert(tx, &event)?;
            }
            Ok(row)
        })
        .await
    }
}

fn missing_error(tx: &mut Tx<'_>, name: &RepositoryName) -> Result<EngineError, EngineError> {
    Ok(match has_project(tx, name)? {
        true => EngineError::RepositoryUnknown(name.clone()),
        false => EngineError::ProjectUnknown(name.project.clone()),
    })
}

fn has_project(tx: &mut Tx<'_>, name: &RepositoryName) -> Result<bool, MetaError> {
    Ok(projects::find(tx, name.project.as_str())?.is_some_and(|project| project.active))
}
