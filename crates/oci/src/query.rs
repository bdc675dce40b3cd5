//! The query of a request.

use percent_encoding::percent_decode_str;

/// The decoded names and values of a query. A plus is a plus, as in `application/vnd.example+json`. Only forms write
/// spaces as a plus, and no value here has spaces.
pub(super) struct UrlQuery(Vec<(String, String)>);

impl UrlQuery {
    pub(super) fn new(query: Option<&str>) -> Self {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    /// Returns the first value of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Returns the name after which a list goes on, cut off at a NUL, which PostgreSQL does not take. As no name has a
    /// NUL in it, the list goes on at the same name.
    pub(super) fn last(&self) -> &str {
        self.get("last").and_then(|last| last.split('\0').next()).unwrap_or_default()
    }

    /// Returns all values of that name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
