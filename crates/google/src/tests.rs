//! Tests of both doors as clients see them, in front of a service whose answers show the request.

mod audited;
mod doors;
mod errors;
mod leniencies;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use engine::ParsingPlaces;
use http::header::CONTENT_TYPE;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use prost_types::{Any, Timestamp};
use proto::google::devtools::artifactregistry::v1::artifact_registry_client::ArtifactRegistryClient;
use proto::google::devtools::artifactregistry::v1::artifact_registry_server::{
    ArtifactRegistry, ArtifactRegistryServer,
};
use proto::google::devtools::artifactregistry::v1::{
    CreateRepositoryRequest, DeleteTagRequest, GetRepositoryRequest, ListRepositoriesRequest,
    ListRepositoriesResponse, OperationMetadata, Repository, UpdateRepositoryRequest,
};
use proto::google::longrunning::Operation;
use proto::google::longrunning::operation::Result as Outcome;
use serde_json::Value;
use tonic::Code;
use tonic::service::Routes;
use tower::ServiceExt;

use super::*;
use crate::intake::MAX_MESSAGE_BYTES;

const REPOSITORY: &str = "projects/p/locations/us/repositories/r";

/// The caller, an extension of requests. In the server, authentication adds it.
#[derive(Clone)]
struct Caller(&'static str);

/// The value that the gate adds for methods.
#[derive(Clone)]
struct Admitted(String);

/// Admits every caller but mallory, and records the access that was asked.
#[derive(Default)]
struct Recorder(Mutex<Vec<RequiredAccess>>);

#[async_trait::async_trait]
impl Authorizer for Recorder {
    async fn admit(
        &self,
        extensions: &mut http::Extensions,
        access: &RequiredAccess,
    ) -> Result<(), GoogleError> {
        self.0.lock().expect("nobody panicked").push(access.clone());
        match extensions.get::<Caller>() {
            None => Err(GoogleError::new(Code::Unauthenticated, "who are you?")),
            Some(Caller("mallory")) => Err(GoogleError::new(Code::PermissionDenied, "not you")
                .with_info(
                    "IAM_PERMISSION_DENIED",
                    "berth.test",
                    [("resource", &access.resource)],
                )),
            Some(Caller(name)) => {
                let admitted = Admitted(format!("{name} was let in"));
                extensions.insert(admitted);
                Ok(())
            }
        }
    }
}

struct Echo;

#[tonic::async_trait]
impl ArtifactRegistry for Echo {
    async fn get_repository(
        &self,
        request: tonic::Request<GetRepositoryRequest>,
    ) -> Result<tonic::Response<Repository>, tonic::Status> {
        let description = request.extensions().get::<Admitted>().expect("by the gate").0.clone();
        let name = request.into_inner().name;
        if name.ends_with("missing") {
            return Err(GoogleError::new(Code::NotFound, "no such repository: \"mißing\"")
                .with_info("NOT_FOUND", "berth.test", [("resource", &name)])
                .into());
        }
        if name.ends_with("odd") {
            let details =
                vec![Any { type_url: "type.googleapis.com/what.Ever".to_owned(), value: vec![1] }];
            let message = "odd".to_owned();
            let odd = proto::google::rpc::Status { code: 9, message, details };
            let odd = prost::Message::encode_to_vec(&odd);
            return Err(tonic::Status::with_details(Code::FailedPrecondition, "odd", odd.into()));
        }
        let labels = ["zoo", "ant", "mid"].map(|key| (key.to_owned(), key.to_owned())).into();
        let create_time = Some(Timestamp { seconds: 1_714_979_289, nanos: 123_456_000 });
        let (format, mode, size_bytes) = (1, 1, 123_456_789_012);
        let (description, labels) = (description, labels);
        Ok(tonic::Response::new(Repository {
            name,
            description,
            labels,
            create_time,
            format,
            mode,
            size_bytes,
            ..Repository::default()
        }))
    }

    async fn list_repositories(
        &self,
        request: tonic::Request<ListRepositoriesRequest>,
    ) -> Result<tonic::Response<ListRepositoriesResponse>, tonic::Status> {
        let ListRepositoriesRequest { parent, page_size, page_token, filter, order_by } =
            request.into_inner();
        let next_page_token = format!("{parent}|{page_size}|{page_token}|{filter}|{order_by}");
        Ok(tonic::Response::new(ListRepositoriesResponse {
            repositories: Vec::new(),
            next_page_token,
        }))
    }

    async fn create_repository(
        &self,
        request: tonic::Request<CreateRepositoryRequest>,
    ) -> Result<tonic::Response<Operation>, tonic::Status> {
        let CreateRepositoryRequest { parent, repository_id, repository } = request.into_inner();
        let mut repository = repository.unwrap_or_default();
        repository.name = format!("{parent}/repositories/{repository_id}");
        let mut response = Any::from_msg(&repository).expect("a Vec grows");
        if repository_id == "odd" {
            response.type_url = "type.googleapis.com/what.Secret".to_owned();
        }
        Ok(tonic::Response::new(Operation {
            name: format!("{parent}/operations/1"),
            metadata: Some(Any::from_msg(&OperationMetadata {}).expect("a Vec grows")),
            done: true,
            result: Some(Outcome::Response(response)),
        }))
    }

    async fn update_repository(
        &self,
        request: tonic::Request<UpdateRepositoryRequest>,
    ) -> Result<tonic::Response<Repository>, tonic::Status> {
        let UpdateRepositoryRequest { repository, update_mask } = request.into_inner();
        let mut repository = repository.unwrap_or_default();
        let mask = update_mask.map_or("none".to_owned(), |mask| mask.paths.join(" "));
        repository.labels = [("mask".to_owned(), mask)].into();
        Ok(tonic::Response::new(repository))
    }

    async fn delete_tag(
        &self,
        _request: tonic::Request<DeleteTagRequest>,
    ) -> Result<tonic::Response<()>, tonic::Status> {
        Ok(tonic::Response::new(()))
    }
}

/// Both doors, and the recorder of what the gate was asked.
struct TestDoors {
    router: Router,
    gate: Arc<Recorder>,
}

impl TestDoors {
    fn new() -> Self {
        let gate = Arc::new(Recorder::default());
        let routes = Routes::new(ArtifactRegistryServer::new(Echo));
        let router = router(
            routes,
            gate.clone(),
            BodyReader::new(Duration::from_secs(5), ParsingPlaces::default()),
        )
        .expect("the contract is complete");
        Self { router, gate }
    }

    /// Sends a request unchanged.
    async fn send(&self, request: http::Request<Body>) -> Response<Body> {
        let Ok(response) = self.router.clone().oneshot(request).await;
        response
    }

    /// Sends a request of alice over REST, `method path`, and returns the answer.
    async fn rest(&self, request: &str, body: &str) -> (StatusCode, Value) {
        let (method, path) = request.split_once(' ').expect("method and path");
        let method: Method = method.parse().expect("a method");
        let request = http::Request::builder().method(method).uri(path).extension(Caller("alice"));
        read(self.send(request.body(Body::from(body.to_owned())).expect("valid")).await).await
    }

    /// Sends a request that must succeed, and returns the answer.
    #[track_caller]
    fn ok(&self, request: &str, body: &str) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let (status, answer) = self.rest(request, body).await;
            assert_eq!(status, StatusCode::OK, "{request} at {caller}: {answer}");
            answer
        }
    }

    /// Returns a client of the gRPC door.
    fn grpc(&self) -> ArtifactRegistryClient<Router> {
        ArtifactRegistryClient::new(self.router.clone())
    }

    /// Returns the access that the gate was asked last.
    fn asked(&self) -> RequiredAccess {
        self.gate.0.lock().expect("nobody panicked").pop().expect("the gate was asked")
    }

    fn was_asked(&self) -> bool {
        !self.gate.0.lock().expect("nobody panicked").is_empty()
    }
}

/// Returns a gRPC request of `who`.
fn by<T>(who: &'static str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.extensions_mut().insert(Caller(who));
    request
}

/// Returns an answer's status and JSON.
async fn read(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let body = response.into_body().collect().await.expect("whole").to_bytes();
    (status, serde_json::from_slice(&body).expect("JSON"))
}
