//! The settings of requests that leave the server: what they may reach, the proxy, and the authorities of hosts.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use model::registry_host::has_host_characters;
use reqwest::{Certificate, Proxy, Url};

use super::allow::AllowList;
use crate::config::{EgressSettings, UpstreamSettings};

/// The settings of requests that leave the server.
#[derive(Debug, Default)]
pub(crate) struct EgressRules {
    pub(super) allow: Arc<AllowList>,
    proxy: Option<Proxy>,
    /// The targets that are reached without the proxy.
    no_proxy: AllowList,
    authorities: Vec<HostAuthorities>,
}

/// The authorities that sign the certificate of a host.
#[derive(Debug)]
struct HostAuthorities {
    /// The name of the host, perhaps with a port.
    host: String,
    certificates: Vec<Certificate>,
}

impl EgressRules {
    /// Reads the settings. An error names the setting that cannot work.
    pub(crate) fn read(
        settings: &EgressSettings,
        upstreams: &[UpstreamSettings],
    ) -> anyhow::Result<Self> {
        Ok(Self {
            allow: Arc::new(AllowList::new("egress.allow", &settings.allow)?),
            proxy: read_proxy(&settings.proxy).context("egress.proxy")?,
            no_proxy: AllowList::new("egress.no_proxy", &settings.no_proxy)?,
            authorities: read_authorities(upstreams)?,
        })
    }

    /// Opens the loopback addresses of this machine.
    #[must_use]
    pub(crate) fn and_loopback(self) -> Self {
        let allow = Arc::unwrap_or_clone(self.allow).and_loopback();
        Self { allow: Arc::new(allow), ..self }
    }

    /// Returns the proxy through which a host is reached. This machine is reached without one.
    pub(super) fn proxy_for(&self, host: &str, ip: Option<IpAddr>, port: u16) -> Option<&Proxy> {
        let is_direct = match ip {
            Some(ip) => ip.to_canonical().is_loopback() || self.no_proxy.opens("", ip, port),
            None => host.eq_ignore_ascii_case("localhost") || self.no_proxy.names(host, port),
        };
        self.proxy.as_ref().filter(|_| !is_direct)
    }

    /// Returns the authorities that alone count for a host, or `None` if those of the machine do.
    pub(super) fn authorities_of(&self, host: &str, port: u16) -> Option<&[Certificate]> {
        let is_host = |entry: &&HostAuthorities| is_named_by(host, port, &entry.host);
        self.authorities.iter().find(is_host).map(|entry| entry.certificates.as_slice())
    }
}

/// Returns whether the name of an `[[upstream]]`, perhaps with a port, is that of a host.
pub(crate) fn is_named_by(host: &str, port: u16, name: &str) -> bool {
    let with_port = format!("{host}:{port}");
    [host, &with_port].iter().any(|host| name.eq_ignore_ascii_case(host))
}

/// Reads the URL of the proxy. It may hold a password, so that errors do not repeat it.
fn read_proxy(url: &str) -> anyhow::Result<Option<Proxy>> {
    if url.is_empty() {
        return Ok(None);
    }
    let is_proxy = |url: &Url| {
        url.scheme() == "http" && url.host_str().is_some() && matches!(url.path(), "" | "/")
    };
    match Url::parse(url).ok().filter(is_proxy) {
        Some(url) => Ok(Some(Proxy::all(url).context("cannot be used")?)),
        None => bail!("is no URL of a proxy: write \"http://HOST:PORT\""),
    }
}

fn read_authorities(upstreams: &[UpstreamSettings]) -> anyhow::Result<Vec<HostAuthorities>> {
    let mut authorities: Vec<HostAuthorities> = Vec::new();
    for UpstreamSettings { host, ca, .. } in upstreams {
        if host.is_empty() || !has_host_characters(host) {
            bail!("upstream.host: {host:?} is no host, alone or with :PORT");
        }
        if authorities.iter().any(|entry| entry.host.eq_ignore_ascii_case(host)) {
            bail!("upstream.host: {host:?} is used twice");
        }
        if !ca.as_os_str().is_empty() {
            let certificates = read_certificates(ca)
                .with_context(|| format!("upstream.ca of {host:?}: {}", ca.display()))?;
            authorities.push(HostAuthorities { host: host.clone(), certificates });
        }
    }
    Ok(authorities)
}

fn read_certificates(file: &Path) -> anyhow::Result<Vec<Certificate>> {
    let text = std::fs::read(file).context("cannot be read")?;
    let certificates = Certificate::from_pem_bundle(&text).context("is no PEM file")?;
    if certificates.is_empty() {
        bail!("has no certificate");
    }
    Ok(certificates)
}
