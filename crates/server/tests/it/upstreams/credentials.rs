//! Credentials of remote repositories: secrets as the operator adds them, their way into the settings, and the requests
//! that carry them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{api_path, create_from_body, image_in};
use crate::util::accounts::PROJECT;
use crate::util::{
    AccountServer, Backend, GoogleClient, Image, Reply, ScriptedUpstream, UpstreamAnswer,
    blob_path, digest_of, manifest_path, on_both,
};

const ADMIN: &str = "roles/artifactregistry.admin";
const ACCESSOR: &str = "roles/secretmanager.secretAccessor";
pub(super) const SECRET: &str = "projects/my-project/secrets/vendor";
pub(super) const USER: &str = "robot";
pub(super) const PASSWORD: &str = "pa55:w0rd-canary";

on_both![
    a_registry_gets_the_password_that_it_asks_for,
    a_token_is_fetched_with_the_password,
    a_wrong_password_is_named_and_asked_for_once,
    another_version_is_used_from_the_next_request_on,
    a_secret_that_is_gone_stops_fetches_alone,
    secrets_that_do_not_fit_are_refused_by_name,
    attack_42_the_password_goes_to_no_token_host_that_the_registry_names,
    redirects_do_not_carry_the_password,
    attack_53_another_upstream_does_not_get_the_password,
    parts_of_the_credentials_are_changed_alone,
    attack_50_a_secret_of_another_project_needs_a_permission,
    tokens_are_not_shared_by_repositories_with_other_credentials
];

/// The value of `Authorization` for a password.
pub(super) fn basic(password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{USER}:{password}")))
}

fn challenge_basic() -> UpstreamAnswer {
    UpstreamAnswer::challenge("Basic realm=\"vendor\"")
}

/// A challenge that names a token endpoint of a registry.
fn challenge_token(realm: &str) -> UpstreamAnswer {
    UpstreamAnswer::challenge(format!(
        "Bearer realm=\"{realm}\",service=\"vendor\",scope=\"repository:app:pull\""
    ))
}

fn token(text: &str) -> UpstreamAnswer {
    UpstreamAnswer::blob(json!({ "token": text, "expires_in": 300 }).to_string())
}

/// Sends a command to the operator's socket.
pub(super) async fn send_secrets_command(
    accounts: &AccountServer,
    action: Value,
) -> Result<Value, String> {
    accounts.server.operate(&json!({ "command": "secrets", "action": action })).await
}

/// A server that may reach this machine, and an upstream.
pub(super) struct CredentialTest {
    pub(super) accounts: AccountServer,
    pub(super) upstream: ScriptedUpstream,
    image: Image,
}

impl CredentialTest {
    async fn start(backend: Backend) -> Self {
        Self::start_with_token_hosts(backend, Vec::new()).await
    }

    /// Starts an upstream that serves an image to everybody.
    async fn start_with_token_hosts(backend: Backend, token_hosts: Vec<String>) -> Self {
        let accounts = AccountServer::start_with(backend, |config| {
            config.egress.allow = vec!["127.0.0.0/8".to_owned()];
            config.egress.token_hosts = token_hosts;
        });
        let (accounts, upstream) = (accounts.await, ScriptedUpstream::start().await);
        let image = Image::new(1);
        upstream.serve(&image, ("app", "1"));
        Self { accounts, upstream, image }
    }

    /// Starts an upstream that asks for the password, and the remote repository `remote` with credentials for it.
    pub(super) async fn start_with_password(backend: Backend) -> Self {
        let test = Self::start(backend).await;
        test.upstream.guard(&basic(PASSWORD), &challenge_basic());
        test.add_secret(SECRET, PASSWORD).await;
        test.create("remote", &test.body("latest")).await.expect_status(200);
        test
    }

    pub(super) async fn command(&self, action: Value) -> Result<Value, String> {
        send_secrets_command(&self.accounts, action).await
    }

    async fn add(&self, secret: &str, origin: &str, value: &str) -> Result<Value, String> {
        let add = json!({ "secret": secret, "origin": origin, "value": value });
        self.command(json!({ "add": add })).await
    }

    /// Adds a version of a secret for the upstream.
    pub(super) async fn add_secret(&self, secret: &str, value: &str) {
        self.add(secret, &self.upstream.url(), value).await.expect("added");
    }

