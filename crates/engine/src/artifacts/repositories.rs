//! Repositories as they are administered: created, read, listed, changed and deleted.

use std::collections::BTreeMap;

use identity::{AuthorizationMode, Authorized};
use meta::events::{self, EventAction};
use meta::gc_queue::ReviewKind;
use meta::repositories::{self, RepositoryDetails};
use meta::{Id, Tx, cache_limits, cleanups, epochs, policies, secrets, upstream_tags, upstreams};
use model::cleanup::CleanupPolicies;
use model::labels::check_labels;
use model::list_filter::SortDirection;
use model::name::{Location, ProjectId, RepositoryName};
use model::permission::Permission;
use model::remote_rules::RemoteRules;
use model::repository::{ModeName, RepositoryMode};
use model::resource::Resource;

use crate::access::find_repository;
use crate::artifacts::image_list::NameOrder;
use crate::artifacts::listing::{
    MAX_SORTED_ROWS, NameRange, RowFilter, SortKey, read_page, read_sorted_page,
};
use crate::artifacts::upstreams::{NewUpstreams, store_upstreams};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::page::{ListPage, ListQuery, SortOrder};
use crate::upstream_registry::UpstreamState;
use model::permissions::artifactregistry;

/// A repository that is to be created.
#[derive(Debug, Clone)]
pub struct NewRepository {
    /// The last part of its name.
    pub id: String,
    /// The name of its mode.
    pub mode: ModeName,
    /// The other values that the request sets.
    pub change: RepositoryChange,
}

