//! Error texts and output of a start.

use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_server::config::{Config, OpsListen};
use berth_server::run::{RunningServer, ServerOptions};
use web::auth::Authenticator;

use crate::attacks::self_signed_certificate;
use crate::util::certificate::{CertificateFiles, encode_pem};
use crate::util::process::{ChildProcess, berth_command, run_berth, wait_for_text};
use crate::util::{AccountServer, Backend, StartOn};

/// The error of a start with these settings.
async fn start_refusal(folder: &Path, change: impl FnOnce(&mut Config)) -> String {
    let mut config = Config { data: folder.join("data"), ..Config::default() };
    config.listen = ([127, 0, 0, 1], 0).into();
    config.ops_listen = OpsListen::Off;
    change(&mut config);
    let setup = ServerOptions {
        config,
        authenticate: Authenticator::accounts(),
        dev_hosts: None,
        ephemeral: false,
        clock: std::sync::Arc::new(identity::SystemClock),
        permits: berth_server::run::StartPermits::default(),
    };
    match RunningServer::start(setup).await {
        Ok(_) => panic!("it starts"),
        Err(error) => format!("{error:#}"),
    }
}

/// The error names the setting that chooses the address.
#[tokio::test]
async fn the_error_of_a_taken_address_names_the_setting() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it listens");
    let said = start_refusal(folder.path(), |config| config.listen = address).await;
    assert!(
        said.starts_with(&format!("cannot listen on {address}: Address already in use")),
        "{said}"
    );
    assert!(said.ends_with("; choose another address with --listen"), "{said}");
    let said =
        start_refusal(folder.path(), |config| config.ops_listen = OpsListen::At(address)).await;
    assert!(
        said.ends_with("; choose another address with ops_listen or metadata.listen"),
        "{said}"
    );
}

/// The error has the whole path of the data folder, and the reason.
#[tokio::test]
async fn the_error_of_an_unusable_data_folder_names_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("data");
    std::fs::write(&file, "").expect("writable");
    let said = start_refusal(folder.path(), |_| ()).await;
    assert!(
        said.starts_with(&format!("cannot use the data folder {}: it is a file", file.display())),
        "{said}"
    );
}

/// The error names the file and the reason, without terms of the TLS library.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_of_an_unusable_tls_file_names_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let (key, other) = (
        AccountServer::start(Backend::Sqlite).await.owner_key,
        AccountServer::start(Backend::Sqlite).await.owner_key,
    );
    let certificate = self_signed_certificate(&key);
    let secret =
        |key: &crate::util::AccountKey| STANDARD.decode(key.private_key_base64()).expect("base64");
    for (name, content) in [
        ("good.crt", encode_pem("CERTIFICATE", &certificate).into_bytes()),
        ("good.key", encode_pem("PRIVATE KEY", &secret(&key)).into_bytes()),
        ("other.key", encode_pem("PRIVATE KEY", &secret(&other)).into_bytes()),
        ("der.crt", certificate.clone()),
        ("der.key", secret(&key)),
        ("sealed.key", encode_pem("ENCRYPTED PRIVATE KEY", b"sealed").into_bytes()),
        (
            "sealed-old.key",
            b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
              DEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
                .to_vec(),
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
        let said = start_refusal(folder.path(), |config| {
            config.tls.certificate = at(certificate);
            config.tls.key = if private.is_empty() { "".into() } else { at(private) };
        })
        .await;
        let expected = expected.replace("{}", &folder.path().display().to_string());
        assert!(said.starts_with(&expected), "{certificate} {private}: {said}");
        assert!(!said.contains("KeyMismatch") && !said.contains("InvalidCharacter"), "{said}");
    }
}

/// The output of a server that starts.
async fn start_output(folder: &Path, arguments: &[&str], listen: &str) -> String {
    let out = std::fs::File::create(folder.join("out")).expect("writable");
    let mut command = berth_command(&["serve"]);
    command.args(arguments).args(["--listen", listen, "--ops-listen", "off", "--data"]);
    command.env("BERTH_EXTERNAL_URL", "https://registry.example.com").current_dir(folder);
    let child = command.arg("kept").stdout(out).stderr(Stdio::null()).spawn();
    let _process = ChildProcess(child.expect("it starts"));
    wait_for_text(&folder.join("out"), "Ctrl-C").await
}

/// gcloud and docker need the file of a private authority, so that the output names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_names_a_private_authority() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = CertificateFiles::write_to(folder.path()).await;
    let [_, own, ..] = files.tls_flags();
    let said = start_output(folder.path(), &files.tls_flags(), "127.0.0.1:0").await;
    assert!(said.contains(&format!("\"$(berth env --data kept --ca {own})\" && gcloud")), "{said}");
    assert!(said.contains("/etc/docker/certs.d/registry.example.com/ca.crt"), "{said}");

    // The certificate has another issuer, whose file is unknown.
    let other = tempfile::tempdir().expect("a temporary folder");
    let files = CertificateFiles::write_by_other(other.path()).await;
    let said = start_output(other.path(), &files.tls_flags(), "127.0.0.1:0").await;
    assert!(said.contains("--ca CA.pem)\" && gcloud"), "{said}");

    // Without TLS no file is needed.
    let plain = tempfile::tempdir().expect("a temporary folder");
    let said = start_output(plain.path(), &[], "127.0.0.1:0").await;
    assert!(said.contains("$(berth env --data kept)\"") && !said.contains("certs.d"), "{said}");
}

/// Others reach the server by its given name, so that the printed commands use that name.
#[tokio::test]
async fn a_development_server_prints_its_given_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let flags = ["--dev", "--dev-unsafe-network", "--dev-host", "build1"];
    let said = start_output(folder.path(), &flags, "0.0.0.0:0").await;
    assert!(said.contains(" serves http://build1:") && said.contains("push build1:"), "{said}");
    let said = start_output(folder.path(), &["--dev", "--dev-host", "build1"], "127.0.0.1:0").await;
    assert!(said.contains("docker push 127.0.0.1:"), "{said}");
}

/// The help has the long descriptions and the defaults.
#[test]
fn the_help_has_descriptions_and_defaults() {
    for (arguments, said) in [
        (&["token", "--help"][..], "cannot be taken back by itself"),
        (&["env", "--help"], "the settings hold for the shell"),
        (&["serve", "--help"], "[default: berth-data]"),
        (&["serve", "--help"], "--tls-certificate tls.crt --tls-key tls.key"),
        (&["--help"], "token"),
    ] {
        let help = String::from_utf8(run_berth(arguments).stdout).expect("text");
        let one_line = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(one_line.contains(said), "{arguments:?}: {help}");
    }
}
