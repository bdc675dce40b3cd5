//! Requests to the registries that remote repositories fetch from: OCI Distribution, as a client.
//!
//! Nothing that a registry sends is trusted: bodies have a bound, redirects are followed by hand and to vetted addresses
//! alone, and a token goes to no other host than the one that asked for it.

mod challenge;
mod check;
mod figures;
mod health;
mod refusal;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use engine::{
    BodyError, UpstreamBytes, UpstreamFuture, UpstreamImage, UpstreamManifest, UpstreamProblem,
    UpstreamProblemKind as Problem, UpstreamRegistry,
};
use futures_util::stream;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use model::digest::Digest;
use model::manifest::MAX_MANIFEST_BYTES;
use model::reference::Reference;
use model::remote_rules::upstream_path;
use serde::Deserialize;
use web::app::LOOP_MARK;

use crate::egress::{
    EgressAnswer, EgressClients, EgressRead, EgressRefused, EgressRules, SendError, Url,
};
use challenge::BearerChallenge;
use figures::UpstreamFigures;
use health::{AskingFor, UpstreamHealth, UpstreamTurn};
use web::layer::metrics::Metrics;

/// The most redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// The longest answer of a token endpoint.
const MAX_TOKEN_BYTES: usize = 64 << 10;
/// The lifetime of a token whose endpoint does not state it.
const DEFAULT_TOKEN_LIFETIME: u64 = 60;
/// The longest time for which a token is kept.
const MAX_TOKEN_LIFETIME: u64 = 3_600;
/// The longest time in which a manifest comes.
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The media types of manifests that are asked for.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";
/// The largest number of tokens that are kept.
const MAX_TOKENS: usize = 1_000;

/// The client of all registries.
pub(crate) struct UpstreamClient {
    clients: EgressClients,
    tokens: Mutex<HashMap<TokenKey, HeldToken>>,
    /// The mark of requests of this process.
    mark: HeaderValue,
    health: UpstreamHealth,
    figures: UpstreamFigures,
    /// The client itself, for probes that outlive a request.
    this: Weak<Self>,
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
    figures: UpstreamFigures,
    url: String,
}

/// The URL of the registry and the image that a token is for.
type TokenKey = (String, String);

struct HeldToken {
    authorization: HeaderValue,
    ends: Instant,
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
}

impl UpstreamClient {
    pub(crate) fn new(rules: Arc<EgressRules>, mark: HeaderValue, metrics: Metrics) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            clients: EgressClients::new(rules),
            tokens: Mutex::default(),
            mark,
            health: UpstreamHealth::default(),
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

    /// Sends a request, with a token if the registry wants one. Returns an answer with the status 200.
    async fn ask(&self, request: RegistryRequest<'_>) -> Result<EgressAnswer, UpstreamProblem> {
        let key = (request.image.url.to_owned(), request.image.image.to_owned());
        let FollowedAnswer { answer, is_own } =
            self.follow(&request, self.held_token(&key)).await?;
        // A place to which the registry redirects may not ask for a token that the registry would get.
        let challenge = match answer.status() {
            StatusCode::UNAUTHORIZED if is_own => {
                answer.headers(WWW_AUTHENTICATE).find_map(BearerChallenge::parse)
            }
            _ => None,
        };
        let answer = match challenge {
            Some(challenge) => {
                let token = self.fetch_token(&request, &challenge).await?;
                let authorization = token.authorization.clone();
                self.keep_token(key, token);
                self.follow(&request, Some(authorization)).await?.answer
            }
            None => answer,
        };
        match answer.status() {
            StatusCode::OK => Ok(answer),
            _ => Err(refusal::read(request.image.url, answer).await),
        }
    }

