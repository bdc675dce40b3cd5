//! Repositories as they are administered: created, described, listed, changed and deleted.

use std::collections::BTreeMap;

use identity::{AuthorizationMode, Authorized};
use meta::events::{self, EventAction};
use meta::gc_queue::ReviewKind;
use meta::repositories::{self, RepositoryDetails};
use meta::{Id, Tx, cleanups, epochs, policies};
use model::cleanup::CleanupPolicies;
use model::labels::check_labels;
use model::list_filter::{ListFilter, SortDirection};
use model::name::{Location, ProjectId, RepositoryName};
use model::repository::ModeName;
use model::resource::Resource;

use crate::access::find_repository;
use crate::artifacts::image_list::NameOrder;
use crate::artifacts::listing::{
    ListPage, MAX_SORTED, NameRange, RowFilter, read_page, read_sorted_page,
};
use crate::engine::Engine;
use crate::error::EngineError;
use model::permissions::artifactregistry;

/// A repository that is to be.
#[derive(Debug, Clone)]
pub struct NewRepository {
    /// Its id.
    pub id: String,
    /// The name of its mode.
    pub mode: ModeName,
    /// What else is set.
    pub change: RepositoryChange,
}

/// What is to be set on a repository. What is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct RepositoryChange {
    /// For people.
    pub description: Option<String>,
    /// Key and value.
    pub labels: Option<BTreeMap<String, String>>,
    /// Whether tags stay where they are.
    pub immutable_tags: Option<bool>,
    /// What else the API sets, as its own JSON. Of this, cleanup policies are acted on.
    pub settings: Option<String>,
}

impl RepositoryChange {
    fn apply(self, to: &mut RepositoryDetails) -> Result<(), EngineError> {
        if let Some(labels) = self.labels {
            check_labels(&labels)
                .map_err(|error| EngineError::invalid("repository.labels", error))?;
            to.labels = serde_json::to_string(&labels).expect("texts are always JSON");
        }
        if let Some(description) = self.description {
            check_description(&description)?;
            to.description = description;
        }
        to.immutable_tags = self.immutable_tags.unwrap_or(to.immutable_tags);
        if let Some(settings) = self.settings.filter(|settings| *settings != to.settings) {
            check_policies(&settings)?;
            to.settings = settings;
        }
        Ok(())
    }
}

impl Engine {
    /// Creates a repository in the location that the caller was admitted to.
    pub async fn create_repository(
        &self,
        admitted: &Authorized,
        new: NewRepository,
    ) -> Result<RepositoryDetails, EngineError> {
        let (project, location) =
            require_location(admitted.resource_for(artifactregistry::REPOSITORIES_CREATE)?)?;
        let repository = new.id.parse().map_err(|error: model::name::NameError| {
            EngineError::InvalidArgument { field: "repository_id", problem: error.to_string() }
        })?;
        let now = self.clock.now();
        let mut described = RepositoryDetails {
            id: Id::new(),
            name: RepositoryName { project, location, repository },
            mode: new.mode,
            description: String::new(),
            labels: "{}".to_owned(),
            immutable_tags: false,
            settings: "{}".to_owned(),
            size_bytes: 0,
            created_at: now,
            updated_at: now,
        };
        new.change.apply(&mut described)?;
        let (admitted, row) = (admitted.clone(), described.clone());
        let sparse = self.settings.new_repositories_sparse;
        self.meta
            .write(move |tx| {
                match admitted.caller().mode {
                    // In development mode projects appear with what is created in them.
                    AuthorizationMode::Everything => {
                        meta::projects::ensure(tx, row.name.project.as_str(), now)?
                    }
                    AuthorizationMode::Listed(_) | AuthorizationMode::Policies => {
                        check_project(tx, &row.name.project)?
                    }
                }
                if !repositories::insert(tx, &row.name, sparse, now)? {
                    return Err(EngineError::AlreadyExists(
                        "the repository already exists".to_owned(),
                    ));
                }
                repositories::update(tx, &row)?;
                schedule_cleanup(tx, &row.name, (&row.settings, now))?;
                epochs::bump(tx, epochs::ACCESS)?;
                let event = admitted.event(EventAction::Create, &row.name.to_string(), now);
                Ok(events::insert(tx, &event)?)
            })
            .await?;
        self.identity.poll_epoch().await?;
        warn_of_idle_policies(&described);
        Ok(described)
    }

