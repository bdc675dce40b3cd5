//! Refused credentials: every 401 says where to get another credential, and gives a reason if that is safe.

use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use crate::util::accounts::{exchange_assertion, expect_oauth_error, key_name, post_form, sign_in};
use crate::util::process::{BerthProcess, berth_command, wait_for_text};
use crate::util::{AccountKey, AccountServer, Backend, Client, Image, Reply, StartOn, on_both};

const IMAGE: &str = "my-project/r1/image";

/// Values of `Authorization:` that are no credential of this registry.
fn useless_credentials(
    accounts: &AccountServer,
    other: &AccountServer,
) -> Vec<(&'static str, String)> {
    let basic = |user: &str, password: &str| {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    };
    let key = &accounts.owner_key;
    vec![
        ("a token of another server", format!("Bearer {}", other.owner.token)),
        ("an unknown token", "Bearer nonsense".to_owned()),
        ("an empty token", "Bearer ".to_owned()),
        ("no token", "Bearer".to_owned()),
        ("a user of nobody's", basic("admin", "admin")),
        ("no key file", basic("_json_key", "{}")),
        ("a key of another server", basic("_json_key", &other.owner_key.file.to_string())),
        (
            "a key id of nobody's",
            basic("_json_key", &key.with_field("private_key_id", "0".repeat(40)).file.to_string()),
        ),
        ("no base64", "Basic !!!".to_owned()),
        ("no colon", "Basic bm9jb2xvbg==".to_owned()),
        ("another scheme", "Digest username=\"a\"".to_owned()),
        ("Negotiate", "Negotiate YII=".to_owned()),
        ("a scheme alone", "x".to_owned()),
        ("nothing", String::new()),
    ]
}

#[track_caller]
fn expect_challenge(reply: &Reply, begins: &str, what: &str) {
    assert_eq!(reply.status, 401, "{what}: {reply:#?}");
    let challenges: Vec<_> = reply.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(challenges.len(), 1, "{what}: {reply:#?}");
    assert!(reply.header("www-authenticate").starts_with(begins), "{what}: {reply:#?}");
}

/// The errors of each endpoint about a self-signed token.
async fn refusal_texts(accounts: &AccountServer, claims: &Value) -> Vec<String> {
    let key = &accounts.owner_key;
    let exchanged = exchange_assertion(&accounts.anonymous(), &key.signed_token(claims))
        .await
        .expect_status(400)
        .json();
    assert_eq!(exchanged["error"], "invalid_grant");
    let mut bare = claims.clone();
    bare.as_object_mut().expect("an object").remove("aud");
    let token = key.signed_token(&bare);
    let api = accounts.anonymous().with_token(&token).get("/v1/projects").await;
    let registry = accounts.anonymous().with_token(&token).get("/v2/").await;
    let docker = accounts.basic_client("oauth2accesstoken", &token).get("/v2/token").await;
    let mut said = vec![exchanged["error_description"].clone()];
    said.push(api.expect_google_error("401 UNAUTHENTICATED").json()["error"]["message"].clone());
    for reply in [registry, docker] {
        let reply = reply.expect_oci_error("401 UNAUTHORIZED");
        said.push(reply.json()["errors"][0]["message"].clone());
    }
    said.iter().map(|text| text.as_str().expect("text").to_owned()).collect()
}

on_both![
    every_refusal_says_where_to_get_a_credential,
    a_client_replaces_the_token_of_an_old_server,
    the_token_endpoint_accepts_only_valid_forms,
    an_assertion_for_another_time_is_told_which_clock_is_off,
    the_error_of_an_unknown_credential_names_the_registry
];

