//! The question whether there is a registry at a URL: `GET /v2/`, which every registry answers.

use engine::{UpstreamImage, UpstreamProblem, UpstreamProblemKind as Problem};
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Method, StatusCode};

use super::{RegistryRequest, UpstreamClient, refusal, registry_url};
use crate::egress::EgressAnswer;

/// Asks the registry at `url`. An answer that wants a credential is one of a registry, too.
pub(super) async fn ask(client: &UpstreamClient, url: &str) -> Result<(), UpstreamProblem> {
    let image = UpstreamImage { url, image: "", credentials: None };
    let request = RegistryRequest {
        method: Method::GET,
        image,
        url: registry_url(url, "")?,
        accept: None,
        start: 0,
    };
    let answer = client.follow(&request, None).await?.answer;
    let status = answer.status();
    if is_of_registry(&answer) {
        Ok(())
    } else if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        Err(refusal::read(url, answer).await)
    } else {
        let text = format!("is no registry: it answered {} to GET /v2/", status.as_u16());
        Err(UpstreamProblem::new(url, Problem::Failed, text))
    }
}

fn is_of_registry(answer: &EgressAnswer) -> bool {
    let has_version = answer.header("docker-distribution-api-version").is_some();
    match answer.status() {
        StatusCode::OK => {
            let media_type = answer.header(CONTENT_TYPE).unwrap_or_default();
            has_version || !media_type.to_ascii_lowercase().starts_with("text/html")
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            has_version || answer.header(WWW_AUTHENTICATE).is_some()
        }
        _ => false,
    }
}
