//! Complete lists, for Google's own clients, which do not follow `Link`. They take the first page for the whole list,
//! and cleanup programs decide by that list what to delete.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use engine::{CompleteList, EngineError, ListPart, TaggedVersion};
use futures_util::stream;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, StatusCode};
use web::list_readers::ListPlace;

use crate::context::{OciAnswer, OciRequest};
use crate::error::OciError;
use crate::version_entry::version_entry;

/// Returns whether the client asks for a whole list, and would take a first page for it.
pub(super) fn is_wanted(context: &OciRequest) -> bool {
    let (query, agent) = (&context.query, context.header(USER_AGENT).unwrap_or_default());
    query.get("last").is_none() && asks_for_all(query.get("n")) && follows_no_link(agent)
}

/// Returns whether `n` is one that the package of Google's clients sends: 1000, 10000 to hosts that it takes for
/// Google's, and in one place none.
fn asks_for_all(n: Option<&str>) -> bool {
    matches!(n, None | Some("1000" | "10000"))
}

/// Returns whether a client may not follow `Link`. Of the programs that use go-containerregistry, crane is known to do
/// so. In other programs, either of two packages of it may ask: both read a complete list, and only one follows `Link`.
fn follows_no_link(agent: &str) -> bool {
    let mut products =
        agent.split(' ').map(|product| product.split('/').next().unwrap_or_default());
    match products.next() {
        Some("crane") => false,
        Some("gcrane" | "gcr-cleaner" | "go-containerregistry") => true,
        _ => products.any(|product| product == "go-containerregistry"),
    }
}

/// Answers a list while it is read from the database, as fast as the client reads. If reading fails, the connection
/// ends before the JSON does, so that no client takes a part for the whole list.
pub(super) fn answer(context: &OciRequest, path: &str, list: CompleteList) -> OciAnswer {
    let list_place = context.app.list_readers.enter(context.caller.principal.to_string());
    let list_place = list_place.ok_or_else(too_many_readers)?;
    let body = match context.method {
        Method::HEAD => Body::empty(),
        _ => {
            let sender = ListSender { list, text: ListText::new(path), _place: list_place };
            Body::from_stream(stream::try_unfold(Some(sender), ListSender::next))
        }
    };
    let mut response = Response::new(body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

fn too_many_readers() -> OciError {
    let message = "the registry is sending as many complete lists as it sends at once";
    let hint = "wait until other lists have ended, or ask in pages: ?n=100";
    OciError::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message, hint)
        .header(RETRY_AFTER, HeaderValue::from(5))
}

/// A complete list that is being sent.
struct ListSender {
    list: CompleteList,
    text: ListText,
    _place: ListPlace,
}

impl ListSender {
    async fn next(sender: Option<Self>) -> Result<Option<(Bytes, Option<Self>)>, EngineError> {
        let Some(mut sender) = sender else { return Ok(None) };
        let part = sender.list.next().await?;
        let text = match &part {
            Some(part) => sender.text.part(part),
            None => sender.text.end(),
        };
        Ok(Some((text.into(), part.map(|_| sender))))
    }
}

/// The JSON of a list, part by part.
struct ListText {
    /// The text that was not sent yet.
    text: String,
    section: ListSection,
}

/// The section of the JSON that is being written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ListSection {
    Children {
        has_names: bool,
    },
    Tags {
        has_names: bool,
    },
    /// `None` before the first version. Else the list of the last version's tags is open, and this is true if it has
    /// tags in it.
    Versions {
        open: Option<bool>,
    },
}

impl ListText {
    fn new(name: &str) -> Self {
        let name = serde_json::Value::from(name);
        Self {
            text: format!("{{\"name\":{name},\"child\":["),
            section: ListSection::Children { has_names: false },
        }
    }

    fn part(&mut self, part: &ListPart) -> String {
        match part {
            ListPart::Children(names) => names.iter().for_each(|name| self.name(name)),
            ListPart::Tags(names) => {
                self.begin_tags();
                names.iter().for_each(|name| self.name(name));
            }
            ListPart::Versions(versions) => {
                self.begin_versions();
                versions.iter().for_each(|version| self.version(version));
            }
            ListPart::MoreTags(names) => names.iter().for_each(|name| self.name(name)),
        }
        std::mem::take(&mut self.text)
    }

    fn end(&mut self) -> String {
        self.begin_versions();
        self.end_version();
        self.text.push_str("}}");
        std::mem::take(&mut self.text)
    }

    fn begin_tags(&mut self) {
        if let ListSection::Children { .. } = self.section {
            self.text.push_str("],\"tags\":[");
            self.section = ListSection::Tags { has_names: false };
        }
    }

    fn begin_versions(&mut self) {
        self.begin_tags();
        if let ListSection::Tags { .. } = self.section {
            self.text.push_str("],\"manifest\":{");
            self.section = ListSection::Versions { open: None };
        }
    }

    /// Writes the next name of the list that is open. Names of children and tags need no escapes.
    fn name(&mut self, name: &str) {
        let (ListSection::Children { has_names }
        | ListSection::Tags { has_names }
        | ListSection::Versions { open: Some(has_names) }) = &mut self.section
        else {
            return;
        };
        let separator = if std::mem::replace(has_names, true) { "," } else { "" };
        self.text.extend([separator, "\"", name, "\""]);
    }

    fn version(&mut self, version: &TaggedVersion) {
        if self.end_version() {
            self.text.push(',');
        }
        // The tags are the last field, because they may go on with the next part.
        let entry = version_entry(&version.version).to_string();
        let fields = entry.strip_suffix('}').unwrap_or(&entry);
        let digest = version.version.digest.as_str();
        self.text.extend(["\"", digest, "\":", fields, ",\"tag\":["]);
        self.section = ListSection::Versions { open: Some(false) };
        version.tags.iter().for_each(|tag| self.name(tag));
    }

    /// Ends the entry of the last version. Returns whether there was one.
    fn end_version(&mut self) -> bool {
        let is_open = matches!(self.section, ListSection::Versions { open: Some(_) });
        if is_open {
            self.text.push_str("]}");
        }
        is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(agent: &str, n: Option<&str>, complete: bool) {
        assert_eq!(follows_no_link(agent) && asks_for_all(n), complete, "{agent}, {n:?}");
    }

    #[test]
    fn who_is_sent_all() {
        const CLEANER: &str = "gcr-cleaner/source (+https://github.com/GoogleCloudPlatform/gcr-cleaner) \
                               go-containerregistry/v0.20.2";
        for n in [None, Some("1000"), Some("10000")] {
            check("gcrane/v0.22.1 go-containerregistry/v0.22.1", n, true);
            check("gcrane go-containerregistry/v0.5.0", n, true);
            check("go-containerregistry/v0.22.1", n, true);
            check("go-containerregistry", n, true);
            check("my-cleaner/1.0 go-containerregistry/v0.19.0", n, true);
            check(CLEANER, n, true);
            for agent in [
                "crane/v0.22.1 go-containerregistry/v0.22.1",
                "oras/1.3.6",
                "Helm/3.22",
                "regclient/regctl (v0.11.7)",
                "skopeo/1.9.3",
                "docker/20.10.24 go/go1.18",
                "curl/7.88.1",
                "Mozilla/5.0 (not go-containerregistry)",
                "",
            ] {
                check(agent, n, false);
            }
        }
        for n in ["0", "1", "999", "1001", "100000", "x", ""] {
            check("gcrane/v0.22.1 go-containerregistry/v0.22.1", Some(n), false);
        }
    }
}
