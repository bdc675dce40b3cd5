//! Repositories: list, get, create, update and delete.

use std::collections::HashSet;

use engine::{EngineError, ListQuery, NewRepository, NewUpstreams, PageRequest, SortOrder};
use identity::Caller;
use model::list_filter::ListFilter;
use model::name::RepositoryName;
use model::repository::{RemoteUpstream, RepositoryMode};
use model::resource::Resource;
use model::secret::SecretName;
use model::upstream_credentials::{CREDENTIALS_FIELD, UpstreamCredentials};
use prost_types::Any;
use proto::google::devtools::artifactregistry::v1::{
    CreateRepositoryRequest, DeleteRepositoryRequest, GetRepositoryRequest,
    ListRepositoriesRequest, ListRepositoriesResponse, Repository, UpdateRepositoryRequest,
};
use proto::google::longrunning::Operation;
use tonic::{Request, Response, Status};

use super::operations::OperationParent;
use super::remote_config::without_empty_credentials;
use super::repository_checks as checks;
use super::repository_message as message;
use super::update_mask::UpdateMask;
use super::{
    ApiServices, ListIdentity, ServiceAnswer, admitted, bad_field, failed, metadata, name_order,
    names, page_size, trail, upstream_state,
};
use crate::intake::RestCall;
use model::permissions::{artifactregistry, secretmanager};
use web::audit::AuditRecorder;

pub(super) async fn list(
    services: &ApiServices,
    request: Request<ListRepositoriesRequest>,
) -> ServiceAnswer<ListRepositoriesResponse> {
    let admitted = admitted(&request)?;
    let ListRepositoriesRequest { parent, page_size: wanted, page_token: token, filter, order_by } =
        request.into_inner();
    services.check_location(&parent)?;
    let (order, direction) = name_order(&order_by)?;
    let order_text = format!("{order:?} {direction:?}");
    let list =
        ListIdentity::new(admitted.caller(), &["repositories", &parent, &filter, &order_text]);
    let filter =
        ListFilter::parse(&filter, &["name"]).map_err(|error| bad_field("filter", error))?;
    let (start, limit) = (services.page_start(&list, &token)?, page_size(wanted, 500)?);
    let order = SortOrder { field: order, direction };
    let query = ListQuery { filter, order, page: PageRequest { start, limit } };
    let page = services.app.engine.list_repositories(&admitted, query);
    let page = page.await.map_err(failed)?;
    Ok(Response::new(ListRepositoriesResponse {
        repositories: page
            .entries
            .iter()
            .map(|found| message::write(found, &services.app))
            .collect(),
        next_page_token: services.page_token(&list, page.next.as_deref())?,
    }))
}

pub(super) async fn get(
    services: &ApiServices,
    request: Request<GetRepositoryRequest>,
) -> ServiceAnswer<Repository> {
    let admitted = admitted(&request)?;
    let is_rest = request.extensions().get::<RestCall>().is_some();
    let (engine, permission) = (&services.app.engine, artifactregistry::REPOSITORIES_GET);
    let found = engine.find_repository(&admitted, permission).await.map_err(failed)?;
    let mut repository = message::write(&found, &services.app);
    if is_rest && let Some(state) = engine.upstream_state(&found) {
        upstream_state::add(&mut repository, state);
    }
    Ok(Response::new(repository))
}

pub(super) async fn create(
    services: &ApiServices,
    request: Request<CreateRepositoryRequest>,
) -> ServiceAnswer<Operation> {
    let (admitted, trail) = (admitted(&request)?, trail(&request));
    let CreateRepositoryRequest { parent, repository_id, repository } = request.into_inner();
    let repository = without_empty_credentials(repository.unwrap_or_default());
    services.check_location(&parent)?;
    checks::check_new(&parent, &repository_id, &repository)?;
    let name = format!("{parent}/repositories/{repository_id}");
    let mut change = message::change(&repository, &UpdateMask::everything())?;
    let mode = message::upstreams(&repository)?;
    if let Ok(Resource::Repository(name)) = name.parse() {
        services.check_registry(&repository, &mode).await?;
        let adding = UpstreamCheck { caller: admitted.caller(), trail: &trail, name: &name };
        let credentials = message::credentials(&repository)?;
        let mut upstreams = services.check_upstreams(&adding, mode).await?;
        upstreams.secret =
            services.check_credentials(&adding, &upstreams.mode, credentials).await?;
        change.upstreams = Some(upstreams);
    }
    let new = NewRepository { id: repository_id, mode: message::mode(&repository)?, change };
    let created = services.app.engine.create_repository(&admitted, new).await.map_err(failed)?;
    trail.note_resource(&created.name);
    let response = Any::from_msg(&message::write(&created, &services.app)).expect("a Vec grows");
    let name = created.name;
    let parent = OperationParent::Location(name.project, name.location);
    services.store_success(admitted.caller(), parent, Some(metadata()), response).await
}

