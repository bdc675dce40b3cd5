//! The methods of the APIs, each implemented once, over the engine.
//!
//! The gate adds the caller to each request, and the proof that the caller has the permission that the contract
//! declares for the method. A method translates messages to the engine's types and back. It makes no decisions.

mod accounts;
mod analysis;
mod artifact_registry;
mod attachments;
mod credentials;
mod files;
mod image_message;
mod images;
mod locations;
mod names;
mod operations;
mod packages;
mod policies;
mod projects;
mod remote_config;
mod repositories;
mod repository_checks;
mod repository_message;
mod roles;
mod rules;
mod settings;
mod status;
mod tags;
mod update_mask;
mod upstream_state;
mod upstreams;
mod usage;
mod versions;

use std::sync::Arc;

use async_trait::async_trait;
use engine::{EngineError, NameOrder};
use identity::{Authorized, Caller};
use model::list_filter::{SortDirection, parse_order};
use model::resource::{ORGANIZATION_NAME, Resource};
use prost_types::{Any, Timestamp};
use proto::google::api::serviceusage::v1::service_usage_server::ServiceUsageServer;
use proto::google::cloud::location::locations_server::LocationsServer;
use proto::google::cloud::resourcemanager::v1::organizations_server::OrganizationsServer;
use proto::google::cloud::resourcemanager::v1::projects_server::ProjectsServer;
use proto::google::devtools::artifactregistry::v1::OperationMetadata;
use proto::google::devtools::artifactregistry::v1::artifact_registry_server::ArtifactRegistryServer;
use proto::google::devtools::containeranalysis::v1::container_analysis_server::ContainerAnalysisServer;
use proto::google::iam::admin::v1::iam_server::IamServer;
use proto::google::iam::credentials::v1::iam_credentials_server::IamCredentialsServer;
use proto::google::longrunning::operations_server::OperationsServer;
use proto::grafeas::v1::grafeas_server::GrafeasServer;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};

use super::{Authorizer, GoogleError, RequiredAccess};
use web::app::App;
use web::audit::AuditRecorder;

/// The result of a method.
type ServiceAnswer<T> = Result<Response<T>, Status>;

/// All services, over one engine.
#[derive(Clone)]
pub(crate) struct ApiServices {
    app: App,
}

/// The URL by which the client reached this server. Links in answers begin with it. It is an extension of requests.
#[derive(Debug, Clone)]
pub(crate) struct BaseUrl(pub String);

/// Returns the routes of every service.
pub(crate) fn routes(app: &App) -> Routes {
    let services = ApiServices { app: app.clone() };
    Routes::new(ArtifactRegistryServer::new(services.clone()))
        .add_service(ContainerAnalysisServer::new(services.clone()))
        .add_service(GrafeasServer::new(services.clone()))
        .add_service(IamServer::new(services.clone()))
        .add_service(IamCredentialsServer::new(services.clone()))
        .add_service(LocationsServer::new(services.clone()))
        .add_service(OperationsServer::new(services.clone()))
        .add_service(OrganizationsServer::new(services.clone()))
        .add_service(ProjectsServer::new(services.clone()))
        .add_service(ServiceUsageServer::new(services))
}

/// The authorizer that asks the policies.
pub(crate) struct EngineAuthorizer(App);

impl EngineAuthorizer {
    /// Creates the authorizer of an application.
    pub(crate) fn new(app: &App) -> Arc<Self> {
        Arc::new(Self(app.clone()))
    }
}

#[async_trait]
impl Authorizer for EngineAuthorizer {
    async fn admit(
        &self,
        extensions: &mut http::Extensions,
        access: &RequiredAccess,
    ) -> Result<(), GoogleError> {
        let trail = extensions.get::<AuditRecorder>().cloned().unwrap_or_default();
        let caller = extensions.get::<Caller>().cloned().unwrap_or_else(Caller::anonymous);
        let Some(permission) = &access.permission else {
            return if caller.is_anonymous() { Err(GoogleError::no_credential()) } else { Ok(()) };
        };
        let resource = match access.resource.as_str() {
            "" => Resource::Organization,
            name => match name.parse() {
                Ok(resource) => resource,
                // An anonymous caller is asked to authenticate before anything else.
                Err(_) if caller.is_anonymous() => return Err(GoogleError::no_credential()),
                Err(problem) => return Err(GoogleError::bad_field("name", problem)),
            },
        };
        let permission = permission.parse().map_err(|_| {
            GoogleError::new(Code::Internal, "a method asks for no known permission")
        })?;
        // The full name, also if the permission is asked on the repository that contains the resource.
        let resource_name =
            if access.resource.is_empty() { ORGANIZATION_NAME } else { &access.resource };
        trail.note_resource(&resource_name);
        let admitted = self.0.engine.identity().admit(&caller, permission, resource.clone()).await;
        let admitted = admitted.map_err(EngineError::from);
        trail.note_check(permission, &resource, &admitted);
        extensions.insert(admitted?);
        Ok(())
    }
}