async fn every_refusal_says_where_to_get_a_credential(accounts: AccountServer) {
    let other = AccountServer::start(Backend::Sqlite).await;
    let host = accounts.server.address.to_string();
    let bearer = format!("Bearer realm=\"http://{host}/v2/token\",service=\"{host}\"");
    let basic = format!("Basic realm=\"{host}\"");
    for (what, header) in useless_credentials(&accounts, &other) {
        let client = accounts.anonymous().with_header("authorization", &header);
        for (method, path) in [
            (Method::GET, "/v2/".to_owned()),
            (Method::HEAD, "/v2/".to_owned()),
            (Method::GET, "/v2/_catalog".to_owned()),
            (Method::GET, "/v2/nothing/at/all".to_owned()),
            (Method::GET, format!("/v2/{IMAGE}/tags/list")),
            (Method::HEAD, format!("/v2/{IMAGE}/manifests/latest")),
            (Method::PUT, format!("/v2/{IMAGE}/manifests/latest")),
            (Method::POST, format!("/v2/{IMAGE}/blobs/uploads/")),
            (Method::DELETE, format!("/v2/{IMAGE}/manifests/latest")),
            (Method::GET, "/nothing".to_owned()),
        ] {
            let reply = client.send(method.clone(), &path, "").await;
            expect_challenge(&reply, &bearer, &format!("{what}: {method} {path}"));
            // Only a sent token gets the error `invalid_token`.
            let of_a_token = reply.header("www-authenticate").contains("error=\"invalid_token\"");
            assert_eq!(of_a_token, header.trim_end().starts_with("Bearer "), "{what}: {reply:#?}");
        }
        for client in [client.clone(), client.clone().over_http2()] {
            expect_challenge(&client.get("/v2/token").await, &basic, what);
            expect_challenge(&client.head("/v2/token").await, &basic, what);
            expect_challenge(&client.post("/v2/token", "").await, &basic, what);
            expect_challenge(&client.get("/v1/projects").await, "Bearer realm=", what);
        }
    }
    for (user, password) in
        [("admin", "admin"), ("_json_key", "{}"), ("oauth2accesstoken", "x"), ("", "")]
    {
        let fields = [("grant_type", "password"), ("username", user), ("password", password)];
        let reply = post_form(&accounts.anonymous(), "/v2/token", &fields).await;
        expect_challenge(&reply, &basic, user);
    }
    let fields = [("grant_type", "refresh_token"), ("refresh_token", "of another registry")];
    expect_challenge(
        &post_form(&accounts.anonymous(), "/v2/token", &fields).await,
        &basic,
        "refresh",
    );
}

/// A client keeps a token for its lifetime, even if the server that made the token is replaced.
async fn a_client_replaces_the_token_of_an_old_server(accounts: AccountServer) {
    let yesterday = AccountServer::start(Backend::Sqlite).await;
    accounts.create_repository("my-project", "r1").await;
    Image::new(1).push(&accounts.owner.client, (IMAGE, "latest")).await;
    let scope = format!("repository:{IMAGE}:pull");
    let kept = yesterday.owner.registry_token(&[&scope]).await;
    let path = format!("/v2/{IMAGE}/manifests/latest");
    let refused = accounts.anonymous().with_token(&kept).get(&path).await.expect_status(401);
    // The client takes realm, service and scope from the challenge, and sends its credential.
    let challenge = refused.header("www-authenticate").to_owned();
    let parameter = |name: &str| {
        let (_, rest) = challenge.split_once(&format!("{name}=\"")).expect("a parameter");
        rest.split_once('"').expect("its end").0.to_owned()
    };
    let realm = parameter("realm");
    let (_, endpoint) = realm.split_once(&accounts.server.address.to_string()).expect("ours");
    let asked = format!("{endpoint}?service={}&scope={}", parameter("service"), parameter("scope"));
    let key = accounts.owner_key.file.to_string();
    let new = accounts.basic_client("_json_key", &key).get(&asked).await.expect_status(200).json();
    let new = accounts.anonymous().with_token(new["token"].as_str().expect("text"));
    new.get(&path).await.expect_status(200);
}

async fn the_token_endpoint_accepts_only_valid_forms(accounts: AccountServer) {
    let nobody = accounts.anonymous();
    let (key, token) = (accounts.owner_key.file.to_string(), accounts.owner.token.clone());
    let post = async |path: &str, fields: &[(&str, &str)]| post_form(&nobody, path, fields).await;
    for grant in ["", "client_credentials", "authorization_code", "Password", "x", "\0"] {
        let reply = post("/v2/token", &[("grant_type", grant)]).await;
        expect_oauth_error(&reply, "unsupported_grant_type", grant);
        // A valid credential in a header makes no difference.
        let signed_in = accounts.basic_client("_json_key", &key);
        let reply = post_form(&signed_in, "/v2/token", &[("grant_type", grant)]).await;
        expect_oauth_error(&reply, "unsupported_grant_type", grant);
    }
    let password = ("grant_type", "password");
    for fields in
        [&[password][..], &[password, ("username", "_json_key")], &[password, ("password", &key)]]
    {
        expect_oauth_error(&post("/v2/token", fields).await, "invalid_request", "half a grant");
    }
    let twice = [password, password, ("username", "_json_key"), ("password", &key)];
    expect_oauth_error(&post("/v2/token", &twice).await, "invalid_request", "a grant twice");
    let json = json!({ "grant_type": "password", "username": "_json_key", "password": key });
    for (media_type, body) in [
        ("application/json", json.to_string()),
        ("", json.to_string()),
        ("application/x-www-form-urlencoded", json.to_string()),
        ("multipart/form-data; boundary=x", "--x\r\n\r\n--x--".to_owned()),
        ("text/plain", "grant_type=password".to_owned()),
        ("application/x-www-form-urlencoded", "<a b='c'/>".to_owned()),
        ("application/x-www-form-urlencoded", "x".repeat(300 << 10)),
    ] {
        for path in ["/v2/token", "/token", "/introspect", "/revoke"] {
            let client = match media_type {
                "" => nobody.clone(),
                _ => nobody.clone().with_header("content-type", media_type),
            };
            let what = format!("{path} {media_type} {body:.30}");
            expect_oauth_error(&client.post(path, body.clone()).await, "invalid_request", &what);
        }
    }
    // An anonymous token needs no credential, and a header may have one.
    post("/v2/token", &[("scope", "a"), ("scope", "b")]).await.expect_status(200);
    nobody.post("/v2/token", "").await.expect_status(200);
    let typed = nobody
        .clone()
        .with_header("content-type", "Application/x-www-form-urlencoded; charset=UTF-8");
    let form = format!("grant_type=password&username=oauth2accesstoken&password={token}");
    typed.post("/v2/token", form.clone()).await.expect_status(200);
    nobody.post("/v2/token", form).await.expect_status(200);
    accounts.basic_client("_json_key", &key).post("/v2/token", "").await.expect_status(200);
}

