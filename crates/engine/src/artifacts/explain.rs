//! The explanation of a pull from a virtual repository: which upstream answers, and why those before it do not.

use std::sync::Arc;
use std::time::Instant;

use identity::{AuthorizationMode, Authorized, Caller, OPERATOR_PRINCIPAL};
use meta::Tx;
use model::digest::Digest;
use model::name::{ImageName, RepositoryName, split_image};
use model::permissions::artifactregistry;
use model::principal::Principal;
use model::reference::Reference;
use model::remote_rules::ImageDenial;
use model::resource::Resource;

use crate::access::find_repository;
use crate::content::source::{FoundVersion, UpstreamSource};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::upstream_set::{
    REMOTE_UPSTREAM_ID, RepositoryReads, Upstream, UpstreamContent, UpstreamFault, UpstreamSet,
};

/// The answers of the upstreams of a virtual repository for one image.
#[derive(Debug)]
pub struct PullExplanation {
    /// All upstreams, in the order in which they are asked.
    pub upstreams: Vec<UpstreamExplanation>,
    /// The position of the upstream that answers the pull, with the manifest or with an error. There is none if no
    /// upstream has the image.
    pub answering: Option<usize>,
}

/// The answer of one upstream.
#[derive(Debug)]
pub struct UpstreamExplanation {
    /// The id of the policy.
    pub policy_id: String,
    /// The priority of the policy.
    pub priority: i32,
    /// The repository, unless the caller may not read it.
    pub repository: Option<RepositoryName>,
    /// The answer.
    pub outcome: UpstreamOutcome,
    /// The time that the answer took, in microseconds.
    pub micros: u64,
    /// `true` if the principal that added the upstream may not read it any more.
    pub adder_lost_access: bool,
}

/// The answer of an upstream for one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamOutcome {
    /// The upstream has the manifest.
    Found(Digest),
    /// The upstream has the manifest, and one of its rules denies the download.
    Denied(Digest),
    /// The upstream has no such manifest.
    NotFound,
    /// The upstream cannot answer.
    Failed(UpstreamFault),
    /// An upstream before it answers.
    NotAsked,
    /// A pin says that only another upstream is asked for the image.
    PinnedAway,
    /// The rules of a remote repository deny the image.
    ImageDenied(ImageDenial),
}

impl PullExplanation {
    /// Returns the explanation of a pull that a remote repository refuses without asking its upstream.
    fn of_denied_image(denial: ImageDenial) -> Self {
        let upstream = UpstreamExplanation {
            policy_id: REMOTE_UPSTREAM_ID.to_owned(),
            priority: 0,
            repository: None,
            outcome: UpstreamOutcome::ImageDenied(denial),
            micros: 0,
            adder_lost_access: false,
        };
        Self { upstreams: vec![upstream], answering: Some(0) }
    }
}

impl UpstreamOutcome {
    /// Returns whether the pull ends with this answer, so that no upstream after it is asked.
    fn answers(&self, set: &UpstreamSet) -> bool {
        match self {
            Self::Found(_) | Self::Denied(_) | Self::ImageDenied(_) => true,
            Self::Failed(_) => !set.falls_through(),
            Self::NotFound | Self::NotAsked | Self::PinnedAway => false,
        }
    }
}

impl Engine {
    /// Explains which upstream of a virtual repository a pull of an image is answered by.
    pub async fn explain_pull(
        &self,
        authorized: &Authorized,
        name: &RepositoryName,
        image: &str,
    ) -> Result<PullExplanation, EngineError> {
        authorized.require_repository(artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS, name)?;
        self.explain_pull_to(authorized.caller(), name, image).await
    }

    /// Explains a pull to the operator, who sees all upstreams.
    pub async fn explain_pull_to_operator(
        &self,
        name: &RepositoryName,
        image: &str,
    ) -> Result<PullExplanation, EngineError> {
        let operator = Principal::System(OPERATOR_PRINCIPAL);
        let operator = Caller::new(operator, AuthorizationMode::Everything);
        self.explain_pull_to(&operator, name, image).await
    }

    async fn explain_pull_to(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        image: &str,
    ) -> Result<PullExplanation, EngineError> {
        let (image, reference) = parse_image(image)?;
        let wanted = name.clone();
        let repository = self.read_by_key(move |tx| find_repository(tx, &wanted)).await?;
        let reads = self.repository_reads(name, &repository).await?;
        if let RepositoryReads::Registry(registry) = &reads
            && let Err(EngineError::ImageDenied { denial, .. }) =
                registry.check_image(name, image.as_str())
        {
            return Ok(PullExplanation::of_denied_image(denial));
        }
        let RepositoryReads::Upstreams(set) = reads else {
            let mode = repository.mode.word();
            return Err(EngineError::Precondition(format!(
                "{name} is a {mode} repository: it has no upstreams to choose from"
            )));
        };
        let answers = self.ask_upstreams(&set, &image, &reference).await?;
        let answering = answers.iter().position(|answer| answer.outcome.answers(&set));
        // In development mode there are no policies, and everybody may do everything.
        let has_policies = !self.identity.needs_owner().await?;
        let mut upstreams = Vec::new();
        for (upstream, answer) in set.all().iter().zip(answers) {
            let mut explained = self.explain_upstream(caller, upstream, answer).await?;
            explained.adder_lost_access &= has_policies;
            upstreams.push(explained);
        }
        Ok(PullExplanation { upstreams, answering })
    }