    async fn set_enabled(&self, version: &str, enabled: bool) {
        let change =
            json!({ "version": format!("{SECRET}/versions/{version}"), "enabled": enabled });
        self.command(json!({ "set_enabled": change })).await.expect("changed");
    }

    /// The settings of a remote repository of the upstream, with a version of the secret.
    pub(super) fn body(&self, version: &str) -> Value {
        body_of(&self.upstream.url(), &format!("{SECRET}/versions/{version}"))
    }

    async fn create(&self, id: &str, body: &Value) -> Reply {
        create_from_body(&self.accounts, id, body).await
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.accounts.owner.client.get(path).await
    }

    pub(super) async fn pull(&self, repository: &str, reference: &str) -> Reply {
        self.get(&manifest_path(&image_in(repository, "app"), reference)).await
    }

    /// Pulls the image with its blobs.
    pub(super) async fn expect_pull(&self, repository: &str) {
        let pulled = self.pull(repository, "1").await.expect_status(200);
        assert_eq!(pulled.text(), self.image.manifest);
        for blob in &self.image.blobs {
            let path = blob_path(&image_in(repository, "app"), digest_of(blob));
            assert_eq!(self.get(&path).await.expect_status(200).body, *blob);
        }
    }

    #[track_caller]
    fn expect_never_sent(&self, elsewhere: &ScriptedUpstream) {
        for asked in elsewhere.asked() {
            assert_eq!(asked.authorization(), "", "{asked:?}");
        }
    }
}

pub(super) fn body_of(url: &str, secret: &str) -> Value {
    let password = json!({ "username": USER, "passwordSecretVersion": secret });
    json!({ "format": "DOCKER", "mode": "REMOTE_REPOSITORY", "remoteRepositoryConfig": {
        "commonRepository": { "uri": url },
        "upstreamCredentials": { "usernamePasswordCredentials": password } } })
}

/// The credentials that a repository shows.
async fn shown(caller: &GoogleClient, repository: &str) -> Value {
    let described = caller.get(&api_path(repository, "")).await.expect_status(200).json();
    described["remoteRepositoryConfig"]["upstreamCredentials"]["usernamePasswordCredentials"]
        .clone()
}

#[track_caller]
pub(super) fn expect_problem(reply: Reply, outcome: &str, text: &str) {
    let message = reply.expect_oci_error(outcome).oci_message();
    assert!(message.contains("the upstream 127.0.0.1:"), "{message}");
    assert!(message.contains(text), "{message}");
}

async fn a_registry_gets_the_password_that_it_asks_for(backend: Backend) {
    let test = CredentialTest::start_with_password(backend).await;
    test.expect_pull("remote").await;
    let asked = test.upstream.asked();
    // After the first request, the registry is known to want it.
    let without = asked.iter().filter(|asked| asked.authorization().is_empty()).count();
    assert_eq!(without, 1, "{asked:?}");
    assert_eq!(asked.len(), 2 + test.image.blobs.len());
    let reference = format!("{SECRET}/versions/latest");
    let expected = json!({ "username": USER, "passwordSecretVersion": reference });
    assert_eq!(shown(&test.accounts.owner, "remote").await, expected);
}

async fn a_token_is_fetched_with_the_password(backend: Backend) {
    let test = CredentialTest::start(backend).await;
    let realm = format!("{}/token", test.upstream.url());
    test.upstream.guard("Bearer t0k3n", &challenge_token(&realm));
    let refused = UpstreamAnswer::status(401);
    test.upstream.set("/token", token("t0k3n").guarded(basic(PASSWORD), refused));
    test.add_secret(SECRET, PASSWORD).await;
    test.create("remote", &test.body("1")).await.expect_status(200);
    test.expect_pull("remote").await;
    let asked = test.upstream.asked();
    let tokens: Vec<_> = asked.iter().filter(|asked| asked.line == "GET /token").collect();
    assert_eq!(tokens.len(), 1, "{asked:?}");
    for part in ["service=vendor", "scope=repository%3Aapp%3Apull", "account=robot"] {
        assert!(tokens[0].query.split('&').any(|field| field == part), "{tokens:?}");
    }
    let others = asked.iter().filter(|asked| asked.line != "GET /token");
    assert!(others.into_iter().all(|asked| ["", "Bearer t0k3n"].contains(&asked.authorization())));
    // A token that the registry takes no more is replaced once.
    test.upstream.serve(&Image::new(2), ("app", "2"));
    test.upstream.guard("Bearer other", &challenge_token(&realm));
    test.upstream
        .set("/token", token("other").guarded(basic(PASSWORD), UpstreamAnswer::status(401)));
    let before = test.upstream.asked().len();
    test.pull("remote", "2").await.expect_status(200);
    let since = test.upstream.asked().split_off(before);
    assert_eq!(since.iter().filter(|asked| asked.line == "GET /token").count(), 1, "{since:?}");
}

