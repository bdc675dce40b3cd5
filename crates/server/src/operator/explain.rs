//! The operator's question which upstream of a virtual repository answers a pull.

use engine::{EngineError, PullExplanation, UpstreamExplanation, UpstreamOutcome};
use model::name::RepositoryName;
use serde::{Deserialize, Serialize};

use super::ProgressLine;
use web::app::App;

/// The answers of the upstreams of a virtual repository for one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExplainAnswer {
    /// All upstreams, in the order in which they are asked.
    pub upstreams: Vec<UpstreamLine>,
    /// The position of the upstream that answers.
    pub answering: Option<usize>,
}

/// The answer of one upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UpstreamLine {
    /// The id of the policy.
    pub id: String,
    /// The priority of the policy.
    pub priority: i32,
    /// The name of the repository.
    pub repository: String,
    /// The answer in words.
    pub answer: String,
    /// The time that the answer took, in microseconds.
    pub micros: u64,
    /// True if a pull gets the manifest of this upstream.
    pub serves: bool,
}

impl From<UpstreamExplanation> for UpstreamLine {
    fn from(upstream: UpstreamExplanation) -> Self {
        let serves = matches!(upstream.outcome, UpstreamOutcome::Found(_));
        let mut answer = match upstream.outcome {
            UpstreamOutcome::Found(digest) => format!("has it: {digest}"),
            UpstreamOutcome::Denied(digest) => {
                format!("has it, and one of its rules denies the download: {digest}")
            }
            UpstreamOutcome::ImageDenied(denial) => format!("does not serve the image: {denial}"),
            UpstreamOutcome::NotFound => "does not have it".to_owned(),
            UpstreamOutcome::Failed(fault) => format!("cannot answer: {fault}"),
            UpstreamOutcome::NotAsked => "is not asked".to_owned(),
            UpstreamOutcome::PinnedAway => {
                "is not asked: a pin names another upstream for this image".to_owned()
            }
        };
        if upstream.adder_lost_access {
            answer.push_str(" (whoever added it may not read it any more)");
        }
        Self {
            id: upstream.policy_id,
            priority: upstream.priority,
            repository: upstream.repository.map(|name| name.to_string()).unwrap_or_default(),
            answer,
            micros: upstream.micros,
            serves,
        }
    }
}

/// Explains a pull of an image from a repository.
pub(super) async fn explain(
    app: &App,
    repository: &str,
    image: &str,
) -> ProgressLine<ExplainAnswer> {
    match explained(app, repository, image).await {
        Ok(PullExplanation { upstreams, answering }) => {
            let upstreams = upstreams.into_iter().map(UpstreamLine::from).collect();
            ProgressLine::Done(ExplainAnswer { upstreams, answering })
        }
        Err(error) => ProgressLine::Error(error.to_string()),
    }
}

async fn explained(
    app: &App,
    repository: &str,
    image: &str,
) -> Result<PullExplanation, EngineError> {
    let problem = "is no repository: projects/P/locations/L/repositories/R";
    let name: RepositoryName = repository.parse().map_err(|_| EngineError::InvalidArgument {
        field: "repository",
        problem: format!("{repository:?} {problem}"),
    })?;
    app.engine.explain_pull_to_operator(&name, image).await
}
