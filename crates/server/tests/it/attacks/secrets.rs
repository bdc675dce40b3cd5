//! Attack 40: secrets travel through the server, and are found nowhere but in the answers that are theirs.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use google::MethodInfo;
use http::Method;
use prost_reflect::DynamicMessage;
use serde_json::json;

use crate::util::accounts::{PROJECT, exchange, post_form};
use crate::util::process::{Berth, address, berth, wait_for};
use crate::util::wire::{Wire, bearer};
use crate::util::{Backend, Client, Google, Image, Key, Reply};

const CANARY: &str = "canary-4f7c1e";

/// What must be found nowhere, each with a name.
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn keep(&mut self, name: &str, secret: &str) {
        self.0.push((name.to_owned(), secret.to_owned()));
    }

    /// A token's header and claims say nothing that is not known; its signature is what must not be seen.
    fn keep_token(&mut self, name: &str, token: &str) {
        let (_, signature) = token.rsplit_once('.').expect("three parts");
        self.keep(name, &signature[..30]);
    }

    /// A private key, as in its file, and in the other encodings in which it could be printed.
    fn keep_key(&mut self, name: &str, key: &Key) {
        let der = STANDARD.decode(key.secret()).expect("base64");
        let middle = &der[600..660];
        self.keep(name, &key.secret()[800..860]);
        self.keep(name, &URL_SAFE_NO_PAD.encode(&der[600..660]));
        self.keep(name, &format!("{:?}", &middle[..20]).replace(['[', ']'], ""));
        self.keep(name, &middle.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        self.keep(name, &STANDARD.encode(key.file.to_string())[1000..1060]);
    }

    #[track_caller]
    fn are_not_in(&self, place: &str, bytes: &[u8]) {
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

/// An answer that refuses: nothing of what was sent may come back.
#[track_caller]
fn refused(secrets: &Secrets, reply: &Reply, what: &str) {
    assert!(reply.status.as_u16() >= 400, "{what}: {reply:?}");
    secrets.are_not_in(what, &reply.body);
    secrets.are_not_in(what, format!("{:?}", reply.headers).as_bytes());
}

/// Signs in, and does what people do.
async fn good_requests(secrets: &mut Secrets, client: &Client, key: &Key) -> Google {
    let now = jiff::Timestamp::now().as_second();
    let assertion = key.signed(&key.claims(now));
    secrets.keep_token("an assertion", &assertion);
    let answer = exchange(client, &assertion).await.expect(200).json();
    let owner = Google::new(client, answer["access_token"].as_str().expect("text"), key.email());
    secrets.keep_token("an access token", &owner.token);
    owner.bind("organizations/1", "roles/iam.serviceAccountTokenCreator", &owner.member()).await;
    owner.create_repository(PROJECT, "r1").await.expect(200);
    owner.create_account(PROJECT, "robot-1").await.expect(200);
    let robot = format!("robot-1@{PROJECT}.iam.gserviceaccount.com");
    secrets.keep_key("a created key", &owner.create_key(&robot).await);
    let registry = owner.registry_token(&["repository:my-project/r1/image:*"]).await;
    secrets.keep_token("a registry token", &registry);
    Image::new(1).push(&client.clone().token(&registry), ("my-project/r1/image", "latest")).await;
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
        let made = owner.post(&format!("{path}:{verb}"), &body).await.expect(200).json();
        secrets.keep_token(verb, made[field].as_str().expect("text"));
    }
    for user in ["_json_key", "_json_key_base64", "oauth2accesstoken"] {
        let file = key.file.to_string();
        let password = if user == "oauth2accesstoken" { &owner.token } else { &file };
        let credential = STANDARD.encode(format!("{user}:{password}"));
        secrets.keep("a Basic credential", &credential[credential.len() - 80..]);
        let basic = client.clone().with("authorization", &format!("Basic {credential}"));
        basic.get("/v2/").await.expect(200);
        basic.get("/v2/token?scope=repository:my-project/r1/image:pull").await.expect(200);
        let fields = [("grant_type", "password"), ("username", user), ("password", password)];
        post_form(client, "/v2/token", &fields).await.expect(200);
    }
    post_form(client, "/introspect", &[("token", &owner.token)]).await.expect(200);
    let made = owner.impersonate(&robot).await.expect(200).json();
    let revoked = made["accessToken"].as_str().expect("text");
    secrets.keep_token("a revoked token", revoked);
    post_form(client, "/revoke", &[("token", revoked)]).await.expect(200);
    post_form(client, "/revoke", &[("token", &registry)]).await.expect(200);
    owner
}

/// Sends secrets to where they are not accepted.
async fn bad_requests(secrets: &Secrets, client: &Client, key: &Key) {
    let file = key.file.to_string();
    let broken = [
        file.replacen("{", "", 1),
        file[..file.len() - 5].to_owned(),
        format!("x{}", STANDARD.encode(&file)),
        key.with("private_key_id", format!("{CANARY}-id")).file.to_string(),
        key.with("type", format!("{CANARY}-type")).file.to_string(),
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
                let client = client.clone().with("authorization", &format!("{scheme} {basic}"));
                for path in [
                    "/v2/",
                    "/v2/token",
                    "/v2/my-project/r1/image/manifests/latest",
                    "/v1/projects",
                ] {
                    refused(secrets, &client.get(path).await, path);
                }
            }
            let fields = [("grant_type", "password"), ("username", user), ("password", password)];
            refused(secrets, &post_form(client, "/v2/token", &fields).await, "the form");
        }
    }
}

