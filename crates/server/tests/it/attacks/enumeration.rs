//! Attack 24: finding out what exists. A hidden resource looks like a missing one to a caller without permissions.
//!
//! The status, the names of the headers, the challenge and the body are compared, for projects, repositories, images,
//! tags, uploads and accounts, and at both token endpoints. The time of an answer is not compared: on a busy machine
//! such a test would fail without a reason, or never. Human users are not built yet.

use std::collections::BTreeSet;

use http::Method;
use serde_json::json;

use crate::util::accounts::{PROJECT, exchange_assertion, post_form};
use crate::util::google::repository_name;
use crate::util::key::decode_token;
use crate::util::{AccountServer, Image, Reply, on_both};

const READER: &str = "roles/artifactregistry.reader";

/// Pairs of paths: the first is hidden, and the second is not there.
const HIDDEN_AND_ABSENT: [(&str, &str); 11] = [
    ("/v1/projects/hidden-project", "/v1/projects/absent-project"),
    (
        "/v1/projects/hidden-project/locations/us-west1/repositories",
        "/v1/projects/absent-project/locations/us-west1/repositories",
    ),
    (
        "/v1/projects/hidden-project/locations/us-west1/repositories/hidden-repository",
        "/v1/projects/hidden-project/locations/us-west1/repositories/absent-repository",
    ),
    (
        "/v1/projects/hidden-project/locations/us-west1/repositories/hidden-repository",
        "/v1/projects/absent-project/locations/us-west1/repositories/hidden-repository",
    ),
    (
        "/v2/hidden-project/hidden-repository/image/tags/list",
        "/v2/hidden-project/absent-repository/image/tags/list",
    ),
    (
        "/v2/hidden-project/hidden-repository/image/manifests/latest",
        "/v2/absent-project/hidden-repository/image/manifests/latest",
    ),
    (
        "/v2/hidden-project/hidden-repository/image/manifests/latest",
        "/v2/hidden-project/hidden-repository/absent/manifests/latest",
    ),
    (
        "/v2/hidden-project/hidden-repository/image/manifests/latest",
        "/v2/hidden-project/hidden-repository/image/manifests/absent",
    ),
    (
        "/v2/hidden-project/hidden-repository/image/tags/list",
        "/v2/hidden-project/hidden-repository/absent/tags/list",
    ),
    (
        "/v2/hidden-project/hidden-repository/tags/list",
        "/v2/hidden-project/absent-repository/tags/list",
    ),
    (
        "/v2/hidden-project/hidden-repository/image/blobs/uploads/",
        "/v2/hidden-project/absent-repository/image/blobs/uploads/",
    ),
];

/// Deletes the requested names from a text.
fn without_names(text: &str) -> String {
    let words = [
        "hidden-project",
        "absent-project",
        "hidden-repository",
        "absent-repository",
        "hidden-robot",
        "absent-robot",
        "/absent",
        "absent",
        "latest",
        "/image",
    ];
    words.iter().fold(text.to_owned(), |text, word| text.replace(word, ""))
}

/// The parts of an answer that a client can see, without the names that it sent.
fn visible_parts(reply: &Reply) -> (u16, String, BTreeSet<String>, String) {
    let headers = reply.headers.keys().map(|name| name.as_str().to_owned()).collect();
    let body = without_names(&String::from_utf8_lossy(&reply.body));
    (reply.status.as_u16(), body, headers, without_names(reply.header("www-authenticate")))
}

on_both![
    attack_24_a_hidden_resource_looks_like_a_missing_one,
    attack_24_the_token_endpoints_do_not_tell_who_exists
];

async fn attack_24_a_hidden_resource_looks_like_a_missing_one(accounts: AccountServer) {
    accounts.create_repository("hidden-project", "hidden-repository").await;
    Image::new(1)
        .push(&accounts.owner.client, ("hidden-project/hidden-repository/image", "latest"))
        .await;
    accounts.create_actor_in("hidden-project", "hidden-robot").await;
    accounts.create_repository(PROJECT, "r1").await;
    let stranger =
        accounts.create_actor_with("stranger", (READER, &repository_name(PROJECT, "r1"))).await;
    let mut pairs: Vec<_> = HIDDEN_AND_ABSENT
        .iter()
        .map(|(hidden, absent)| ((*hidden).to_owned(), (*absent).to_owned()))
        .collect();
    let email = |name: &str, project: &str| format!("{name}@{project}.iam.gserviceaccount.com");
    let account = |email: String| format!("/v1/projects/-/serviceAccounts/{email}");
    let hidden = account(email("hidden-robot", "hidden-project"));
    pairs.push((hidden.clone(), account(email("absent-robot", "hidden-project"))));
    pairs.push((hidden.clone(), account(email("hidden-robot", "absent-project"))));
    for verb in [":generateAccessToken", ":signJwt", ":disable", ":getIamPolicy", "/keys"] {
        pairs.push((
            format!("{hidden}{verb}"),
            account(email("absent-robot", "hidden-project")) + verb,
        ));
    }
    for (hidden, absent) in &pairs {
        for client in [&stranger.client, &accounts.anonymous()] {
            for method in [
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ] {
                let body = r#"{"scope":["x"],"payload":"{}"}"#;
                let one = client.send(method.clone(), hidden, body).await;
                let two = client.send(method.clone(), absent, body).await;
                assert_eq!(visible_parts(&one), visible_parts(&two), "{method} {hidden}");
            }
        }
    }
}

async fn attack_24_the_token_endpoints_do_not_tell_who_exists(accounts: AccountServer) {
    let email = |name: &str, project: &str| format!("{name}@{project}.iam.gserviceaccount.com");
    accounts.create_repository("hidden-project", "hidden-repository").await;
    accounts.create_actor_in("hidden-project", "hidden-robot").await;
    let stranger = accounts.create_actor("stranger").await;
    // A requested scope is in the token, and gives no access.
    let mut tokens = BTreeSet::new();
    for path in [
        "hidden-project/hidden-repository",
        "hidden-project/absent-repository",
        "absent-project/hidden-repository",
    ] {
        for client in [&stranger.client, &accounts.anonymous()] {
            let asked = format!("/v2/token?scope=repository:{path}/image:pull,push,delete");
            let made = client.get(&asked).await.expect_status(200).json();
            let (_, claims) = decode_token(made["token"].as_str().expect("text"));
            tokens.insert(without_names(&claims["access"].to_string()));
        }
    }
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    let key = accounts.owner.create_key(&stranger.email).await;
    let now = accounts.server.clock.unix_seconds();
    let mut answers = BTreeSet::new();
    for email in [
        email("hidden-robot", "hidden-project"),
        email("absent-robot", "hidden-project"),
        "nobody".to_owned(),
    ] {
        let mut claims = key.assertion_claims(now);
        claims["iss"] = json!(email);
        claims["sub"] = json!(email);
        let reply = exchange_assertion(&accounts.anonymous(), &key.signed_token(&claims)).await;
        answers.insert((reply.status.as_u16(), reply.body.to_vec()));
        let file = key.with_field("client_email", email).file.to_string();
        let fields = [("grant_type", "password"), ("username", "_json_key"), ("password", &file)];
        let reply = post_form(&accounts.anonymous(), "/v2/token", &fields).await;
        answers.insert((reply.status.as_u16(), reply.body.to_vec()));
    }
    assert_eq!(answers.len(), 2, "one answer of each endpoint, whoever is named");
}
