//! The cookies of the console.
//!
//! Their names begin with `__Host-`: a browser takes such a cookie only from this very host over https, or on the
//! machine itself, so that no other site and no subdomain can set one.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::query::Fields;

/// The cookie of a session.
pub(crate) const SESSION: &str = "__Host-berth";
/// The cookie of a form before there is a session.
pub(crate) const FORM: &str = "__Host-berth-form";
/// The cookie with what a form has done, for the next page.
pub(crate) const MESSAGE: &str = "__Host-berth-message";
/// The cookie of the viewer's language, which is no secret.
pub(crate) const LANGUAGE: &str = "__Host-berth-language";

/// The longest time in seconds for which a browser keeps the language: a year.
const LANGUAGE_SECONDS: u32 = 31_536_000;

/// Returns the value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).find_map(|pair| {
        let (own, value) = pair.trim().split_once('=')?;
        (own == name).then_some(value)
    })
}

/// Returns the header that sets a cookie. The value must have only letters, digits and `-_.~%+=&`.
pub(crate) fn set(name: &str, value: &str, max_age: Option<u32>) -> HeaderValue {
    let age = max_age.map_or(String::new(), |seconds| format!("; Max-Age={seconds}"));
    let text = format!("{name}={value}{age}; Path=/; Secure; HttpOnly; SameSite=Lax");
    text.parse().expect("the value has only characters that headers may have")
}

/// Returns the header that takes a cookie back.
pub(crate) fn cleared(name: &str) -> HeaderValue {
    set(name, "", Some(0))
}

/// Returns the header that takes the message back, after a page has shown it.
pub(crate) fn cleared_message() -> HeaderValue {
    cleared(MESSAGE)
}

/// Returns the header that sets the language.
pub(crate) fn language(language: &str) -> HeaderValue {
    set(LANGUAGE, language, Some(LANGUAGE_SECONDS))
}

/// A change that a form has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    TagSet,
    TagRemoved,
    VersionsDeleted,
    SessionEnded,
}

impl Done {
    const ALL: [(Self, &'static str); 4] = [
        (Self::TagSet, "tag-set"),
        (Self::TagRemoved, "tag-removed"),
        (Self::VersionsDeleted, "versions-deleted"),
        (Self::SessionEnded, "session-ended"),
    ];
}

/// A change that a form has made, for the page that is shown next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) done: Done,
    /// The name of the thing that was changed.
    pub(crate) about: String,
}

impl Message {
    /// Returns the header that gives the message to the next page.
    pub(crate) fn header(&self) -> HeaderValue {
        let name = Done::ALL.iter().find(|(done, _)| *done == self.done).map(|(_, name)| *name);
        let mut value = form_urlencoded::Serializer::new(String::new());
        value.append_pair("done", name.unwrap_or_default()).append_pair("about", &self.about);
        set(MESSAGE, &value.finish(), Some(60))
    }

    /// Returns the message in the cookie of a request.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let fields = Fields::parse(cookie(headers, MESSAGE)?.as_bytes());
        let name = fields.get("done")?;
        let (done, _) = *Done::ALL.iter().find(|(_, own)| *own == name)?;
        Some(Self { done, about: fields.get("about").unwrap_or_default().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers
            .append(COOKIE, HeaderValue::from_static("a=1; __Host-berth-form=2; __Host-berth=3"));
        headers.append(COOKIE, HeaderValue::from_static("__Host-berth-language=zh-Hans"));
        assert_eq!(cookie(&headers, SESSION), Some("3"));
        assert_eq!(cookie(&headers, FORM), Some("2"));
        assert_eq!(cookie(&headers, LANGUAGE), Some("zh-Hans"));
        assert_eq!(cookie(&headers, MESSAGE), None);
    }

    #[test]
    fn messages_travel_as_they_are() {
        let about = "v1; Path=/x\r\nSet-Cookie: a=b &<ü>".to_owned();
        let message = Message { done: Done::TagSet, about };
        let header = message.header();
        let value = header.to_str().expect("plain").split(';').next().expect("a pair");
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, value.parse().expect("a header"));
        assert_eq!(Message::read(&headers), Some(message));
    }
}
