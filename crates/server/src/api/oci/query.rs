//! The query of a request.

use form_urlencoded::parse;

/// Names and values, decoded.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn new(query: Option<&str>) -> Self {
        Self(parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
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