/// Sends tokens, forms and bodies that are refused.
async fn more_bad_requests(secrets: &Secrets, client: &Client, (owner, key): (&Google, &Key)) {
    let cut = &owner.token[..owner.token.len() - 8];
    for token in [
        cut,
        &format!("{CANARY}-token"),
        &key.sign(r#"{"alg":"none"}"#, "{}"),
        &format!("{}.x", owner.token),
    ] {
        let bearer = client.clone().token(token);
        for path in
            ["/v2/", "/v2/token", "/v2/my-project/r1/image/tags/list", "/v1/projects", "/nothing"]
        {
            refused(secrets, &bearer.get(path).await, path);
        }
        refused(secrets, &exchange(client, token).await, "/token");
        let known = post_form(client, "/introspect", &[("token", token)]).await.expect(200);
        secrets.are_not_in("/introspect", &known.body);
        post_form(client, "/revoke", &[("token", token)]).await.expect(200);
    }
    // Where Google's APIs take a token too, and where people put one by mistake.
    for query in [
        format!("access_token={}", owner.token),
        format!("oauth_token={CANARY}-query"),
        format!("password={CANARY}-query"),
        format!("assertion={CANARY}-query"),
    ] {
        for path in ["/v1/projects", "/v2/my-project/r1/image/tags/list", "/v2/"] {
            refused(secrets, &client.get(&format!("{path}?{query}")).await, path);
        }
    }
    let body = json!({ "serviceAccount": { "displayName": "x".repeat(200), "privateKeyData": format!("{CANARY}-body") } });
    refused(secrets, &owner.post("/v1/projects/my-project/serviceAccounts", &body).await, "a body");
    // A body that is cut short, and one that is no JSON: what was in it stays there.
    let torn = format!("{{\"payload\": \"{CANARY}-torn");
    refused(
        secrets,
        &owner.client.post(&format!("/v1/{}:signJwt", owner.account()), torn).await,
        "a torn body",
    );
    let wire = Wire::connect(client.address()).await;
    for token in [owner.token.as_str(), cut] {
        for path in ["/v1/projects", "/v2/"] {
            wire.send((Method::GET, path), bearer(Some(token)), "").await;
        }
    }
}

/// Asks the APIs for secrets over gRPC, with a token that is good and with some that are not.
async fn grpc_requests(secrets: &mut Secrets, client: &Client, owner: &Google) {
    let wire = Wire::connect(client.address()).await;
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
        let reply = wire.call(&method.path, bearer(Some(&owner.token)), &message).await;
        assert_eq!(reply.header("grpc-status"), "0", "{name}: {reply:?}");
        // Behind the frame's head.
        let answer = DynamicMessage::decode(method.output.clone(), &reply.body[5..]);
        let answer = serde_json::to_value(answer.expect("its answer")).expect("JSON");
        let secret = answer[field].as_str().expect("text");
        match name {
            "CreateServiceAccountKey" => {
                let file = STANDARD.decode(secret).expect("base64");
                secrets.keep_key("a key by gRPC", &Key::new(&file));
            }
            "SignBlob" => secrets.keep("a signature by gRPC", &secret[..60]),
            _ => secrets.keep_token(name, secret),
        }
        for token in &refused_tokens {
            let reply = wire.call(&method.path, bearer(Some(token)), &message).await;
            assert_eq!(reply.header("grpc-status"), "16", "{name}: {reply:?}");
            secrets.are_not_in(name, &reply.body);
            secrets.are_not_in(name, format!("{:?}", reply.headers).as_bytes());
        }
        // A message whose second field ends before it should.
        let torn = [b"\x12\x7f", CANARY.as_bytes()].concat();
        let reply = wire.call_with(&method.path, bearer(Some(&owner.token)), &torn).await;
        assert_ne!(reply.header("grpc-status"), "0", "{name}: {reply:?}");
        secrets.are_not_in(name, format!("{reply:?}").as_bytes());
    }
}

