//! The mode of a repository, and the upstreams that a remote or virtual repository reads from.
//!
//! A repository keeps the document of its API message, so that the message comes back exactly as it was sent: Terraform
//! compares. The mode is read from that document here, once, with the same rules for a request and for a stored row.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use crate::name::RepositoryName;
use crate::resource::Resource;

/// The address of Docker Hub, the one public upstream that the API has a name for.
pub const DOCKER_HUB: &str = "https://registry-1.docker.io";

/// The largest number of upstream policies of a virtual repository.
pub const MAX_UPSTREAM_POLICIES: usize = 30;

/// The three kinds of repositories, as the API and the database name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModeName {
    /// A repository that is pushed to.
    Standard,
    /// A cache of an upstream.
    Remote,
    /// A view of other repositories.
    Virtual,
}

impl ModeName {
    /// Returns the name that the API has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD_REPOSITORY",
            Self::Remote => "REMOTE_REPOSITORY",
            Self::Virtual => "VIRTUAL_REPOSITORY",
        }
    }

    /// Returns the mode with this name in the API, if there is one.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Standard, Self::Remote, Self::Virtual].into_iter().find(|mode| mode.as_str() == text)
    }
}

impl fmt::Display for ModeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The mode of a repository, with what it reads from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepositoryMode {
    /// A repository that holds what is pushed to it.
    Standard,
    /// A repository that fetches from an upstream what it does not hold.
    Remote(RemoteUpstream),
    /// A repository that reads from the upstreams of these policies.
    Virtual(Vec<UpstreamPolicy>),
}

/// The registry that a remote repository fetches from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteUpstream {
    /// A registry elsewhere, by its URL.
    Url(String),
    /// A repository of this registry.
    Repository(RepositoryName),
}

/// One upstream of a virtual repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamPolicy {
    /// The id, which is the policy's own within its repository.
    pub id: String,
    /// The repository that is read.
    pub repository: RepositoryName,
    /// The priority: an upstream with a higher one is asked first.
    pub priority: i32,
}

/// The problem with the configuration of a mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ModeError {
    /// The field of the API's message.
    pub field: &'static str,
    /// The problem with its value. Some of these sentences are Google's.
    pub problem: String,
}

const MODE: &str = "repository.mode";
const REMOTE_CONFIG: &str = "repository.remote_repository_config";
const POLICIES: &str = "repository.virtual_repository_config.upstream_policies";