    async fn explain_upstream(
        &self,
        caller: &Caller,
        upstream: &Upstream,
        answer: TimedOutcome,
    ) -> Result<UpstreamExplanation, EngineError> {
        let read = artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS;
        let resource = Resource::Repository(upstream.policy.repository.clone());
        let is_readable = self.identity.may(caller, read, &resource).await?;
        let adder: Option<Principal> =
            upstream.added_by.as_ref().and_then(|adder| adder.parse().ok());
        let adder_lost_access = match adder {
            Some(adder) => !self.identity.may_principal(&adder, read, &resource).await?,
            None => false,
        };
        Ok(UpstreamExplanation {
            policy_id: upstream.policy.id.clone(),
            priority: upstream.policy.priority,
            repository: is_readable.then(|| upstream.policy.repository.clone()),
            outcome: answer.outcome,
            micros: answer.micros,
            adder_lost_access,
        })
    }
}

/// An answer, and the time that it took in microseconds.
struct TimedOutcome {
    outcome: UpstreamOutcome,
    micros: u64,
}

impl Engine {
    /// Asks the upstreams of a set in their order, as a pull does, and returns an answer for each of them.
    async fn ask_upstreams(
        &self,
        set: &Arc<UpstreamSet>,
        image: &ImageName,
        reference: &Reference,
    ) -> Result<Vec<TimedOutcome>, EngineError> {
        let asked = set.asked_for(image.as_str());
        let (mut answers, mut is_answered) = (Vec::new(), false);
        for (position, upstream) in set.all().iter().enumerate() {
            let started = Instant::now();
            let is_asked = asked.iter().any(|asked| asked.policy.id == upstream.policy.id);
            let outcome = if !is_asked {
                UpstreamOutcome::PinnedAway
            } else if is_answered {
                UpstreamOutcome::NotAsked
            } else if let UpstreamContent::Fault(fault) = &upstream.content {
                UpstreamOutcome::Failed(*fault)
            } else {
                let source = UpstreamSource::only(set.clone(), position, image.clone());
                self.ask_upstream(&source, reference).await?
            };
            is_answered |= outcome.answers(set);
            let micros = started.elapsed().as_micros() as u64;
            answers.push(TimedOutcome { outcome, micros });
        }
        Ok(answers)
    }

    /// Asks one upstream.
    async fn ask_upstream(
        &self,
        source: &UpstreamSource,
        reference: &Reference,
    ) -> Result<UpstreamOutcome, EngineError> {
        let read = |_: &mut Tx<'_>, version: FoundVersion| Ok(Some(version.row.digest));
        match source.search_version(self, reference, read).await {
            Ok(search) => Ok(match (search.found, search.answers.failure()) {
                (Some(digest), _) => UpstreamOutcome::Found(digest),
                (None, Some(problem)) => {
                    UpstreamOutcome::Failed(UpstreamFault::Unanswered(problem.kind))
                }
                (None, None) => UpstreamOutcome::NotFound,
            }),
            Err(EngineError::DownloadDenied(digest)) => Ok(UpstreamOutcome::Denied(digest)),
            Err(EngineError::UpstreamFailed { fault, .. }) => Ok(UpstreamOutcome::Failed(fault)),
            Err(error) => Err(error),
        }
    }
}

/// Parses `IMAGE`, `IMAGE:TAG` or `IMAGE@DIGEST`. Without a tag and a digest, the tag is `latest`, as for clients.
fn parse_image(text: &str) -> Result<(ImageName, Reference), EngineError> {
    let refused = |problem: String| EngineError::invalid("image", problem);
    let (name, rest) = split_image(text);
    let reference = match rest.split_once('@') {
        Some((_, digest)) => digest,
        None => rest.strip_prefix(':').unwrap_or("latest"),
    };
    let image = name.parse().map_err(|error: model::name::NameError| refused(error.to_string()))?;
    let reference = reference.parse().map_err(|error| refused(format!("{error}")))?;
    Ok((image, reference))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, name: &str, reference: &str) {
        let (image, parsed) = parse_image(text).expect("an image");
        assert_eq!((image.as_str(), parsed.to_string().as_str()), (name, reference), "{text}");
    }

    #[test]
    fn an_image_is_named_as_clients_name_it() {
        let digest = Digest::of(b"x").to_string();
        check("app", "app", "latest");
        check("team/app:1.0", "team/app", "1.0");
        check(&format!("app@{digest}"), "app", &digest);
        check(&format!("app:1.0@{digest}"), "app", &digest);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for text in
            ["", ":1", "App", "app:", "app@", "app@sha256:1", "a//b", "app:a b", "host:1/app"]
        {
            assert!(parse_image(text).is_err(), "{text:?}");
        }
    }
}
