//! Attack 51, by the rules of attack 41: a webhook's URL that leads to this machine, to its network or to a cloud's
//! metadata server, directly or by a name or redirect; and answers that leak.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_server::config::WebhookSettings;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::lures::self_signed_certificate;
use crate::util::process::{BerthProcess, berth_command, parse_address, wait_for_text};
use crate::util::{
    AccountServer, Backend, Client, Image, Receiver, ReceiverAnswer, TestServer, on_both,
    wait_for_metrics,
};

const IMAGE: &str = "p/r1/image";

/// The setting of a webhook with this URL.
fn webhook_setting(url: &str) -> String {
    format!("[{{ name = \"w\", url = {url:?}, token_variable = \"WEBHOOK_TOKEN\" }}]")
}

/// The line of the metrics after the first failed message.
const FAILED: &str = "berth_notifications_failed_total{webhook=\"w\"} 1";

on_both![attack_51_a_name_is_checked_by_its_address, attack_51_no_redirect_is_followed];

async fn attack_51_a_name_is_checked_by_its_address(backend: Backend) {
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    // The settings allow another name and another port.
    let server = TestServer::start_with(backend, |config| {
        receiver.configure(config);
        config.notifications[0].url = format!("http://localhost:{port}/");
        config.egress.allow = vec!["localhost:1".to_owned(), "127.0.0.2".to_owned()];
    })
    .await;
    Image::new(1).push(&server.admin(), (IMAGE, "1")).await;
    server.wait_for_metrics(FAILED).await;
    assert_eq!(receiver.all_requests().len(), 0);
}

async fn attack_51_no_redirect_is_followed(backend: Backend) {
    let (open, within) = (Receiver::start().await, Receiver::start().await);
    let server = TestServer::start_with(backend, |config| {
        open.configure(config);
        config.egress.allow.push(within.address.to_string());
    })
    .await;
    open.set_answer(ReceiverAnswer::Redirect(format!("http://{}/", within.address)));
    Image::new(1).push(&server.admin(), (IMAGE, "1")).await;
    server.wait_for_metrics(FAILED).await;
    assert_eq!((open.all_requests().len(), within.all_requests().len()), (1, 0));
}

/// A receiver without a trusted certificate gets no message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_51_an_unknown_certificate_is_refused() {
    let key = AccountServer::start_with(Backend::Sqlite, |_| ()).await.owner_key;
    let certificate = CertificateDer::from(self_signed_certificate(&key));
    let private =
        PrivatePkcs8KeyDer::from(STANDARD.decode(key.private_key_base64()).expect("base64"));
    let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider's")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], private.into())
        .expect("they belong together");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let met = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        TlsAcceptor::from(Arc::new(tls)).accept(stream).await.map(drop)
    });
    let server = TestServer::start_with(Backend::Sqlite, |config| {
        let (name, url) = ("w".to_owned(), format!("https://{address}/"));
        config.notifications = vec![WebhookSettings { name, url, ..WebhookSettings::default() }];
        config.egress.allow = vec![address.to_string()];
    })
    .await;
    Image::new(1).push(&server.admin(), (IMAGE, "1")).await;
    server.wait_for_metrics(FAILED).await;
    let refused = met.await.expect("it ends").expect_err("the client leaves");
    assert!(refused.to_string().contains("alert"), "{refused}");
}

/// Internal addresses are refused in every form. The server opens nothing before this check.
#[test]
fn attack_51_internal_addresses_are_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    for url in [
        "http://127.0.0.1:5051/",
        "https://127.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://[::1]/",
        "http://169.254.169.254/computeMetadata/v1/",
        "https://[::ffff:169.254.169.254]/",
        "https://[fd00:ec2::254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://10.0.0.1/",
        "https://user:secret@hooks.example.com/",
        "http://1.1.1.1/",
        "ftp://hooks.example.com/",
    ] {
        let mut command =
            berth_command(&["serve", "--listen", "127.0.0.1:0", "--ops-listen", "off"]);
        command.arg("--data").arg(&data).env("BERTH_NOTIFICATIONS", webhook_setting(url));
        let refused = command.env("WEBHOOK_TOKEN", "x").output().expect("it runs");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success(), "{url}");
        assert!(said.contains("notifications, number 1, \"w\": url"), "{url}: {said}");
        assert!(!said.contains("secret"), "{said}");
        assert!(!data.exists());
    }
}

fn read_log(log: &Path) -> String {
    std::fs::read_to_string(log).expect("readable")
}

/// The log and the metrics show neither the answer, nor the token, nor the URL, which may be a secret. A proxy of the
/// environment is not used.
#[tokio::test]
async fn attack_51_log_and_metrics_show_no_secret() {
    let (receiver, proxy) = (Receiver::start().await, Receiver::start().await);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log");
    let mut command = berth_command(&["serve", "--dev"]);
    command.stderr(std::fs::File::create(&log).expect("writable"));
    let url = format!("http://{}/a-secret-path?key=a-secret", receiver.address);
    command
        .env("BERTH_NOTIFICATIONS", webhook_setting(&url))
        .env("WEBHOOK_TOKEN", "a-secret-token");
    // A container may have no certificates of its own.
    command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, format!("http://{}", proxy.address));
    }
    receiver.set_answer(ReceiverAnswer::Status(500));
    let berth = BerthProcess::spawn(&folder.path().join("data"), &mut command).await;
    Image::new(1).push(&berth.client, (IMAGE, "1")).await;
    let ops = parse_address(&berth.addresses["ops"]);
    wait_for_metrics(ops, FAILED).await;
    wait_for_text(&log, "webhook w does not take messages").await;
    receiver.set_answer(ReceiverAnswer::Take);
    let taken = receiver.wait_for_taken(1).await;
    assert_eq!(taken[0].headers["authorization"], "Bearer a-secret-token");
    wait_for_text(&log, "webhook w takes messages again").await;
    let metrics = Client::new(ops).get("/metrics").await.expect_status(200);
    for shown in [read_log(&log), metrics.text().into_owned()] {
        assert!(shown.contains("webhook"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
    assert_eq!(proxy.all_requests().len(), 0);
}
