//! Attack 19 at another process: each process refuses a credential within the promised five seconds after another
//! process revoked it. A process that cannot ask for revocations refuses as soon.
//!
//! These tests alone have deadlines as short as the time that they are about.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::time::timeout;

use crate::util::accounts::{PROJECT, exchange_assertion, key_name, post_form};
use crate::util::database::{close_database, reopen_database, start_database_proxy};
use crate::util::google::repository_name;
use crate::util::process::{BerthProcess, berth_command};
use crate::util::{AccountKey, AccountServer, Backend, Client, GoogleClient, Image};

const PROMISED: Duration = Duration::from_secs(5);
const IMAGE: &str = "my-project/r1/image";
const MANIFEST: &str = "/v2/my-project/r1/image/manifests/latest";
const READER: &str = "roles/artifactregistry.reader";

/// Starts `berth serve` on this database.
async fn start_process(data: &Path, database: &str) -> BerthProcess {
    let mut command = berth_command(&["serve", "--database", database]);
    BerthProcess::spawn(data, command.stderr(Stdio::null())).await
}

async fn sign_in_at(client: &Client, key: &AccountKey) -> GoogleClient {
    let assertion = key.signed_token(&key.assertion_claims(jiff::Timestamp::now().as_second()));
    let answer = exchange_assertion(client, &assertion).await.expect_status(200).json();
    GoogleClient::new(client, answer["access_token"].as_str().expect("text"), key.email())
}

/// Signs the owner in at this server.
async fn sign_in_owner(client: &Client, data: &Path) -> GoogleClient {
    let file = std::fs::read(data.join("owner-key.json")).expect("the first start's");
    sign_in_at(client, &AccountKey::new(&file)).await
}

/// Creates an account that may read the repository, and a key for it.
async fn create_reader(owner: &GoogleClient, id: &str) -> AccountKey {
    owner.create_account(PROJECT, id).await.expect_status(200);
    let email = format!("{id}@{PROJECT}.iam.gserviceaccount.com");
    owner
        .grant_role(&repository_name(PROJECT, "r1"), READER, &format!("serviceAccount:{email}"))
        .await;
    owner.create_key(&email).await
}

/// Clients with the account's credentials, each of which the process has accepted and cached.
async fn remembered_clients(at: &Client, account: &GoogleClient, key: &AccountKey) -> Vec<Client> {
    let registry = account.registry_token(&["repository:my-project/r1/image:pull"]).await;
    let file = STANDARD.encode(format!("_json_key:{}", key.file));
    let shown = vec![
        at.clone().with_token(&account.token),
        at.clone().with_token(&registry),
        at.clone().with_header("authorization", &format!("Basic {file}")),
    ];
    for client in &shown {
        AccountServer::wait_for_status(async || client.get(MANIFEST).await, 200).await;
    }
    shown
}

/// Asserts that each client is refused within the promised time.
async fn expect_refused_in_time(clients: &[Client], path: &str, status: u16) {
    let until = Instant::now() + PROMISED;
    for client in clients {
        loop {
            let asked = Instant::now();
            let reply = client.get(path).await;
            if reply.status == status {
                break;
            }
            assert!(asked < until, "not refused in time: {reply:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    for client in clients {
        client.get(path).await.expect_status(status);
    }
}

/// Asserts that a cached credential is refused within the promised time. A request that waits for the database counts
/// as refused.
async fn expect_not_let_in(client: &Client) {
    let until = Instant::now() + PROMISED;
    loop {
        let asked = Instant::now();
        match timeout(PROMISED, client.get("/v2/")).await {
            Ok(reply) if reply.status == 200 => {}
            Ok(reply) => break drop(reply.expect_status(503)),
            Err(_) => break,
        }
        assert!(asked < until, "let in by what nobody looked up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn attack_19_another_process_refuses_in_time() {
    let Some(Backend::Postgres(database)) = Backend::postgres().await else {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let a = start_process(folder.path(), &database).await;
    let b = start_process(folder.path(), &database).await;
    let owner = sign_in_owner(&a.client, folder.path()).await;
    owner.create_repository(PROJECT, "r1").await.expect_status(200);
    Image::new(1).push(&owner.client, (IMAGE, "latest")).await;
    let mut keys = Vec::new();
    for id in ["revoked-reader", "keyless-reader", "former-reader"] {
        keys.push(create_reader(&owner, id).await);
    }
    let [revoked, keyless, former] = &keys[..] else { unreachable!("three were made") };

    let account = sign_in_at(&a.client, revoked).await;
    let shown = remembered_clients(&b.client, &account, revoked).await;
    post_form(&a.client, "/revoke", &[("token", &account.token)]).await.expect_status(200);
    // The token and the registry token made from it are refused, but not the key.
    expect_refused_in_time(&shown[..2], MANIFEST, 401).await;
    shown[2].get(MANIFEST).await.expect_status(200);

    let account = sign_in_at(&a.client, keyless).await;
    let shown = remembered_clients(&b.client, &account, keyless).await;
    owner.post(&format!("/v1/{}:disable", key_name(keyless)), &json!({})).await.expect_status(200);
    expect_refused_in_time(&shown, MANIFEST, 401).await;

    let account = sign_in_at(&a.client, former).await;
    let shown = remembered_clients(&b.client, &account, former).await;
    owner.revoke_role(&repository_name(PROJECT, "r1"), READER, &account.member()).await;
    expect_refused_in_time(&shown, MANIFEST, 403).await;
}

/// `/v2/` needs only a credential, so a cached credential is the only way to an answer without the database.
#[tokio::test]
async fn attack_19_a_process_without_its_database_trusts_no_cache() {
    let Some(Backend::Postgres(database)) = Backend::postgres().await else {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let berth = start_process(folder.path(), &database).await;
    let owner = sign_in_owner(&berth.client, folder.path()).await;
    owner.get("/v2/").await.expect_status(200);
    close_database(&database).await;
    expect_not_let_in(&owner.client).await;
    owner.get("/v2/").await.expect_status(503);
    reopen_database(&database).await;
    AccountServer::wait_for_status(async || owner.get("/v2/").await, 200).await;
}

/// The database is there, but one process gets no answer from it.
#[tokio::test]
async fn attack_19_a_process_that_hears_no_revocations_lets_nobody_in() {
    let Some(Backend::Postgres(database)) = Backend::postgres().await else {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    };
    let (slow, silent) = start_database_proxy(&database).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let a = start_process(folder.path(), &database).await;
    let b = start_process(folder.path(), &slow).await;
    let owner = sign_in_owner(&a.client, folder.path()).await;
    let there = b.client.clone().with_token(&owner.token);
    there.get("/v2/").await.expect_status(200);
    silent.send_replace(true);
    post_form(&a.client, "/revoke", &[("token", &owner.token)]).await.expect_status(200);
    expect_not_let_in(&there).await;
}