async fn a_wrong_password_is_named_and_asked_for_once(backend: Backend) {
    let test = CredentialTest::start(backend).await;
    test.upstream.guard(&basic("another"), &challenge_basic());
    test.add_secret(SECRET, PASSWORD).await;
    test.create("remote", &test.body("1")).await.expect_status(200);
    for requests in [2, 3] {
        let refused = test.pull("remote", "1").await;
        expect_problem(refused, "502 UNAVAILABLE", "refused the credentials: it answered 401");
        assert_eq!(test.upstream.asked().len(), requests, "{:?}", test.upstream.asked());
    }
    // A token endpoint refuses, and then the registry itself although there is a token.
    let realm = format!("{}/token", test.upstream.url());
    test.upstream.set_all(&challenge_token(&realm));
    test.upstream.set("/token", UpstreamAnswer::status(403));
    let before = test.upstream.asked().len();
    let refused = test.pull("remote", "1").await;
    expect_problem(refused, "502 UNAVAILABLE", "refused the credentials: it answered 403");
    assert_eq!(test.upstream.asked().len(), before + 2);
    test.upstream.set("/token", token("t0k3n"));
    let refused = test.pull("remote", "1").await;
    expect_problem(refused, "502 UNAVAILABLE", "refused the credentials: it answered 401");
    assert_eq!(test.upstream.asked().len(), before + 5);
    // A refusal that asks for nothing is not one of the credentials.
    test.upstream.set("/v2/app/manifests/2", UpstreamAnswer::status(403));
    expect_problem(test.pull("remote", "3").await, "404 MANIFEST_UNKNOWN", "has no such image");
}

async fn another_version_is_used_from_the_next_request_on(backend: Backend) {
    let test = CredentialTest::start_with_password(backend).await;
    test.pull("remote", "1").await.expect_status(200);
    test.create("pinned", &test.body("1")).await.expect_status(200);
    // The registry changes its password, and the operator follows.
    test.upstream.serve(&Image::new(2), ("app", "2"));
    test.upstream.serve(&Image::new(3), ("app", "3"));
    test.upstream.guard(&basic("n3w"), &challenge_basic());
    let refused = test.pull("remote", "2").await;
    expect_problem(refused, "502 UNAVAILABLE", "refused the credentials");
    let added = test.command(json!({ "add": { "secret": SECRET, "value": "n3w" } })).await;
    assert_eq!(added, Ok(json!({ "added": format!("{SECRET}/versions/2") })));
    test.pull("remote", "2").await.expect_status(200);
    expect_problem(test.pull("pinned", "2").await, "502 UNAVAILABLE", "refused the credentials");
    // The newest version counts also when it is disabled.
    test.set_enabled("2", false).await;
    let text = "the credentials for it are not available";
    expect_problem(test.pull("remote", "3").await, "502 UNAVAILABLE", text);
    test.set_enabled("2", true).await;
    test.pull("remote", "3").await.expect_status(200);
}