    /// What a repository is.
    pub async fn repository(
        &self,
        admitted: &Authorized,
    ) -> Result<RepositoryDetails, EngineError> {
        let name = name_of(admitted.resource_for(artifactregistry::REPOSITORIES_GET)?)?;
        self.meta.read(move |tx| find_details(tx, &name)).await
    }

    /// Whether there is a repository of that name.
    pub async fn has_repository(&self, name: &RepositoryName) -> Result<bool, EngineError> {
        let name = name.clone();
        self.meta
            .read_by_key(move |tx| Ok::<_, EngineError>(repositories::find(tx, &name)?.is_some()))
            .await
    }

    /// What a repository that is to be changed is.
    pub async fn repository_to_change(
        &self,
        admitted: &Authorized,
    ) -> Result<RepositoryDetails, EngineError> {
        let name = name_of(admitted.resource_for(artifactregistry::REPOSITORIES_UPDATE)?)?;
        self.meta.read(move |tx| find_details(tx, &name)).await
    }

    /// The repositories of a location whose names match.
    pub async fn repositories(
        &self,
        admitted: &Authorized,
        (filter, order, direction): (&ListFilter, NameOrder, SortDirection),
        (start, limit): (&str, usize),
    ) -> Result<ListPage<RepositoryDetails>, EngineError> {
        let parent = admitted.resource_for(artifactregistry::REPOSITORIES_LIST)?;
        let place = require_location(parent)?;
        let names = NameRange::new(filter, &format!("{parent}/repositories/"));
        let (filter, start) = (filter.clone(), start.to_owned());
        let appears = matches!(admitted.caller().mode, AuthorizationMode::Everything);
        self.meta
            .read(move |tx| {
                // As where one is created.
                if !appears {
                    check_project(tx, &place.0)?;
                }
                let (project, location) = (&place.0, &place.1);
                let look = |found: &RepositoryDetails| {
                    let matches = filter.matches(|_| found.name.to_string());
                    RowFilter::wanted(matches, 500 + found.settings.len() + found.labels.len())
                };
                let own_name = |found: &RepositoryDetails| found.name.repository.to_string();
                if (order, direction) == (NameOrder::Name, SortDirection::Ascending) {
                    return read_page(
                        (names.start(&start, direction), limit),
                        |last, step| Ok(repositories::list(tx, project, location, last, step)?),
                        own_name,
                        |found| names.look(found.name.repository.as_str(), direction, look(found)),
                    );
                }
                let all = repositories::list(tx, project, location, "", MAX_SORTED as i64 + 1)?;
                let time =
                    |found: &RepositoryDetails| order.time(found.created_at, found.updated_at);
                read_sorted_page(all, (time, own_name), direction, ((&start, limit), look))
            })
            .await
    }

    /// Changes what is set on a repository.
    pub async fn update_repository(
        &self,
        admitted: &Authorized,
        change: RepositoryChange,
    ) -> Result<RepositoryDetails, EngineError> {
        let name = name_of(admitted.resource_for(artifactregistry::REPOSITORIES_UPDATE)?)?;
        let (admitted, now) = (admitted.clone(), self.clock.now());
        let (changed, is_set) = self
            .meta
            .write(move |tx| {
                let mut described = find_details(tx, &name)?;
                let before = described.settings.clone();
                change.clone().apply(&mut described)?;
                described.updated_at = now;
                repositories::update(tx, &described)?;
                let is_set = described.settings != before;
                if is_set {
                    schedule_cleanup(tx, &name, (&described.settings, now))?;
                }
                epochs::bump(tx, epochs::ACCESS)?;
                events::insert(tx, &admitted.event(EventAction::Update, &name.to_string(), now))?;
                Ok::<_, EngineError>((described, is_set))
            })
            .await?;
        self.identity.poll_epoch().await?;
        if is_set {
            warn_of_idle_policies(&changed);
        }
        Ok(changed)
    }