/// Returns the proof of the permission that the gate added to the request.
fn admitted<T>(request: &Request<T>) -> Result<Authorized, Status> {
    let admitted = request.extensions().get::<Authorized>().cloned();
    admitted.ok_or_else(|| Status::internal("a method was called without the gate"))
}

fn caller<T>(request: &Request<T>) -> Caller {
    request.extensions().get::<Caller>().cloned().unwrap_or_else(Caller::anonymous)
}

/// Returns the recorder with which a method notes facts for the audit log.
fn trail<T>(request: &Request<T>) -> AuditRecorder {
    request.extensions().get::<AuditRecorder>().cloned().unwrap_or_default()
}

fn base_url<T>(request: &Request<T>, app: &App) -> String {
    let base = request.extensions().get::<BaseUrl>().map(|base| base.0.clone());
    base.unwrap_or_else(|| app.origin.on_this_machine())
}

/// Returns an error of the engine as a gRPC status.
fn failed(error: impl Into<EngineError>) -> Status {
    GoogleError::from(error.into()).into()
}

fn bad_field(field: &str, problem: impl std::fmt::Display) -> Status {
    GoogleError::bad_field(field, problem).into()
}

/// Returns the empty metadata of an operation.
fn metadata() -> Any {
    Any::from_msg(&OperationMetadata {}).expect("a Vec grows")
}

/// Returns a time in microseconds since 1970 in the form of the APIs.
fn timestamp(micros: i64) -> Timestamp {
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    Timestamp { seconds, nanos: rest as i32 * 1_000 }
}

/// The identity of a list: the caller, the parent, the filter and the order. A page token is valid only for the list
/// that it came from.
struct ListIdentity(String);

impl ListIdentity {
    fn new(caller: &Caller, parts: &[&str]) -> Self {
        Self(format!("{}\n{}", caller.principal, parts.join("\n")))
    }
}

impl ApiServices {
    /// Returns the position at which a page begins, from its page token.
    fn page_start(&self, list: &ListIdentity, token: &str) -> Result<String, Status> {
        match token {
            "" => Ok(String::new()),
            token => self
                .app
                .engine
                .identity()
                .open_cursor(&list.0, token)
                .ok_or_else(|| bad_field("page_token", "is not a token of this list")),
        }
    }

    /// Returns the token of the next page, or an empty text if there is none.
    fn page_token(&self, list: &ListIdentity, next: Option<&str>) -> Result<String, Status> {
        let token = next.map(|next| self.app.engine.identity().seal_cursor(&list.0, next));
        Ok(token.transpose().map_err(failed)?.unwrap_or_default())
    }
}

/// Reads the order of a list whose entries have a name, a creation time and an update time.
fn name_order(order_by: &str) -> Result<(NameOrder, SortDirection), Status> {
    let fields = ["name", "create_time", "update_time"];
    Ok(match parse_order(order_by, &fields).map_err(|error| bad_field("order_by", error))? {
        None => (NameOrder::Name, SortDirection::Ascending),
        Some(("name", direction)) => (NameOrder::Name, direction),
        Some(("create_time", direction)) => (NameOrder::Created, direction),
        Some((_, direction)) => (NameOrder::Updated, direction),
    })
}

/// Returns the number of entries on a page: the client's wish within limits, or `usual` without one.
fn page_size(wanted: i32, usual: usize) -> Result<usize, Status> {
    const MAX_PAGE_SIZE: usize = 1_000;
    match usize::try_from(wanted) {
        Ok(0) => Ok(usual),
        Ok(wanted) => Ok(wanted.min(MAX_PAGE_SIZE)),
        Err(_) => Err(bad_field("page_size", "must not be negative")),
    }
}