async fn an_assertion_for_another_time_is_told_which_clock_is_off(accounts: AccountServer) {
    accounts.server.clock.freeze();
    let now = accounts.server.clock.unix_seconds();
    let claims = |iat: i64, exp: i64| {
        let mut claims = accounts.owner_key.assertion_claims(now);
        (claims["iat"], claims["exp"]) = (json!(iat), json!(exp));
        claims
    };
    for said in refusal_texts(&accounts, &claims(now + 3600, now + 7200)).await {
        assert!(
            said.contains("is from the future: it begins 3600 s ahead of this registry's clock"),
            "{said}"
        );
    }
    let mut later = claims(now, now + 3600);
    later["nbf"] = json!(now + 120);
    for said in refusal_texts(&accounts, &later).await {
        assert!(said.contains("is from the future: it begins 120 s ahead"), "{said}");
    }
    for said in refusal_texts(&accounts, &claims(now - 600, now + 3600)).await {
        assert!(said.contains("is too long: its exp is 4200 s after its iat"), "{said}");
        assert!(said.contains("its iat is 600 s behind this registry's clock"), "{said}");
    }
    for said in refusal_texts(&accounts, &claims(now + 30, now + 30)).await {
        assert!(said.contains("ends before it begins"), "{said}");
    }
    // A token with a wrong signature gets the usual error, whatever its times are.
    let forged = accounts.owner_key.with_field(
        "private_key",
        accounts.owner.create_key(&accounts.owner.email).await.file["private_key"].clone(),
    );
    let refused = exchange_assertion(
        &accounts.anonymous(),
        &forged.signed_token(&claims(now + 3600, now + 7200)),
    )
    .await
    .expect_status(400);
    let said = refused.json()["error_description"].to_string();
    assert!(said.contains("Invalid JWT Signature") && !said.contains("future"), "{said}");
    // The error names a wrong audience, too.
    let mut elsewhere = claims(now, now + 3600);
    elsewhere["aud"] = json!("https://other.example/token");
    let refused =
        exchange_assertion(&accounts.anonymous(), &accounts.owner_key.signed_token(&elsewhere))
            .await
            .expect_status(400);
    assert!(
        refused.json()["error_description"]
            .to_string()
            .contains("another audience than this registry")
    );
}

