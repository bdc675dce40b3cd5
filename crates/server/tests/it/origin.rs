//! The server's own URL in challenges and key files, and the requests that can change it (attack 68).

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity::{Clock, SystemClock};
use serde_json::Value;

use crate::audit::written_entries;
use crate::util::key::read_owner_key;
use crate::util::process::{BerthProcess, quiet_berth, run_berth};
use crate::util::{Backend, Client, TestServer, on_both};

/// The realm of the challenge to a client without a credential.
async fn challenge_realm(client: &Client) -> String {
    let challenge =
        client.get("/v2/").await.expect_status(401).header("www-authenticate").to_owned();
    let (_, rest) = challenge.split_once("realm=\"").expect("a realm");
    rest.split('"').next().expect("its end").to_owned()
}

/// A client of the server at another address of this machine.
fn client_at(server: &TestServer, address: &str) -> Client {
    Client::new(SocketAddr::new(address.parse().expect("an address"), server.address.port()))
}

on_both![
    a_server_on_all_addresses_names_the_one_that_was_reached,
    attack_68_the_host_chooses_only_among_our_own_names,
    forwarded_headers_of_a_trusted_proxy_count,
    forwarded_headers_of_others_do_not_count
];

async fn a_server_on_all_addresses_names_the_one_that_was_reached(backend: Backend) {
    let server = TestServer::start_with(backend, |config| {
        config.listen = "0.0.0.0:0".parse().expect("an address");
    })
    .await;
    let port = server.address.port();
    for address in ["127.0.0.1", "127.0.0.2", "127.9.8.7"] {
        let client = client_at(&server, address);
        let own = format!("http://{address}:{port}/v2/token");
        assert_eq!(challenge_realm(&client).await, own);
        assert_eq!(challenge_realm(&client.clone().over_http2()).await, own);
        for host in
            ["evil.example", "0.0.0.0", "127.0.0.3", "10.0.0.1", "localhost:1", "evil.example:443"]
        {
            assert_eq!(
                challenge_realm(&client.clone().with_header("host", host)).await,
                own,
                "{host}"
            );
        }
        for name in ["x-forwarded-host", "x-forwarded-for", "x-forwarded-proto", "forwarded"] {
            let claim =
                client.clone().with_header(name, "host=evil.example").with_header(name, "https");
            assert_eq!(challenge_realm(&claim).await, own, "{name}");
        }
    }
    let host = format!("localhost:{port}");
    let named = client_at(&server, "127.0.0.1").with_header("host", &host);
    assert_eq!(challenge_realm(&named).await, format!("http://{host}/v2/token"));
}

async fn attack_68_the_host_chooses_only_among_our_own_names(backend: Backend) {
    let server = TestServer::start_with(backend, |config| {
        config.external_url = "https://registry.example.net:8443/".to_owned();
        config.domains = vec!["Example.com".to_owned()];
    })
    .await;
    let port = server.address.port();
    let own = "https://registry.example.net:8443/v2/token";
    let local = server.address.to_string();
    for host in ["evil.example", "registry.example.net.evil.example", "example.com:1", "", &local] {
        assert_eq!(
            challenge_realm(&server.anonymous().with_header("host", host)).await,
            own,
            "{host}"
        );
    }
    for (host, told) in [
        ("registry.example.net:8443", own.to_owned()),
        ("us-docker.example.com", "https://us-docker.example.com/v2/token".to_owned()),
        (&format!("example.com:{port}"), format!("http://example.com:{port}/v2/token")),
    ] {
        assert_eq!(challenge_realm(&server.anonymous().with_header("host", host)).await, told);
    }
}

async fn forwarded_headers_of_a_trusted_proxy_count(backend: Backend) {
    let server = TestServer::start_with(backend, |config| {
        config.proxies = vec!["127.0.0.1".parse().expect("an address")];
    })
    .await;
    let proxied = server
        .anonymous()
        .with_header("x-forwarded-for", "203.0.113.9, 192.0.2.7")
        .with_header("x-forwarded-proto", "https")
        .with_header("x-forwarded-host", "europe-docker.localhost");
    let told = challenge_realm(&proxied).await;
    assert_eq!(told, "https://europe-docker.localhost/v2/token");
    // The client's own host determines the location, and not the host that the proxy reports.
    let writer = server.admin().with_header("x-forwarded-host", "gcr.io");
    let digest = writer.push_blob("p/image", "content").await;
    let path = format!("/v2/p/image/blobs/{digest}");
    server.admin().with_header("host", "gcr.io").get(&path).await.expect_status(200);
    let denied = proxied.clone().with_header("x-request-id", "by-the-proxy");
    denied.delete("/v2/p/r1/image/manifests/x").await.expect_status(401);
    let entries = written_entries(&server).await;
    let entry = entries.iter().find(|entry| entry.to_string().contains("by-the-proxy"));
    let metadata = &entry.expect("an entry")["protoPayload"]["requestMetadata"];
    assert_eq!(metadata["callerIp"], "192.0.2.7");
    proxied
        .clone()
        .with_header("forwarded", "for=203.0.113.9;host=evil")
        .get("/v2/")
        .await
        .expect_status(400);
    proxied.with_header("forwarded", "for=192.0.2.7").get("/v2/").await.expect_status(401);
}

