//! The scope of a registry token: the images that the token is limited to, and the actions on them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::name::Location;
use crate::permission::Permission;
use crate::permissions::artifactregistry;
use crate::registry_host::HostTarget;

/// The largest number of entries in the scope of one token. Clients send the token with every request, so that it must
/// stay small.
pub const MAX_SCOPE_ENTRIES: usize = 100;

/// An action on an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScopeAction {
    /// Reading.
    Pull,
    /// Writing.
    Push,
    /// Deleting.
    Delete,
}

impl ScopeAction {
    /// Returns the action that a token must have for requests that need this permission on a repository.
    pub fn for_permission(permission: Permission) -> Self {
        if permission == artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS {
            Self::Pull
        } else if permission == artifactregistry::REPOSITORIES_DELETE_ARTIFACTS {
            Self::Delete
        } else {
            Self::Push
        }
    }

    /// Returns whether a token for this action may be used for the action `wanted`.
    ///
    /// Push covers delete. Google's own clients request a token with `push` to delete an image, and do not request
    /// another one when it is refused. The policies still decide whether the caller may delete.
    fn covers(self, wanted: Self) -> bool {
        self == wanted || (self, wanted) == (Self::Push, Self::Delete)
    }

    /// Returns the name of the action in challenges and scopes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for ScopeAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The path of the entry for the catalog, which lists the images of a location.
const CATALOG: &str = "";

/// One entry of a scope: actions on an image, on a repository's list of images, or on the catalog of a location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeEntry {
    /// The location of the repository.
    pub location: String,
    /// The path of the image or repository: `PROJECT/REPOSITORY/IMAGE`, `PROJECT/REPOSITORY`, or an empty text for the
    /// catalog.
    pub path: String,
    /// The actions that are allowed.
    pub actions: Vec<ScopeAction>,
}

/// The limits of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryScope {
    /// No limits: the credential allows everything that its principal may do.
    Unlimited,
    /// A list of entries; nothing else is allowed. The list is shared by all requests with the credential.
    Listed(Arc<[ScopeEntry]>),
}

impl RegistryScope {
    /// Returns whether the scope allows an action on an image or repository.
    pub fn covers(&self, action: ScopeAction, location: &Location, path: &str) -> bool {
        self.has_entry(action, location, |covered| covered == path)
    }

    /// Returns whether the scope allows an action on at least one image of `PROJECT/REPOSITORY`.
    pub fn covers_some_image_of(
        &self,
        action: ScopeAction,
        location: &Location,
        repository: &str,
    ) -> bool {
        self.has_entry(action, location, |covered| {
            covered.strip_prefix(repository).is_some_and(|rest| rest.starts_with('/'))
        })
    }

    /// Returns whether the catalog may show the images of `PROJECT/REPOSITORY`.
    pub fn covers_list_of(&self, location: &Location, repository: &str) -> bool {
        self.covers(ScopeAction::Pull, location, CATALOG)
            || self.covers_some_image_of(ScopeAction::Pull, location, repository)
    }

    fn has_entry(
        &self,
        action: ScopeAction,
        location: &Location,
        matches_path: impl Fn(&str) -> bool,
    ) -> bool {
        match self {
            Self::Unlimited => true,
            Self::Listed(entries) => entries.iter().any(|entry| {
                entry.location == location.as_str()
                    && matches_path(&entry.path)
                    && entry.actions.iter().any(|allowed| allowed.covers(action))
            }),
        }
    }
}

