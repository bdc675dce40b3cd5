//! The links of the console. Nothing else makes them, so that each names an address of this console.

use std::fmt;

use model::artifact_name::{PackageName, VersionName};
use model::name::{Location, ProjectId, RepositoryName};
use model::reference::Tag;

/// The path of the console, to which its own pages are relative.
pub(crate) const ROOT: &str = "/console/";

/// A link to a page of the console: a path with a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    path: String,
    query: String,
}

impl Link {
    fn to(path: String) -> Self {
        Self { path, query: String::new() }
    }

    /// Returns the link to one of the console's own pages, such as `sign-in`.
    pub(crate) fn own(page: &str) -> Self {
        Self::to(format!("{ROOT}-/{page}"))
    }

    /// Returns the link to the first page.
    pub(crate) fn home() -> Self {
        Self::to(ROOT.to_owned())
    }

    /// Returns the link to a page about what this link names. A page is named before any part of the query is added.
    pub(crate) fn page(mut self, page: &str) -> Self {
        self.path.push_str("/-/");
        self.path.push_str(page);
        self
    }

    /// Returns the link with one more pair in its query.
    pub(crate) fn with(self, key: &str, value: &str) -> Self {
        let pair = form_urlencoded::Serializer::new(String::new()).append_pair(key, value).finish();
        let query = match self.query.as_str() {
            "" => pair,
            query => format!("{query}&{pair}"),
        };
        Self { query, ..self }
    }

    /// Returns the link with one more pair in its query, if there is a value.
    pub(crate) fn with_some(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if !self.query.is_empty() {
            write!(f, "?{}", self.query)?;
        }
        Ok(())
    }
}

/// The maker of links to what the registry holds. A link names a location only if it is not the default one.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    default_location: Location,
}

impl Links {
    pub(crate) fn new(default_location: Location) -> Self {
        Self { default_location }
    }

    pub(crate) fn default_location(&self) -> &Location {
        &self.default_location
    }

    pub(crate) fn project(&self, project: &ProjectId) -> Link {
        Link::to(format!("{ROOT}{project}"))
    }

    fn in_location(&self, path: String, location: &Location) -> Link {
        let link = Link::to(path);
        if *location == self.default_location {
            link
        } else {
            link.with("location", location.as_str())
        }
    }

    pub(crate) fn repository(&self, name: &RepositoryName) -> Link {
        let RepositoryName { project, location, repository } = name;
        self.in_location(format!("{ROOT}{project}/{repository}"), location)
    }

    pub(crate) fn image(&self, name: &PackageName) -> Link {
        let RepositoryName { project, location, repository } = &name.repository;
        self.in_location(format!("{ROOT}{project}/{repository}/{}", name.image), location)
    }

    pub(crate) fn tag(&self, name: &PackageName, tag: &Tag) -> Link {
        let mut link = self.image(name);
        link.path.push(':');
        link.path.push_str(tag.as_str());
        link
    }

    pub(crate) fn version(&self, name: &VersionName) -> Link {
        let mut link = self.image(&name.package);
        link.path.push('@');
        link.path.push_str(name.digest.as_str());
        link
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_name_other_locations() {
        let links = Links::new("us-west1".parse().expect("a location"));
        let name = |location: &str| -> RepositoryName {
            format!("projects/my-project/locations/{location}/repositories/r")
                .parse()
                .expect("a name")
        };
        assert_eq!(links.repository(&name("us-west1")).to_string(), "/console/my-project/r");
        let other = links.repository(&name("europe-west1"));
        assert_eq!(other.to_string(), "/console/my-project/r?location=europe-west1");
        let page = other.page("activity").with("actor", "a b&c");
        assert_eq!(
            page.to_string(),
            "/console/my-project/r/-/activity?location=europe-west1&actor=a+b%26c"
        );
    }
}
