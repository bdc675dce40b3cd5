//! The query of a request.

use percent_encoding::percent_decode_str;

/// Names and values, decoded as a URI's: a plus is a plus, as in `application/vnd.example+json`. Only forms have spaces
/// written so, and nothing here has spaces.
pub(super) struct UrlQuery(Vec<(String, String)>);

impl UrlQuery {
    pub(super) fn new(query: Option<&str>) -> Self {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    /// The first value of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Where a list goes on. No name holds NUL, which PostgreSQL does not take: what is cut off with it
    /// makes no difference to what comes after.
    pub(super) fn last(&self) -> &str {
        self.get("last").and_then(|last| last.split('\0').next()).unwrap_or_default()
    }

    /// All values of that name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