/// Parses a scope that a client requests: `repository:NAME:ACTIONS` or `registry:catalog:*`. `place` is that of the
/// host in the request.
///
/// Returns `None` if the scope does not name an image, a repository or the catalog. The caller leaves it out of the
/// token: requests that need the scope are then refused, with an error that says why.
pub fn parse_scope(scope: &str, place: &HostTarget) -> Option<ScopeEntry> {
    if scope == "registry:catalog:*" {
        let (location, path) = (place.location.to_string(), CATALOG.to_owned());
        return Some(ScopeEntry { location, path, actions: vec![ScopeAction::Pull] });
    }
    let rest = scope.strip_prefix("repository:")?;
    // A path has no colon, not even that of a domain-scoped project, so that the last colon ends the name.
    let (name, actions) = rest.rsplit_once(':')?;
    let path = match place.parse_image_path(name) {
        Ok(image) => image.path(),
        Err(_) => {
            let (project, repository) = place.parse_repository_path(name).ok()??;
            format!("{}/{repository}", project.path_prefix())
        }
    };
    let mut parsed = Vec::new();
    for action in actions.split(',').map(str::trim) {
        match action {
            "pull" => parsed.push(ScopeAction::Pull),
            "push" => parsed.push(ScopeAction::Push),
            "delete" => parsed.push(ScopeAction::Delete),
            "*" => parsed.extend([ScopeAction::Pull, ScopeAction::Push, ScopeAction::Delete]),
            _ => {}
        }
    }
    parsed.sort_unstable_by_key(|action| action.as_str());
    parsed.dedup();
    Some(ScopeEntry { location: place.location.to_string(), path, actions: parsed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scope: &str, repository: Option<&str>, expected: &str) {
        let place = HostTarget {
            location: "us".parse().expect("valid"),
            repository: repository.map(|name| name.parse().expect("valid")),
            mirrored: None,
        };
        let actual = parse_scope(scope, &place).map_or("none".to_owned(), |entry| {
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
    fn actions_that_a_scope_covers() {
        let place =
            HostTarget { location: "us".parse().expect("valid"), repository: None, mirrored: None };
        let scope = RegistryScope::Listed(
            [parse_scope("repository:p/r/i:pull", &place).expect("an image")].into(),
        );
        let (us, eu) = (place.location, "eu".parse().expect("valid"));
        assert!(scope.covers(ScopeAction::Pull, &us, "p/r/i"));
        assert!(!scope.covers(ScopeAction::Push, &us, "p/r/i"));
        assert!(!scope.covers(ScopeAction::Pull, &eu, "p/r/i"));
        assert!(!scope.covers(ScopeAction::Pull, &us, "p/r/i2"));
        assert!(scope.covers_some_image_of(ScopeAction::Pull, &us, "p/r"));
        assert!(!scope.covers_some_image_of(ScopeAction::Pull, &us, "p/r2"));
        assert!(
            scope.covers_list_of(&us, "p/r")
                && !scope.covers_list_of(&us, "p/r2")
                && !scope.covers_list_of(&eu, "p/r")
        );
        assert!(!scope.covers(ScopeAction::Pull, &us, ""));
        let place = HostTarget { location: us.clone(), repository: None, mirrored: None };
        let catalog = RegistryScope::Listed(
            [parse_scope("registry:catalog:*", &place).expect("known")].into(),
        );
        assert!(catalog.covers_list_of(&us, "p/r") && !catalog.covers_list_of(&eu, "p/r"));
        assert!(!catalog.covers(ScopeAction::Pull, &us, "p/r/i"));
        assert!(RegistryScope::Unlimited.covers(ScopeAction::Delete, &us, "anything"));
        let of = |actions: &str| {
            let place = HostTarget { location: us.clone(), repository: None, mirrored: None };
            let entry =
                parse_scope(&format!("repository:p/r/i:{actions}"), &place).expect("an image");
            let scope = RegistryScope::Listed([entry].into());
            [ScopeAction::Pull, ScopeAction::Push, ScopeAction::Delete]
                .map(|action| scope.covers(action, &us, "p/r/i"))
        };
        assert_eq!(of("push"), [false, true, true]);
        assert_eq!(of("pull,push"), [true, true, true]);
        assert_eq!(of("delete"), [false, false, true]);
        assert_eq!(of("pull"), [true, false, false]);
        assert_eq!(of("admin"), [false, false, false]);
        assert!(!RegistryScope::Listed([].into()).covers(ScopeAction::Pull, &us, "p/r/i"));
    }
}