/// Asks the metadata server for what it gives away, and for what it does not.
async fn metadata_requests(secrets: &mut Secrets, metadata: &Client) {
    const ACCOUNTS: &str = "/computeMetadata/v1/instance/service-accounts";
    let flavoured = metadata.clone().with("metadata-flavor", "Google");
    let token = flavoured.get(&format!("{ACCOUNTS}/default/token")).await.expect(200).json();
    secrets.keep_token("the metadata token", token["access_token"].as_str().expect("text"));
    let path = format!("{ACCOUNTS}/default/identity?audience=x&format=full");
    let identity = flavoured.get(&path).await.expect(200);
    secrets.keep_token("the metadata identity", &identity.text());
    for client in [metadata.clone(), flavoured.clone().with("x-forwarded-for", "10.0.0.1")] {
        let client = client.token(&format!("{CANARY}-token"));
        refused(secrets, &client.get(&format!("{ACCOUNTS}/default/token")).await, "metadata");
    }
}

async fn run(backend: Backend, format: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let file = |path: &Path| Stdio::from(std::fs::File::create(path).expect("writable"));
    let mut command = berth(&["serve"]);
    if let Backend::Postgres(url) = &backend {
        command.args(["--database", url]);
    }
    command.env("BERTH_LOG_FORMAT", format).env("BERTH_LOG_LEVEL", "trace").stderr(file(&log));
    command.env("BERTH_AUDIT_READS", "true").env("BERTH_METADATA_LISTEN", "127.0.0.1:0");
    command.env("BERTH_METADATA_ACCOUNT", "berth-owner@berth-admin.iam.gserviceaccount.com");
    let berth = Berth::spawn(&data, &mut command).await;
    let key = Key::new(&std::fs::read(data.join("owner-key.json")).expect("the first start's"));
    let mut secrets = Secrets(vec![("a canary".to_owned(), CANARY.to_owned())]);
    secrets.keep_key("the owner's key", &key);
    let master = std::fs::read(data.join("master.key")).expect("there");
    for text in [
        STANDARD.encode(&master),
        format!("{master:?}"),
        master.iter().map(|byte| format!("{byte:02x}")).collect(),
    ] {
        secrets.keep("the master key", &text);
    }
    let owner = good_requests(&mut secrets, &berth.client, &key).await;
    // In this order: of one address without an account, only so many refusals are written down.
    more_bad_requests(&secrets, &berth.client, (&owner, &key)).await;
    bad_requests(&secrets, &berth.client, &key).await;
    grpc_requests(&mut secrets, &berth.client, &owner).await;
    let metadata = Client::new(address(&berth.addresses["metadata"]));
    metadata_requests(&mut secrets, &metadata).await;
    let metrics = Client::new(address(&berth.addresses["ops"])).get("/metrics").await.expect(200);
    secrets.are_not_in("the metrics", &metrics.body);
    // The last line of the last request is written a moment after its answer.
    owner.client.clone().with("x-request-id", "the-last-one").get("/v2/").await.expect(200);
    while !String::from_utf8_lossy(&std::fs::read(&log).expect("readable")).contains("the-last-one")
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The last read's entry is behind all others.
    let audit = data.join("audit.log");
    let last = owner.client.clone().with("x-request-id", "the-last-read");
    last.get("/v2/my-project/r1/image/tags/list").await.expect(200);
    wait_for(|| {
        let audited = std::fs::read_to_string(&audit).expect("readable");
        audited.contains("the-last-read").then_some(())
    })
    .await;
    drop(berth);
    let audited = std::fs::read(&audit).expect("readable");
    for method in ["Docker-Token", "\"Token\"", "RevokeToken", "SignJwt", "Docker-GetManifest"] {
        assert!(String::from_utf8_lossy(&audited).contains(method), "{method} was written down");
    }
    secrets.are_not_in("the audit log", &audited);
    let written = std::fs::read(&log).expect("readable");
    assert!(written.len() > 100_000, "everything was logged");
    secrets.are_not_in("the log", &written);
    for name in ["berth.db", "berth.db-wal"] {
        // What the database holds is sealed, or a hash.
        let stored = std::fs::read(data.join(name)).unwrap_or_default();
        secrets.are_not_in(name, &stored);
    }
}

#[tokio::test]
async fn attack_40_secrets_on_sqlite_and_a_log_for_people() {
    run(Backend::Sqlite, "text").await;
}

#[tokio::test]
async fn attack_40_secrets_on_postgres_and_a_log_for_machines() {
    match Backend::postgres().await {
        Some(backend) => run(backend, "json").await,
        None => println!("SKIPPED: TEST_POSTGRES_URL is not set"),
    }
}