    /// Deletes a repository: it is gone at once and its name is free; its content goes afterwards.
    pub async fn delete_repository(&self, admitted: &Authorized) -> Result<(), EngineError> {
        let name = name_of(admitted.resource_for(artifactregistry::REPOSITORIES_DELETE)?)?;
        let (admitted, now) = (admitted.clone(), self.clock.now());
        self.meta
            .write(move |tx| {
                let described = find_details(tx, &name)?;
                repositories::hide(tx, &described.id, now)?;
                cleanups::unschedule(tx, &described.id)?;
                policies::delete(tx, &name.to_string())?;
                meta::gc_queue::enqueue(
                    tx,
                    ReviewKind::Repository,
                    &[described.id.to_string()],
                    now,
                )?;
                epochs::bump(tx, epochs::ACCESS)?;
                let event = admitted.event(EventAction::DeleteRepository, &name.to_string(), now);
                Ok::<_, EngineError>(events::insert(tx, &event)?)
            })
            .await?;
        self.identity.poll_epoch().await?;
        Ok(())
    }
}

fn find_details(tx: &mut Tx<'_>, name: &RepositoryName) -> Result<RepositoryDetails, EngineError> {
    repositories::find_details(tx, name)?
        .ok_or_else(|| EngineError::ResourceUnknown(format!("Repository \"{name}\"")))
}

fn check_policies(settings: &str) -> Result<CleanupPolicies, EngineError> {
    CleanupPolicies::parse(settings).map_err(|error| EngineError::InvalidArgument {
        field: "repository.cleanup_policies",
        problem: error.to_string(),
    })
}

/// Says so where cleanup policies delete nothing, because there are only some that keep.
fn warn_of_idle_policies(repository: &RepositoryDetails) {
    if check_policies(&repository.settings).is_ok_and(|policies| policies.has_only_keep_policies())
    {
        let name = &repository.name;
        tracing::warn!(repo.name = %name, "the cleanup policies of {name} delete nothing: all of them keep");
    }
}

/// Puts a repository on the list of those that are cleaned, or takes it from there.
fn schedule_cleanup(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    (settings, now): (&str, i64),
) -> Result<(), EngineError> {
    let repository = find_repository(tx, name)?.id;
    if check_policies(settings)?.is_empty() {
        cleanups::unschedule(tx, &repository)?;
    } else {
        cleanups::schedule(tx, &repository, now)?;
    }
    Ok(())
}

fn check_project(tx: &mut Tx<'_>, project: &ProjectId) -> Result<(), EngineError> {
    let found = meta::projects::find(tx, project.as_str())?.filter(|project| project.active);
    found.map(|_| ()).ok_or_else(|| EngineError::ResourceUnknown(format!("Project {project}")))
}

fn name_of(resource: &Resource) -> Result<RepositoryName, EngineError> {
    match resource {
        Resource::Repository(name) => Ok(name.clone()),
        other => Err(EngineError::ResourceUnknown(other.to_string())),
    }
}

fn require_location(resource: &Resource) -> Result<(ProjectId, Location), EngineError> {
    match resource {
        Resource::Location(project, location) => Ok((project.clone(), location.clone())),
        other => Err(EngineError::ResourceUnknown(other.to_string())),
    }
}

fn check_description(description: &str) -> Result<(), EngineError> {
    const LONGEST: usize = 1_024;
    if description.chars().count() <= LONGEST && !description.contains('\0') {
        return Ok(());
    }
    Err(EngineError::InvalidArgument {
        field: "repository.description",
        problem: format!("at most {LONGEST} characters"),
    })
}
