//! The check of the registry that a remote repository is to fetch from, before the repository is created or its URL
//! is changed.

use std::time::Duration;

use model::repository::DOCKER_HUB;
use tokio::time::timeout;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::upstream_registry::{UpstreamProblem, UpstreamProblemKind as Problem};

/// The field that errors about URLs name.
const FIELD: &str = "repository.remote_repository_config";

/// The longest time in which a registry answers the question whether it is one.
const CHECK_TIME: Duration = Duration::from_secs(10);

/// The advice for those who know better, in the words of gcloud and of the API.
const WITHOUT_CHECK: &str =
    "--disable-remote-validation (disable_upstream_validation) stores the URL without asking";

/// The extent to which the upstream of a remote repository is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamValidation {
    /// The registry is asked whether it is one.
    Ask,
    /// Only the URL is checked.
    UrlOnly,
}

impl Engine {
    /// Checks that a remote repository may fetch from the registry at this URL, and perhaps asks the registry. Docker
    /// Hub is never asked: its address is no caller's, so that it cannot be wrong, and a server without a way to it can
    /// still create the repository.
    ///
    /// # Errors
    /// Fails with [`EngineError::InvalidArgument`] for a URL that may not be asked, and with
    /// [`EngineError::Precondition`] if no registry answers there.
    pub async fn check_upstream_url(
        &self,
        url: &str,
        validation: UpstreamValidation,
    ) -> Result<(), EngineError> {
        let upstreams = &self.settings.upstreams;
        upstreams.check_url(url).map_err(|problem| EngineError::invalid(FIELD, problem))?;
        if validation == UpstreamValidation::UrlOnly || url.trim_end_matches('/') == DOCKER_HUB {
            return Ok(());
        }
        let Ok(_place) = self.fetch_places.try_acquire() else {
            return Err(EngineError::Unavailable("too many fetches run".to_owned()));
        };
        let late = |_| UpstreamProblem::new(url, Problem::Unreachable, "did not answer in time");
        let checked = timeout(CHECK_TIME, upstreams.check_registry(url)).await.map_err(late);
        checked
            .flatten()
            .map_err(|problem| EngineError::Precondition(format!("{problem}; {WITHOUT_CHECK}")))
    }
}
