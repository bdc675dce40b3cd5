//! The metadata server, reached by a browser's page or a proxy. These attacks have no number.

use std::net::SocketAddr;

use berth_server::config::{MetadataSettings, OpsListen};
use serde_json::{Value, json};

use crate::util::process::{berth_command, parse_address};
use crate::util::{AccountServer, Backend, Client, TestServer, on_both};

const TOKEN: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

/// Starts a server whose metadata server listens at this address and gives tokens of the owner of everything.
async fn start_metadata_server(listen: &str) -> (TestServer, Client) {
    let listen = OpsListen::At(listen.parse().expect("an address"));
    let account = "berth-owner@berth-admin.iam.gserviceaccount.com".to_owned();
    let metadata = MetadataSettings { listen, account };
    let server =
        TestServer::start_with_owner(Backend::Sqlite, |config| config.metadata = metadata).await;
    let port = metadata_client(&server).address().port();
    let local = SocketAddr::from(([127, 0, 0, 1], port));
    (server, Client::new(local).with_header("metadata-flavor", "Google"))
}

#[tokio::test]
async fn a_foreign_host_name_gets_no_token() {
    let (server, client) = start_metadata_server("127.0.0.1:0").await;
    let port = client.address().port();
    let answered = [
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1",
        "127.1.2.3:80",
        "[::1]:8080",
        "169.254.169.254",
        "[fe80::1]:80",
        "metadata",
        "metadata.google.internal",
        "Metadata.Google.Internal:80",
    ];
    for host in answered.map(str::to_owned).into_iter().chain([format!("127.0.0.1:{port}")]) {
        let reply = client.clone().with_header("host", &host).get(TOKEN).await.expect_status(200);
        let token = reply.json()["access_token"].as_str().expect("text").to_owned();
        server.anonymous().with_token(&token).get("/v1/projects").await.expect_status(200);
    }
    let refused = [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.localhost",
        "metadata.evil.example",
        "metadata.google.internal.evil.example",
        "10.0.0.1",
        "[2001:db8::1]:80",
        "0.0.0.0",
        "",
    ];
    for host in refused {
        for path in [TOKEN, "/"] {
            let foreign = client.clone().with_header("host", host);
            let reply = foreign.get(path).await.expect_status(403);
            assert!(!reply.text().contains("access_token"), "{host}");
        }
    }
    client
        .clone()
        .with_header("host", "evil.example:80")
        .over_http2()
        .get(TOKEN)
        .await
        .expect_status(403);
    let nameless = format!("GET {TOKEN} HTTP/1.0\r\nmetadata-flavor: Google\r\n\r\n");
    let answer = client.send_raw(nameless.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.0 403"), "{answer}");
}

const ACCOUNT: &str = "/computeMetadata/v1/instance/service-accounts";

/// A client of a server's metadata server.
fn metadata_client(server: &TestServer) -> Client {
    let said = std::fs::read(server.run_folder().join("addresses.json")).expect("it runs");
    let said: Value = serde_json::from_slice(&said).expect("JSON");
    Client::new(parse_address(&said["metadata"])).with_header("metadata-flavor", "Google")
}

on_both![an_account_that_does_not_exist_is_not_found];

/// The account may be created after the start. gcloud crashes unless the answer is that of a machine without an
/// account.
async fn an_account_that_does_not_exist_is_not_found(backend: Backend) {
    let email = "robot-account@my-project.iam.gserviceaccount.com";
    let listen = OpsListen::At("127.0.0.1:0".parse().expect("an address"));
    let metadata = MetadataSettings { listen, account: email.to_owned() };
    let accounts = AccountServer::start_with(backend, |config| config.metadata = metadata).await;
    let client = metadata_client(&accounts.server);
    let answers = ["email", "scopes", "token", "identity?audience=x", ""];
    for account in ["default", email] {
        for answer in answers {
            client.get(&format!("{ACCOUNT}/{account}/{answer}")).await.expect_status(404);
        }
    }
    assert_eq!(client.get(&format!("{ACCOUNT}/")).await.expect_status(200).text(), "");
    client.get("/computeMetadata/v1/project/project-id").await.expect_status(200);
    // A created account is found.
    let robot = accounts.create_actor("robot-account").await;
    assert_eq!(robot.email, email);
    for answer in answers {
        client.get(&format!("{ACCOUNT}/default/{answer}")).await.expect_status(200);
    }
    let list = client.get(&format!("{ACCOUNT}/")).await.expect_status(200).text().into_owned();
    assert_eq!(list, format!("default/\n{email}/\n"));
    // A disabled account is found, but gets no token.
    let name = format!("/v1/projects/my-project/serviceAccounts/{email}");
    accounts.owner.post(&format!("{name}:disable"), &json!({})).await.expect_status(200);
    for (answer, status) in [("email", 200), ("token", 403), ("identity?audience=x", 403)] {
        client.get(&format!("{ACCOUNT}/default/{answer}")).await.expect_status(status);
    }
    accounts.owner.delete(&name).await.expect_status(200);
    client.get(&format!("{ACCOUNT}/default/email")).await.expect_status(404);
}

#[tokio::test]
async fn a_project_that_does_not_exist_has_no_number() {
    let listen = OpsListen::At("127.0.0.1:0".parse().expect("an address"));
    let account = "robot-account@elsewhere.iam.gserviceaccount.com".to_owned();
    let metadata = MetadataSettings { listen, account };
    let change = |config: &mut berth_server::config::Config| config.metadata = metadata;
    let server = TestServer::start_with_owner(Backend::Sqlite, change).await;
    let client = metadata_client(&server);
    client.get("/computeMetadata/v1/project/numeric-project-id").await.expect_status(404);
}

/// Each route of the metadata server declares what it needs, and the registry's listener serves none of them.
#[tokio::test]
async fn the_metadata_routes_are_on_their_own_listener() {
    let (server, client) = start_metadata_server("127.0.0.1:0").await;
    for route in berth_server::metadata_server::routes().declared() {
        let path = route.path.replace("{account}", "default");
        let asked = format!("{path}?audience=x");
        client.get(&asked).await.expect_status(200);
        client.post(&asked, "").await.expect_status(405);
        let elsewhere = server.anonymous().with_header("metadata-flavor", "Google");
        assert!(elsewhere.get(&asked).await.status.as_u16() >= 400, "{path}");
        if path != "/" {
            Client::new(client.address()).get(&asked).await.expect_status(403);
        }
    }
    for route in berth_server::routes::registry_routes().declared() {
        client.get(route.path).await.expect_status(404);
    }
}

#[tokio::test]
async fn pages_and_proxies_get_no_token() {
    let (_server, client) = start_metadata_server("127.0.0.1:0").await;
    let own = format!("http://{}", client.address());
    for (name, value) in [
        ("origin", "http://evil.example:8080"),
        ("origin", "null"),
        ("origin", &own),
        ("forwarded", "for=10.0.0.1"),
        ("via", "1.1 proxy"),
        ("x-forwarded-for", "10.0.0.1"),
    ] {
        client.clone().with_header(name, value).get(TOKEN).await.expect_status(403);
    }
    client.get(TOKEN).await.expect_status(200);
    Client::new(client.address()).get(TOKEN).await.expect_status(403);
}

/// A metadata server on all addresses answers under unknown addresses, but not under other names.
#[tokio::test]
async fn listening_everywhere_needs_a_flag_and_answers_no_other_names() {
    let (_server, client) = start_metadata_server("0.0.0.0:0").await;
    client.clone().with_header("host", "172.17.0.1:8080").get(TOKEN).await.expect_status(200);
    client.clone().with_header("host", "evil.example:8080").get(TOKEN).await.expect_status(403);
    for listen in ["0.0.0.0:0", "10.0.0.1:8080", "[::]:0", "[2001:db8::1]:80"] {
        let mut command = berth_command(&["serve", "--dev", "--ephemeral"]);
        let output = command.env("BERTH_METADATA_LISTEN", listen).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let refused = !output.status.success() && said.contains("--metadata-unsafe-network");
        assert!(refused, "{listen}: {said}");
    }
}
