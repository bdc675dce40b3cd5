//! The errors of pulls that concern other registries, and of requests for mirrors.

use engine::UpstreamProblemKind;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use super::OciError;

impl OciError {
    /// Returns the error of a pull for which another registry gave no content.
    pub(super) fn upstream(kind: UpstreamProblemKind, message: String) -> Self {
        let hint = "the content is not cached here: try again when the upstream has it and answers";
        match kind {
            UpstreamProblemKind::NotFound => {
                let hint = "check the name, and the tag or digest, at the upstream";
                Self::not_found("MANIFEST_UNKNOWN", message, hint)
            }
            UpstreamProblemKind::Limited { retry_after } => {
                let error =
                    Self::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message, hint);
                match retry_after {
                    Some(seconds) => error.header(RETRY_AFTER, HeaderValue::from(seconds)),
                    None => error,
                }
            }
            UpstreamProblemKind::Offline => {
                let hint = "the content is not cached here, and the repository's administrators have set it offline";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message, hint)
            }
            UpstreamProblemKind::NotStored => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message, hint)
            }
            UpstreamProblemKind::Credentials => {
                let hint = "ask who administers the repository: its credentials for the upstream do not work";
                Self::new(StatusCode::BAD_GATEWAY, "UNAVAILABLE", message, hint)
            }
            UpstreamProblemKind::Failed
            | UpstreamProblemKind::Unreachable
            | UpstreamProblemKind::Wrong => {
                Self::new(StatusCode::BAD_GATEWAY, "UNAVAILABLE", message, hint)
            }
        }
    }

    /// Returns the error of a request that this server has made itself.
    pub(crate) fn fetch_loop() -> Self {
        let message = "a remote repository of this registry fetches from this registry itself";
        let hint =
            "name the other repository as projects/P/locations/L/repositories/R instead of a URL";
        Self::new(StatusCode::LOOP_DETECTED, "UNSUPPORTED", message, hint)
    }

    /// Returns the error of a request of containerd's for a registry that has no mirror here.
    pub(crate) fn unknown_namespace(namespace: &str) -> Self {
        const MAX_SHOWN: usize = 100;
        let shown = &namespace[..namespace.floor_char_boundary(MAX_SHOWN)];
        let message = format!("there is no mirror of {shown} here");
        let hint = "the registry's operator sets mirrors: [[mirror]] with ns and repository";
        Self::not_found("NAME_UNKNOWN", message, hint)
    }
}
