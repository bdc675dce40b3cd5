//! The words of a registry that gives no content: its status, and the code and message of an error in the form of OCI
//! Distribution. Nothing else of its answer is shown to anybody.

use engine::{UpstreamProblem, UpstreamProblemKind as Problem};
use http::StatusCode;
use http::header::RETRY_AFTER;
use serde::Deserialize;

use crate::egress::EgressAnswer;

/// The longest body of an error that is read.
const MAX_ERROR_BYTES: usize = 16 << 10;
/// The most characters of an error's code and message that are shown.
const MAX_SHOWN: usize = 200;

#[derive(Deserialize)]
struct OciErrors {
    errors: Vec<OciErrorEntry>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct OciErrorEntry {
    code: String,
    message: String,
}

/// Reads an answer with another status than 200 from the registry at `url`.
pub(super) async fn read(url: &str, mut answer: EgressAnswer) -> UpstreamProblem {
    let status = answer.status();
    let retry_after = answer.header(RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
    let body = match answer.read_all(MAX_ERROR_BYTES).await {
        Ok(body) => body.unwrap_or_default(),
        Err(_) => Default::default(),
    };
    let kind = match status {
        StatusCode::NOT_FOUND => Problem::NotFound,
        StatusCode::TOO_MANY_REQUESTS => Problem::Limited { retry_after },
        StatusCode::SERVICE_UNAVAILABLE if retry_after.is_some() => {
            Problem::Limited { retry_after }
        }
        _ => Problem::Failed,
    };
    let reason = shown_reason(&body);
    let text = match kind {
        Problem::NotFound => format!("has no such image{reason}"),
        _ => format!("answered {}{reason}", status.as_u16()),
    };
    UpstreamProblem::new(url, kind, text)
}

/// Reads an answer as [`read`] does, from a place that got the credentials.
pub(super) async fn read_to_credentials(url: &str, answer: EgressAnswer) -> UpstreamProblem {
    let is_refusal = matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    let problem = read(url, answer).await;
    if !is_refusal {
        return problem;
    }
    let text = format!("refused the credentials: it {}", problem.text);
    UpstreamProblem { kind: Problem::Credentials, text, ..problem }
}

/// Returns the code and the message of the first error, after a colon, or nothing if the body is no such error.
fn shown_reason(body: &[u8]) -> String {
    let Ok(OciErrors { errors }) = serde_json::from_slice(body) else { return String::new() };
    let Some(OciErrorEntry { code, message }) = errors.into_iter().next() else {
        return String::new();
    };
    let text = format!("{code}: {message}");
    let shown = text.chars().take(MAX_SHOWN).flat_map(|character| character.escape_debug());
    format!(": {}", shown.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_code_and_message_of_an_error_are_shown() {
        let error =
            br#"{"errors":[{"code":"DENIED","message":"no\nway","detail":"secret"}],"x":"secret"}"#;
        assert_eq!(shown_reason(error), ": DENIED: no\\nway");
        assert_eq!(shown_reason(b"<html>secret</html>"), "");
        assert_eq!(shown_reason(br#"{"errors":[]}"#), "");
        let long = format!(r#"{{"errors":[{{"code":"C","message":"{}"}}]}}"#, "x".repeat(1_000));
        assert_eq!(shown_reason(long.as_bytes()).len(), 2 + MAX_SHOWN);
    }
}
