//! The only way out: every request that this server makes of another one goes through an [`EgressTarget`], or through
//! [`EgressClients`].
//!
//! Without it, a person who names a target could have the server reach what only the server can reach: this machine,
//! the network around it, the service that hands out a cloud machine's credentials. So addresses are vetted, not names:
//! those to which a name resolves, at each connection, and a connection is made to a vetted address alone. Redirects
//! are not followed, variables of the environment do not name a proxy, and the body of an answer is read in part and
//! dropped, or as it comes.
//!
//! A proxy of the settings resolves names itself, so that their addresses are not known here. Names behind a proxy are
//! vetted instead: `egress.allow` has to have them.

mod address;
mod allow;
mod rules;

use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, AsHeaderName, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Proxy, Response};

pub(crate) use reqwest::Url;
pub(crate) use rules::{EgressRules, is_named_by};

use allow::AllowList;

/// The longest time in which a connection is established.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time for a request and its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest time for which nothing comes of an answer that is read as it comes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest number of hosts whose clients are kept.
const MAX_CLIENTS: usize = 256;

/// The most bytes that are read of an answer's body. A body that is read to its end lets the connection be used again.
const MAX_BODY_BYTES: usize = 4 << 10;
/// The longest time for which an answer's body is read.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// The reasons for which a target is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EgressRefused {
    /// The text is no URL that a request can be sent to.
    #[error("is no URL that begins with https:// or http:// and names a host")]
    NoUrl,
    /// The URL holds a user name or a password.
    #[error("holds a user name or a password; set a token instead")]
    Userinfo,
    /// The address is not public, and `egress.allow` does not open it.
    #[error("{0} is an address of this machine or of a private network; egress.allow can open it")]
    NotPublic(IpAddr),
    /// The address is public, and the connection would not be encrypted.
    #[error("{0} would be reached without encryption; use https://, or open it by egress.allow")]
    Unencrypted(IpAddr),
    /// The name would be resolved by the proxy, and `egress.allow` does not have it.
    #[error("{0} would be reached through egress.proxy, which needs the name in egress.allow")]
    NotNamed(String),
}

/// The reasons for which a request fails. Their texts have neither the URL, which may hold a secret, nor the answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The target may not be reached.
    #[error("{0}")]
    Refused(EgressRefused),
    /// No answer came in time.
    #[error("it did not answer in time")]
    Late,
    /// The connection was not established, or broke.
    #[error("it cannot be reached: {0}")]
    Broken(String),
}

/// A URL to which requests are sent, and the client that vets its addresses.
pub(crate) struct EgressTarget {
    url: Url,
    client: Client,
}

impl EgressTarget {
    /// Checks a URL by the rules. The addresses of its host name are vetted at each connection.
    pub(crate) fn new(url: &str, rules: &EgressRules) -> anyhow::Result<Self> {
        let url = Url::parse(url).map_err(|_| EgressRefused::NoUrl)?;
        let client = vetting_client(&url, rules)?.timeout(REQUEST_TIMEOUT).build()?;
        Ok(Self { url, client })
    }

    /// Posts JSON, and returns the status of the answer.
    pub(crate) async fn post(
        &self,
        body: Bytes,
        authorization: Option<&HeaderValue>,
    ) -> Result<StatusCode, SendError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let request = self.client.post(self.url.clone()).headers(headers).body(body);
        let mut response = request.send().await.map_err(send_error)?;
        let status = response.status();
        let rest = async {
            let mut read = 0;
            while let Ok(Some(chunk)) = response.chunk().await {
                read += chunk.len();
                if read > MAX_BODY_BYTES {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(BODY_TIMEOUT, rest).await;
        Ok(status)
    }
}

/// The way to the host of a URL.
struct CheckedTarget<'a> {
    rule: EgressRule,
    host: &'a str,
    proxy: Option<&'a Proxy>,
}

/// Checks a URL by the rules.
fn check_target<'a>(
    url: &'a Url,
    rules: &'a EgressRules,
) -> Result<CheckedTarget<'a>, EgressRefused> {
    let encrypted = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err(EgressRefused::NoUrl),
    };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(EgressRefused::NoUrl);
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EgressRefused::Userinfo);
    }
    let rule = EgressRule { allow: rules.allow.clone(), port, encrypted };
    // An address in a URL is never resolved, so it is checked here. The parser has read all ways to write one.
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    if let Some(ip) = ip {
        rule.check("", ip)?;
    }
    let proxy = rules.proxy_for(host, ip, port);
    if proxy.is_some() && ip.is_none() && !rules.allow.names(host, port) {
        return Err(EgressRefused::NotNamed(host.to_owned()));
    }
    Ok(CheckedTarget { rule, host, proxy })
}

