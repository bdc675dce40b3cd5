//! Attack 40: finding secrets in the log, metrics, database or other answers. Only the answer that returns a secret may
//! contain it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use google::MethodInfo;
use http::Method;
use prost_reflect::DynamicMessage;
use serde_json::json;

use crate::util::accounts::{PROJECT, exchange_assertion, post_form};
use crate::util::process::{BerthProcess, berth_command, parse_address, wait_for_text};
use crate::util::wire::{Http2Connection, bearer_headers};
use crate::util::{AccountKey, Backend, Client, GoogleClient, Image, Reply};

const CANARY: &str = "canary-4f7c1e";

/// The secrets to look for, each with a name.
struct KnownSecrets(Vec<(String, String)>);

impl KnownSecrets {
    fn add_secret(&mut self, name: &str, secret: &str) {
        self.0.push((name.to_owned(), secret.to_owned()));
    }

    /// Adds a token's signature. Its header and claims are not secret.
    fn add_token(&mut self, name: &str, token: &str) {
        let (_, signature) = token.rsplit_once('.').expect("three parts");
        self.add_secret(name, &signature[..30]);
    }

    /// Adds a private key as in its file, and in other encodings in which it could be printed.
    fn add_key(&mut self, name: &str, key: &AccountKey) {
        let der = STANDARD.decode(key.private_key_base64()).expect("base64");
        let middle = &der[600..660];
        self.add_secret(name, &key.private_key_base64()[800..860]);
        self.add_secret(name, &URL_SAFE_NO_PAD.encode(&der[600..660]));
        self.add_secret(name, &format!("{:?}", &middle[..20]).replace(['[', ']'], ""));
        self.add_secret(name, &middle.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        self.add_secret(name, &STANDARD.encode(key.file.to_string())[1000..1060]);
    }

    #[track_caller]
    fn assert_not_in(&self, place: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        for (name, secret) in &self.0 {
            if let Some(found) = text.find(secret.as_str()) {
                let line = text[..found].rfind('\n').map_or(0, |end| end + 1);
                panic!(
                    "{name} is in {place}: {}",
                    text[line..].chars().take(400).collect::<String>()
                );
            }
        }
    }
}

/// Asserts that a request is refused, and that the answer repeats no secret.
#[track_caller]
fn expect_refused_silently(secrets: &KnownSecrets, reply: &Reply, what: &str) {
    assert!(reply.status.as_u16() >= 400, "{what}: {reply:?}");
    secrets.assert_not_in(what, &reply.body);
    secrets.assert_not_in(what, format!("{:?}", reply.headers).as_bytes());
}

/// Signs in, and sends the usual requests.
async fn send_good_requests(
    secrets: &mut KnownSecrets,
    client: &Client,
    key: &AccountKey,
) -> GoogleClient {
    let now = jiff::Timestamp::now().as_second();
    let assertion = key.signed_token(&key.assertion_claims(now));
    secrets.add_token("an assertion", &assertion);
    let answer = exchange_assertion(client, &assertion).await.expect_status(200).json();
    let owner =
        GoogleClient::new(client, answer["access_token"].as_str().expect("text"), key.email());
    secrets.add_token("an access token", &owner.token);
    owner
        .grant_role("organizations/1", "roles/iam.serviceAccountTokenCreator", &owner.member())
        .await;
    owner.create_repository(PROJECT, "r1").await.expect_status(200);
    owner.create_account(PROJECT, "robot-1").await.expect_status(200);
    let robot = format!("robot-1@{PROJECT}.iam.gserviceaccount.com");
    secrets.add_key("a created key", &owner.create_key(&robot).await);
    let registry = owner.registry_token(&["repository:my-project/r1/image:*"]).await;
    secrets.add_token("a registry token", &registry);
    Image::new(1)
        .push(&client.clone().with_token(&registry), ("my-project/r1/image", "latest"))
        .await;
    let path = format!("/v1/projects/-/serviceAccounts/{robot}");
    for (verb, body, field) in [
        ("generateAccessToken", json!({ "scope": ["x"] }), "accessToken"),
        ("generateIdToken", json!({ "audience": "x" }), "token"),
        (
            "signJwt",
            json!({ "payload": format!("{{\"secret\":\"{CANARY}-claims\"}}") }),
            "signedJwt",
        ),
    ] {
        let made = owner.post(&format!("{path}:{verb}"), &body).await.expect_status(200).json();
        secrets.add_token(verb, made[field].as_str().expect("text"));
    }
    for user in ["_json_key", "_json_key_base64", "oauth2accesstoken"] {
        let file = key.file.to_string();
        let password = if user == "oauth2accesstoken" { &owner.token } else { &file };
        let credential = STANDARD.encode(format!("{user}:{password}"));
        secrets.add_secret("a Basic credential", &credential[credential.len() - 80..]);
        let basic = client.clone().with_header("authorization", &format!("Basic {credential}"));
        basic.get("/v2/").await.expect_status(200);
        basic.get("/v2/token?scope=repository:my-project/r1/image:pull").await.expect_status(200);
        let fields = [("grant_type", "password"), ("username", user), ("password", password)];
        post_form(client, "/v2/token", &fields).await.expect_status(200);
    }
    post_form(client, "/introspect", &[("token", &owner.token)]).await.expect_status(200);
    let made = owner.generate_access_token(&robot).await.expect_status(200).json();
    let revoked = made["accessToken"].as_str().expect("text");
    secrets.add_token("a revoked token", revoked);
    post_form(client, "/revoke", &[("token", revoked)]).await.expect_status(200);
    post_form(client, "/revoke", &[("token", &registry)]).await.expect_status(200);
    owner
}

/// Sends secrets in credentials that are refused.
async fn send_bad_credentials(secrets: &KnownSecrets, client: &Client, key: &AccountKey) {
    let file = key.file.to_string();
    let broken = [
        file.replacen("{", "", 1),
        file[..file.len() - 5].to_owned(),
        format!("x{}", STANDARD.encode(&file)),
        key.with_field("private_key_id", format!("{CANARY}-id")).file.to_string(),
        key.with_field("type", format!("{CANARY}-type")).file.to_string(),
        format!("{CANARY}-password"),
        format!("{{\"private_key\":\"{CANARY}-key\"}}"),
    ];
    for user in [
        "_json_key",
        "_json_key_base64",
        "oauth2accesstoken",
        "somebody",
        &format!("{CANARY}-user"),
    ] {
        for password in &broken {
            let basic = STANDARD.encode(format!("{user}:{password}"));
            for scheme in ["Basic", "basic", "Digest"] {
                let client =
                    client.clone().with_header("authorization", &format!("{scheme} {basic}"));
                for path in [
                    "/v2/",
                    "/v2/token",
                    "/v2/my-project/r1/image/manifests/latest",
                    "/v1/projects",
                ] {
                    expect_refused_silently(secrets, &client.get(path).await, path);
                }
            }
            let fields = [("grant_type", "password"), ("username", user), ("password", password)];
            expect_refused_silently(
                secrets,
                &post_form(client, "/v2/token", &fields).await,
                "the form",
            );
        }
    }
}

/// Sends tokens, forms and bodies that are refused.
async fn send_bad_requests(
    secrets: &KnownSecrets,
    client: &Client,
    (owner, key): (&GoogleClient, &AccountKey),
) {
    let cut = &owner.token[..owner.token.len() - 8];
    for token in [
        cut,
        &format!("{CANARY}-token"),
        &key.sign_token(r#"{"alg":"none"}"#, "{}"),
        &format!("{}.x", owner.token),
    ] {
        let bearer = client.clone().with_token(token);
        for path in
            ["/v2/", "/v2/token", "/v2/my-project/r1/image/tags/list", "/v1/projects", "/nothing"]
        {
            expect_refused_silently(secrets, &bearer.get(path).await, path);
        }
        expect_refused_silently(secrets, &exchange_assertion(client, token).await, "/token");
        let known = post_form(client, "/introspect", &[("token", token)]).await.expect_status(200);
        secrets.assert_not_in("/introspect", &known.body);
        post_form(client, "/revoke", &[("token", token)]).await.expect_status(200);
    }
    // Google's APIs also take a token in the query, and people put secrets there by mistake.
    for query in [
        format!("access_token={}", owner.token),
        format!("oauth_token={CANARY}-query"),
        format!("password={CANARY}-query"),
        format!("assertion={CANARY}-query"),
    ] {
        for path in ["/v1/projects", "/v2/my-project/r1/image/tags/list", "/v2/"] {
            expect_refused_silently(secrets, &client.get(&format!("{path}?{query}")).await, path);
        }
    }
    let (long, secret) = ("x".repeat(200), format!("{CANARY}-body"));
    let body = json!({ "serviceAccount": { "displayName": long, "privateKeyData": secret } });
    expect_refused_silently(
        secrets,
        &owner.post("/v1/projects/my-project/serviceAccounts", &body).await,
        "a body",
    );
    // The error about a truncated or invalid body does not repeat it.
    let torn = format!("{{\"payload\": \"{CANARY}-torn");
    expect_refused_silently(
        secrets,
        &owner.client.post(&format!("/v1/{}:signJwt", owner.account_name()), torn).await,
        "a torn body",
    );
    let wire = Http2Connection::connect(client.address()).await;
    for token in [owner.token.as_str(), cut] {
        for path in ["/v1/projects", "/v2/"] {
            wire.send((Method::GET, path), bearer_headers(Some(token)), "").await;
        }
    }
}

/// Asks for secrets by gRPC, with a valid token and with invalid ones.
async fn send_grpc_requests(secrets: &mut KnownSecrets, client: &Client, owner: &GoogleClient) {
    let wire = Http2Connection::connect(client.address()).await;
    let robot = format!("projects/-/serviceAccounts/robot-1@{PROJECT}.iam.gserviceaccount.com");
    let blob = STANDARD.encode(format!("{CANARY}-blob"));
    let payload = format!("{{\"secret\":\"{CANARY}-claims\"}}");
    let refused_tokens =
        [owner.token[..owner.token.len() - 8].to_owned(), format!("{CANARY}-token")];
    for (name, body, field) in [
        ("GenerateAccessToken", json!({ "name": robot, "scope": ["x"] }), "accessToken"),
        ("GenerateIdToken", json!({ "name": robot, "audience": "x" }), "token"),
        ("SignJwt", json!({ "name": robot, "payload": payload }), "signedJwt"),
        ("SignBlob", json!({ "name": robot, "payload": blob }), "signedBlob"),
        ("CreateServiceAccountKey", json!({ "name": robot }), "privateKeyData"),
    ] {
        let is_named = |method: &MethodInfo| method.name.ends_with(&format!(".{name}"));
        let method = google::methods().find(is_named).expect("in the contract");
        let message = DynamicMessage::deserialize(method.input.clone(), body).expect("its request");
        let reply =
            wire.call_grpc(&method.path, bearer_headers(Some(&owner.token)), &message).await;
        assert_eq!(reply.header("grpc-status"), "0", "{name}: {reply:?}");
        // The message follows the five bytes of the frame's head.
        let answer = DynamicMessage::decode(method.output.clone(), &reply.body[5..]);
        let answer = serde_json::to_value(answer.expect("its answer")).expect("JSON");
        let secret = answer[field].as_str().expect("text");
        match name {
            "CreateServiceAccountKey" => {
                let file = STANDARD.decode(secret).expect("base64");
                secrets.add_key("a key by gRPC", &AccountKey::new(&file));
            }
            "SignBlob" => secrets.add_secret("a signature by gRPC", &secret[..60]),
            _ => secrets.add_token(name, secret),
        }
        for token in &refused_tokens {
            let reply = wire.call_grpc(&method.path, bearer_headers(Some(token)), &message).await;
            assert_eq!(reply.header("grpc-status"), "16", "{name}: {reply:?}");
            secrets.assert_not_in(name, &reply.body);
            secrets.assert_not_in(name, format!("{:?}", reply.headers).as_bytes());
        }
        // The second field of this message is truncated.
        let torn = [b"\x12\x7f", CANARY.as_bytes()].concat();
        let reply = wire
            .call_grpc_with_bytes(&method.path, bearer_headers(Some(&owner.token)), &torn)
            .await;
        assert_ne!(reply.header("grpc-status"), "0", "{name}: {reply:?}");
        secrets.assert_not_in(name, format!("{reply:?}").as_bytes());
    }
}

/// Asks the metadata server for tokens, with and without what it requires.
async fn send_metadata_requests(secrets: &mut KnownSecrets, metadata: &Client) {
    const ACCOUNTS: &str = "/computeMetadata/v1/instance/service-accounts";
    let flavoured = metadata.clone().with_header("metadata-flavor", "Google");
    let token = flavoured.get(&format!("{ACCOUNTS}/default/token")).await.expect_status(200).json();
    secrets.add_token("the metadata token", token["access_token"].as_str().expect("text"));
    let path = format!("{ACCOUNTS}/default/identity?audience=x&format=full");
    let identity = flavoured.get(&path).await.expect_status(200);
    secrets.add_token("the metadata identity", &identity.text());
    for client in [metadata.clone(), flavoured.clone().with_header("x-forwarded-for", "10.0.0.1")] {
        let client = client.with_token(&format!("{CANARY}-token"));
        expect_refused_silently(
            secrets,
            &client.get(&format!("{ACCOUNTS}/default/token")).await,
            "metadata",
        );
    }
}

async fn check_secrets(backend: Backend, format: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let file = |path: &Path| Stdio::from(std::fs::File::create(path).expect("writable"));
    let mut command = berth_command(&["serve"]);
    if let Backend::Postgres(url) = &backend {
        command.args(["--database", url]);
    }
    command.env("BERTH_LOG_FORMAT", format).env("BERTH_LOG_LEVEL", "trace").stderr(file(&log));
    command.env("BERTH_AUDIT_READS", "true").env("BERTH_METADATA_LISTEN", "127.0.0.1:0");
    command.env("BERTH_METADATA_ACCOUNT", "berth-owner@berth-admin.iam.gserviceaccount.com");
    let berth = BerthProcess::spawn(&data, &mut command).await;
    let key =
        AccountKey::new(&std::fs::read(data.join("owner-key.json")).expect("the first start's"));
    let mut secrets = KnownSecrets(vec![("a canary".to_owned(), CANARY.to_owned())]);
    secrets.add_key("the owner's key", &key);
    let master = std::fs::read(data.join("master.key")).expect("there");
    for text in [
        STANDARD.encode(&master),
        format!("{master:?}"),
        master.iter().map(|byte| format!("{byte:02x}")).collect(),
    ] {
        secrets.add_secret("the master key", &text);
    }
    let owner = send_good_requests(&mut secrets, &berth.client, &key).await;
    // This order matters, because only a limited number of refusals is logged for an address without an account.
    send_bad_requests(&secrets, &berth.client, (&owner, &key)).await;
    send_bad_credentials(&secrets, &berth.client, &key).await;
    send_grpc_requests(&mut secrets, &berth.client, &owner).await;
    let metadata = Client::new(parse_address(&berth.addresses["metadata"]));
    send_metadata_requests(&mut secrets, &metadata).await;
    let metrics = Client::new(parse_address(&berth.addresses["ops"]))
        .get("/metrics")
        .await
        .expect_status(200);
    secrets.assert_not_in("the metrics", &metrics.body);
    // The log line of the last request is written a moment after its answer.
    owner
        .client
        .clone()
        .with_header("x-request-id", "the-last-one")
        .get("/v2/")
        .await
        .expect_status(200);
    while !String::from_utf8_lossy(&std::fs::read(&log).expect("readable")).contains("the-last-one")
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Audit entries are in order, so that the last read's entry follows all others.
    let audit = data.join("audit.log");
    let last = owner.client.clone().with_header("x-request-id", "the-last-read");
    last.get("/v2/my-project/r1/image/tags/list").await.expect_status(200);
    wait_for_text(&audit, "the-last-read").await;
    drop(berth);
    let audited = std::fs::read(&audit).expect("readable");
    for method in ["Docker-Token", "\"Token\"", "RevokeToken", "SignJwt", "Docker-GetManifest"] {
        assert!(String::from_utf8_lossy(&audited).contains(method), "{method} was written down");
    }
    secrets.assert_not_in("the audit log", &audited);
    let written = std::fs::read(&log).expect("readable");
    assert!(written.len() > 100_000, "everything was logged");
    secrets.assert_not_in("the log", &written);
    for name in ["berth.db", "berth.db-wal"] {
        // The database contains only sealed secrets and hashes.
        let stored = std::fs::read(data.join(name)).unwrap_or_default();
        secrets.assert_not_in(name, &stored);
    }
}

#[tokio::test]
async fn attack_40_no_secret_leaks_on_sqlite_with_a_text_log() {
    check_secrets(Backend::Sqlite, "text").await;
}

#[tokio::test]
async fn attack_40_no_secret_leaks_on_postgres_with_a_json_log() {
    match Backend::postgres().await {
        Some(backend) => check_secrets(backend, "json").await,
        None => println!("SKIPPED: TEST_POSTGRES_URL is not set"),
    }
}
