//! Long-running operations. All are done before they are answered. They are stored, so that a client that asks for one
//! again gets the same answer.

use identity::Caller;
use model::name::{Location, ProjectId, RepositoryName};
use prost::Message;
use prost_types::Any;
use proto::google::longrunning::operation::Result as Outcome;
use proto::google::longrunning::operations_server::Operations;
use proto::google::longrunning::{GetOperationRequest, Operation};
use tonic::{Request, Response, Status};

use super::{ApiServices, ServiceAnswer, caller, failed, metadata};

/// The parent in an operation's name.
pub(super) enum OperationParent {
    /// No parent: the name begins with `operations/`.
    Global,
    /// A location: the name begins with `projects/P/locations/L/operations/`.
    Location(ProjectId, Location),
}

impl ApiServices {
    /// Stores and answers an operation that succeeded with a response.
    pub(super) async fn store_success(
        &self,
        caller: &Caller,
        parent: OperationParent,
        metadata: Option<Any>,
        response: Any,
    ) -> ServiceAnswer<Operation> {
        self.store_operation(caller, parent, metadata, Outcome::Response(response)).await
    }

    /// Stores and answers the operation of a deletion in a repository, or of the repository. Its response is empty.
    pub(super) async fn store_deletion(
        &self,
        caller: &Caller,
        repository: RepositoryName,
    ) -> ServiceAnswer<Operation> {
        let nothing = Any::from_msg(&()).expect("a Vec grows");
        let parent = OperationParent::Location(repository.project, repository.location);
        self.store_success(caller, parent, Some(metadata()), nothing).await
    }

    /// Stores and answers an operation that is done.
    pub(super) async fn store_operation(
        &self,
        caller: &Caller,
        parent: OperationParent,
        metadata: Option<Any>,
        outcome: Outcome,
    ) -> ServiceAnswer<Operation> {
        let id = engine::new_operation_id();
        let name = match parent {
            OperationParent::Global => format!("operations/{id}"),
            OperationParent::Location(project, location) => {
                format!("projects/{project}/locations/{location}/operations/{id}")
            }
        };
        let result = Some(outcome);
        let operation = Operation { name: name.clone(), metadata, done: true, result };
        let content = operation.encode_to_vec();
        self.app.engine.store_operation(caller, name, content).await.map_err(failed)?;
        Ok(Response::new(operation))
    }
}

#[tonic::async_trait]
impl Operations for ApiServices {
    async fn get_operation(
        &self,
        request: Request<GetOperationRequest>,
    ) -> Result<Response<Operation>, Status> {
        let caller = caller(&request);
        let name = request.into_inner().name;
        let content = self.app.engine.find_operation(&caller, &name).await.map_err(failed)?;
        let operation = Operation::decode(content.as_slice())
            .map_err(|_| Status::internal("a stored operation cannot be read"))?;
        Ok(Response::new(operation))
    }
}