    /// Sends a request, and follows redirects. The token goes to the registry alone, and not to where it sends us.
    async fn follow(
        &self,
        request: &RegistryRequest<'_>,
        authorization: Option<HeaderValue>,
    ) -> Result<FollowedAnswer, UpstreamProblem> {
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut headers = HeaderMap::new();
            headers.insert(LOOP_MARK, self.mark.clone());
            headers.extend(request.accept.clone().map(|accept| (ACCEPT, accept)));
            if url.origin() == request.url.origin() {
                headers.extend(authorization.clone().map(|token| (AUTHORIZATION, token)));
            }
            let read = EgressRead { method: request.method.clone(), url: &url, headers };
            let answer = self.clients.read(read).await;
            let answer = answer.map_err(|error| send_problem(request.image.url, &error))?;
            if !answer.status().is_redirection() {
                let is_own = url.origin() == request.url.origin();
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

    /// Gets a token for anonymous callers, as the challenge asks.
    async fn fetch_token(
        &self,
        request: &RegistryRequest<'_>,
        challenge: &BearerChallenge,
    ) -> Result<HeldToken, UpstreamProblem> {
        let mut url = Url::parse(&challenge.realm)
            .map_err(|_| problem(request, "names no place for tokens"))?;
        if url.scheme() != "https" && url.scheme() != request.url.scheme() {
            return Err(problem(request, "names a place for tokens without encryption"));
        }
        let fields = [("service", &challenge.service), ("scope", &challenge.scope)];
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            url.query_pairs_mut().append_pair(name, value);
        }
        let read = EgressRead { method: Method::GET, url: &url, headers: HeaderMap::new() };
        let answer = self.clients.read(read).await;
        let mut answer = answer.map_err(|error| send_problem(request.image.url, &error))?;
        if answer.status() != StatusCode::OK {
            return Err(refusal::read(request.image.url, answer).await);
        }
        let body = answer.read_all(MAX_TOKEN_BYTES).await;
        let body = body.map_err(|error| send_problem(request.image.url, &error))?;
        let token: Option<TokenAnswer> = body.and_then(|body| serde_json::from_slice(&body).ok());
        let unusable = || problem(request, "gave no token that can be used");
        let token = token.ok_or_else(unusable)?;
        let text = token.token.or(token.access_token).ok_or_else(unusable)?;
        let authorization = HeaderValue::from_str(&format!("Bearer {text}"));
        let authorization = authorization.map_err(|_| unusable())?;
        let lifetime = token.expires_in.unwrap_or(DEFAULT_TOKEN_LIFETIME).min(MAX_TOKEN_LIFETIME);
        Ok(HeldToken { authorization, ends: Instant::now() + Duration::from_secs(lifetime) })
    }

    fn held_token(&self, key: &TokenKey) -> Option<HeaderValue> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let held = tokens.get(key).filter(|held| held.ends > Instant::now());
        held.map(|held| held.authorization.clone())
    }

    fn keep_token(&self, key: TokenKey, token: HeldToken) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= MAX_TOKENS {
            let now = Instant::now();
            tokens.retain(|_, held| held.ends > now);
        }
        if tokens.len() < MAX_TOKENS {
            tokens.insert(key, token);
        }
    }
}

/// The answer of a token endpoint.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    /// The lifetime in seconds.
    expires_in: Option<u64>,
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

    fn open_blob<'a>(
        &'a self,
        image: UpstreamImage<'a>,
        digest: &'a Digest,
    ) -> UpstreamFuture<'a, UpstreamBytes> {
        Box::pin(async move {
            let url = part_url(image, &format!("blobs/{digest}"))?;
            let request = RegistryRequest { method: Method::GET, image, url, accept: None };
            let asked = self.ask_in_turn(request, AskingFor::Content).await?;
            self.figures.count_fetch(image.url);
            let begun = BlobBody { asked, figures: self.figures.clone(), url: image.url.into() };
            let frames = stream::unfold(Some(begun), |body| async move {
                let mut body = body?;
                match body.asked.answer.next().await {
                    Ok(Some(frame)) => {
                        body.figures.count_bytes(&body.url, frame.len());
                        Some((Ok(frame), Some(body)))
                    }
                    Ok(None) => None,
                    Err(SendError::Late) => Some((Err(BodyError::Stalled), None)),
                    Err(_) => Some((Err(BodyError::Closed), None)),
                }
            });
            let frames: UpstreamBytes = Box::pin(frames);
            Ok(frames)
        })
    }
}

fn manifest_request<'a>(
    method: Method,
    image: UpstreamImage<'a>,
    reference: &Reference,
) -> Result<RegistryRequest<'a>, UpstreamProblem> {
    let url = part_url(image, &format!("manifests/{reference}"))?;
    Ok(RegistryRequest { method, image, url, accept: Some(HeaderValue::from_static(MANIFESTS)) })
}

/// Returns the URL of a part of an image. A URL with a path names a part of a registry.
fn part_url(image: UpstreamImage<'_>, part: &str) -> Result<Url, UpstreamProblem> {
    let UpstreamImage { url, image: name } = image;
    registry_url(url, &format!("{}/{part}", upstream_path(url, name)))
}

/// Returns the URL of a path below `/v2/` of the registry that `url` is at, or is a part of.
fn registry_url(url: &str, path: &str) -> Result<Url, UpstreamProblem> {
    let host = url.find("://").map(|scheme| scheme + 3).unwrap_or_default();
    let origin = url[host..].find('/').map_or(url, |path| &url[..host + path]);
    Url::parse(&format!("{origin}/v2/{path}"))
        .map_err(|_| UpstreamProblem::new(url, Problem::Unreachable, "is no URL that can be asked"))
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
        let image = UpstreamImage { url, image };
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
