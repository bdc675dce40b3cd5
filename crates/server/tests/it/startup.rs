//! What a server that cannot start says.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use server::auth::Authenticate;
use server::config::{Config, OpsListen};
use server::run::{Server, Setup};

use crate::attacks::self_signed_certificate;
use crate::util::{Accounts, Backend, Start};

/// Why a server with these settings does not start.
async fn refusal(folder: &Path, change: impl FnOnce(&mut Config)) -> String {
    let mut config = Config { data: folder.join("data"), ..Config::default() };
    config.listen = ([127, 0, 0, 1], 0).into();
    config.ops_listen = OpsListen::Off;
    change(&mut config);
    let setup = Setup {
        config,
        authenticate: Authenticate::accounts(),
        dev_hosts: None,
        ephemeral: false,
        clock: std::sync::Arc::new(engine::SystemClock),
        permits: server::run::Permits::default(),
    };
    match Server::start(setup).await {
        Ok(_) => panic!("it starts"),
        Err(error) => format!("{error:#}"),
    }
}

/// Who cannot listen hears which setting chooses where.
#[tokio::test]
async fn addresses_that_are_taken() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it listens");
    let said = refusal(folder.path(), |config| config.listen = address).await;
    assert!(
        said.starts_with(&format!("cannot listen on {address}: Address already in use")),
        "{said}"
    );
    assert!(said.ends_with("; choose another address with --listen"), "{said}");
    let said = refusal(folder.path(), |config| config.ops_listen = OpsListen::At(address)).await;
    assert!(
        said.ends_with("; choose another address with ops_listen or metadata.listen"),
        "{said}"
    );
}

/// The data folder is named whole, with what is wrong about it.
#[tokio::test]
async fn data_folders_that_cannot_be_used() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("data");
    std::fs::write(&file, "").expect("writable");
    let said = refusal(folder.path(), |_| ()).await;
    assert!(
        said.starts_with(&format!("cannot use the data folder {}: it is a file", file.display())),
        "{said}"
    );
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// Each wrong file is named, with what is wrong about it and nothing that only a programmer understands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_for_tls_that_cannot_be_used() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let (key, other) = (
        Accounts::start(Backend::Sqlite).await.owner_key,
        Accounts::start(Backend::Sqlite).await.owner_key,
    );
    let certificate = self_signed_certificate(&key);
    let secret = |key: &crate::util::Key| STANDARD.decode(key.secret()).expect("base64");
    for (name, content) in [
        ("good.crt", pem("CERTIFICATE", &certificate).into_bytes()),
        ("good.key", pem("PRIVATE KEY", &secret(&key)).into_bytes()),
        ("other.key", pem("PRIVATE KEY", &secret(&other)).into_bytes()),
        ("der.crt", certificate.clone()),
        ("der.key", secret(&key)),
        ("sealed.key", pem("ENCRYPTED PRIVATE KEY", b"sealed").into_bytes()),
        (
            "sealed-old.key",
            b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n".to_vec(),
        ),
        ("empty", Vec::new()),
    ] {
        std::fs::write(at(name), content).expect("writable");
    }
    for (certificate, private, expected) in [
        ("none.crt", "good.key", "cannot read {}/none.crt: No such file or directory (os error 2)"),
        ("good.crt", "none.key", "cannot read {}/none.key: No such file or directory (os error 2)"),
        ("good.crt", "other.key", "the private key is not that of the certificate {}/good.crt"),
        ("good.key", "good.crt", "{}/good.key has no certificate in it"),
        ("good.crt", "good.crt", "{}/good.crt has no private key in it"),
        ("good.crt", "sealed.key", "{}/sealed.key is encrypted with a passphrase"),
        ("good.crt", "sealed-old.key", "{}/sealed-old.key is encrypted with a passphrase"),
        ("der.crt", "good.key", "{}/der.crt has no certificate in it: it is not in PEM"),
        ("good.crt", "der.key", "{}/der.key has no private key in it: it is not in PEM"),
        ("empty", "good.key", "{}/empty has no certificate in it: it is not in PEM"),
        ("good.crt", "", "tls.certificate and tls.key go together"),
    ] {
        let said = refusal(folder.path(), |config| {
            config.tls.certificate = at(certificate);
            config.tls.key = if private.is_empty() { "".into() } else { at(private) };
        })
        .await;
        let expected = expected.replace("{}", &folder.path().display().to_string());
        assert!(said.starts_with(&expected), "{certificate} {private}: {said}");
        assert!(!said.contains("KeyMismatch") && !said.contains("InvalidCharacter"), "{said}");
    }
}
