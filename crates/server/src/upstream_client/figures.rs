//! The figures of the hosts that are asked.

use engine::{UpstreamProblem, UpstreamProblemKind as Problem};
use web::layer::metrics::Metrics;

use super::rate_limit;
use crate::egress::EgressAnswer;

/// The figures of all hosts. A clone counts the same.
#[derive(Clone)]
pub(super) struct UpstreamFigures(Metrics);

impl UpstreamFigures {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self(metrics)
    }

    /// Counts a manifest that was served without asking the host.
    pub(super) fn count_hit(&self, url: &str) {
        self.0.upstream_hit(UpstreamProblem::host_of(url));
    }

    /// Counts content that the host begins to send.
    pub(super) fn count_fetch(&self, url: &str) {
        self.0.upstream_fetched(UpstreamProblem::host_of(url));
    }

    /// Counts bytes of content that came from the host.
    pub(super) fn count_bytes(&self, url: &str, bytes: usize) {
        self.0.upstream_sent(UpstreamProblem::host_of(url), bytes as u64);
    }

    /// Notes how a request went.
    pub(super) fn note(&self, url: &str, asked: &Result<EgressAnswer, UpstreamProblem>) {
        let host = UpstreamProblem::host_of(url);
        match asked {
            Ok(answer) => {
                if let Some(limit) = rate_limit::read(answer) {
                    self.0.set_upstream_remaining(host, limit.remaining.into());
                }
            }
            Err(problem) => self.0.upstream_failed(host, kind_name(problem.kind)),
        }
    }
}

fn kind_name(kind: Problem) -> &'static str {
    match kind {
        Problem::NotFound => "not_found",
        Problem::Limited { .. } => "limited",
        Problem::Failed => "failed",
        Problem::Unreachable => "unreachable",
        Problem::Wrong => "wrong",
        Problem::NotStored => "not_stored",
        Problem::Offline => "offline",
        Problem::Credentials => "credentials",
    }
}