async fn a_secret_that_is_gone_stops_fetches_alone(backend: Backend) {
    let test = CredentialTest::start_with_password(backend).await;
    test.pull("remote", "1").await.expect_status(200);
    test.upstream.serve(&Image::new(2), ("app", "2"));
    let text = "is not asked: the credentials for it are not available";
    test.set_enabled("1", false).await;
    let before = test.upstream.asked().len();
    test.pull("remote", "1").await.expect_status(200);
    expect_problem(test.pull("remote", "2").await, "502 UNAVAILABLE", text);
    let layer = blob_path(&image_in("remote", "app"), digest_of(&test.image.blobs[1]));
    expect_problem(test.get(&layer).await, "502 UNAVAILABLE", text);
    // Settings that change nothing of it are still changed.
    let mut described = test.body("latest");
    described["description"] = json!("of a vendor");
    let path = api_path("remote", "");
    test.accounts.owner.patch(&path, &described).await.expect_status(200);
    let delete = json!({ "delete": { "name": SECRET } });
    let deleted = test.command(delete.clone()).await.expect("deleted");
    let users = [crate::util::google::repository_name(PROJECT, "remote")];
    assert_eq!(deleted, json!({ "changed": users }));
    assert!(test.command(delete).await.is_err_and(|error| error.contains("was not found")));
    test.pull("remote", "1").await.expect_status(200);
    expect_problem(test.pull("remote", "2").await, "502 UNAVAILABLE", text);
    assert_eq!(test.upstream.asked().len(), before, "the registry was not asked");
    // A secret for another registry does not take its place.
    test.add(SECRET, "http://127.0.0.1:1", PASSWORD).await.expect("added");
    expect_problem(test.pull("remote", "2").await, "502 UNAVAILABLE", text);
    assert_eq!(test.upstream.asked().len(), before);
}

async fn secrets_that_do_not_fit_are_refused_by_name(backend: Backend) {
    let test = CredentialTest::start(backend).await;
    test.add_secret(SECRET, PASSWORD).await;
    let other = "projects/my-project/secrets/other";
    test.add(other, "https://registry.example.com", PASSWORD).await.expect("added");
    test.set_enabled("1", true).await;
    test.add_secret(SECRET, "second").await;
    test.set_enabled("2", false).await;
    let secret = |version: &str| format!("{SECRET}/versions/{version}");
    let url = test.upstream.url();
    let cases = [
        (secret("3"), "400 INVALID_ARGUMENT", "versions/3 does not exist"),
        (secret("2"), "400 FAILED_PRECONDITION", "versions/2 is disabled"),
        (secret("latest"), "400 FAILED_PRECONDITION", "versions/latest is disabled"),
        (
            format!("{other}/versions/1"),
            "400 INVALID_ARGUMENT",
            "is for https://registry.example.com",
        ),
        (
            "projects/my-project/secrets/none/versions/1".to_owned(),
            "400 INVALID_ARGUMENT",
            "does not exist",
        ),
        (SECRET.to_owned(), "400 INVALID_ARGUMENT", "is no version of a secret"),
        (secret("0"), "400 INVALID_ARGUMENT", "is no version of a secret"),
        (String::new(), "400 INVALID_ARGUMENT", "need each other"),
    ];
    for (secret, outcome, text) in cases {
        let refused = test.create("remote", &body_of(&url, &secret)).await;
        let refused = refused.expect_google_error(outcome);
        assert!(refused.text().contains(text), "{text}: {refused:#?}");
    }
    // An upstream of this registry takes none.
    let own = format!("projects/{PROJECT}/locations/us-west1/repositories/main");
    test.accounts.create_repository(PROJECT, "main").await;
    let refused = test.create("remote", &body_of(&own, &secret("1"))).await;
    let refused = refused.expect_google_error("400 INVALID_ARGUMENT");
    assert!(refused.text().contains("only an upstream with a URL"), "{refused:#?}");
    test.create("remote", &test.body("1")).await.expect_status(200);
    // What the operator does is checked as well.
    let elsewhere = test.add(SECRET, "https://other.example.com", "x").await;
    assert!(elsewhere.is_err_and(|error| error.contains("keeps its origin")));
    for (name, origin, value, text) in [
        ("projects/absent/secrets/s", "https://a.test", "x", "Project absent was not found"),
        ("projects/my-project/secrets/a.b", "https://a.test", "x", "is no secret"),
        ("projects/my-project/secrets/s", "https://a.test/path", "x", "is no origin"),
        ("projects/my-project/secrets/s", "https://a.test", "", "is empty"),
        ("projects/my-project/secrets/s", "https://a.test", "a\u{0}b", "cannot be a password"),
    ] {
        let refused = test.add(name, origin, value).await;
        assert!(refused.as_ref().is_err_and(|error| error.contains(text)), "{refused:?}");
    }
    let long = "x".repeat(65_537);
    let refused = test.add("projects/my-project/secrets/s", "https://a.test", &long).await;
    assert!(refused.as_ref().is_err_and(|error| error.contains("64 KiB")), "{refused:?}");
    let quotes = "\"".repeat(65_536);
    test.add("projects/my-project/secrets/s", "https://a.test", &quotes).await.expect("added");
}

