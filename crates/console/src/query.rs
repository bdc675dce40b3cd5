//! The query of a request and the fields of a form: names with values.

/// Names with values, in the order in which they were sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Parses a query or the body of a form.
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// Returns the first value of a name, unless it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    /// Returns the pairs of some names that have a value.
    pub(crate) fn pairs_of(&self, names: &[&'static str]) -> Vec<(&'static str, String)> {
        let pair = |name: &&'static str| Some((*name, self.get(name)?.to_owned()));
        names.iter().filter_map(pair).collect()
    }

    /// Returns the values of a name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let pairs = self.0.iter().filter(move |(key, _)| key == name);
        pairs.map(|(_, value)| value.as_str())
    }
}
