//! The way to another registry, which the server provides: the engine makes no requests itself.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use identity::Micros;
use model::digest::Digest;
use model::reference::Reference;
use model::secret::SecretValue;

use crate::body_error::BodyError;

/// An answer that comes later.
pub type UpstreamFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, UpstreamProblem>> + Send + 'a>>;

/// The bytes of a blob, as they come from another registry.
pub type UpstreamBytes =
    Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, BodyError>> + Send + 'static>>;

/// An image of another registry.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamImage<'a> {
    /// The URL of the registry, as the settings of the repository have it.
    pub url: &'a str,
    /// The name of the image in this registry.
    pub image: &'a str,
    /// The credentials with which the registry is asked, or `None` to ask it as an anonymous caller.
    pub credentials: Option<&'a RegistryCredentials>,
}

/// The credentials for requests to another registry. `Debug` does not show the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryCredentials {
    /// The id of the password. Another password never has the same one.
    pub id: String,
    /// The user name.
    pub username: String,
    /// The password.
    pub password: SecretValue,
}

/// A manifest that another registry sent. Nothing of it was checked yet.
#[derive(Debug)]
pub struct UpstreamManifest {
    /// The bytes, at most as many as a manifest may have.
    pub bytes: Bytes,
    /// The media type that the registry states.
    pub media_type: Option<String>,
    /// The digest that the registry states.
    pub digest: Option<Digest>,
}

/// A blob that another registry sends.
pub struct UpstreamBlob {
    /// The bytes.
    pub bytes: UpstreamBytes,
    /// The offset of the first byte in the blob. It is 0 if the registry does not send parts.
    pub start: u64,
    /// The size of the whole blob, if the registry states it.
    pub size: Option<u64>,
}

/// The state of a registry's host, as this process knows it from its requests. The default state is one of which nothing is
/// known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpstreamState {
    /// The limit that the host stated last.
    pub rate_limit: Option<UpstreamRateLimit>,
    /// The time before which the host wants no requests.
    pub retry_after: Option<Micros>,
    /// `true` if the host did not answer when it was asked last.
    pub is_silent: bool,
    /// The last failure of a request. Content that the host does not have is none.
    pub last_failure: Option<UpstreamFailure>,
}

/// The limit of requests that a registry states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamRateLimit {
    /// The number of requests that it still answers.
    pub remaining: u32,
    /// The number of requests that it answers in a window of time.
    pub limit: Option<u32>,
    /// The length of this window.
    pub window: Option<Duration>,
}

/// A request to a registry that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamFailure {
    /// The kind of the problem.
    pub kind: UpstreamProblemKind,
    /// The time of the failure.
    pub at: Micros,
}

/// Requests to other registries.
pub trait UpstreamRegistry: Send + Sync + fmt::Debug {
    /// Checks, without a request, that the registry at this URL may be asked.
    fn check_url(&self, url: &str) -> Result<(), UpstreamProblem>;

    /// Asks whether there is a registry at this URL.
    fn check_registry<'a>(&'a self, url: &'a str) -> UpstreamFuture<'a, ()>;

    /// Notes that a manifest was served from the cache of this registry, without asking.
    fn note_hit(&self, url: &str);

    /// Returns the state of the host of the registry at this URL.
    fn state(&self, url: &str) -> UpstreamState;

    /// Fetches a manifest.
    fn fetch_manifest<'a>(
        &'a self,
        image: UpstreamImage<'a>,
        reference: &'a Reference,
    ) -> UpstreamFuture<'a, UpstreamManifest>;

    /// Asks which digest a tag names. `None` if the registry does not say it.
    fn find_digest<'a>(
        &'a self,
        image: UpstreamImage<'a>,
        reference: &'a Reference,
    ) -> UpstreamFuture<'a, Option<Digest>>;

    /// Lists the tags of an image, in any order.
    fn list_tags<'a>(&'a self, image: UpstreamImage<'a>) -> UpstreamFuture<'a, Vec<String>>;

    /// Lists the digests of the manifests that refer to another one.
    fn list_referrers<'a>(
        &'a self,
        image: UpstreamImage<'a>,
        subject: &'a Digest,
    ) -> UpstreamFuture<'a, Vec<Digest>>;

    /// Opens a blob, from the byte at `start` on if the registry can send parts.
    fn open_blob<'a>(
        &'a self,
        image: UpstreamImage<'a>,
        digest: &'a Digest,
        start: u64,
    ) -> UpstreamFuture<'a, UpstreamBlob>;
}