/// The error names the registry, and does not reveal whether the key or the account exists.
async fn the_error_of_an_unknown_credential_names_the_registry(accounts: AccountServer) {
    let other = AccountServer::start(Backend::Sqlite).await;
    let (owner, key) = (&accounts.owner, &accounts.owner_key);
    let robot = accounts.create_actor("robot-1").await;
    let [deleted, disabled] =
        [owner.create_key(&robot.email).await, owner.create_key(&robot.email).await];
    let signed_in = sign_in(&accounts.server, &disabled).await;
    owner.delete(&format!("/v1/{}", key_name(&deleted))).await.expect_status(200);
    owner
        .post(&format!("/v1/{}:disable", key_name(&disabled)), &json!({}))
        .await
        .expect_status(200);
    AccountServer::wait_for_status(|| signed_in.get("/v1/projects"), 401).await;
    let host = accounts.server.address.to_string();
    let mut heard: Vec<(String, String)> = Vec::new();
    let files = [
        ("of another server", other.owner_key.file.to_string()),
        ("deleted", deleted.file.to_string()),
        ("disabled", disabled.file.to_string()),
        (
            "another's private key",
            key.with_field("private_key", deleted.file["private_key"].clone()).file.to_string(),
        ),
        (
            "nobody's account",
            key.with_field("client_email", "x@nowhere.iam.gserviceaccount.com").file.to_string(),
        ),
    ];
    for (what, file) in &files {
        let basic = accounts.basic_client("_json_key", file);
        for (path, begins) in [
            ("/v2/token", "authentication failed: "),
            ("/v2/", "No valid credential was supplied: "),
        ] {
            let refused = basic.get(path).await.expect_oci_error("401 UNAUTHORIZED");
            let said = refused.json()["errors"][0]["message"].as_str().expect("text").to_owned();
            let reason = said.strip_prefix(begins).unwrap_or_else(|| panic!("{what}: {said}"));
            heard.push(((*what).to_owned(), reason.to_owned()));
        }
    }
    for (what, token) in [
        ("another server's", other.owner.token.clone()),
        ("nonsense", "x".to_owned()),
        ("disabled", signed_in.token.clone()),
    ] {
        let refused = accounts.anonymous().with_token(&token).get("/v2/").await.expect_status(401);
        let said = refused.json()["errors"][0]["message"].as_str().expect("text").to_owned();
        heard.push((what.to_owned(), said.replace("No valid credential was supplied: ", "")));
        let refused =
            accounts.anonymous().with_token(&token).get("/v1/projects").await.expect_status(401);
        let said = refused.json()["error"]["message"].to_string();
        assert!(said.contains(&format!("is not known to this registry ({host})")), "{said}");
    }
    for (what, said) in heard {
        assert_eq!(
            said,
            format!("the credential is not known to this registry ({host})"),
            "{what}"
        );
    }
    // The request's host does not change the name.
    let lured = accounts
        .anonymous()
        .with_token("x")
        .with_header("host", "evil.example")
        .get("/v2/")
        .await
        .expect_status(401);
    assert!(!lured.text().contains("evil.example"), "{}", lured.text());
}

/// The log lines of one request.
fn log_lines_of<'a>(log: &'a str, id: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(id)).collect()
}

/// Sends a refused credential to each endpoint. Returns the request ids, which are in the log.
async fn send_refused_requests(
    client: &Client,
    (key, assertion): (&AccountKey, &str),
) -> Vec<&'static str> {
    let id = |id: &str| client.clone().with_header("x-request-id", id);
    let strange = key.with_field("private_key_id", "0".repeat(40)).file.to_string();
    let basic = format!("Basic {}", STANDARD.encode(format!("_json_key:{strange}")));
    id("by-registry").with_header("authorization", &basic).get("/v2/").await.expect_status(401);
    id("by-docker").with_header("authorization", &basic).get("/v2/token").await.expect_status(401);
    id("by-bearer").with_token(assertion).get("/v2/").await.expect_status(401);
    id("by-api").with_token(assertion).get("/v1/projects").await.expect_status(401);
    exchange_assertion(&id("by-oauth"), assertion).await.expect_status(400);
    let fields =
        [("grant_type", "password"), ("username", "_json_key"), ("password", strange.as_str())];
    post_form(&id("by-form"), "/v2/token", &fields).await.expect_status(401);
    vec!["by-registry", "by-docker", "by-bearer", "by-api", "by-oauth", "by-form"]
}

/// One log line names the request, the address, the account in the credential, and the reason. The log does not depend
/// on the database.
#[tokio::test]
async fn a_refused_credential_is_one_line_in_the_log() {
    for format in ["json", "text"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (data, log) = (folder.path().join("data"), folder.path().join("log"));
        let mut command = berth_command(&["serve"]);
        command.env("BERTH_LOG_FORMAT", format);
        command.stderr(Stdio::from(std::fs::File::create(&log).expect("writable")));
        let berth = BerthProcess::spawn(&data, &mut command).await;
        let key = AccountKey::new(
            &std::fs::read(data.join("owner-key.json")).expect("the first start's"),
        );
        let mut claims = key.assertion_claims(jiff::Timestamp::now().as_second() + 7200);
        claims.as_object_mut().expect("an object").remove("aud");
        let ids = send_refused_requests(&berth.client, (&key, &key.signed_token(&claims))).await;
        berth
            .client
            .clone()
            .with_header("x-request-id", "the-last-one")
            .get("/v2/")
            .await
            .expect_status(401);
        let log = wait_for_text(&log, "the-last-one").await;
        assert_eq!(log.matches("a credential was refused").count(), ids.len(), "{log}");
        for id in ids {
            let lines = log_lines_of(&log, id);
            let refusals: Vec<_> =
                lines.iter().filter(|line| line.contains("was refused")).collect();
            let [line] = refusals[..] else { panic!("one line of {id}: {lines:#?}") };
            let reason = match id {
                "by-registry" | "by-docker" | "by-form" => "the key is unknown",
                _ => "is from the future: it begins 7",
            };
            for part in [reason, key.email(), "127.0.0.1"] {
                assert!(line.contains(part), "{part} is not in {line}");
            }
        }
        drop(berth);
    }
}
