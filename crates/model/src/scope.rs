//! What a registry token is limited to: images, and what may be done with them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::host::Place;
use crate::name::{ImagePath, Location, parse_repository_path};
use crate::permission::Permission;

/// How many scopes one token carries at most: it goes with every request.
pub const MAX_SCOPES: usize = 100;

/// What may be done with an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Read.
    Pull,
    /// Write.
    Push,
    /// Delete.
    Delete,
}

impl Action {
    /// The action that a permission on a repository stands for.
    pub fn of(permission: Permission) -> Self {
        if permission == Permission::DOWNLOAD_ARTIFACTS {
            Self::Pull
        } else if permission == Permission::DELETE_ARTIFACTS {
            Self::Delete
        } else {
            Self::Push
        }
    }

    /// Whether a token for this may be used for that. Google's own clients ask for `push` to delete, and never again
    /// for more; whether the caller may delete is for policies to say.
    fn covers(self, wanted: Self) -> bool {
        self == wanted || (self, wanted) == (Self::Push, Self::Delete)
    }

    /// As challenges and scopes have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The path of the entry that lists a location's images.
const CATALOG: &str = "";

/// An image, or a whole repository's list of images, at a location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Where it is.
    pub location: String,
    /// `PROJECT/REPOSITORY/IMAGE`, `PROJECT/REPOSITORY`, or nothing for the location's catalog.
    pub path: String,
    /// What may be done.
    pub actions: Vec<Action>,
}

/// What a credential is limited to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Nothing: it may do all that its principal may.
    All,
    /// These. Shared, as every request of the credential has them.
    Listed(Arc<[Entry]>),
}

impl Scope {
    /// Whether the scope covers an action on an image or repository.
    pub fn covers(&self, action: Action, location: &Location, path: &str) -> bool {
        self.any(action, location, |covered| covered == path)
    }

    /// Whether the scope covers an action on any image of `PROJECT/REPOSITORY`.
    pub fn covers_some_of(&self, action: Action, location: &Location, repository: &str) -> bool {
        self.any(action, location, |covered| {
            covered.strip_prefix(repository).is_some_and(|rest| rest.starts_with('/'))
        })
    }

    /// Whether the scope lets the catalog show the images of `PROJECT/REPOSITORY`.
    pub fn lists(&self, location: &Location, repository: &str) -> bool {
        self.covers(Action::Pull, location, CATALOG)
            || self.covers_some_of(Action::Pull, location, repository)
    }

    fn any(&self, action: Action, location: &Location, is: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::All => true,
            Self::Listed(entries) => entries.iter().any(|entry| {
                entry.location == location.as_str()
                    && is(&entry.path)
                    && entry.actions.iter().any(|asked| asked.covers(action))
            }),
        }
    }
}

/// Reads `repository:NAME:ACTIONS`, or `registry:catalog:*`, as a client sent it to a host. What names no image is left out: a token
/// without it is good for nothing there, and the registry says so when it is used.
pub fn parse(scope: &str, place: &Place) -> Option<Entry> {
    if scope == "registry:catalog:*" {
        let (location, path) = (place.location.to_string(), CATALOG.to_owned());
        return Some(Entry { location, path, actions: vec![Action::Pull] });
    }
    let rest = scope.strip_prefix("repository:")?;
    // The name of a domain-scoped project has its own colon in no path: the last one ends the name.
    let (name, actions) = rest.rsplit_once(':')?;
    let implied = place.repository.as_ref();
    let path = match ImagePath::parse(name, implied) {
        Ok(image) => image.path(),
        Err(_) => {
            let (project, repository) = parse_repository_path(name, implied).ok()??;
            format!("{}/{repository}", project.path())
        }
    };
    let mut listed = Vec::new();
    for action in actions.split(',').map(str::trim) {
        match action {
            "pull" => listed.push(Action::Pull),
            "push" => listed.push(Action::Push),
            "delete" => listed.push(Action::Delete),
            "*" => listed.extend([Action::Pull, Action::Push, Action::Delete]),
            _ => {}
        }
    }
    listed.sort_unstable_by_key(|action| action.as_str());
    listed.dedup();
    Some(Entry { location: place.location.to_string(), path, actions: listed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scope: &str, repository: Option<&str>, expected: &str) {
        let place = Place {
            location: "us".parse().expect("valid"),
            repository: repository.map(|name| name.parse().expect("valid")),
        };
        let actual = parse(scope, &place).map_or("none".to_owned(), |entry| {
            let actions: Vec<_> = entry.actions.iter().map(|action| action.as_str()).collect();
            format!("{} {}", entry.path, actions.join(","))
        });
        assert_eq!(actual, expected, "{scope}");
    }

    #[test]
    fn scopes() {
        check("repository:p/r/i:pull,push", None, "p/r/i pull,push");
        check("repository:p/r/a/b:push,pull,pull", None, "p/r/a/b pull,push");
        check("repository:p/r/i:*", None, "p/r/i delete,pull,push");
        check("repository:p/r/i:admin", None, "p/r/i ");
        check("repository:p/r:pull", None, "p/r pull");
        check("repository:example.com/p/r/i:pull", None, "example.com/p/r/i pull");
        check("repository:p/i:pull", Some("gcr.io"), "p/gcr.io/i pull");
        check("repository:p:pull", None, "none");
        check("repository:*:*", None, "none");
        check("repository:../x/y:pull", None, "none");
        check("registry:catalog:*", None, " pull");
        check("registry:catalog:pull", None, "none");
        check("", None, "none");
    }

    #[test]
    fn what_a_scope_covers() {
        let place = Place { location: "us".parse().expect("valid"), repository: None };
        let scope =
            Scope::Listed([parse("repository:p/r/i:pull", &place).expect("an image")].into());
        let (us, eu) = (place.location, "eu".parse().expect("valid"));
        assert!(scope.covers(Action::Pull, &us, "p/r/i"));
        assert!(!scope.covers(Action::Push, &us, "p/r/i"));
        assert!(!scope.covers(Action::Pull, &eu, "p/r/i"));
        assert!(!scope.covers(Action::Pull, &us, "p/r/i2"));
        assert!(scope.covers_some_of(Action::Pull, &us, "p/r"));
        assert!(!scope.covers_some_of(Action::Pull, &us, "p/r2"));
        assert!(scope.lists(&us, "p/r") && !scope.lists(&us, "p/r2") && !scope.lists(&eu, "p/r"));
        assert!(!scope.covers(Action::Pull, &us, ""));
        let place = Place { location: us.clone(), repository: None };
        let catalog = Scope::Listed([parse("registry:catalog:*", &place).expect("known")].into());
        assert!(catalog.lists(&us, "p/r") && !catalog.lists(&eu, "p/r"));
        assert!(!catalog.covers(Action::Pull, &us, "p/r/i"));
        assert!(Scope::All.covers(Action::Delete, &us, "anything"));
        let of = |actions: &str| {
            let place = Place { location: us.clone(), repository: None };
            let entry = parse(&format!("repository:p/r/i:{actions}"), &place).expect("an image");
            let scope = Scope::Listed([entry].into());
            [Action::Pull, Action::Push, Action::Delete]
                .map(|action| scope.covers(action, &us, "p/r/i"))
        };
        assert_eq!(of("push"), [false, true, true]);
        assert_eq!(of("pull,push"), [true, true, true]);
        assert_eq!(of("delete"), [false, false, true]);
        assert_eq!(of("pull"), [true, false, false]);
        assert_eq!(of("admin"), [false, false, false]);
        assert!(!Scope::Listed([].into()).covers(Action::Pull, &us, "p/r/i"));
    }
}
