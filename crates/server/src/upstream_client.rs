//! Requests to the registries that remote repositories fetch from: OCI Distribution, as a client.
//!
//! Nothing that a registry sends is trusted: bodies have a bound, redirects are followed by hand and to vetted addresses
//! alone, and a token goes to no other host than the one that asked for it. A password goes to its registry, and to where
//! `token_hosts` says that the registry's tokens are.

mod bandwidth;
mod challenge;
mod check;
mod figures;
mod health;
mod lists;
mod logins;
mod rate_limit;
mod refusal;
mod token_hosts;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use engine::{
    BodyError, UpstreamBlob, UpstreamBytes, UpstreamFuture, UpstreamImage, UpstreamManifest,
    UpstreamProblem, UpstreamProblemKind as Problem, UpstreamRegistry, UpstreamState,
};
use futures_util::stream;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use identity::Clock;
use model::digest::Digest;
use model::manifest::MAX_MANIFEST_BYTES;
use model::reference::Reference;
use model::remote_rules::upstream_path;
use web::app::LOOP_MARK;

use crate::egress::{
    EgressAnswer, EgressClients, EgressRead, EgressRefused, EgressRules, SendError, Url,
};
pub(crate) use bandwidth::BandwidthLimits;
use bandwidth::HostBandwidth;
use challenge::BearerChallenge;
use figures::UpstreamFigures;
use health::{AskingFor, UpstreamHealth, UpstreamTurn};
use logins::{Login, LoginKey, Logins};
pub(crate) use token_hosts::TokenHosts;
use web::layer::metrics::Metrics;

/// The most redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// The longest answer of a token endpoint.
const MAX_TOKEN_BYTES: usize = 64 << 10;
/// The longest time in which a manifest comes.
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The media types of manifests that are asked for.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// The client of all registries.
pub(crate) struct UpstreamClient {
    clients: EgressClients,
    logins: Logins,
    token_hosts: TokenHosts,
    bandwidth: BandwidthLimits,
    /// The mark of requests of this process.
    mark: HeaderValue,
    health: UpstreamHealth,
    figures: UpstreamFigures,
    /// The client itself, for probes that outlive a request.
    this: Weak<Self>,
}

/// The settings of the client.
pub(crate) struct UpstreamRules {
    /// The places that may be asked.
    pub(crate) egress: Arc<EgressRules>,
    /// The places that may get credentials.
    pub(crate) token_hosts: TokenHosts,
    /// The limits of what is fetched in a second.
    pub(crate) bandwidth: BandwidthLimits,
    /// The clock for the times that are shown.
    pub(crate) clock: Arc<dyn Clock>,
}

/// An answer of a registry with the status 200, and the turn that it takes up.
struct AskedAnswer {
    answer: EgressAnswer,
    turn: UpstreamTurn,
}

/// An answer after redirects.
struct FollowedAnswer {
    answer: EgressAnswer,
    /// `true` if it comes from the registry itself, and not from a place to which the registry redirects.
    is_own: bool,
}

/// A blob that a registry sends.
struct BlobBody {
    asked: AskedAnswer,
    bandwidth: Option<Arc<HostBandwidth>>,
    figures: UpstreamFigures,
    url: String,
}

impl fmt::Debug for UpstreamClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamClient").finish_non_exhaustive()
    }
}

/// A request to a registry, before redirects.
struct RegistryRequest<'a> {
    method: Method,
    image: UpstreamImage<'a>,
    url: Url,
    accept: Option<HeaderValue>,
    /// The offset from which on the content is wanted.
    start: u64,
}

impl UpstreamClient {
    pub(crate) fn new(rules: UpstreamRules, mark: HeaderValue, metrics: Metrics) -> Arc<Self> {
        let UpstreamRules { egress, token_hosts, bandwidth, clock } = rules;
        Arc::new_cyclic(|this| Self {
            clients: EgressClients::new(egress),
            logins: Logins::default(),
            token_hosts,
            bandwidth,
            mark,
            health: UpstreamHealth::new(clock),
            figures: UpstreamFigures::new(metrics),
            this: this.clone(),
        })
    }

    /// Sends a request when the host has a place for it, and keeps the figures of the host.
    async fn ask_in_turn(
        &self,
        request: RegistryRequest<'_>,
        purpose: AskingFor,
    ) -> Result<AskedAnswer, UpstreamProblem> {
        let url = request.image.url;
        let mut turn = self.health.begin(&self.this, url, purpose).await?;
        let asked = self.ask(request).await;
        turn.note(&asked);
        self.figures.note(url, &asked);
        Ok(AskedAnswer { answer: asked?, turn })
    }

