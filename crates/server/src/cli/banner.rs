//! The lines that `berth serve` prints when the server has started, with the next commands to type.

use std::io::{self, Write};

use super::{env, quoted_if_needed};
use crate::config::Config;
use crate::listen::tls::CertificateAuthority;
use crate::run::{FirstOwner, RunningServer};
use web::server_url::reachable;

/// The placeholder for the certificate of an authority of the operator's own, whose path the server does not know.
const CA_PLACEHOLDER: &str = "CA.pem";

/// A server that has started, and the settings that its first lines show.
pub(super) struct StartBanner<'a> {
    pub(super) server: &'a RunningServer,
    pub(super) settings: &'a Config,
    /// The names that `--dev-host` adds.
    pub(super) dev_hosts: &'a [String],
    /// The data folder, or the words that stand for memory.
    pub(super) data: &'a str,
}

impl StartBanner<'_> {
    /// Logs what was started, where the log is JSON.
    pub(super) fn log(&self) {
        let Self { server, data, .. } = self;
        let version = env!("CARGO_PKG_VERSION");
        let url = server.origin.on_this_machine();
        let ops = server.ops.map_or_else(|| "off".to_owned(), |ops| ops.to_string());
        if let Some(FirstOwner { email, key_file, .. }) = &server.owner {
            let key_file = key_file.display();
            tracing::warn!(
                principal = email,
                "this is the first start: {email} owns everything, and its key is in {key_file}"
            );
        }
        tracing::info!(
            version,
            url,
            ops,
            data,
            development = server.is_dev(),
            "Berth {version} serves {url}"
        );
    }

    /// Returns the lines for people.
    pub(super) fn text(&self) -> io::Result<Vec<u8>> {
        let Self { server, data, .. } = self;
        let mut out = Vec::new();
        let version = env!("CARGO_PKG_VERSION");
        if server.is_dev() {
            self.development(&mut out)?;
        } else {
            writeln!(out, "Berth {version} serves {}", server.origin.on_this_machine())?;
        }
        if let Some(owner) = &server.owner {
            self.first_start(&mut out, owner)?;
        }
        if let Some(ops) = server.ops.map(reachable) {
            writeln!(out, "Health and metrics: http://{ops}/readyz, http://{ops}/metrics")?;
        }
        writeln!(out, "Data: {data}")?;
        writeln!(out, "Stop it with Ctrl-C.")?;
        Ok(out)
    }

    /// Returns the host of a server in development mode: its first `--dev-host` if other machines reach it, otherwise
    /// its address.
    fn development_host(&self) -> String {
        let listen = self.server.listen;
        match self.dev_hosts.first() {
            Some(name) if !listen.ip().is_loopback() => format!("{name}:{}", listen.port()),
            Some(_) | None => reachable(listen).to_string(),
        }
    }

    /// Writes the lines of a server in development mode.
    fn development(&self, out: &mut impl Write) -> io::Result<()> {
        let (host, listen) = (self.development_host(), self.server.listen);
        let (version, scheme) = (env!("CARGO_PKG_VERSION"), self.server.origin.scheme());
        writeln!(out, "Berth {version} serves {scheme}://{host}")?;
        if listen.ip().is_loopback() {
            writeln!(out, "Development mode: everybody on this machine may do everything.\n")?;
        } else {
            writeln!(
                out,
                "Development mode: everybody who reaches this machine may do everything."
            )?;
            match self.dev_hosts {
                [] => writeln!(
                    out,
                    "The server answers localhost only; --dev-host NAME adds a name or an address.\n"
                )?,
                names => writeln!(out, "The server answers localhost and {}.\n", names.join(", "))?,
            }
        }
        let image = format!("{host}/my-project/my-repository/my-image");
        writeln!(out, "  docker tag IMAGE {image}")?;
        writeln!(out, "  docker push {image}")?;
        writeln!(out, "  docker pull {image}\n")
    }

    /// Writes the lines of a first start: where the key is, and how to sign in with it.
    fn first_start(&self, out: &mut impl Write, owner: &FirstOwner) -> io::Result<()> {
        let base = self.server.origin.on_this_machine();
        let host = base.split_once("://").map_or(base.as_str(), |(_, host)| host);
        let (key, project) =
            (quoted_if_needed(&owner.key_file.display().to_string()), &owner.project);
        let (location, ca) = (&self.settings.default_location, self.trusted_certificate());
        writeln!(out, "\nThis is the first start. {} owns everything; its key is in", owner.email)?;
        writeln!(out, "{key}: keep it safe, there is no other copy.")?;
        match ca.as_deref() {
            Some(CA_PLACEHOLDER) => writeln!(
                out,
                "Clients have to trust your authority: {CA_PLACEHOLDER} stands for its certificate,"
            )?,
            Some(ca) => writeln!(out, "Clients have to trust the certificate in {ca},")?,
            None => {}
        }
        if ca.is_some() {
            writeln!(out, "which docker needs as /etc/docker/certs.d/{host}/ca.crt.")?;
        }
        env::write_sign_in(out, &self.settings.data, ca.as_deref(), &key)?;
        writeln!(
            out,
            "  gcloud artifacts repositories create my-repository --repository-format=docker --location={location} --project={project}"
        )?;
        writeln!(out, "  docker login --username _json_key --password-stdin {host} <{key}\n")
    }

    /// Returns the certificate file that clients need to trust the server, quoted for a shell; `None` if they need
    /// none.
    fn trusted_certificate(&self) -> Option<String> {
        let tls = self.server.tls()?;
        match tls.authority() {
            CertificateAuthority::Public => None,
            CertificateAuthority::InTheFile => {
                Some(quoted_if_needed(&tls.certificate().display().to_string()))
            }
            CertificateAuthority::Elsewhere => Some(CA_PLACEHOLDER.to_owned()),
        }
    }
}