/// Checks a URL by the rules, and returns a client for its host that connects to vetted addresses alone.
fn vetting_client(url: &Url, rules: &EgressRules) -> Result<ClientBuilder, EgressRefused> {
    let CheckedTarget { rule, host, proxy } = check_target(url, rules)?;
    let builder = Client::builder();
    let builder = match (rule.encrypted, rules.authorities_of(host, rule.port)) {
        (true, Some(authorities)) => builder.tls_certs_only(authorities.iter().cloned()),
        (true, None) => builder,
        // A machine without certificates of authorities can still send to its own network without TLS.
        (false, _) => builder.tls_certs_only([]),
    };
    let builder = match proxy {
        Some(proxy) => builder.proxy(proxy.clone()),
        None => {
            let rule = Arc::new(rule);
            builder.no_proxy().dns_resolver(Arc::new(VettedAddresses { rule, lookup }))
        }
    };
    Ok(builder
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION"))))
}

/// The clients for the hosts that requests go to. A client keeps connections, and is made once for each host and port.
pub(crate) struct EgressClients {
    rules: Arc<EgressRules>,
    clients: Mutex<HashMap<String, Client>>,
}

impl EgressClients {
    pub(crate) fn new(rules: Arc<EgressRules>) -> Self {
        Self { rules, clients: Mutex::default() }
    }

    /// Checks a URL by the rules. The addresses of a host name are vetted later, at each connection.
    pub(crate) fn check(&self, url: &Url) -> Result<(), SendError> {
        check_target(url, &self.rules).map(drop).map_err(SendError::Refused)
    }

    /// Reads what is at a URL, or asks about it with HEAD. Redirects are not followed.
    pub(crate) async fn read(&self, request: EgressRead<'_>) -> Result<EgressAnswer, SendError> {
        let EgressRead { method, url, headers } = request;
        let client = self.client(url)?;
        let sending = client.request(method, url.clone()).headers(headers).send();
        Ok(EgressAnswer(sending.await.map_err(send_error)?))
    }

    fn client(&self, url: &Url) -> Result<Client, SendError> {
        // A client that is kept was made for another URL of the same origin.
        self.check(url)?;
        let origin = url.origin().ascii_serialization();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&origin) {
            return Ok(client.clone());
        }
        let client = vetting_client(url, &self.rules).map_err(SendError::Refused)?;
        let client = client.read_timeout(IDLE_TIMEOUT).build().map_err(send_error)?;
        // Redirects choose hosts, so their number needs a bound.
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        clients.insert(origin, client.clone());
        Ok(client)
    }
}

/// A request that reads.
pub(crate) struct EgressRead<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    pub(crate) headers: HeaderMap,
}

/// An answer whose body is read as it comes.
pub(crate) struct EgressAnswer(Response);

impl EgressAnswer {
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub(crate) fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.0.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns all values of a header that are text.
    pub(crate) fn headers(&self, name: impl AsHeaderName) -> impl Iterator<Item = &str> {
        self.0.headers().get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// Returns the next bytes of the body, or `None` at its end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, SendError> {
        self.0.chunk().await.map_err(send_error)
    }

    /// Reads the whole body. Returns `None` if it is longer than `limit`.
    pub(crate) async fn read_all(&mut self, limit: usize) -> Result<Option<Bytes>, SendError> {
        let mut all = BytesMut::new();
        while let Some(frame) = self.next().await? {
            if all.len() + frame.len() > limit {
                return Ok(None);
            }
            all.extend_from_slice(&frame);
        }
        Ok(Some(all.freeze()))
    }
}

fn send_error(error: reqwest::Error) -> SendError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    let mut last = None;
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<EgressRefused>() {
            return SendError::Refused(refused.clone());
        }
        (last, cause) = (Some(error), error.source());
    }
    if error.is_timeout() {
        return SendError::Late;
    }
    // The innermost error says what went wrong. The outer ones name the URL, which may hold a secret.
    let innermost = last.filter(|last| !last.is::<reqwest::Error>()).map(ToString::to_string);
    SendError::Broken(innermost.unwrap_or_else(|| "the request failed".to_owned()))
}

/// The rule by which the addresses of one target are vetted.
struct EgressRule {
    allow: Arc<AllowList>,
    port: u16,
    encrypted: bool,
}

impl EgressRule {
    fn check(&self, name: &str, ip: IpAddr) -> Result<(), EgressRefused> {
        // A connection to an IPv4-mapped address of IPv6 goes to the IPv4 address.
        let ip = ip.to_canonical();
        if self.allow.opens(name, ip, self.port) {
            return Ok(());
        }
        match (address::is_public(ip), self.encrypted) {
            (true, true) => Ok(()),
            (true, false) => Err(EgressRefused::Unencrypted(ip)),
            (false, _) => Err(EgressRefused::NotPublic(ip)),
        }
    }
}

type VettingResolver =
    fn(String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// A resolver that returns only the addresses that may be reached: the client connects to no other.
struct VettedAddresses {
    rule: Arc<EgressRule>,
    lookup: VettingResolver,
}

impl Resolve for VettedAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        let (rule, lookup) = (self.rule.clone(), self.lookup);
        Box::pin(async move {
            let name = name.as_str();
            let mut refused = None;
            let mut allowed = Vec::new();
            for ip in lookup(name.to_owned()).await? {
                match rule.check(name, ip) {
                    Ok(()) => allowed.push(SocketAddr::new(ip, 0)),
                    Err(reason) => refused = Some(reason),
                }
            }
            match refused {
                Some(refused) if allowed.is_empty() => Err(refused.into()),
                Some(_) | None => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

fn lookup(name: String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> {
    Box::pin(async move {
        let addresses = tokio::net::lookup_host((name, 0)).await?;
        Ok(addresses.map(|address| address.ip()).collect())
    })
}

#[cfg(test)]
mod tests;