/// A registry that was broken into could name any place where tokens are.
async fn attack_42_the_password_goes_to_no_token_host_that_the_registry_names(backend: Backend) {
    let elsewhere = ScriptedUpstream::start().await;
    let test = CredentialTest::start(backend.clone()).await;
    elsewhere.set("/token", token("t0k3n"));
    let realm = format!("{}/token", elsewhere.url());
    test.upstream.guard("Bearer t0k3n", &challenge_token(&realm));
    test.add_secret(SECRET, PASSWORD).await;
    test.create("remote", &test.body("1")).await.expect_status(200);
    let refused = test.pull("remote", "1").await;
    expect_problem(refused, "502 UNAVAILABLE", "which egress.token_hosts does not list");
    assert_eq!(elsewhere.asked().len(), 0);
    for realm in ["http://robot@127.0.0.1/token", "ftp://127.0.0.1/token", "/token"] {
        test.upstream.set_all(&challenge_token(realm));
        test.pull("remote", "1").await.expect_oci_error("502 UNAVAILABLE");
    }
    test.expect_never_sent(&test.upstream);
    // An anonymous repository goes on asking there.
    let anonymous = json!({ "format": "DOCKER", "mode": "REMOTE_REPOSITORY",
        "remoteRepositoryConfig": { "commonRepository": { "uri": test.upstream.url() } } });
    test.upstream.serve(&test.image, ("app", "1"));
    test.upstream.guard("Bearer t0k3n", &challenge_token(&realm));
    test.create("anonymous", &anonymous).await.expect_status(200);
    test.pull("anonymous", "1").await.expect_status(200);
    test.expect_never_sent(&elsewhere);
    // Where the operator lists the host, it gets the password.
    let listed = vec![elsewhere.address.to_string()];
    let test = CredentialTest::start_with_token_hosts(Backend::Sqlite, listed).await;
    elsewhere.set("/token", token("t0k3n").guarded(basic(PASSWORD), UpstreamAnswer::status(401)));
    test.upstream.guard("Bearer t0k3n", &challenge_token(&realm));
    test.add_secret(SECRET, PASSWORD).await;
    test.create("remote", &test.body("1")).await.expect_status(200);
    test.expect_pull("remote").await;
}

async fn redirects_do_not_carry_the_password(backend: Backend) {
    let test = CredentialTest::start_with_password(backend).await;
    let store = ScriptedUpstream::start().await;
    let layer = &test.image.blobs[1];
    let path = blob_path("app", digest_of(layer));
    let redirect = UpstreamAnswer::redirect(format!("{}/stored", store.url()));
    test.upstream.set(&path, redirect.guarded(basic(PASSWORD), challenge_basic()));
    store.set("/stored", UpstreamAnswer::blob(layer.clone()));
    test.expect_pull("remote").await;
    assert_eq!(store.asked().len(), 1);
    // A place to which the registry redirects asks in vain, and cannot send us back with the password.
    store.set("/stored", challenge_basic());
    let other = Image::new(2);
    test.upstream.serve(&other, ("app", "2"));
    let path = blob_path("app", digest_of(&other.blobs[1]));
    test.upstream.set(&path, UpstreamAnswer::redirect(format!("{}/stored", store.url())));
    test.pull("remote", "2").await.expect_status(200);
    let pull = blob_path(&image_in("remote", "app"), digest_of(&other.blobs[1]));
    expect_problem(test.get(&pull).await, "502 UNAVAILABLE", "answered 401");
    store.set("/stored", UpstreamAnswer::redirect(format!("{}/chosen", test.upstream.url())));
    test.get(&pull).await.expect_status(404);
    let asked = test.upstream.asked();
    let chosen = asked.iter().find(|asked| asked.line == "GET /chosen").expect("asked");
    assert_eq!(chosen.authorization(), "");
    test.expect_never_sent(&store);
}