fn refused<T>(field: &'static str, problem: impl Into<String>) -> Result<T, ModeError> {
    Err(ModeError { field, problem: problem.into() })
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Document {
    remote_repository_config: Option<RemoteDocument>,
    virtual_repository_config: Option<VirtualDocument>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RemoteDocument {
    docker_repository: Option<DockerDocument>,
    common_repository: Option<CommonDocument>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DockerDocument {
    public_repository: Option<String>,
    custom_repository: Option<CommonDocument>,
    artifact_registry_repository: Option<OwnDocument>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CommonDocument {
    uri: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct OwnDocument {
    repository: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct VirtualDocument {
    upstream_policies: Vec<PolicyDocument>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PolicyDocument {
    id: String,
    repository: String,
    priority: i32,
}

impl RepositoryMode {
    /// Reads the mode of a repository from the document of its API message.
    ///
    /// # Errors
    /// Fails if the document has no configuration for its mode, one for another mode, or one that is wrong.
    ///
    /// ```
    /// # use berth_model::repository::{DOCKER_HUB, ModeName, RemoteUpstream, RepositoryMode};
    /// let document = r#"{"remoteRepositoryConfig": {"dockerRepository": {"publicRepository": "DOCKER_HUB"}}}"#;
    /// let hub = RemoteUpstream::Url(DOCKER_HUB.to_owned());
    /// assert_eq!(RepositoryMode::parse(ModeName::Remote, document), Ok(RepositoryMode::Remote(hub)));
    /// ```
    pub fn parse(mode: ModeName, document: &str) -> Result<Self, ModeError> {
        let Ok(document) = serde_json::from_str::<Document>(document) else {
            return refused(MODE, "its configuration cannot be read");
        };
        let Document { remote_repository_config: remote, virtual_repository_config: shown } =
            document;
        match (mode, remote, shown) {
            (ModeName::Remote, Some(remote), None) => Ok(Self::Remote(read_remote(remote)?)),
            (ModeName::Remote, _, _) => {
                refused(REMOTE_CONFIG, "a remote repository needs an upstream")
            }
            (ModeName::Virtual, None, shown) => {
                Ok(Self::Virtual(read_policies(shown.unwrap_or_default())?))
            }
            (ModeName::Standard, None, None) => Ok(Self::Standard),
            (ModeName::Virtual | ModeName::Standard, _, _) => {
                refused(MODE, "does not go with the configuration of another mode")
            }
        }
    }

    /// Returns the name of the mode.
    pub fn name(&self) -> ModeName {
        match self {
            Self::Standard => ModeName::Standard,
            Self::Remote(_) => ModeName::Remote,
            Self::Virtual(_) => ModeName::Virtual,
        }
    }

    /// Returns the repositories of this registry that are read.
    pub fn own_upstreams(&self) -> Vec<&RepositoryName> {
        match self {
            Self::Standard | Self::Remote(RemoteUpstream::Url(_)) => Vec::new(),
            Self::Remote(RemoteUpstream::Repository(name)) => vec![name],
            Self::Virtual(policies) => policies.iter().map(|policy| &policy.repository).collect(),
        }
    }
}

fn read_remote(document: RemoteDocument) -> Result<RemoteUpstream, ModeError> {
    let Some(uri) = upstream_uri(document) else {
        let problem =
            "a remote repository needs an upstream; DOCKER_HUB is the one public repository";
        return refused(REMOTE_CONFIG, problem);
    };
    if uri.starts_with("projects/") {
        return match uri.parse() {
            Ok(Resource::Repository(name)) => Ok(RemoteUpstream::Repository(name)),
            _ => refused(REMOTE_CONFIG, format!("{uri:?} is no repository")),
        };
    }
    if ["https://", "http://"].iter().any(|scheme| uri.starts_with(scheme)) {
        return Ok(RemoteUpstream::Url(uri));
    }
    let problem = format!(
        "Invalid repo upstream for remote repository: '{uri}'. If you intended to enter a custom upstream URI, this value must start with 'https://' or 'http://'."
    );
    refused(REMOTE_CONFIG, problem)
}

/// Returns the address of the upstream, in whichever of the API's ways it was given.
fn upstream_uri(document: RemoteDocument) -> Option<String> {
    if let Some(common) = document.common_repository {
        return Some(common.uri);
    }
    let docker = document.docker_repository?;
    if let Some(custom) = docker.custom_repository {
        return Some(custom.uri);
    }
    if let Some(own) = docker.artifact_registry_repository {
        return Some(own.repository);
    }
    (docker.public_repository.as_deref() == Some("DOCKER_HUB")).then(|| DOCKER_HUB.to_owned())
}

fn read_policies(document: VirtualDocument) -> Result<Vec<UpstreamPolicy>, ModeError> {
    if document.upstream_policies.len() > MAX_UPSTREAM_POLICIES {
        return refused(POLICIES, format!("at most {MAX_UPSTREAM_POLICIES}"));
    }
    let (mut ids, mut policies) = (BTreeSet::new(), Vec::new());
    for PolicyDocument { id, repository, priority } in document.upstream_policies {
        if id.is_empty() || !ids.insert(id.clone()) {
            return refused(POLICIES, "each needs an id of its own");
        }
        let Ok(Resource::Repository(repository)) = repository.parse() else {
            return refused(POLICIES, format!("{repository:?} is no repository"));
        };
        policies.push(UpstreamPolicy { id, repository, priority });
    }
    Ok(policies)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "projects/p-1/locations/us/repositories/r";

    #[track_caller]
    fn check(mode: ModeName, document: &str, expected: Result<RepositoryMode, &str>) {
        let read = RepositoryMode::parse(mode, document);
        let read = read.map_err(|error| error.to_string());
        assert_eq!(read, expected.map_err(str::to_owned), "{mode} {document}");
    }

    fn own() -> RepositoryName {
        let Ok(Resource::Repository(name)) = OWN.parse() else { panic!("a repository") };
        name
    }

    #[test]
    fn names_are_those_of_the_api() {
        for mode in [ModeName::Standard, ModeName::Remote, ModeName::Virtual] {
            assert_eq!(ModeName::parse(mode.as_str()), Some(mode));
        }
        assert_eq!(ModeName::parse("standard_repository"), None);
    }

    #[test]
    fn a_standard_repository_has_no_upstream() {
        check(ModeName::Standard, "{}", Ok(RepositoryMode::Standard));
        let other = "repository.mode: does not go with the configuration of another mode";
        check(ModeName::Standard, r#"{"virtualRepositoryConfig": {}}"#, Err(other));
        check(ModeName::Standard, r#"{"remoteRepositoryConfig": {}}"#, Err(other));
        check(ModeName::Virtual, r#"{"remoteRepositoryConfig": {}}"#, Err(other));
    }

    #[test]
    fn a_remote_repository_has_one_upstream_in_one_of_four_ways() {
        let remote = |source: &str, expected| {
            let document = format!(r#"{{"remoteRepositoryConfig": {{{source}}}}}"#);
            check(ModeName::Remote, &document, expected);
        };
        let url = |url: &str| Ok(RepositoryMode::Remote(RemoteUpstream::Url(url.to_owned())));
        let here = || Ok(RepositoryMode::Remote(RemoteUpstream::Repository(own())));
        remote(r#""dockerRepository": {"publicRepository": "DOCKER_HUB"}"#, url(DOCKER_HUB));
        remote(r#""dockerRepository": {"customRepository": {"uri": "http://a"}}"#, url("http://a"));
        remote(r#""commonRepository": {"uri": "https://b/c"}"#, url("https://b/c"));
        remote(&format!(r#""commonRepository": {{"uri": "{OWN}"}}"#), here());
        remote(
            &format!(
                r#""dockerRepository": {{"artifactRegistryRepository": {{"repository": "{OWN}"}}}}"#
            ),
            here(),
        );
        let field = "repository.remote_repository_config";
        let needed = format!("{field}: a remote repository needs an upstream");
        check(ModeName::Remote, "{}", Err(&needed));
        let public = format!("{needed}; DOCKER_HUB is the one public repository");
        remote("", Err(&public));
        remote(r#""dockerRepository": {"publicRepository": "OTHER"}"#, Err(&public));
        let no_name = format!("{field}: \"projects/p-1\" is no repository");
        remote(r#""commonRepository": {"uri": "projects/p-1"}"#, Err(&no_name));
        let no_url = format!(
            "{field}: Invalid repo upstream for remote repository: 'ftp://a'. If you intended to enter a custom upstream URI, this value must start with 'https://' or 'http://'."
        );
        remote(r#""commonRepository": {"uri": "ftp://a"}"#, Err(&no_url));
    }

    #[test]
    fn a_virtual_repository_has_up_to_thirty_policies() {
        let policies = |ids: &[&str]| {
            let policy =
                |id: &&str| format!(r#"{{"id": "{id}", "repository": "{OWN}", "priority": 7}}"#);
            let policies: Vec<_> = ids.iter().map(policy).collect();
            format!(
                r#"{{"virtualRepositoryConfig": {{"upstreamPolicies": [{}]}}}}"#,
                policies.join(",")
            )
        };
        let read = |ids: &[&str]| {
            let policy =
                |id: &&str| UpstreamPolicy { id: (*id).to_owned(), repository: own(), priority: 7 };
            Ok(RepositoryMode::Virtual(ids.iter().map(policy).collect()))
        };
        check(ModeName::Virtual, "{}", read(&[]));
        check(ModeName::Virtual, &policies(&["a", "b"]), read(&["a", "b"]));
        let field = "repository.virtual_repository_config.upstream_policies";
        let twice = format!("{field}: each needs an id of its own");
        check(ModeName::Virtual, &policies(&["a", "a"]), Err(&twice));
        check(ModeName::Virtual, &policies(&[""]), Err(&twice));
        let ids: Vec<String> = (0..31).map(|n| format!("id{n}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        check(ModeName::Virtual, &policies(&ids[..30]), read(&ids[..30]));
        check(ModeName::Virtual, &policies(&ids), Err(&format!("{field}: at most 30")));
    }
}
