//! The only way out: every request that this server makes of another one goes through an [`EgressTarget`].
//!
//! Without it, a person who names a target could have the server reach what only the server can reach: this machine,
//! the network around it, the service that hands out a cloud machine's credentials. So addresses are vetted, not names:
//! those to which a name resolves, at each connection, and a connection is made to a vetted address alone. Redirects
//! are not followed, variables of the environment do not name a proxy, and the body of an answer is read in part and
//! dropped.

mod address;
mod allow;

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

pub(crate) use allow::AllowList;

/// The longest time in which a connection is established.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time for a request and its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

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
    pub(crate) fn new(url: &str, allow: &Arc<AllowList>) -> anyhow::Result<Self> {
        let url = Url::parse(url).map_err(|_| EgressRefused::NoUrl)?;
        let encrypted = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(EgressRefused::NoUrl.into()),
        };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(EgressRefused::NoUrl.into());
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressRefused::Userinfo.into());
        }
        let rule = EgressRule { allow: allow.clone(), port, encrypted };
        // An address in a URL is never resolved, so it is checked here. The parser has read all ways to write one.
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            rule.check("", ip)?;
        }
        let builder = Client::builder();
        // A machine without certificates of authorities can still send to its own network without TLS.
        let builder = if encrypted { builder } else { builder.tls_certs_only([]) };
        let client = builder
            .dns_resolver(Arc::new(VettedAddresses { rule: Arc::new(rule), lookup }))
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")))
            .build()?;
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
