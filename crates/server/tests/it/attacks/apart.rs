//! Attack 19 at another process: what one has taken away, each refuses within the five seconds that are promised. One
//! that cannot ask what was taken away refuses as soon.
//!
//! These are the only deadlines in our tests that are as short as what they are about.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::time::timeout;

use crate::util::accounts::{PROJECT, exchange, key_name, post_form};
use crate::util::database::{open, shut, that_falls_silent};
use crate::util::google::repository;
use crate::util::process::{Berth, berth};
use crate::util::{Accounts, Backend, Client, Google, Image, Key};

const PROMISED: Duration = Duration::from_secs(5);
const IMAGE: &str = "my-project/r1/image";
const MANIFEST: &str = "/v2/my-project/r1/image/manifests/latest";
const READER: &str = "roles/artifactregistry.reader";

/// `berth serve` on that database.
async fn process(data: &Path, database: &str) -> Berth {
    let mut command = berth(&["serve", "--database", database]);
    Berth::spawn(data, command.stderr(Stdio::null())).await
}

async fn signed_in(client: &Client, key: &Key) -> Google {
    let assertion = key.signed(&key.claims(jiff::Timestamp::now().as_second()));
    let answer = exchange(client, &assertion).await.expect(200).json();
    Google::new(client, answer["access_token"].as_str().expect("text"), key.email())
}

/// The owner of everything, signed in there.
async fn owner(client: &Client, data: &Path) -> Google {
    let file = std::fs::read(data.join("owner-key.json")).expect("the first start's");
    signed_in(client, &Key::new(&file)).await
}

/// An account that reads the repository, and a key of its own.
async fn reader(owner: &Google, id: &str) -> Key {
    owner.create_account(PROJECT, id).await.expect(200);
    let email = format!("{id}@{PROJECT}.iam.gserviceaccount.com");
    owner.bind(&repository(PROJECT, "r1"), READER, &format!("serviceAccount:{email}")).await;
    owner.create_key(&email).await
}

/// What this account shows at a process, each of which is good there and remembered.
async fn remembered(at: &Client, account: &Google, key: &Key) -> Vec<Client> {
    let registry = account.registry_token(&["repository:my-project/r1/image:pull"]).await;
    let file = STANDARD.encode(format!("_json_key:{}", key.file));
    let shown = vec![
        at.clone().token(&account.token),
        at.clone().token(&registry),
        at.clone().with("authorization", &format!("Basic {file}")),
    ];
    for client in &shown {
        Accounts::until(async || client.get(MANIFEST).await, 200).await;
    }
    shown
}

/// Asks until each has been refused, which must not take longer from now than is promised.
async fn refused_in_time(clients: &[Client], path: &str, status: u16) {
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
        client.get(path).await.expect(status);
    }
}

/// The same where only a memory could let somebody in. A question that waits for the database lets nobody in either.
async fn let_in_no_more(client: &Client) {
    let until = Instant::now() + PROMISED;
    loop {
        let asked = Instant::now();
        match timeout(PROMISED, client.get("/v2/")).await {
            Ok(reply) if reply.status == 200 => {}
            Ok(reply) => break drop(reply.expect(503)),
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
    let a = process(folder.path(), &database).await;
    let b = process(folder.path(), &database).await;
    let owner = owner(&a.client, folder.path()).await;
    owner.create_repository(PROJECT, "r1").await.expect(200);
    Image::new(1).push(&owner.client, (IMAGE, "latest")).await;
    let mut keys = Vec::new();
    for id in ["revoked-reader", "keyless-reader", "former-reader"] {
        keys.push(reader(&owner, id).await);
    }
    let [revoked, keyless, former] = &keys[..] else { unreachable!("three were made") };

    let account = signed_in(&a.client, revoked).await;
    let shown = remembered(&b.client, &account, revoked).await;
    post_form(&a.client, "/revoke", &[("token", &account.token)]).await.expect(200);
    // The token, and what was made of it; not the key.
    refused_in_time(&shown[..2], MANIFEST, 401).await;
    shown[2].get(MANIFEST).await.expect(200);

    let account = signed_in(&a.client, keyless).await;
    let shown = remembered(&b.client, &account, keyless).await;
    owner.post(&format!("/v1/{}:disable", key_name(keyless)), &json!({})).await.expect(200);
    refused_in_time(&shown, MANIFEST, 401).await;

    let account = signed_in(&a.client, former).await;
    let shown = remembered(&b.client, &account, former).await;
    owner.unbind(&repository(PROJECT, "r1"), READER, &account.member()).await;
    refused_in_time(&shown, MANIFEST, 403).await;
}

/// `/v2/` asks for nothing but a credential, which is remembered: only that keeps the database out of the answer.
#[tokio::test]
async fn attack_19_without_its_database_a_process_trusts_no_memory() {
    let Some(Backend::Postgres(database)) = Backend::postgres().await else {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let berth = process(folder.path(), &database).await;
    let owner = owner(&berth.client, folder.path()).await;
    owner.get("/v2/").await.expect(200);
    shut(&database).await;
    let_in_no_more(&owner.client).await;
    owner.get("/v2/").await.expect(503);
    open(&database).await;
    Accounts::until(async || owner.get("/v2/").await, 200).await;
}

/// The same where the database is there, and everything has reached it but the process that was not told.
#[tokio::test]
async fn attack_19_what_a_process_is_not_told_it_does_not_let_in() {
    let Some(Backend::Postgres(database)) = Backend::postgres().await else {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    };
    let (slow, silent) = that_falls_silent(&database).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let a = process(folder.path(), &database).await;
    let b = process(folder.path(), &slow).await;
    let owner = owner(&a.client, folder.path()).await;
    let there = b.client.clone().token(&owner.token);
    there.get("/v2/").await.expect(200);
    silent.send_replace(true);
    post_form(&a.client, "/revoke", &[("token", &owner.token)]).await.expect(200);
    let_in_no_more(&there).await;
}