    /// Sends a request, with a token or a password if the registry wants one. Returns an answer with the status 200, or
    /// 206 if a part is wanted.
    async fn ask(&self, request: RegistryRequest<'_>) -> Result<EgressAnswer, UpstreamProblem> {
        let key = LoginKey::new(request.image);
        let held = self.logins.find(&key);
        let FollowedAnswer { answer, is_own } = self.follow(&request, held.as_ref()).await?;
        // A place to which the registry redirects may not ask for a token that the registry would get.
        let login = match answer.status() {
            StatusCode::UNAUTHORIZED if is_own => {
                self.log_in(&request, &answer, held.as_ref()).await?
            }
            _ => None,
        };
        let has_logged_in = held.is_some() || login.is_some();
        let FollowedAnswer { answer, is_own } = match login {
            Some(login) => {
                let followed = self.follow(&request, Some(&login)).await?;
                self.logins.keep(key, login);
                followed
            }
            None => FollowedAnswer { answer, is_own },
        };
        let used = request.image.credentials.is_some() && has_logged_in && is_own;
        match answer.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::PARTIAL_CONTENT if request.start > 0 => Ok(answer),
            _ if used => Err(refusal::read_to_credentials(request.image.url, answer).await),
            _ => Err(refusal::read(request.image.url, answer).await),
        }
    }

    /// Sends a request, and follows redirects. The login is for the registry alone, and not for where it sends us.
    async fn follow(
        &self,
        request: &RegistryRequest<'_>,
        login: Option<&Login>,
    ) -> Result<FollowedAnswer, UpstreamProblem> {
        let authorization = login.and_then(|login| login.authorization(request.image.credentials));
        let (mut url, mut is_own) = (request.url.clone(), true);
        for _ in 0..=MAX_REDIRECTS {
            let mut headers = HeaderMap::new();
            headers.insert(LOOP_MARK, self.mark.clone());
            headers.extend(request.accept.clone().map(|accept| (ACCEPT, accept)));
            if request.start > 0 {
                let range = HeaderValue::from_str(&format!("bytes={}-", request.start));
                headers.insert(RANGE, range.expect("a number"));
            }
            // Whoever got the request from the registry once chooses where it goes next.
            is_own &= url.origin() == request.url.origin();
            if is_own {
                headers.extend(authorization.clone().map(|value| (AUTHORIZATION, value)));
            }
            let read = EgressRead { method: request.method.clone(), url: &url, headers };
            let answer = self.clients.read(read).await;
            let answer = answer.map_err(|error| send_problem(request.image.url, &error))?;
            if !answer.status().is_redirection() {
                return Ok(FollowedAnswer { answer, is_own });
            }
            let location = answer.header(LOCATION).and_then(|location| url.join(location).ok());
            url = match location {
                Some(next) if next.scheme() == "https" || next.scheme() == url.scheme() => next,
                Some(_) => return Err(problem(request, "redirects to a place without encryption")),
                None => return Err(problem(request, "redirects to no place")),
            };
        }
        Err(problem(request, "redirects too often"))
    }

    /// Does what the registry asks for in its refusal. `None` if it asks for nothing that is there, or for the password
    /// that it has just refused.
    async fn log_in(
        &self,
        request: &RegistryRequest<'_>,
        refusal: &EgressAnswer,
        held: Option<&Login>,
    ) -> Result<Option<Login>, UpstreamProblem> {
        let mut challenges = refusal.headers(WWW_AUTHENTICATE);
        if let Some(challenge) = challenges.find_map(BearerChallenge::parse) {
            return self.fetch_token(request, &challenge).await.map(Some);
        }
        let wants_password = refusal.headers(WWW_AUTHENTICATE).any(challenge::is_basic);
        let was_refused = held.is_some_and(Login::is_password);
        let has_password = request.image.credentials.is_some();
        Ok((wants_password && has_password && !was_refused).then(Login::with_password))
    }

    /// Gets a token as the challenge asks: for the credentials, or for anonymous callers.
    async fn fetch_token(
        &self,
        request: &RegistryRequest<'_>,
        challenge: &BearerChallenge,
    ) -> Result<Login, UpstreamProblem> {
        let mut url = Url::parse(&challenge.realm)
            .map_err(|_| problem(request, "names no place for tokens"))?;
        if url.scheme() != "https" && url.scheme() != request.url.scheme() {
            return Err(problem(request, "names a place for tokens without encryption"));
        }
        let mut headers = HeaderMap::new();
        let credentials = request.image.credentials;
        if let Some(credentials) = credentials {
            if !self.token_hosts.may_get_credentials(&request.url, &url) {
                let host = url.host_str().unwrap_or_default();
                let text = format!(
                    "wants the credentials to be sent to {host}, which egress.token_hosts does not list"
                );
                return Err(UpstreamProblem::new(request.image.url, Problem::Credentials, text));
            }
            headers.insert(AUTHORIZATION, logins::basic(credentials));
        }
        let account = credentials.map_or("", |credentials| &credentials.username);
        let fields =
            [("service", &*challenge.service), ("scope", &*challenge.scope), ("account", account)];
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            url.query_pairs_mut().append_pair(name, value);
        }
        let read = EgressRead { method: Method::GET, url: &url, headers };
        let answer = self.clients.read(read).await;
        let mut answer = answer.map_err(|error| send_problem(request.image.url, &error))?;
        if answer.status() != StatusCode::OK {
            return Err(match credentials {
                Some(_) => refusal::read_to_credentials(request.image.url, answer).await,
                None => refusal::read(request.image.url, answer).await,
            });
        }
        let body = answer.read_all(MAX_TOKEN_BYTES).await;
        let body = body.map_err(|error| send_problem(request.image.url, &error))?;
        let login = body.and_then(|body| Login::read_token(&body));
        login.ok_or_else(|| problem(request, "gave no token that can be used"))
    }
}