pub(super) async fn update(
    services: &ApiServices,
    request: Request<UpdateRepositoryRequest>,
) -> ServiceAnswer<Repository> {
    let (admitted, trail) = (admitted(&request)?, trail(&request));
    let UpdateRepositoryRequest { repository, update_mask } = request.into_inner();
    let repository = repository.unwrap_or_default();
    let mask = UpdateMask::new(update_mask)?;
    let engine = &services.app.engine;
    // Fields outside of the mask keep their values, also those that are stored as one document.
    let current = engine.find_repository(&admitted, artifactregistry::REPOSITORIES_UPDATE);
    let current = current.await.map_err(failed)?;
    message::check_unchanged(&current, &repository, &mask)?;
    let before = message::write(&current, &services.app);
    let merged = message::merge(before.clone(), repository, &mask);
    let merged = without_empty_credentials(merged);
    let mut change = message::change(&merged, &mask)?;
    // A change of other fields adds no upstream.
    if mask.changes_mode_config() {
        let adding =
            UpstreamCheck { caller: admitted.caller(), trail: &trail, name: &current.name };
        let mode = message::upstreams(&merged)?;
        let registry_before = message::upstreams(&before).ok();
        let registry_before = registry_before.as_ref().and_then(RepositoryMode::registry_url);
        if registry_before != mode.registry_url() {
            services.check_registry(&merged, &mode).await?;
        }
        let credentials = message::credentials(&merged)?;
        let mut upstreams = services.check_upstreams(&adding, mode).await?;
        upstreams.secret = if is_same_login(&before, &merged)
            && services.keeps_secret(&current.name, credentials.as_ref()).await?
        {
            credentials.map(|credentials| credentials.secret.secret)
        } else {
            services.check_credentials(&adding, &upstreams.mode, credentials).await?
        };
        change.upstreams = Some(upstreams);
    }
    let changed = engine.update_repository(&admitted, change).await.map_err(failed)?;
    Ok(Response::new(message::write(&changed, &services.app)))
}

pub(super) async fn delete(
    services: &ApiServices,
    request: Request<DeleteRepositoryRequest>,
) -> ServiceAnswer<Operation> {
    let admitted = admitted(&request)?;
    let name = names::parse_existing(&request.into_inner().name)?;
    services.app.engine.delete_repository(&admitted).await.map_err(failed)?;
    services.store_deletion(admitted.caller(), name).await
}

impl ApiServices {
    /// Refuses a location that no repository can be in.
    fn check_location(&self, parent: &str) -> Result<(), Status> {
        let location = names::last_segment(parent);
        match self.is_location(location) {
            true => Ok(()),
            false => Err(bad_field("parent", format!("Location {location} was not found"))),
        }
    }

    /// Checks that a remote repository may fetch from its registry, and asks the registry unless the message says not
    /// to.
    async fn check_registry(
        &self,
        repository: &Repository,
        mode: &RepositoryMode,
    ) -> Result<(), Status> {
        let Some(url) = mode.registry_url() else { return Ok(()) };
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = rest.split('/').next().unwrap_or_default();
        if self.app.domains.are_configured_for(host) {
            let problem = "the upstream's URL is one of this registry: name the repository as projects/P/locations/L/repositories/R";
            return Err(bad_field("repository.remote_repository_config", problem));
        }
        let validation = message::validation(repository);
        self.app.engine.check_upstream_url(url, validation).await.map_err(failed)
    }

    /// Checks that the caller may read the upstreams that it adds. The repository shows their content to other callers.
    async fn check_upstreams(
        &self,
        adding: &UpstreamCheck<'_>,
        mode: RepositoryMode,
    ) -> Result<NewUpstreams, Status> {
        let &UpstreamCheck { caller, trail, name } = adding;
        let engine = &self.app.engine;
        let mut readable = HashSet::new();
        for upstream in engine.upstreams_to_add(name, &mode).await.map_err(failed)? {
            let resource = Resource::Repository(upstream.clone());
            let read = artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS;
            let admitted = engine.identity().admit(caller, read, resource.clone()).await;
            let admitted = admitted.map_err(EngineError::from);
            trail.note_check(read, &resource, &admitted);
            admitted.map_err(failed)?;
            readable.insert(upstream);
        }
        Ok(NewUpstreams { mode, readable, secret: None })
    }

    /// Checks that the repository may use a secret, and that the secret fits the upstream. A secret of another project
    /// needs a caller who may read that one: nobody else learns whether it is there.
    async fn check_credentials(
        &self,
        adding: &UpstreamCheck<'_>,
        mode: &RepositoryMode,
        credentials: Option<UpstreamCredentials>,
    ) -> Result<Option<SecretName>, Status> {
        let &UpstreamCheck { caller, trail, name } = adding;
        let Some(UpstreamCredentials { secret, .. }) = credentials else { return Ok(None) };
        let RepositoryMode::Remote(RemoteUpstream::Url(url)) = mode else {
            return Err(bad_field(CREDENTIALS_FIELD, "only an upstream with a URL takes them"));
        };
        let engine = &self.app.engine;
        if secret.secret.project != name.project {
            let resource = Resource::Project(secret.secret.project.clone());
            let access = secretmanager::VERSIONS_ACCESS;
            let admitted = engine.identity().admit(caller, access, resource.clone()).await;
            let admitted = admitted.map_err(EngineError::from);
            trail.note_check(access, &resource, &admitted);
            admitted.map_err(failed)?;
        }
        engine.check_secret(&secret, url).await.map_err(failed)?;
        Ok(Some(secret.secret))
    }

    /// Returns whether the repository uses the secret of these credentials already.
    async fn keeps_secret(
        &self,
        name: &RepositoryName,
        credentials: Option<&UpstreamCredentials>,
    ) -> Result<bool, Status> {
        let Some(credentials) = credentials else { return Ok(false) };
        let secret = &credentials.secret.secret;
        self.app.engine.uses_secret(name, secret).await.map_err(failed)
    }
}

/// Returns whether an update leaves the upstream and its credentials as they are. It needs no permission then, and no
/// secret that can be used.
fn is_same_login(before: &Repository, after: &Repository) -> bool {
    let login = |repository: &Repository| {
        let mode = message::upstreams(repository).ok()?;
        Some((mode, message::credentials(repository).ok()?))
    };
    login(before).is_some() && login(before) == login(after)
}

/// A request to add upstreams to the repository `name`.
struct UpstreamCheck<'a> {
    caller: &'a Caller,
    trail: &'a AuditRecorder,
    name: &'a RepositoryName,
}
