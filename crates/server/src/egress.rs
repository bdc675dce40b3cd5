//! The one way out: every request that this server makes of another goes through a [`Target`].
//!
//! Who names a target could otherwise have the server reach what only it can reach: this machine, the network around
//! it, what hands out a cloud machine's credentials. So it is addresses that are vetted, not names: those that a name
//! turns out to have, each time it is asked for, and only to these is a connection made. Redirects are not followed, no
//! variable of the environment names a proxy, what a target answers beyond its status is read a little and forgotten.

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

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a request may take, with its answer.
const WHOLE: Duration = Duration::from_secs(10);

/// How much of what follows a status is read, so that its connection can be used again, and how long it may take.
const MOST_READ: usize = 4 << 10;
const REST: Duration = Duration::from_secs(1);

/// Why a target was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EgressRefused {
    /// It is no URL that anything can be sent to.
    #[error("is no URL that begins with https:// or http:// and names a host")]
    NoUrl,
    /// It holds a user name or a password.
    #[error("holds a user name or a password; set a token instead")]
    Userinfo,
    /// Its address is not to be reached.
    #[error("{0} is an address of this machine or of a network within; egress.allow can open it")]
    Within(IpAddr),
    /// Its address is public, and nothing would be encrypted on the way.
    #[error("{0} would be reached without encryption; use https://, or open it by egress.allow")]
    Unencrypted(IpAddr),
}

/// Why a request came to nothing. Neither the URL, which may hold a secret, nor what was answered is in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The target is not to be reached.
    #[error("{0}")]
    Refused(EgressRefused),
    /// There was no answer in time.
    #[error("it did not answer in time")]
    Late,
    /// There was no connection, or it broke.
    #[error("it cannot be reached: {0}")]
    Broken(String),
}

/// Somewhere that requests are sent to.
pub(crate) struct EgressTarget {
    url: Url,
    client: Client,
}

impl EgressTarget {
    /// A target whose URL follows the rules. What its name turns out to be is looked at with each connection.
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
        // An address in a URL is never resolved. The parser has read all ways to write one.
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            rule.check("", ip)?;
        }
        let builder = Client::builder();
        // A machine without certificates of authorities can still tell its own network.
        let builder = if encrypted { builder } else { builder.tls_certs_only([]) };
        let client = builder
            .dns_resolver(Arc::new(VettedAddresses { rule: Arc::new(rule), lookup }))
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { url, client })
    }

    /// Posts JSON and answers the status.
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
        let mut answer = request.send().await.map_err(send_error)?;
        let status = answer.status();
        let rest = async {
            let mut read = 0;
            while let Ok(Some(chunk)) = answer.chunk().await {
                read += chunk.len();
                if read > MOST_READ {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(REST, rest).await;
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
    // The innermost says what went wrong; the outer ones say where, which is the URL.
    let innermost = last.filter(|last| !last.is::<reqwest::Error>()).map(ToString::to_string);
    SendError::Broken(innermost.unwrap_or_else(|| "the request failed".to_owned()))
}

/// What a target may be.
struct EgressRule {
    allow: Arc<AllowList>,
    port: u16,
    encrypted: bool,
}

impl EgressRule {
    fn check(&self, name: &str, ip: IpAddr) -> Result<(), EgressRefused> {
        // A mapped address is a connection to the one that it maps.
        let ip = ip.to_canonical();
        if self.allow.opens(name, (ip, self.port)) {
            return Ok(());
        }
        match (address::is_public(ip), self.encrypted) {
            (true, true) => Ok(()),
            (true, false) => Err(EgressRefused::Unencrypted(ip)),
            (false, _) => Err(EgressRefused::Within(ip)),
        }
    }
}

type VettingResolver =
    fn(String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// A resolver that keeps to itself what is not to be reached: connections are made to what it answers, and to
/// nothing else.
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
            let mut kept = Vec::new();
            for ip in lookup(name.to_owned()).await? {
                match rule.check(name, ip) {
                    Ok(()) => kept.push(SocketAddr::new(ip, 0)),
                    Err(reason) => refused = Some(reason),
                }
            }
            match refused {
                Some(refused) if kept.is_empty() => Err(refused.into()),
                Some(_) | None => Ok(Box::new(kept.into_iter()) as Addrs),
            }
        })
    }
}

fn lookup(name: String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> {
    Box::pin(async move {
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    })
}

#[cfg(test)]
mod tests;