async fn forwarded_headers_of_others_do_not_count(backend: Backend) {
    let server = TestServer::start_with(backend, |config| {
        config.proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let client = server
        .anonymous()
        .with_header("x-forwarded-for", "10.0.0.1, 192.0.2.7")
        .with_header("x-forwarded-proto", "https")
        .with_header("x-forwarded-host", "evil.example")
        .with_header("forwarded", "for=10.0.0.2;host=evil.example;proto=https")
        .with_header("x-request-id", "by-anybody");
    assert_eq!(challenge_realm(&client).await, format!("http://{}/v2/token", server.address));
    client.delete("/v2/p/r1/image/manifests/x").await.expect_status(401);
    let entries = written_entries(&server).await;
    let mut found = entries.iter().filter(|entry| entry.to_string().contains("by-anybody"));
    let metadata = &found.next().expect("an entry")["protoPayload"]["requestMetadata"];
    assert_eq!(metadata["callerIp"], "127.0.0.1");
}

/// The key file must contain the server's URL, which is not known yet.
#[test]
fn a_first_start_on_all_addresses_needs_external_url() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().to_str().expect("plain");
        let output = run_berth(&[
            "serve",
            "--insecure-http",
            "--listen",
            listen,
            "--ops-listen",
            "off",
            "--data",
            data,
        ]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("external_url is not set"), "{said}");
        assert!(!folder.path().join("owner-key.json").exists());
    }
}

#[tokio::test]
async fn key_files_have_the_registrys_url() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path();
    let first = BerthProcess::spawn(data, &mut quiet_berth(&["serve"])).await;
    let path = data.join("owner-key.json");
    let before = read_owner_key(&path).file;
    assert_eq!(before["token_uri"], format!("http://{}/token", first.listen_address()));
    drop(first);
    // The file gets the setting's URL at the next start, and nothing else in it changes.
    let mut named = quiet_berth(&["serve"]);
    let named = named.env("BERTH_EXTERNAL_URL", "https://token.example.com/");
    drop(BerthProcess::spawn(data, named).await);
    let mut after = read_owner_key(&path).file;
    assert_eq!(after["token_uri"], "https://token.example.com/token");
    assert_eq!(after["auth_uri"], "https://token.example.com/o/oauth2/auth");
    for field in ["token_uri", "auth_uri"] {
        after[field] = before[field].clone();
    }
    assert_eq!(after, before);
    // A server on all addresses keeps the URL in the file. A new key file has the address at which its maker reached
    // the server.
    let mut everywhere = quiet_berth(&["serve", "--insecure-http"]);
    let server = BerthProcess::spawn_at(data, "0.0.0.0:0", &mut everywhere).await;
    assert_eq!(read_owner_key(&path).file["token_uri"], "https://token.example.com/token");
    let port = server.listen_address().port();
    assert_eq!(server.addresses["url"], format!("http://127.0.0.1:{port}"));
    let text = read_owner_key(&path).file.to_string();
    let token = identity::self_signed_token(&text, SystemClock.now()).expect("a key file");
    let client = Client::new(SocketAddr::from(([127, 0, 0, 2], port))).with_token(&token);
    let email = before["client_email"].as_str().expect("text");
    let keys = format!("/v1/projects/-/serviceAccounts/{email}/keys");
    let made = client
        .with_header("host", "evil.example")
        .post(&keys, "{}")
        .await
        .expect_status(200)
        .json();
    let file = STANDARD.decode(made["privateKeyData"].as_str().expect("text")).expect("base64");
    let file: Value = serde_json::from_slice(&file).expect("JSON");
    assert_eq!(file["token_uri"], format!("http://127.0.0.2:{port}/token"));
}

/// A file that the operator has changed is left alone, and does not prevent a start.
#[tokio::test]
async fn an_invalid_owner_key_file_is_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    drop(BerthProcess::spawn(folder.path(), &mut quiet_berth(&["serve"])).await);
    let path = folder.path().join("owner-key.json");
    std::fs::write(&path, "elsewhere").expect("writable");
    let server = BerthProcess::spawn(folder.path(), &mut quiet_berth(&["serve"])).await;
    server.client.get("/v2/").await.expect_status(401);
    assert_eq!(std::fs::read_to_string(&path).expect("readable"), "elsewhere");
    std::fs::remove_file(&path).expect("ours");
    drop(server);
    drop(BerthProcess::spawn(folder.path(), &mut quiet_berth(&["serve"])).await);
    assert!(!path.exists(), "who took it elsewhere wants no other here");
}
