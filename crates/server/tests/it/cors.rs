//! Requests from web pages of other origins.

use http::Method;

use crate::util::{Backend, Client, TestServer, random_bytes};

const IMAGE: &str = "p/r1/image";
const PAGE: &str = "https://ui.example.com";

async fn start_with_origins(origins: &[&str]) -> TestServer {
    let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    TestServer::start_with(Backend::Sqlite, |config| config.cors.origins = origins).await
}

async fn send_preflight(client: &Client, path: &str, method: &str) -> crate::util::Reply {
    let client = client.clone().with_header("access-control-request-method", method);
    client.send(Method::OPTIONS, path, "").await
}

fn split_names(list: &str) -> Vec<String> {
    list.split(',').map(|name| name.trim().to_ascii_lowercase()).collect()
}

#[tokio::test]
async fn an_allowed_page_reads_and_writes() {
    let server = start_with_origins(&[PAGE, "http://localhost:3000"]).await;
    let (anyone, admin) = (
        server.anonymous().with_header("origin", PAGE),
        server.admin().with_header("origin", PAGE),
    );
    let blobs = format!("/v2/{IMAGE}/blobs/uploads/");
    for (path, method) in [
        ("/v2/", "GET"),
        (&blobs, "POST"),
        ("/v2/token", "GET"),
        ("/v1/projects", "POST"),
        ("/nothing", "DELETE"),
    ] {
        let asked = send_preflight(&anyone, path, method).await.expect_status(204);
        assert_eq!(asked.header("access-control-allow-origin"), PAGE);
        assert_eq!(asked.header("access-control-allow-credentials"), "true");
        for method in ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"] {
            assert!(asked.header("access-control-allow-methods").contains(method), "{asked:?}");
        }
        let allowed = split_names(asked.header("access-control-allow-headers"));
        for name in ["authorization", "accept", "content-type", "range", "if-none-match"] {
            assert!(allowed.iter().any(|allowed| allowed == name), "{name}");
        }
        let vary = split_names(asked.header("vary"));
        assert!(vary.contains(&"origin".to_owned()), "{vary:?}");
        assert!(vary.contains(&"access-control-request-headers".to_owned()), "{vary:?}");
    }
    // Pages must see refusals, too, because those name the token endpoint.
    let refused = anyone.get(&format!("/v2/{IMAGE}/tags/list")).await.expect_status(401);
    let digest = admin.push_blob(IMAGE, random_bytes(100, 1)).await;
    let path = format!("/v2/{IMAGE}/blobs/{digest}");
    let part = admin.clone().with_header("range", "bytes=0-1").get(&path).await.expect_status(206);
    for answer in [&refused, &part] {
        assert_eq!(answer.header("access-control-allow-origin"), PAGE);
        assert_eq!(answer.header("vary"), "Origin");
        let seen = split_names(answer.header("access-control-expose-headers"));
        // The page sees all headers except those that browsers show anyway and those that no page needs.
        let plain = ["access-control-", "vary", "date", "content-type", "x-content-type-options"];
        for name in answer.headers.keys().map(http::HeaderName::as_str) {
            let is_plain = plain.iter().any(|plain| name.starts_with(plain));
            assert!(is_plain || seen.iter().any(|seen| seen == name), "{name} is not to be seen");
        }
    }
    assert!(refused.header("access-control-expose-headers").contains("WWW-Authenticate"));
}

#[tokio::test]
async fn another_page_sees_nothing() {
    let server = start_with_origins(&[PAGE]).await;
    for origin in [
        "https://ui.example.com.evil.example",
        "https://evil.example",
        "http://ui.example.com",
        "https://ui.example.com:8443",
        "https://UI.example.com",
        "https://ui.example.com/",
        "null",
        "",
    ] {
        let admin = server.admin().with_header("origin", origin);
        let read = admin.get("/v2/").await.expect_status(200);
        let asked =
            send_preflight(&server.anonymous().with_header("origin", origin), "/v2/", "PUT").await;
        assert!(!asked.status.is_success(), "{asked:?}");
        for answer in [read, asked] {
            let told =
                answer.headers.keys().any(|name| name.as_str().starts_with("access-control"));
            assert!(!told, "{origin}: {answer:?}");
            assert!(
                split_names(answer.header("vary")).contains(&"origin".to_owned()),
                "{answer:?}"
            );
        }
    }
    // A request without an origin is answered as usual. `Vary` tells caches that pages get another answer.
    let read = server.admin().get("/v2/").await.expect_status(200);
    assert_eq!((read.header("vary"), read.header("access-control-allow-origin")), ("Origin", ""));
    let ops = Client::new(server.ops)
        .with_header("origin", PAGE)
        .get("/healthz")
        .await
        .expect_status(200);
    assert_eq!(ops.header("access-control-allow-origin"), "", "operators have no pages");
}

#[tokio::test]
async fn pages_of_all_origins_come_without_credentials() {
    let server = start_with_origins(&["*"]).await;
    let anyone = server.anonymous().with_header("origin", "https://any.example");
    let asked = send_preflight(&anyone, "/v2/", "GET").await.expect_status(204);
    let read = server
        .admin()
        .with_header("origin", "https://any.example")
        .get("/v2/")
        .await
        .expect_status(200);
    for answer in [asked, read] {
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
}

#[tokio::test]
async fn no_page_is_allowed_by_default() {
    let server = start_with_origins(&[]).await;
    let admin = server.admin().with_header("origin", PAGE);
    let read = admin.get("/v2/").await.expect_status(200);
    let asked = send_preflight(&admin, "/v2/", "GET").await.expect_status(405);
    for answer in [read, asked] {
        assert_eq!((answer.header("vary"), answer.header("access-control-allow-origin")), ("", ""));
    }
}

/// A development server lets everybody do everything, so no setting opens it to pages from elsewhere.
#[tokio::test]
async fn a_development_server_allows_pages_of_this_machine_only() {
    let local = "http://localhost:3000";
    for origins in [vec![PAGE.to_owned(), local.to_owned()], vec!["*".to_owned()]] {
        let server =
            TestServer::start_for_development(|config| config.cors.origins = origins).await;
        let elsewhere = server.anonymous().with_header("origin", PAGE);
        elsewhere.get("/v2/").await.expect_status(403);
        let asked = send_preflight(&elsewhere, "/v2/", "PUT").await.expect_status(403);
        assert_eq!(asked.header("access-control-allow-origin"), "");
        let here = server.anonymous().with_header("origin", local);
        let read = here.get("/v2/").await.expect_status(200);
        assert!([local, "*"].contains(&read.header("access-control-allow-origin")));
        send_preflight(&here, "/v2/", "PUT").await.expect_status(204);
    }
}