/// Whoever may change a repository could otherwise point it to a registry of their own.
async fn attack_53_another_upstream_does_not_get_the_password(backend: Backend) {
    let test = CredentialTest::start_with_password(backend).await;
    let elsewhere = ScriptedUpstream::start().await;
    elsewhere.serve(&test.image, ("app", "1"));
    elsewhere.guard(&basic(PASSWORD), &challenge_basic());
    let owner = &test.accounts.owner;
    let moved = body_of(&elsewhere.url(), &format!("{SECRET}/versions/latest"));
    let refused = owner.patch(&api_path("remote", ""), &moved).await;
    let refused = refused.expect_google_error("400 INVALID_ARGUMENT");
    assert!(refused.text().contains("and not for this upstream"), "{refused:#?}");
    // The URL alone: another path keeps the credentials, and another origin clears them.
    let source =
        |url: &str| json!({ "remoteRepositoryConfig": { "commonRepository": { "uri": url } } });
    let mask = "?updateMask=remoteRepositoryConfig.commonRepository";
    let path = api_path("remote", mask);
    let below = format!("{}/below", test.upstream.url());
    owner.patch(&path, &source(&below)).await.expect_status(200);
    assert_eq!(shown(owner, "remote").await["username"], USER);
    for url in [elsewhere.url(), test.upstream.url()] {
        owner.patch(&path, &source(&url)).await.expect_status(200);
        assert_eq!(shown(owner, "remote").await, Value::Null, "{url}");
        test.pull("remote", "1").await.expect_oci_error("502 UNAVAILABLE");
    }
    test.expect_never_sent(&elsewhere);
    let listed = test.command(json!({ "list": {} })).await.expect("a list");
    assert_eq!(listed["listed"][0]["used_by"], json!([]));
    // With a secret of its own, the new upstream is asked.
    let other = "projects/my-project/secrets/other";
    test.add(other, &elsewhere.url(), PASSWORD).await.expect("added");
    let moved = body_of(&elsewhere.url(), &format!("{other}/versions/1"));
    let mask = "?updateMask=remoteRepositoryConfig.commonRepository,remoteRepositoryConfig.upstreamCredentials";
    owner.patch(&api_path("remote", mask), &moved).await.expect_status(200);
    test.pull("remote", "1").await.expect_status(200);
}

/// gcloud names the user name and the secret each by itself.
async fn parts_of_the_credentials_are_changed_alone(backend: Backend) {
    let test = CredentialTest::start_with_password(backend).await;
    let owner = &test.accounts.owner;
    let part = "remoteRepositoryConfig.upstreamCredentials.usernamePasswordCredentials";
    let change = async |fields: &str, password: Value| {
        let fields: Vec<_> = fields.split(',').map(|field| format!("{part}.{field}")).collect();
        let body = json!({ "remoteRepositoryConfig":
            { "upstreamCredentials": { "usernamePasswordCredentials": password } } });
        owner.patch(&api_path("remote", &format!("?updateMask={}", fields.join(","))), &body).await
    };
    let first = format!("{SECRET}/versions/1");
    change("passwordSecretVersion", json!({ "passwordSecretVersion": first }))
        .await
        .expect_status(200);
    let expected = json!({ "username": USER, "passwordSecretVersion": first });
    assert_eq!(shown(owner, "remote").await, expected);
    change("username", json!({ "username": "other" })).await.expect_status(200);
    assert_eq!(shown(owner, "remote").await["username"], "other");
    test.pull("remote", "1").await.expect_oci_error("502 UNAVAILABLE");
    let wrong = change("username", json!({ "username": "a:b" })).await;
    wrong.expect_google_error("400 INVALID_ARGUMENT");
    change("username", json!({})).await.expect_google_error("400 INVALID_ARGUMENT");
    change("username,passwordSecretVersion", json!({})).await.expect_status(200);
    let described = owner.get(&api_path("remote", "")).await.expect_status(200).json();
    let config = json!({ "commonRepository": { "uri": test.upstream.url() } });
    assert_eq!(described["remoteRepositoryConfig"], config);
}

