//! Encrypted connections: a certificate from files, read again when they change.
//!
//! A connection keeps the certificate that it began with, and the next one gets the new certificate. If the changed
//! files cannot be used, the log says so, and the certificate before them stays in use.

mod authority;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use anyhow::{Context, bail};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use tokio_rustls::TlsAcceptor;
use x509_cert::der::Decode;

use crate::config;

pub(crate) use authority::CertificateAuthority;

/// The certificate of a listener, and the acceptor that encrypts connections with it.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    current: Arc<CurrentCertificate>,
}

/// The certificate in use, and the files that it came from.
#[derive(Debug)]
struct CurrentCertificate {
    certificate: PathBuf,
    key: PathBuf,
    loaded: RwLock<LoadedCertificate>,
    /// The last problem with the changed files that was logged.
    problem: Mutex<Option<String>>,
}

#[derive(Debug, Clone)]
struct LoadedCertificate {
    key: Arc<CertifiedKey>,
    /// The times at which the two files were last changed: certificate, key.
    changed: [SystemTime; 2],
    /// The time at which the certificate ends, in seconds since 1970.
    expires_at: Option<i64>,
}

impl ServerTls {
    /// Reads the files that the settings name. Returns `None` if they name none.
    pub fn read(settings: &config::TlsSettings) -> anyhow::Result<Option<Self>> {
        let config::TlsSettings { certificate, key } = settings;
        match (certificate.as_os_str().is_empty(), key.as_os_str().is_empty()) {
            (true, true) => return Ok(None),
            (false, false) => {}
            _ => bail!(
                "tls.certificate and tls.key go together, and so do --tls-certificate and --tls-key"
            ),
        }
        let loaded = RwLock::new(load(certificate, key)?);
        let current = Arc::new(CurrentCertificate {
            certificate: certificate.clone(),
            key: key.clone(),
            loaded,
            problem: Mutex::default(),
        });
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .context("TLS")?
                .with_no_client_auth()
                .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Self { acceptor: TlsAcceptor::from(Arc::new(config)), current }))
    }

    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Returns the path of the certificate.
    pub(crate) fn certificate(&self) -> &Path {
        &self.current.certificate
    }

    /// Returns the kind of authority that vouches for the certificate in use.
    pub(crate) fn authority(&self) -> CertificateAuthority {
        let loaded = self.current.loaded.read().unwrap_or_else(PoisonError::into_inner);
        CertificateAuthority::of(&loaded.key.cert)
    }

    /// Returns the time at which the certificate in use ends, in seconds since 1970.
    pub(crate) fn expires_at(&self) -> Option<i64> {
        self.current.loaded.read().unwrap_or_else(PoisonError::into_inner).expires_at
    }

    /// Reads the files again if they were changed.
    pub(crate) fn reload(&self) {
        let CurrentCertificate { certificate, key, loaded, problem } = &*self.current;
        let known = loaded.read().unwrap_or_else(PoisonError::into_inner).changed;
        if modification_times(certificate, key).is_ok_and(|changed| changed == known) {
            return;
        }
        match load(certificate, key) {
            Ok(new) => {
                tracing::info!("a new certificate is in use: {}", certificate.display());
                problem.lock().unwrap_or_else(PoisonError::into_inner).take();
                *loaded.write().unwrap_or_else(PoisonError::into_inner) = new;
            }
            Err(error) => {
                let text = format!("{error:#}");
                let last =
                    problem.lock().unwrap_or_else(PoisonError::into_inner).replace(text.clone());
                if last.as_ref() != Some(&text) {
                    tracing::error!(
                        "the new certificate cannot be used, and the one before stays: {text}"
                    );
                }
            }
        }
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.loaded.read().unwrap_or_else(PoisonError::into_inner).key.clone())
    }
}

/// Returns the times at which the two files were last changed.
fn modification_times(certificate: &Path, key: &Path) -> anyhow::Result<[SystemTime; 2]> {
    let modified = |path: &Path| {
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        modified.with_context(|| format!("cannot read {}", path.display()))
    };
    Ok([modified(certificate)?, modified(key)?])
}

fn load(certificate: &Path, key: &Path) -> anyhow::Result<LoadedCertificate> {
    let changed = modification_times(certificate, key)?;
    let name = certificate.display();
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&read_pem(certificate, "certificate", "x509")?).collect();
    let chain = chain.with_context(|| format!("{name} is no certificate"))?;
    if chain.is_empty() {
        bail!("{name} has no certificate in it");
    }
    let signing = read_private_key(key)?;
    let key = CertifiedKey::new(chain, signing);
    if key.keys_match().is_err() {
        bail!("the private key is not that of the certificate {name}");
    }
    let expires_at = key.cert.first().and_then(expiry);
    Ok(LoadedCertificate { key: Arc::new(key), changed, expires_at })
}

/// Reads a file that must be in PEM. The error for another one says that `content` is missing, and which command
/// (`converter`) of OpenSSL converts it from DER.
fn read_pem(path: &Path, content: &str, converter: &str) -> anyhow::Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let begins = b"-----BEGIN ";
    if !bytes.windows(begins.len()).any(|window| window == begins) {
        bail!(
            "{} has no {content} in it: it is not in PEM; `openssl {converter} -inform der` converts one that is in DER",
            path.display()
        );
    }
    Ok(bytes)
}

fn read_private_key(path: &Path) -> anyhow::Result<Arc<dyn SigningKey>> {
    let name = path.display();
    let bytes = read_pem(path, "private key", "pkey")?;
    let text = String::from_utf8_lossy(&bytes);
    // PKCS #8 names the encryption in the label, and OpenSSL's older form in a header.
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        bail!(
            "{name} is encrypted with a passphrase; `openssl pkey -in {name} -out FILE` writes it without one"
        );
    }
    let private = PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|_| anyhow::anyhow!("{name} has no private key in it"))?;
    aws_lc_rs::sign::any_supported_type(&private).with_context(|| format!("{name} cannot be used"))
}

/// Returns the time at which a certificate ends, in seconds since 1970; `None` if it cannot be parsed.
fn expiry(certificate: &CertificateDer<'_>) -> Option<i64> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let ends = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    i64::try_from(ends.as_secs()).ok()
}