/// The reason why another registry gave no content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamProblem {
    /// The host of the registry.
    pub host: Arc<str>,
    /// The kind of the problem.
    pub kind: UpstreamProblemKind,
    /// The reason in words. It is safe to show to clients.
    pub text: String,
}

/// The kind of a problem with another registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamProblemKind {
    /// The registry has no such content.
    NotFound,
    /// The registry limits its answers.
    Limited {
        /// The seconds after which to ask again, if the registry says so.
        retry_after: Option<u32>,
    },
    /// The credentials for the registry are not available, or the registry refused them.
    Credentials,
    /// The registry refused or failed.
    Failed,
    /// The registry was not reached, or did not answer in time.
    Unreachable,
    /// The registry sent other content than it should.
    Wrong,
    /// The content could not be stored here.
    NotStored,
    /// The remote repository asks nothing of the registry.
    Offline,
}

impl fmt::Display for UpstreamProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the upstream {} {}", self.host, self.text)
    }
}

impl UpstreamProblem {
    /// Creates a problem with the registry at this URL.
    pub fn new(url: &str, kind: UpstreamProblemKind, text: impl Into<String>) -> Self {
        Self { host: Self::host_of(url).into(), kind, text: text.into() }
    }

    /// Returns the host in the URL of a registry, with its port if the URL has one.
    pub fn host_of(url: &str) -> &str {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }

    /// Returns whether the registry has no such content.
    pub(crate) fn is_not_found(&self) -> bool {
        self.kind == UpstreamProblemKind::NotFound
    }
}

/// The registries of a server that has no way to others.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoUpstreams;

impl NoUpstreams {
    fn problem(url: &str) -> UpstreamProblem {
        let kind = UpstreamProblemKind::Unreachable;
        UpstreamProblem::new(url, kind, "cannot be asked: there is no way to it")
    }

    fn refuse<T>(url: &str) -> UpstreamFuture<'static, T>
    where
        T: Send + 'static,
    {
        let problem = Self::problem(url);
        Box::pin(async move { Err(problem) })
    }
}

impl UpstreamRegistry for NoUpstreams {
    fn check_url(&self, url: &str) -> Result<(), UpstreamProblem> {
        Err(Self::problem(url))
    }

    fn check_registry<'a>(&'a self, url: &'a str) -> UpstreamFuture<'a, ()> {
        Self::refuse(url)
    }

    fn note_hit(&self, _: &str) {}

    fn state(&self, _: &str) -> UpstreamState {
        UpstreamState::default()
    }

    fn fetch_manifest<'a>(
        &'a self,
        image: UpstreamImage<'a>,
        _: &'a Reference,
    ) -> UpstreamFuture<'a, UpstreamManifest> {
        Self::refuse(image.url)
    }

    fn find_digest<'a>(
        &'a self,
        image: UpstreamImage<'a>,
        _: &'a Reference,
    ) -> UpstreamFuture<'a, Option<Digest>> {
        Self::refuse(image.url)
    }

    fn list_tags<'a>(&'a self, image: UpstreamImage<'a>) -> UpstreamFuture<'a, Vec<String>> {
        Self::refuse(image.url)
    }

    fn list_referrers<'a>(
        &'a self,
        image: UpstreamImage<'a>,
        _: &'a Digest,
    ) -> UpstreamFuture<'a, Vec<Digest>> {
        Self::refuse(image.url)
    }

    fn open_blob<'a>(
        &'a self,
        image: UpstreamImage<'a>,
        _: &'a Digest,
        _: u64,
    ) -> UpstreamFuture<'a, UpstreamBlob> {
        Self::refuse(image.url)
    }
}