async fn attack_50_a_secret_of_another_project_needs_a_permission(backend: Backend) {
    let test = CredentialTest::start(backend).await;
    let owner = &test.accounts.owner;
    owner.create_project("tenant-b").await.expect_status(200);
    test.upstream.guard(&basic(PASSWORD), &challenge_basic());
    let theirs = "projects/tenant-b/secrets/vendor";
    test.add_secret(theirs, PASSWORD).await;
    let own_project = format!("projects/{PROJECT}");
    let admin = test.accounts.create_actor_with("admin-of-a", (ADMIN, &own_project)).await;
    let path = |id: &str| {
        format!("{}?repositoryId={id}", crate::util::accounts::repositories_path(PROJECT))
    };
    let body = body_of(&test.upstream.url(), &format!("{theirs}/versions/1"));
    let absent = body_of(&test.upstream.url(), "projects/tenant-b/secrets/absent/versions/1");
    let nowhere = body_of(&test.upstream.url(), "projects/tenant-c/secrets/absent/versions/1");
    // What is there and what is not look the same.
    for (body, project) in [(&body, "tenant-b"), (&absent, "tenant-b"), (&nowhere, "tenant-c")] {
        let refused = admin.post(&path("remote"), body).await;
        let refused = refused.expect_google_error("403 PERMISSION_DENIED");
        let text = format!(
            "versions.access' denied on resource '//artifactregistry.googleapis.com/projects/{project}'"
        );
        assert!(refused.text().contains(&text), "{refused:#?}");
    }
    owner.grant_role("projects/tenant-b", ACCESSOR, &admin.member()).await;
    admin.post(&path("remote"), &body).await.expect_status(200);
    let refused = admin.post(&path("other"), &absent).await;
    refused.expect_google_error("400 INVALID_ARGUMENT");
    test.pull("remote", "1").await.expect_status(200);
    // The repository keeps the secret when the one who named it may not use it any more.
    owner.revoke_role("projects/tenant-b", ACCESSOR, &admin.member()).await;
    admin.patch(&api_path("remote", ""), &body).await.expect_status(200);
    test.expect_pull("remote").await;
    admin.post(&path("other"), &body).await.expect_google_error("403 PERMISSION_DENIED");
    let mut changed = body.clone();
    changed["remoteRepositoryConfig"]["upstreamCredentials"]["usernamePasswordCredentials"]["username"] =
        json!("other");
    let refused = admin.patch(&api_path("remote", ""), &changed).await;
    refused.expect_google_error("403 PERMISSION_DENIED");
}

async fn tokens_are_not_shared_by_repositories_with_other_credentials(backend: Backend) {
    let test = CredentialTest::start(backend).await;
    let realm = format!("{}/token", test.upstream.url());
    test.upstream.guard("Bearer good", &challenge_token(&realm));
    // Whoever is not the first user gets a token that opens nothing.
    test.upstream.set("/token", token("good").guarded(basic(PASSWORD), token("useless")));
    test.add_secret(SECRET, PASSWORD).await;
    let other = "projects/my-project/secrets/other";
    test.add_secret(other, "another").await;
    let url = test.upstream.url();
    let anonymous = json!({ "format": "DOCKER", "mode": "REMOTE_REPOSITORY",
        "remoteRepositoryConfig": { "commonRepository": { "uri": url } } });
    test.create("first", &test.body("1")).await.expect_status(200);
    test.create("second", &body_of(&url, &format!("{other}/versions/1"))).await.expect_status(200);
    test.create("anonymous", &anonymous).await.expect_status(200);
    test.expect_pull("first").await;
    expect_problem(test.pull("second", "1").await, "502 UNAVAILABLE", "refused the credentials");
    expect_problem(test.pull("anonymous", "1").await, "502 UNAVAILABLE", "answered 401");
    assert_eq!(test.upstream.count("GET /token"), 3);
    // The bytes that the first one has fetched are not theirs either.
    let by_digest = test.pull("anonymous", &test.image.digest()).await;
    by_digest.expect_oci_error("502 UNAVAILABLE");
    let layer = blob_path(&image_in("second", "app"), digest_of(&test.image.blobs[1]));
    test.get(&layer).await.expect_oci_error("404 BLOB_UNKNOWN");
    // Two repositories with the same credentials share a token.
    test.create("third", &test.body("1")).await.expect_status(200);
    test.expect_pull("third").await;
    assert_eq!(test.upstream.count("GET /token"), 3 + 1, "the failing pull asked once more");
}
