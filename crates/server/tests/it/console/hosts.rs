//! The console is at one host: that of `external_url`. Every other configured host leads there.

use super::{Browser, PASSWORD, form_token};
use crate::util::{AccountServer, Backend, Client, Image, Reply, TestServer, on_both};

const OWN: &str = "https://registry.example.net";
const SIGN_IN: &str = "/console/-/sign-in";

on_both![other_hosts_lead_to_the_console, forms_are_for_the_consoles_host];

async fn start(backend: Backend) -> AccountServer {
    AccountServer::start_with(backend, |config| {
        config.external_url = OWN.to_owned();
        config.domains = vec!["example.com".to_owned()];
    })
    .await
}

/// The configured hosts besides that of the console.
fn other_hosts(server: &TestServer) -> [String; 4] {
    [
        "us-west1-docker.example.com".to_owned(),
        "docker.us-west1.rep.example.com".to_owned(),
        "example.com".to_owned(),
        format!("us-west1-docker.localhost:{}", server.address.port()),
    ]
}

fn browser_at(server: &TestServer, host: &str) -> Client {
    server.anonymous().with_header("accept", "text/html").with_header("host", host)
}

async fn other_hosts_lead_to_the_console(backend: Backend) {
    let accounts = start(backend).await;
    for host in other_hosts(&accounts.server) {
        let browser = browser_at(&accounts.server, &host);
        for path in [
            "/console",
            "/console/",
            "/console/my-project/my-repo?sort=name&location=us-west1",
            "/console/-/sign-in?next=/console/-/you",
            "/console/-/password/abc",
            "/console/nothing/here/-/at-all",
        ] {
            let reply = browser.get(path).await.expect_status(302);
            assert_eq!(reply.header("location"), format!("{OWN}{path}"), "{host}{path}");
            assert_eq!(reply.header("cache-control"), "no-store");
            assert_eq!(reply.header("set-cookie"), "");
            let head = browser.head(path).await.expect_status(302);
            assert_eq!(head.header("location"), format!("{OWN}{path}"));
        }
        for (path, page) in [
            ("/", "/console/"),
            ("/my-project", "/console/my-project"),
            ("/my-project/my-repo", "/console/my-project/my-repo"),
            ("/my-project/my-repo/team/app", "/console/my-project/my-repo/team/app"),
        ] {
            let reply = browser.get(path).await.expect_status(302);
            let location = reply.header("location");
            let expected = format!("{OWN}{page}");
            assert_eq!(location.split('?').next(), Some(expected.as_str()), "{host}{path}");
            assert_eq!(reply.header("vary"), "accept");
            let tool = accounts.anonymous().with_header("host", &host);
            let tool = tool.with_header("accept", "*/*").get(path).await.expect_status(404);
            assert!(tool.header("content-type").starts_with("application/json"), "{tool:?}");
            assert!(tool.header("vary").contains("accept"), "{tool:?}");
        }
    }
    // The host of a proxy is not configured here: it would be led in a circle.
    for host in ["registry.example.net", "127.0.0.1:5050", "proxied.internal"] {
        let shown = browser_at(&accounts.server, host).get(SIGN_IN).await.expect_status(200);
        assert!(shown.text().contains("name=\"password\""), "{host}");
    }
}

async fn forms_are_for_the_consoles_host(backend: Backend) {
    let accounts = start(backend).await;
    Browser::signed_in(&accounts.server, "alice@example.com").await;
    for host in other_hosts(&accounts.server) {
        let refused = sign_in(&browser_at(&accounts.server, &host), &[]).await;
        assert_eq!(refused.status, 421, "{host}: {refused:?}");
        assert!(refused.text().contains(&format!("The console is at {OWN}.")), "{refused:?}");
        assert_eq!(refused.header("location"), "");
    }
    let own = browser_at(&accounts.server, "registry.example.net");
    let page = own.get(SIGN_IN).await.expect_status(200);
    let cookie = page.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    let (own, token) = (own.with_header("cookie", &cookie), form_token(&page.text()));
    let fields = [("token", &*token), ("email", "alice@example.com"), ("password", PASSWORD)];
    for origin in ["https://us-west1-docker.example.com", "http://registry.example.net", "null"] {
        let refused = sign_in(&own.clone().with_header("origin", origin), &fields).await;
        assert_eq!(refused.status, 403, "{origin}: {refused:?}");
    }
    sign_in(&own.with_header("origin", OWN), &fields).await.expect_status(303);
}

async fn sign_in(client: &Client, fields: &[(&str, &str)]) -> Reply {
    crate::util::accounts::post_form(client, SIGN_IN, fields).await
}

/// With `--dev`, the console is at every address of the machine, whatever port leads to it from outside a container.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn development_is_at_every_address_of_this_machine() {
    let server = TestServer::start_for_development(|config| {
        config.external_url = OWN.to_owned();
    })
    .await;
    let (port, image) = (server.address.port(), Image::new(1));
    image.push(&server.anonymous(), ("my-project/my-repo/app", "v1")).await;
    let (page, digest) = ("/console/my-project/my-repo/app", image.digest());
    for host in [
        server.address.to_string(),
        format!("127.9.8.7:{port}"),
        format!("[::1]:{port}"),
        format!("localhost:{port}"),
        format!("us-west1-docker.localhost:{port}"),
        "localhost:8080".to_owned(),
        "localhost".to_owned(),
    ] {
        let browser = browser_at(&server, &host);
        let led = browser.get("/my-project/my-repo/app").await.expect_status(302);
        assert_eq!(led.header("location"), "/console/my-project/my-repo/app", "{host}");
        let shown = browser.get(&format!("{page}@{digest}")).await.expect_status(200);
        let token = form_token(&shown.text());
        let fields = [("token", &*token), ("action", "set"), ("tag", "v2"), ("digest", &*digest)];
        let post = async |origin: &str| {
            let client = browser.clone().with_header("origin", origin);
            crate::util::accounts::post_form(&client, &format!("{page}/-/tags"), &fields).await
        };
        let done = post(&format!("http://{host}")).await.expect_status(303);
        assert!(done.header("location").starts_with("/console/"), "{host}: {done:?}");
        post("http://localhost:1").await.expect_status(403);
        post("https://evil.example").await.expect_status(403);
    }
    browser_at(&server, "evil.example").get("/console/").await.expect_status(421);
}
