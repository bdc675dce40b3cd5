//! Upstreams of virtual repositories: the explanation of a pull, and the virtual repositories that read a repository.

use engine::{ReaderChange, UpstreamExplanation as Explanation, UpstreamOutcome, VirtualReader};
use identity::Authorized;
use model::name::RepositoryName;
use model::resource::Resource;
use proto::google::devtools::artifactregistry::v1::upstream_explanation::Outcome;
use proto::google::devtools::artifactregistry::v1::{
    ExplainPullRequest, ExplainPullResponse, ListVirtualReadersRequest, ListVirtualReadersResponse,
    UpstreamExplanation, VirtualReader as ReaderMessage,
};
use tonic::{Request, Response, Status};

use super::{ApiServices, ServiceAnswer, admitted, bad_field, failed, names, timestamp};

pub(super) async fn explain_pull(
    services: &ApiServices,
    request: Request<ExplainPullRequest>,
) -> ServiceAnswer<ExplainPullResponse> {
    let admitted = admitted(&request)?;
    let ExplainPullRequest { name, image } = request.into_inner();
    let name: RepositoryName = names::parse_existing(&name)?;
    let explained = services.app.engine.explain_pull(&admitted, &name, &image).await;
    let explained = explained.map_err(failed)?;
    let answering = explained.answering.map(|position| &explained.upstreams[position]);
    let answering = answering.map(|upstream| upstream.policy_id.clone()).unwrap_or_default();
    let upstreams = explained.upstreams.into_iter().map(write_explanation).collect();
    Ok(Response::new(ExplainPullResponse { answering_upstream: answering, upstreams }))
}

fn write_explanation(explanation: Explanation) -> UpstreamExplanation {
    let mut message = UpstreamExplanation {
        id: explanation.policy_id,
        priority: explanation.priority,
        repository: explanation.repository.map(|name| name.to_string()).unwrap_or_default(),
        duration_micros: explanation.micros as i64,
        adder_lost_access: explanation.adder_lost_access,
        ..UpstreamExplanation::default()
    };
    let outcome = match explanation.outcome {
        UpstreamOutcome::Found(digest) => {
            message.digest = digest.to_string();
            Outcome::Found
        }
        UpstreamOutcome::Denied(digest) => {
            message.digest = digest.to_string();
            Outcome::Denied
        }
        UpstreamOutcome::ImageDenied(denial) => {
            message.problem = denial.to_string();
            Outcome::Denied
        }
        UpstreamOutcome::NotFound => Outcome::NotFound,
        UpstreamOutcome::Failed(fault) => {
            message.problem = fault.to_string();
            Outcome::Failed
        }
        UpstreamOutcome::NotAsked => Outcome::NotAsked,
        UpstreamOutcome::PinnedAway => Outcome::PinnedAway,
    };
    message.outcome = outcome as i32;
    message
}

pub(super) async fn list_readers(
    services: &ApiServices,
    request: Request<ListVirtualReadersRequest>,
) -> ServiceAnswer<ListVirtualReadersResponse> {
    let admitted = admitted(&request)?;
    let name: RepositoryName = names::parse_existing(&request.into_inner().name)?;
    let readers = services.app.engine.list_virtual_readers(&admitted, &name).await;
    let readers = readers.map_err(failed)?.into_iter().map(write_reader).collect();
    Ok(Response::new(ListVirtualReadersResponse { readers }))
}

fn write_reader(reader: VirtualReader) -> ReaderMessage {
    ReaderMessage {
        repository: reader.repository.to_string(),
        added_by: reader.added_by,
        add_time: Some(timestamp(reader.added_at)),
        stop_time: reader.stop.as_ref().map(|stop| timestamp(stop.at)),
        stopped_by: reader.stop.map(|stop| stop.by).unwrap_or_default(),
    }
}

/// Returns the change that a request makes for the virtual repository `reader`.
pub(super) fn change(reader: &str, may_read: bool) -> Result<ReaderChange, Status> {
    let Ok(Resource::Repository(reader)) = reader.parse() else {
        let problem = "it has to be projects/P/locations/L/repositories/R, a virtual repository";
        return Err(bad_field("reader", problem));
    };
    Ok(ReaderChange { reader, may_read })
}

pub(super) async fn set_reader(
    services: &ApiServices,
    admitted: &Authorized,
    name: &str,
    change: ReaderChange,
) -> ServiceAnswer<()> {
    let name: RepositoryName = names::parse_existing(name)?;
    services.app.engine.set_virtual_reader(admitted, &name, change).await.map_err(failed)?;
    Ok(Response::new(()))
}
