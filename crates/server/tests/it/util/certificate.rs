//! Certificates in files, for servers with TLS.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{AccountKey, AccountServer, Backend, StartOn};
use crate::attacks::{certificate_by_other, self_signed_certificate};

/// A certificate and its private key. The certificate is self-signed, or says that another has signed it, and is valid
/// until the end of 2049.
pub(crate) struct CertificateFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl CertificateFiles {
    /// Writes a self-signed certificate into a folder.
    pub(crate) async fn write_to(folder: &Path) -> Self {
        Self::write_made_by(folder, self_signed_certificate).await
    }

    /// As [`CertificateFiles::write_to`], with a certificate that names another issuer.
    pub(crate) async fn write_by_other(folder: &Path) -> Self {
        Self::write_made_by(folder, certificate_by_other).await
    }

    async fn write_made_by(folder: &Path, make: fn(&AccountKey) -> Vec<u8>) -> Self {
        let key = AccountServer::start(Backend::Sqlite).await.owner_key;
        let private = STANDARD.decode(key.private_key_base64()).expect("base64");
        let files = Self { certificate: folder.join("tls.crt"), key: folder.join("tls.key") };
        let certificate = encode_pem("CERTIFICATE", &make(&key));
        std::fs::write(&files.certificate, certificate).expect("writable");
        std::fs::write(&files.key, encode_pem("PRIVATE KEY", &private)).expect("writable");
        files
    }

    /// The flags with which a server uses the files.
    pub(crate) fn tls_flags(&self) -> [&str; 4] {
        let [certificate, key] =
            [&self.certificate, &self.key].map(|path| path.to_str().expect("plain"));
        ["--tls-certificate", certificate, "--tls-key", key]
    }
}

/// Encodes DER as PEM.
pub(crate) fn encode_pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}
