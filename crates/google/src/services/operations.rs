//! Long-running operations. All are over before their first answer; they are kept so that clients that ask again
//! are told the same.

use identity::Caller;
use model::name::{Location, ProjectId, RepositoryName};
use prost::Message;
use prost_types::Any;
use proto::google::longrunning::operation::Result as Outcome;
use proto::google::longrunning::operations_server::Operations;
use proto::google::longrunning::{GetOperationRequest, Operation};
use tonic::{Request, Response, Status};

use super::{ApiServices, ServiceAnswer, caller, failed, metadata};

/// Where an operation's name begins.
pub(super) enum OperationParent {
    /// `operations/`.
    Global,
    /// `projects/P/locations/L/operations/`.
    Location(ProjectId, Location),
}

impl ApiServices {
    /// An operation that did what it should, with what it came to.
    pub(super) async fn finished(
        &self,
        caller: &Caller,
        place: OperationParent,
        (metadata, response): (Option<Any>, Any),
    ) -> ServiceAnswer<Operation> {
        self.over(caller, place, (metadata, Outcome::Response(response))).await
    }

    /// A deletion in a repository, or of it: there is nothing to say of what is gone.
    pub(super) async fn deleted(
        &self,
        caller: &Caller,
        from: RepositoryName,
    ) -> ServiceAnswer<Operation> {
        let nothing = Any::from_msg(&()).expect("a Vec grows");
        let place = OperationParent::Location(from.project, from.location);
        self.finished(caller, place, (Some(metadata()), nothing)).await
    }

    /// An operation that is over.
    pub(super) async fn over(
        &self,
        caller: &Caller,
        place: OperationParent,
        (metadata, outcome): (Option<Any>, Outcome),
    ) -> ServiceAnswer<Operation> {
        let id = engine::new_operation_id();
        let name = match place {
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