impl UpstreamRegistry for UpstreamClient {
    fn check_url(&self, url: &str) -> Result<(), UpstreamProblem> {
        let parsed = registry_url(url, "")?;
        self.clients.check(&parsed).map_err(|error| send_problem(url, &error))
    }

    fn check_registry<'a>(&'a self, url: &'a str) -> UpstreamFuture<'a, ()> {
        Box::pin(check::ask(self, url))
    }

    fn note_hit(&self, url: &str) {
        self.figures.count_hit(url);
    }

    fn state(&self, url: &str) -> UpstreamState {
        self.health.state(url)
    }

    fn fetch_manifest<'a>(
        &'a self,
        image: UpstreamImage<'a>,
        reference: &'a Reference,
    ) -> UpstreamFuture<'a, UpstreamManifest> {
        Box::pin(async move {
            let request = manifest_request(Method::GET, image, reference)?;
            let asked = self.ask_in_turn(request, AskingFor::Content).await?;
            let AskedAnswer { mut answer, turn: _turn } = asked;
            let media_type = answer.header(CONTENT_TYPE).map(str::to_owned);
            let digest = stated_digest(&answer);
            let reading =
                tokio::time::timeout(MANIFEST_TIMEOUT, answer.read_all(MAX_MANIFEST_BYTES));
            let bytes = match reading.await {
                Ok(bytes) => bytes.map_err(|error| send_problem(image.url, &error))?,
                Err(_) => return Err(send_problem(image.url, &SendError::Late)),
            };
            let text = "sent a manifest that is longer than one may be";
            let too_long = || UpstreamProblem::new(image.url, Problem::Wrong, text);
            let bytes = bytes.ok_or_else(too_long)?;
            self.figures.count_fetch(image.url);
            self.figures.count_bytes(image.url, bytes.len());
            Ok(UpstreamManifest { bytes, media_type, digest })
        })
    }

    fn find_digest<'a>(
        &'a self,
        image: UpstreamImage<'a>,
        reference: &'a Reference,
    ) -> UpstreamFuture<'a, Option<Digest>> {
        Box::pin(async move {
            let request = manifest_request(Method::HEAD, image, reference)?;
            let asked = self.ask_in_turn(request, AskingFor::Confirmation).await?;
            Ok(stated_digest(&asked.answer))
        })
    }

    fn list_tags<'a>(&'a self, image: UpstreamImage<'a>) -> UpstreamFuture<'a, Vec<String>> {
        Box::pin(lists::list_tags(self, image))
    }

    fn list_referrers<'a>(
        &'a self,
        image: UpstreamImage<'a>,
        subject: &'a Digest,
    ) -> UpstreamFuture<'a, Vec<Digest>> {
        Box::pin(lists::list_referrers(self, image, subject))
    }

    fn open_blob<'a>(
        &'a self,
        image: UpstreamImage<'a>,
        digest: &'a Digest,
        start: u64,
    ) -> UpstreamFuture<'a, UpstreamBlob> {
        Box::pin(async move {
            let url = part_url(image, &format!("blobs/{digest}"))?;
            let bandwidth = self.bandwidth.of(&url);
            let request = RegistryRequest { method: Method::GET, image, url, accept: None, start };
            let asked = self.ask_in_turn(request, AskingFor::Content).await?;
            let sent = sent_part(&asked.answer);
            let (start, size) = sent.ok_or_else(|| {
                let text = "did not say which part of a blob it sent";
                UpstreamProblem::new(image.url, Problem::Wrong, text)
            })?;
            self.figures.count_fetch(image.url);
            let begun =
                BlobBody { asked, bandwidth, figures: self.figures.clone(), url: image.url.into() };
            let frames = stream::unfold(Some(begun), |body| async move {
                let mut body = body?;
                match body.asked.answer.next().await {
                    Ok(Some(frame)) => {
                        body.figures.count_bytes(&body.url, frame.len());
                        if let Some(bandwidth) = &body.bandwidth {
                            bandwidth.wait(frame.len()).await;
                        }
                        Some((Ok(frame), Some(body)))
                    }
                    Ok(None) => None,
                    Err(SendError::Late) => Some((Err(BodyError::Stalled), None)),
                    Err(_) => Some((Err(BodyError::Closed), None)),
                }
            });
            let bytes: UpstreamBytes = Box::pin(frames);
            Ok(UpstreamBlob { bytes, start, size })
        })
    }
}

