//! The mode of a repository, and the upstreams that a remote or virtual repository reads from.
//!
//! A repository keeps the document of its API message, so that the message comes back exactly as it was sent: Terraform
//! compares. The mode is read from that document here, once, with the same rules for a request and for a stored row.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;

use crate::name::RepositoryName;
use crate::resource::Resource;

/// The address of Docker Hub, the one public upstream that the API has a name for.
pub const DOCKER_HUB: &str = "https://registry-1.docker.io";

/// The largest number of upstream policies of a virtual repository.
pub const MAX_UPSTREAM_POLICIES: usize = 30;

/// The largest number of pins of a virtual repository.
pub const MAX_PINS: usize = 100;

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

    /// Returns the word for it in sentences.
    pub fn word(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Remote => "remote",
            Self::Virtual => "virtual",
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
    /// A repository that reads from other repositories.
    Virtual(VirtualUpstreams),
}

/// The registry that a remote repository fetches from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteUpstream {
    /// A registry elsewhere, by its URL.
    Url(String),
    /// A repository of this registry.
    Repository(RepositoryName),
}

/// The upstreams of a virtual repository, and the rules by which they are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VirtualUpstreams {
    /// The policies in the order in which the upstreams are asked: those with a higher priority first, and those with
    /// the same priority in the order of their ids.
    pub policies: Vec<UpstreamPolicy>,
    /// The answer to a request for which an upstream fails.
    pub failure_policy: FailurePolicy,
    /// The images that only one upstream is asked for.
    pub pins: Vec<UpstreamPin>,
}

impl VirtualUpstreams {
    /// Returns which of the policies name the upstreams that are asked for an image: the policy of the longest pin
    /// that matches, or all policies if no pin matches.
    pub fn asked_for(&self, image: &str) -> Range<usize> {
        let matching = self.pins.iter().filter(|pin| image.starts_with(&pin.image_prefix));
        let Some(pin) = matching.max_by_key(|pin| pin.image_prefix.len()) else {
            return 0..self.policies.len();
        };
        let position = self.policies.iter().position(|policy| policy.id == pin.upstream_id);
        position.map_or(0..0, |position| position..position + 1)
    }
}

/// The answer of a virtual repository to a request for which an upstream fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// An error. No upstream of a lower priority answers instead, because its image of the same name may be another
    /// one.
    #[default]
    FailClosed,
    /// The answer of the next upstream.
    FallThrough,
}

/// A rule by which only one upstream is asked for images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamPin {
    /// The beginning of the names of the images.
    pub image_prefix: String,
    /// The id of the upstream's policy.
    pub upstream_id: String,
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
const PINS: &str = "repository.virtual_repository_config.pins";
const FAILURE_POLICY: &str = "repository.virtual_repository_config.failure_policy";

