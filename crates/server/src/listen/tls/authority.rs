//! The authority of a certificate: one that every client knows, or one that clients have to be told of.
//!
//! gcloud, like every program that is built on Python's `requests`, trusts the authorities on Mozilla's list, and none
//! that a machine adds to its own list. So certificates are checked against Mozilla's list, which is part of this
//! program.

use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;
use x509_cert::der::Decode;

/// The kind of authority that vouches for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CertificateAuthority {
    /// An authority that clients trust by themselves.
    Public,
    /// A self-signed certificate in the same file.
    InTheFile,
    /// An authority whose certificate is not in the file.
    Elsewhere,
}

impl CertificateAuthority {
    /// Returns the kind of authority that vouches for the first certificate of a chain.
    pub(super) fn of(chain: &[CertificateDer<'_>]) -> Self {
        if is_public(chain) {
            Self::Public
        } else if chain.iter().any(is_self_signed) {
            Self::InTheFile
        } else {
            Self::Elsewhere
        }
    }
}

fn is_public(chain: &[CertificateDer<'_>]) -> bool {
    let Some((own, others)) = chain.split_first() else { return false };
    let Ok(own) = ParsedCertificate::try_from(own) else { return false };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(TLS_SERVER_ROOT_CERTS.iter().cloned());
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let now = UnixTime::now();
    verify_server_cert_signed_by_trust_anchor(&own, &roots, others, now, algorithms).is_ok()
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    x509_cert::Certificate::from_der(certificate).is_ok_and(|certificate| {
        let certified = certificate.tbs_certificate();
        certified.issuer() == certified.subject()
    })
}
