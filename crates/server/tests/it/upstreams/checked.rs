//! The check of a remote repository's upstream when the repository is created, and when its URL changes.

use serde_json::{Value, json};

use super::{api_path, create_from_body};
use crate::util::scripted_upstream::REGISTRY_PATH;
use crate::util::{AccountServer, Backend, Reply, ScriptedUpstream, UpstreamAnswer, on_both};

on_both![
    a_registry_is_asked_once,
    answers_of_registries_are_accepted,
    what_is_no_registry_is_named,
    a_url_is_checked_even_if_nothing_is_asked,
    docker_hub_is_not_asked,
    only_a_new_url_is_asked
];

async fn start(backend: Backend) -> AccountServer {
    let open = |config: &mut berth_server::config::Config| {
        config.egress.allow = vec!["127.0.0.0/8".to_owned(), "nothing.invalid".to_owned()];
    };
    AccountServer::start_with(backend, open).await
}

/// The body of a remote repository with these fields of its configuration.
fn body(config: Value) -> Value {
    json!({ "format": "DOCKER", "mode": "REMOTE_REPOSITORY", "remoteRepositoryConfig": config })
}

fn body_of(url: &str) -> Value {
    body(json!({ "commonRepository": { "uri": url } }))
}

#[track_caller]
fn expect_refused(reply: Reply, outcome: &str, words: &[&str]) {
    let reply = reply.expect_google_error(outcome);
    for word in words {
        assert!(reply.text().contains(word), "{word}: {reply:#?}");
    }
}

async fn a_registry_is_asked_once(backend: Backend) {
    let (accounts, upstream) = (start(backend).await, ScriptedUpstream::start().await);
    create_from_body(&accounts, "remote", &body_of(&upstream.url())).await.expect_status(200);
    assert_eq!((upstream.checks(), upstream.asked().len()), (1, 0));
    // A registry with a path is asked at its root, and one of our own not at all.
    let below = format!("{}/some/path/", upstream.url());
    create_from_body(&accounts, "below", &body_of(&below)).await.expect_status(200);
    let own = crate::util::google::repository_name(crate::util::accounts::PROJECT, "remote");
    create_from_body(&accounts, "own", &body_of(&own)).await.expect_status(200);
    assert_eq!((upstream.checks(), upstream.asked().len()), (2, 0));
}

async fn answers_of_registries_are_accepted(backend: Backend) {
    let (accounts, upstream) = (start(backend).await, ScriptedUpstream::start().await);
    let status = |status, header: &'static str, value: &str| UpstreamAnswer::Status {
        status,
        header: (header, value.to_owned()),
        body: String::new(),
    };
    let answers = [
        status(401, "www-authenticate", "Bearer realm=\"http://127.0.0.1:1/token\""),
        status(401, "www-authenticate", "Basic realm=\"x\""),
        status(403, "www-authenticate", "Bearer realm=\"http://127.0.0.1:1/token\""),
        status(200, "docker-distribution-api-version", "registry/2.0"),
        UpstreamAnswer::blob("{}"),
        UpstreamAnswer::redirect("/elsewhere"),
    ];
    upstream.set("/elsewhere", UpstreamAnswer::blob("{}"));
    for (number, answer) in answers.into_iter().enumerate() {
        upstream.set(REGISTRY_PATH, answer);
        let created =
            create_from_body(&accounts, &format!("r{number}"), &body_of(&upstream.url())).await;
        created.expect_status(200);
    }
}