/// The values that a request sets on a repository. `None` leaves a value as it is.
#[derive(Debug, Clone, Default)]
pub struct RepositoryChange {
    /// A text for people.
    pub description: Option<String>,
    /// The labels: values by their keys.
    pub labels: Option<BTreeMap<String, String>>,
    /// `true` if tags do not move.
    pub immutable_tags: Option<bool>,
    /// The other settings of the API, as its own JSON. Cleanup policies are the only ones of them that the engine
    /// acts on.
    pub settings: Option<String>,
    /// The upstreams that the settings name.
    pub upstreams: Option<NewUpstreams>,
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
    /// Creates a repository in the location for which the caller was authorized.
    pub async fn create_repository(
        &self,
        authorized: &Authorized,
        new: NewRepository,
    ) -> Result<RepositoryDetails, EngineError> {
        let (project, location) =
            require_location(authorized.resource_for(artifactregistry::REPOSITORIES_CREATE)?)?;
        let repository = new.id.parse().map_err(|error: model::name::NameError| {
            EngineError::InvalidArgument { field: "repository_id", problem: error.to_string() }
        })?;
        let now = self.clock.now();
        let mut details = RepositoryDetails {
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
        let upstreams = new.change.upstreams.clone();
        new.change.apply(&mut details)?;
        let (authorized, row) = (authorized.clone(), details.clone());
        let sparse = self.settings.new_repositories_sparse;
        self.write(move |tx| {
            match authorized.caller().mode {
                // In development mode, the first repository of a project creates the project.
                AuthorizationMode::Everything => {
                    meta::projects::ensure(tx, row.name.project.as_str(), now)?
                }
                AuthorizationMode::Policies => check_project(tx, &row.name.project)?,
            }
            if !repositories::insert(tx, &row.name, sparse, now)? {
                return Err(EngineError::AlreadyExists("the repository already exists".to_owned()));
            }
            repositories::update(tx, &row)?;
            if let Some(new) = &upstreams {
                let by = authorized.caller().principal.to_string();
                store_upstreams(tx, &row.name, new, &by, now)?;
            }
            schedule_maintenance(tx, &row.name, &row.settings, now)?;
            epochs::bump(tx, epochs::ACCESS)?;
            let event = authorized.event(EventAction::Create, &row.name.to_string(), now);
            Ok(events::insert(tx, &event)?)
        })
        .await?;
        self.identity.poll_epoch().await?;
        warn_if_policies_delete_nothing(&details);
        Ok(details)
    }

    /// Returns the repository for which the caller was authorized with this permission.
    pub async fn find_repository(
        &self,
        authorized: &Authorized,
        permission: Permission,
    ) -> Result<RepositoryDetails, EngineError> {
        let name = repository_name(authorized.resource_for(permission)?)?;
        self.read(move |tx| find_details(tx, &name)).await
    }

    /// Returns the state of the registry that a repository fetches from, or `None` if it fetches from none or if this
    /// process knows nothing of it.
    pub fn upstream_state(&self, repository: &RepositoryDetails) -> Option<UpstreamState> {
        let mode = RepositoryMode::parse(repository.mode, &repository.settings).ok()?;
        let state = self.settings.upstreams.state(mode.registry_url()?);
        (state != UpstreamState::default()).then_some(state)
    }

    /// Lists the repositories of a location whose names match.
    pub async fn list_repositories(
        &self,
        authorized: &Authorized,
        query: ListQuery<SortOrder<NameOrder>>,
    ) -> Result<ListPage<RepositoryDetails>, EngineError> {
        let parent = authorized.resource_for(artifactregistry::REPOSITORIES_LIST)?;
        let (project, location) = require_location(parent)?;
        let ListQuery { filter, order: SortOrder { field, direction }, page } = query;
        let names = NameRange::new(&filter, &format!("{parent}/repositories/"));
        let needs_project = !matches!(authorized.caller().mode, AuthorizationMode::Everything);
        self.read(move |tx| {
            // As in `create_repository`, the project need not exist in development mode.
            if needs_project {
                check_project(tx, &project)?;
            }
            let row_filter = |row: &RepositoryDetails| {
                let matches = filter.matches(|_| row.name.to_string());
                RowFilter::include_if(matches, 500 + row.settings.len() + row.labels.len())
            };
            if (field, direction) == (NameOrder::Name, SortDirection::Ascending) {
                return read_page(
                    names.narrow(page.clone(), direction),
                    |last, step| Ok(repositories::list(tx, &project, &location, last, step)?),
                    |row| row.name.repository.to_string(),
                    |row| names.filter(row.name.repository.as_str(), direction, row_filter(row)),
                );
            }
            let all = repositories::list(tx, &project, &location, "", MAX_SORTED_ROWS as i64 + 1)?;
            let sort_key = |row: &RepositoryDetails| SortKey {
                time: field.time(row.created_at, row.updated_at),
                name: row.name.repository.to_string(),
            };
            read_sorted_page(all, sort_key, direction, &page, row_filter)
        })
        .await
    }

    /// Changes the values of a repository that the request sets.
    pub async fn update_repository(
        &self,
        authorized: &Authorized,
        change: RepositoryChange,
    ) -> Result<RepositoryDetails, EngineError> {
        let name =
            repository_name(authorized.resource_for(artifactregistry::REPOSITORIES_UPDATE)?)?;
        let (authorized, now) = (authorized.clone(), self.clock.now());
        let (before, changed, settings_changed) = self
            .write(move |tx| {
                let mut details = find_details(tx, &name)?;
                let before = details.settings.clone();
                change.clone().apply(&mut details)?;
                details.updated_at = now;
                repositories::update(tx, &details)?;
                if let Some(new) = &change.upstreams {
                    let by = authorized.caller().principal.to_string();
                    store_upstreams(tx, &name, new, &by, now)?;
                }
                let settings_changed = details.settings != before;
                if settings_changed {
                    schedule_maintenance(tx, &name, &details.settings, now)?;
                }
                epochs::bump(tx, epochs::ACCESS)?;
                events::insert(tx, &authorized.event(EventAction::Update, &name.to_string(), now))?;
                Ok((before, details, settings_changed))
            })
            .await?;
        let mode = |settings: &str| RepositoryMode::parse(changed.mode, settings).ok();
        if changed.mode == ModeName::Remote && mode(&before) != mode(&changed.settings) {
            self.forget_upstream_tags(changed.id).await?;
        }
        self.identity.poll_epoch().await?;
        if settings_changed {
            warn_if_policies_delete_nothing(&changed);
        }
        Ok(changed)
    }

    /// Forgets what a remote repository knows of tags, because its upstream is another one from now on.
    async fn forget_upstream_tags(&self, repository: Id) -> Result<(), EngineError> {
        const ROWS_AT_ONCE: i64 = 1_000;
        let forget =
            move |tx: &mut Tx<'_>| Ok(upstream_tags::forget_all(tx, &repository, ROWS_AT_ONCE)?);
        while self.write(forget).await? == ROWS_AT_ONCE as u64 {}
        Ok(())
    }

    /// Deletes a repository. It is hidden and its name is free at once; its content is deleted afterwards.
    pub async fn delete_repository(&self, authorized: &Authorized) -> Result<(), EngineError> {
        let name =
            repository_name(authorized.resource_for(artifactregistry::REPOSITORIES_DELETE)?)?;
        let (authorized, now) = (authorized.clone(), self.clock.now());
        self.write(move |tx| {
            let details = find_details(tx, &name)?;
            repositories::hide(tx, &details.id, now)?;
            upstreams::delete_all(tx, &details.id)?;
            secrets::delete_use(tx, &details.id)?;
            cleanups::unschedule(tx, &details.id)?;
            cache_limits::delete(tx, &details.id)?;
            policies::delete(tx, &name.to_string())?;
            meta::gc_queue::enqueue(tx, ReviewKind::Repository, &[details.id.to_string()], now)?;
            epochs::bump(tx, epochs::ACCESS)?;
            let event = authorized.event(EventAction::DeleteRepository, &name.to_string(), now);
            Ok(events::insert(tx, &event)?)
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

/// Logs a warning if cleanup policies delete nothing because all of them keep.
fn warn_if_policies_delete_nothing(repository: &RepositoryDetails) {
    if check_policies(&repository.settings).is_ok_and(|policies| policies.has_only_keep_policies())
    {
        let name = &repository.name;
        tracing::warn!(repo.name = %name, "the cleanup policies of {name} delete nothing: all of them keep");
    }
}

/// Schedules cleanup for a repository that has policies, and eviction for one with a bound of what it keeps. Unschedules
/// them for one without.
fn schedule_maintenance(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    settings: &str,
    now: i64,
) -> Result<(), EngineError> {
    let repository = find_repository(tx, name)?.id;
    if check_policies(settings)?.is_empty() {
        cleanups::unschedule(tx, &repository)?;
    } else {
        cleanups::schedule(tx, &repository, now)?;
    }
    if RemoteRules::parse(settings).is_ok_and(|rules| rules.cache_limit.is_some()) {
        cache_limits::insert(tx, &repository)?;
    } else {
        cache_limits::delete(tx, &repository)?;
    }
    Ok(())
}

fn check_project(tx: &mut Tx<'_>, project: &ProjectId) -> Result<(), EngineError> {
    let row = meta::projects::find(tx, project.as_str())?.filter(|project| project.active);
    row.map(|_| ()).ok_or_else(|| EngineError::ResourceUnknown(format!("Project {project}")))
}

fn repository_name(resource: &Resource) -> Result<RepositoryName, EngineError> {
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
    const MAX_CHARACTERS: usize = 1_024;
    if description.chars().count() <= MAX_CHARACTERS && !description.contains('\0') {
        return Ok(());
    }
    Err(EngineError::InvalidArgument {
        field: "repository.description",
        problem: format!("at most {MAX_CHARACTERS} characters"),
    })
}