fn manifest_request<'a>(
    method: Method,
    image: UpstreamImage<'a>,
    reference: &Reference,
) -> Result<RegistryRequest<'a>, UpstreamProblem> {
    let url = part_url(image, &format!("manifests/{reference}"))?;
    let accept = Some(HeaderValue::from_static(MANIFESTS));
    Ok(RegistryRequest { method, image, url, accept, start: 0 })
}

/// Returns the URL of a part of an image. A URL with a path names a part of a registry.
fn part_url(image: UpstreamImage<'_>, part: &str) -> Result<Url, UpstreamProblem> {
    let UpstreamImage { url, image: name, .. } = image;
    registry_url(url, &format!("{}/{part}", upstream_path(url, name)))
}

/// Returns the URL of a path below `/v2/` of the registry that `url` is at, or is a part of.
fn registry_url(url: &str, path: &str) -> Result<Url, UpstreamProblem> {
    let host = url.find("://").map(|scheme| scheme + 3).unwrap_or_default();
    let origin = url[host..].find('/').map_or(url, |path| &url[..host + path]);
    Url::parse(&format!("{origin}/v2/{path}"))
        .map_err(|_| UpstreamProblem::new(url, Problem::Unreachable, "is no URL that can be asked"))
}

/// Returns the offset at which the content of an answer begins, and the size of the whole, if it is stated.
fn sent_part(answer: &EgressAnswer) -> Option<(u64, Option<u64>)> {
    if answer.status() == StatusCode::OK {
        return Some((0, answer.header(CONTENT_LENGTH).and_then(|length| length.parse().ok())));
    }
    let (range, size) = answer.header(CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.parse().ok()?;
    Some((start, size.parse().ok()))
}

fn stated_digest(answer: &EgressAnswer) -> Option<Digest> {
    answer.header("docker-content-digest").and_then(|digest| digest.parse().ok())
}

fn problem(request: &RegistryRequest<'_>, text: &str) -> UpstreamProblem {
    UpstreamProblem::new(request.image.url, Problem::Failed, text)
}

fn send_problem(url: &str, error: &SendError) -> UpstreamProblem {
    let text = match error {
        SendError::Refused(EgressRefused::NotNamed(host)) => {
            format!("is reached through a proxy, and egress.allow does not name {host}")
        }
        SendError::Refused(EgressRefused::Userinfo) => {
            "names a URL that holds a user name or a password".to_owned()
        }
        // Which addresses private names have is nothing for clients.
        SendError::Refused(refused) => {
            tracing::warn!("an upstream is not reached: {refused}");
            "is not public or not encrypted, and egress.allow does not open it".to_owned()
        }
        error => format!("gave no answer: {error}"),
    };
    UpstreamProblem::new(url, Problem::Unreachable, text)
}

#[cfg(test)]
mod tests {
    use model::repository::DOCKER_HUB;

    use super::*;

    #[track_caller]
    fn check(url: &str, image: &str, expected: &str) {
        let image = UpstreamImage { url, image, credentials: None };
        let url = part_url(image, "manifests/1").expect("a URL");
        assert_eq!(url.as_str(), expected);
    }

    #[test]
    fn the_url_of_a_manifest() {
        check("https://a.test", "app", "https://a.test/v2/app/manifests/1");
        check("https://a.test/", "x/app", "https://a.test/v2/x/app/manifests/1");
        check("http://a.test:5000/p/q/", "app", "http://a.test:5000/v2/p/q/app/manifests/1");
        check(DOCKER_HUB, "alpine", &format!("{DOCKER_HUB}/v2/library/alpine/manifests/1"));
        check(DOCKER_HUB, "grafana/loki", &format!("{DOCKER_HUB}/v2/grafana/loki/manifests/1"));
    }
}
