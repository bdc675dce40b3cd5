//! The state of the registry that a remote repository fetches from, as the answer about the repository shows it.

use engine::{UpstreamFailure, UpstreamProblemKind as Problem, UpstreamRateLimit, UpstreamState};
use proto::google::devtools::artifactregistry::v1::Repository;
use proto::google::devtools::artifactregistry::v1::remote_repository_config::UpstreamState as Message;
use proto::google::devtools::artifactregistry::v1::remote_repository_config::upstream_state::{
    Failure, RateLimit, failure::Kind,
};
use proto::google::devtools::artifactregistry::v1::repository::ModeConfig;

use super::timestamp;

/// Adds the state of its upstream to the message of a remote repository.
pub(super) fn add(repository: &mut Repository, state: UpstreamState) {
    if let Some(ModeConfig::RemoteRepositoryConfig(config)) = &mut repository.mode_config {
        config.upstream_state = Some(Box::new(Message {
            rate_limit: state.rate_limit.map(write_limit),
            retry_after: state.retry_after.map(timestamp),
            unreachable: state.is_silent,
            last_failure: state.last_failure.and_then(write_failure),
        }));
    }
}

fn write_limit(stated: UpstreamRateLimit) -> RateLimit {
    let seconds = |window: std::time::Duration| window.as_secs() as i64;
    let window =
        stated.window.map(seconds).map(|seconds| prost_types::Duration { seconds, nanos: 0 });
    RateLimit { remaining: Some(stated.remaining), limit: stated.limit, window }
}

fn write_failure(failure: UpstreamFailure) -> Option<Failure> {
    let kind = match failure.kind {
        Problem::Limited { .. } => Kind::Limited,
        Problem::Credentials => Kind::Credentials,
        Problem::Failed => Kind::Failed,
        Problem::Unreachable => Kind::Unreachable,
        // These are found out elsewhere: the registry answered the request, or was not asked.
        Problem::NotFound | Problem::Wrong | Problem::NotStored | Problem::Offline => return None,
    };
    Some(Failure { kind: kind as i32, time: Some(timestamp(failure.at)) })
}
