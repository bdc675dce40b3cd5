//! Attack 29 with keys that the token carries or points to. They are the attacker's own and verify the attacker's
//! signature, so a server that used them would accept the token.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::forgery::{expect_refused_everywhere, self_signed_claims};
use crate::util::key::encode_part;
use crate::util::{AccountKey, AccountServer, Client, on_both};

/// Encodes one ASN.1 value in DER.
fn encode_der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).expect("small").to_be_bytes();
    let length = if content.len() < 128 { vec![low] } else { vec![0x82, high, low] };
    [&[tag], &length[..], content].concat()
}

const SEQUENCE: u8 = 0x30;

/// The empty name in DER.
const NOBODY: &[u8] = b"\x30\x00";
/// The name in DER with the common name `CA`.
const SOMEBODY: &[u8] = b"\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x0c\x02CA";

/// A self-signed certificate of a key. The subject and the issuer have no name. It is valid from 2020 to 2049.
pub(crate) fn self_signed_certificate(key: &AccountKey) -> Vec<u8> {
    sign_certificate(key, NOBODY, &[])
}

/// As [`self_signed_certificate`], for a host name and for 127.0.0.1.
pub(crate) fn certificate_of_host(key: &AccountKey, host: &str) -> Vec<u8> {
    let names = [encode_der(0x82, host.as_bytes()), encode_der(0x87, &[127, 0, 0, 1])].concat();
    // 2.5.29.17, subjectAltName.
    let names = encode_der(0x04, &encode_der(SEQUENCE, &names));
    let extension = encode_der(SEQUENCE, &[b"\x06\x03\x55\x1d\x11", &names[..]].concat());
    sign_certificate(key, NOBODY, &encode_der(0xa3, &encode_der(SEQUENCE, &extension)))
}

/// As [`self_signed_certificate`], with the name of another issuer.
pub(crate) fn certificate_by_other(key: &AccountKey) -> Vec<u8> {
    sign_certificate(key, SOMEBODY, &[])
}

fn sign_certificate(key: &AccountKey, issuer: &[u8], extensions: &[u8]) -> Vec<u8> {
    // 1.2.840.113549.1.1.11, sha256WithRSAEncryption, without parameters.
    let algorithm = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
    let pair = key.key_pair();
    let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect("a public key");
    let validity = encode_der(SEQUENCE, b"\x17\x0d200101000000Z\x17\x0d491231235959Z");
    let version_and_serial = b"\xa0\x03\x02\x01\x02\x02\x01\x01";
    let subject = NOBODY;
    let fields = [&version_and_serial[..], algorithm, issuer, &validity, subject, public.as_ref()];
    let fields = [&fields.concat()[..], extensions].concat();
    let certified = encode_der(SEQUENCE, &fields);
    let signature = encode_der(0x03, &[&[0], &key.sign_bytes(&certified)[..]].concat());
    let certificate = encode_der(SEQUENCE, &[&certified[..], algorithm, &signature].concat());
    let read = ParsedCertificate::try_from(&CertificateDer::from(certificate.as_slice())).map(drop);
    read.expect("a certificate");
    certificate
}

/// The public key as a JWK.
fn public_jwk(key: &AccountKey, kid: &str) -> Value {
    let pair = key.key_pair();
    // SEQUENCE { INTEGER n, INTEGER e }, of 2048 bits and 65537.
    let (n, e) = pair.public_key().as_ref()[9..].split_at(256);
    let e = e.strip_prefix(b"\x02\x03").expect("it follows");
    let parsed = PublicKeyComponents { n, e };
    let signed = parsed.verify(&RSA_PKCS1_2048_8192_SHA256, b"x", &key.sign_bytes(b"x"));
    signed.expect("whoever trusts this key accepts what it signed");
    let (n, e) = (encode_part(n), encode_part(e));
    json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": n, "e": e })
}

/// Starts a server that answers every request with one text and counts the visitors.
async fn start_lure(text: String) -> (String, Arc<AtomicUsize>) {
    let visits = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let counted = visits.clone();
    tokio::spawn(async move {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
        while let Ok((mut visitor, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            // A visitor sends one request in one piece.
            let _ = visitor.read(&mut [0; 4096]).await;
            let _ = visitor.write_all((head.clone() + &text).as_bytes()).await;
        }
    });
    let client = Client::new(address);
    client.get("/").await.expect_status(200);
    assert_eq!(visits.swap(0, Ordering::SeqCst), 1, "who comes is counted");
    (format!("http://{address}/keys.json"), visits)
}

on_both![attack_29_keys_in_the_token_are_not_used];

async fn attack_29_keys_in_the_token_are_not_used(accounts: AccountServer) {
    let (key, now) = (&accounts.owner_key, accounts.server.clock.unix_seconds());
    let attacker = accounts.create_actor("attacker").await;
    let own = accounts.owner.create_key(&attacker.email).await;
    let claims = self_signed_claims(key, now);
    // The same claims are accepted with the stored key's signature.
    accounts
        .anonymous()
        .with_token(&key.signed_token(&claims))
        .get("/v1/projects")
        .await
        .expect_status(200);
    let certificate = self_signed_certificate(&own);
    for kid in [Some(key.id()), Some("attackers-own"), None] {
        let jwk = public_jwk(&own, kid.unwrap_or("attackers-own"));
        let (jku, of_keys) = start_lure(json!({ "keys": [jwk] }).to_string()).await;
        let pem = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(&certificate)
        );
        let (x5u, of_certificates) = start_lure(pem).await;
        for (name, value) in [
            ("jwk", jwk),
            ("jku", json!(jku)),
            ("x5u", json!(x5u)),
            ("x5c", json!([STANDARD.encode(&certificate)])),
        ] {
            let mut header = json!({ "alg": "RS256", "typ": "JWT", name: value });
            if let Some(kid) = kid {
                header["kid"] = json!(kid);
            }
            let forged = own.sign_token(&header.to_string(), &claims.to_string());
            expect_refused_everywhere(&accounts, &forged, name).await;
        }
        for visits in [of_keys, of_certificates] {
            assert_eq!(visits.load(Ordering::SeqCst), 0, "nobody may have come");
        }
    }
}