fn refused<T>(field: &'static str, problem: impl Into<String>) -> Result<T, ModeError> {
    Err(ModeError { field, problem: problem.into() })
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ModeDocument {
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
    upstream_policies: Vec<UpstreamDocument>,
    failure_policy: Option<String>,
    pins: Vec<PinDocument>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct UpstreamDocument {
    id: String,
    repository: String,
    priority: i32,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PinDocument {
    image_prefix: String,
    upstream_id: String,
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
        let Ok(document) = serde_json::from_str::<ModeDocument>(document) else {
            return refused(MODE, "its configuration cannot be read");
        };
        let ModeDocument { remote_repository_config: remote, virtual_repository_config: shown } =
            document;
        match (mode, remote, shown) {
            (ModeName::Remote, Some(remote), None) => Ok(Self::Remote(read_remote(remote)?)),
            (ModeName::Remote, _, _) => {
                refused(REMOTE_CONFIG, "a remote repository needs an upstream")
            }
            (ModeName::Virtual, None, shown) => {
                Ok(Self::Virtual(read_virtual(shown.unwrap_or_default())?))
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

    /// Returns the URL of the other registry that a remote repository fetches from.
    pub fn registry_url(&self) -> Option<&str> {
        match self {
            Self::Remote(RemoteUpstream::Url(url)) => Some(url),
            Self::Remote(RemoteUpstream::Repository(_)) | Self::Standard | Self::Virtual(_) => None,
        }
    }

    /// Returns the repositories of this registry that are read.
    pub fn own_upstreams(&self) -> Vec<&RepositoryName> {
        match self {
            Self::Standard | Self::Remote(RemoteUpstream::Url(_)) => Vec::new(),
            Self::Remote(RemoteUpstream::Repository(name)) => vec![name],
            Self::Virtual(upstreams) => {
                upstreams.policies.iter().map(|policy| &policy.repository).collect()
            }
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
    if let Some(rest) = uri.strip_prefix("https://").or(uri.strip_prefix("http://")) {
        check_authority(rest)?;
        return Ok(RemoteUpstream::Url(uri));
    }
    let problem = format!(
        "Invalid repo upstream for remote repository: '{uri}'. If you intended to enter a custom upstream URI, this value must start with 'https://' or 'http://'."
    );
    refused(REMOTE_CONFIG, problem)
}

/// Checks a URL after its scheme. The value is not repeated: it may hold a password.
fn check_authority(rest: &str) -> Result<(), ModeError> {
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return refused(REMOTE_CONFIG, "the upstream's URL holds a user name or a password");
    }
    let is_plain =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\' | b'%');
    if authority.is_empty() || !rest.bytes().all(is_plain) || rest.contains("..") {
        return refused(REMOTE_CONFIG, "the upstream's URL is https://HOST, perhaps with a path");
    }
    Ok(())
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

fn read_virtual(document: VirtualDocument) -> Result<VirtualUpstreams, ModeError> {
    let policies = read_policies(document.upstream_policies)?;
    let pins = read_pins(document.pins, &policies)?;
    let failure_policy = match document.failure_policy.as_deref() {
        None | Some("FAILURE_POLICY_UNSPECIFIED" | "FAIL_CLOSED") => FailurePolicy::FailClosed,
        Some("FALL_THROUGH") => FailurePolicy::FallThrough,
        Some(other) => {
            return refused(
                FAILURE_POLICY,
                format!("{other:?} is not FAIL_CLOSED or FALL_THROUGH"),
            );
        }
    };
    Ok(VirtualUpstreams { policies, failure_policy, pins })
}

fn read_policies(documents: Vec<UpstreamDocument>) -> Result<Vec<UpstreamPolicy>, ModeError> {
    if documents.len() > MAX_UPSTREAM_POLICIES {
        let problem = format!("there are {}, and at most {MAX_UPSTREAM_POLICIES}", documents.len());
        return refused(POLICIES, problem);
    }
    let (mut ids, mut policies) = (BTreeSet::new(), Vec::new());
    for UpstreamDocument { id, repository, priority } in documents {
        if id.is_empty() {
            return refused(POLICIES, "each policy needs an id");
        }
        if !ids.insert(id.clone()) {
            return refused(POLICIES, format!("the id {id:?} stands twice"));
        }
        let Ok(Resource::Repository(repository)) = repository.parse() else {
            let problem = format!(
                "{repository:?} is no repository: a name is projects/P/locations/L/repositories/R"
            );
            return refused(POLICIES, problem);
        };
        if policies.iter().any(|policy: &UpstreamPolicy| policy.repository == repository) {
            return refused(POLICIES, format!("{repository} stands twice"));
        }
        policies.push(UpstreamPolicy { id, repository, priority });
    }
    policies.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.id.cmp(&b.id)));
    Ok(policies)
}

fn read_pins(
    documents: Vec<PinDocument>,
    policies: &[UpstreamPolicy],
) -> Result<Vec<UpstreamPin>, ModeError> {
    if documents.len() > MAX_PINS {
        return refused(PINS, format!("there are {}, and at most {MAX_PINS}", documents.len()));
    }
    let (mut prefixes, mut pins) = (BTreeSet::new(), Vec::new());
    for PinDocument { image_prefix, upstream_id } in documents {
        if image_prefix.is_empty() || !prefixes.insert(image_prefix.clone()) {
            return refused(PINS, "each pin needs an image_prefix that no other pin has");
        }
        if !policies.iter().any(|policy| policy.id == upstream_id) {
            let problem = format!("the upstream_id {upstream_id:?} is the id of no policy");
            return refused(PINS, problem);
        }
        pins.push(UpstreamPin { image_prefix, upstream_id });
    }
    Ok(pins)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "projects/p-1/locations/us/repositories/r";
    const BELOW: &str = "projects/p-1/locations/us/repositories/";

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
        let userinfo = format!("{field}: the upstream's URL holds a user name or a password");
        remote(r#""commonRepository": {"uri": "https://u:p@a"}"#, Err(&userinfo));
        let no_host = format!("{field}: the upstream's URL is https://HOST, perhaps with a path");
        for wrong in [
            "https://",
            "https:///a",
            "https://a?b",
            "https://a#b",
            "https://a b",
            "https://a/../b",
        ] {
            remote(&format!(r#""commonRepository": {{"uri": "{wrong}"}}"#), Err(&no_host));
        }
    }

    #[test]
    fn a_virtual_repository_has_up_to_thirty_policies() {
        let policies = |ids: &[&str]| {
            let policy = |id: &&str| {
                format!(r#"{{"id": "{id}", "repository": "{BELOW}{id}", "priority": 7}}"#)
            };
            let policies: Vec<_> = ids.iter().map(policy).collect();
            format!(
                r#"{{"virtualRepositoryConfig": {{"upstreamPolicies": [{}]}}}}"#,
                policies.join(",")
            )
        };
        let read = |ids: &[&str]| {
            let policy = |id: &&str| {
                let repository = format!("{BELOW}{id}").parse().expect("a repository");
                UpstreamPolicy { id: (*id).to_owned(), repository, priority: 7 }
            };
            let policies = ids.iter().map(policy).collect();
            Ok(RepositoryMode::Virtual(VirtualUpstreams { policies, ..Default::default() }))
        };
        check(ModeName::Virtual, "{}", read(&[]));
        check(ModeName::Virtual, &policies(&["b", "a"]), read(&["a", "b"]));
        let field = "repository.virtual_repository_config.upstream_policies";
        let twice = format!("{field}: the id \"a\" stands twice");
        check(ModeName::Virtual, &policies(&["a", "a"]), Err(&twice));
        let same = format!(
            r#"{{"virtualRepositoryConfig": {{"upstreamPolicies": [{{"id": "a", "repository": "{OWN}"}},
               {{"id": "b", "repository": "{OWN}"}}]}}}}"#
        );
        check(ModeName::Virtual, &same, Err(&format!("{field}: {OWN} stands twice")));
        let no_id = format!("{field}: each policy needs an id");
        check(ModeName::Virtual, &policies(&[""]), Err(&no_id));
        let ids: Vec<String> = (0..31).map(|n| format!("id{n:02}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        check(ModeName::Virtual, &policies(&ids[..30]), read(&ids[..30]));
        let many = format!("{field}: there are 31, and at most 30");
        check(ModeName::Virtual, &policies(&ids), Err(&many));
    }

    /// The document of a virtual repository with the policies `low` (-1), `high` (2), `b` (1) and `a` (1).
    fn virtual_document(more: &str) -> String {
        let policy = |id: &str, priority: i32| {
            format!(r#"{{"id": "{id}", "repository": "{BELOW}{id}", "priority": {priority}}}"#)
        };
        let policies = [policy("low", -1), policy("high", 2), policy("b", 1), policy("a", 1)];
        let policies = policies.join(",");
        format!(r#"{{"virtualRepositoryConfig": {{"upstreamPolicies": [{policies}]{more}}}}}"#)
    }

    fn asked(more: &str, image: &str) -> Vec<String> {
        match RepositoryMode::parse(ModeName::Virtual, &virtual_document(more)) {
            Ok(RepositoryMode::Virtual(upstreams)) => {
                let asked = &upstreams.policies[upstreams.asked_for(image)];
                asked.iter().map(|policy| policy.id.clone()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn upstreams_are_asked_by_priority_and_then_by_id() {
        assert_eq!(asked("", "image"), ["high", "a", "b", "low"]);
    }

    #[test]
    fn a_pin_leaves_one_upstream() {
        let pins = r#", "pins": [{"imagePrefix": "corp/", "upstreamId": "a"},
                                 {"imagePrefix": "corp/base", "upstreamId": "low"}]"#;
        assert_eq!(asked(pins, "other"), ["high", "a", "b", "low"]);
        assert_eq!(asked(pins, "corp"), ["high", "a", "b", "low"]);
        assert_eq!(asked(pins, "corp/app"), ["a"]);
        assert_eq!(asked(pins, "corp/base-image"), ["low"]);
    }

    #[test]
    fn pins_and_the_failure_policy_are_checked() {
        let refused = |more: &str, problem: &str| {
            check(ModeName::Virtual, &virtual_document(more), Err(problem));
        };
        let field = "repository.virtual_repository_config.pins";
        let unknown = format!("{field}: the upstream_id \"x\" is the id of no policy");
        refused(r#", "pins": [{"imagePrefix": "c", "upstreamId": "x"}]"#, &unknown);
        let prefix = format!("{field}: each pin needs an image_prefix that no other pin has");
        refused(r#", "pins": [{"upstreamId": "a"}]"#, &prefix);
        let pin = r#"{"imagePrefix": "c", "upstreamId": "a"}"#;
        refused(&format!(r#", "pins": [{pin}, {pin}]"#), &prefix);
        let many = format!("{field}: there are 101, and at most 100");
        refused(&format!(r#", "pins": [{}]"#, vec![pin; 101].join(",")), &many);
        let field = "repository.virtual_repository_config.failure_policy";
        let other = format!("{field}: \"OPEN\" is not FAIL_CLOSED or FALL_THROUGH");
        refused(r#", "failurePolicy": "OPEN""#, &other);
    }

    #[test]
    fn a_failure_policy_is_read() {
        for (more, expected) in [
            ("", FailurePolicy::FailClosed),
            (r#", "failurePolicy": "FAIL_CLOSED""#, FailurePolicy::FailClosed),
            (r#", "failurePolicy": "FALL_THROUGH""#, FailurePolicy::FallThrough),
        ] {
            let mode = RepositoryMode::parse(ModeName::Virtual, &virtual_document(more));
            let Ok(RepositoryMode::Virtual(upstreams)) = mode else { panic!("{mode:?}") };
            assert_eq!(upstreams.failure_policy, expected, "{more}");
        }
    }
}