async fn what_is_no_registry_is_named(backend: Backend) {
    let (accounts, upstream) = (start(backend).await, ScriptedUpstream::start().await);
    let url = upstream.url();
    let page = UpstreamAnswer::Content { bytes: "".into(), media_type: "text/html", digest: None };
    let limited = UpstreamAnswer::Status {
        status: 429,
        header: ("retry-after", "5".to_owned()),
        body: json!({ "errors": [{ "code": "TOOMANY", "message": "slow down" }] }).to_string(),
    };
    for (answer, words) in [
        (page, "is no registry: it answered 200 to GET /v2/"),
        (UpstreamAnswer::status(404), "is no registry: it answered 404"),
        (UpstreamAnswer::status(401), "is no registry: it answered 401"),
        (UpstreamAnswer::status(503), "answered 503"),
        (limited, "answered 429: TOOMANY: slow down"),
        (UpstreamAnswer::redirect("ftp://x"), "redirects to a place"),
    ] {
        upstream.set(REGISTRY_PATH, answer);
        let host = format!("the upstream {}", upstream.address);
        let refused = create_from_body(&accounts, "remote", &body_of(&url)).await;
        let way_out = "--disable-remote-validation";
        expect_refused(refused, "400 FAILED_PRECONDITION", &[&host, words, way_out]);
    }
    // Nobody listens, nobody speaks TLS, and nobody has the name.
    for (url, words) in [
        ("http://127.0.0.1:1", "the upstream 127.0.0.1:1 gave no answer: it cannot be reached"),
        (&*url.replace("http:", "https:"), "gave no answer: it cannot be reached"),
        ("https://nothing.invalid", "the upstream nothing.invalid gave no answer"),
    ] {
        let refused = create_from_body(&accounts, "remote", &body_of(url)).await;
        expect_refused(refused, "400 FAILED_PRECONDITION", &[words]);
    }
    // Nothing was stored.
    accounts.owner.get(&api_path("remote", "")).await.expect_google_error("404 NOT_FOUND");
    // Who knows better is believed.
    let unchecked =
        json!({ "commonRepository": { "uri": url }, "disableUpstreamValidation": true });
    create_from_body(&accounts, "remote", &body(unchecked)).await.expect_status(200);
}

async fn a_url_is_checked_even_if_nothing_is_asked(backend: Backend) {
    let accounts = AccountServer::start_with(backend, |_| ()).await;
    for (url, words) in [
        ("ftp://registry.example.com", "must start with 'https://' or 'http://'"),
        ("registry.example.com", "Invalid repo upstream for remote repository"),
        ("https://user:password@registry.example.com", "a user name or a password"),
        ("https://10.0.0.1", "egress.allow"),
        ("http://[::1]:5000", "egress.allow"),
        ("http://1.1.1.1", "egress.allow"),
    ] {
        let unchecked =
            json!({ "commonRepository": { "uri": url }, "disableUpstreamValidation": true });
        let refused = create_from_body(&accounts, "remote", &body(unchecked)).await;
        expect_refused(refused, "400 INVALID_ARGUMENT", &[words]);
    }
    // A name that is not public is refused when it is asked, and may be public later.
    let refused = create_from_body(&accounts, "local", &body_of("https://localhost")).await;
    expect_refused(refused, "400 FAILED_PRECONDITION", &["egress.allow"]);
}

/// The server of this test reaches nothing.
async fn docker_hub_is_not_asked(backend: Backend) {
    let accounts = AccountServer::start_with(backend, |_| ()).await;
    let hub = body(json!({ "dockerRepository": { "publicRepository": "DOCKER_HUB" } }));
    create_from_body(&accounts, "hub", &hub).await.expect_status(200);
}

async fn only_a_new_url_is_asked(backend: Backend) {
    let (accounts, upstream) = (start(backend).await, ScriptedUpstream::start().await);
    let owner = &accounts.owner;
    create_from_body(&accounts, "remote", &body_of(&upstream.url())).await.expect_status(200);
    // gcloud sends the whole repository back.
    let mut same = body_of(&upstream.url());
    same["description"] = json!("in some words");
    owner.patch(&api_path("remote", ""), &same).await.expect_status(200);
    assert_eq!(upstream.checks(), 1);
    let refused = owner.patch(&api_path("remote", ""), &body_of("http://127.0.0.1:1")).await;
    expect_refused(refused, "400 FAILED_PRECONDITION", &["the upstream 127.0.0.1:1"]);
    let stored = owner.get(&api_path("remote", "")).await.expect_status(200).json();
    assert_eq!(stored["remoteRepositoryConfig"]["commonRepository"]["uri"], upstream.url());
    let other = ScriptedUpstream::start().await;
    owner.patch(&api_path("remote", ""), &body_of(&other.url())).await.expect_status(200);
    assert_eq!((upstream.checks(), other.checks()), (1, 1));
}
