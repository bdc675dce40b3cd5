//! Attack 38: signing keys that are rotated and deleted while they are in use.

use std::collections::BTreeSet;

use http::Method;
use meta::{epochs, params};

use super::revocation::{clients_everywhere, second_server};
use crate::util::accounts::{PROJECT, sign_in};
use crate::util::key::decode_token;
use crate::util::{AccountServer, Client, Image, digest_of, on_both};

const IMAGE: &str = "my-project/r1/image";
const MANIFEST: &str = "/v2/my-project/r1/image/manifests/latest";

/// The id of the key that signed a token.
fn signing_key_id(token: &str) -> String {
    decode_token(token).0["kid"].as_str().expect("text").to_owned()
}

/// The ids of the published keys.
async fn published_key_ids(accounts: &AccountServer) -> Vec<String> {
    let keys = accounts.anonymous().get("/oauth2/v3/certs").await.expect_status(200).json();
    let keys = keys["keys"].as_array().expect("a list").clone();
    keys.iter().map(|key| key["kid"].as_str().expect("text").to_owned()).collect()
}

/// Sends the requests of a pull several times, and asserts that all succeed. Returns the tokens.
async fn pull_repeatedly(client: &Client, image: &Image) -> Vec<String> {
    let mut tokens = Vec::new();
    for _ in 0..5 {
        let path = format!("/v2/token?scope=repository:{IMAGE}:pull");
        let token = client.get(&path).await.expect_status(200).json();
        tokens.push(token["token"].as_str().expect("text").to_owned());
        client.get("/v1/projects").await.expect_status(200);
        for (method, path) in [
            (Method::GET, MANIFEST.to_owned()),
            (Method::HEAD, MANIFEST.to_owned()),
            (Method::GET, format!("/v2/{IMAGE}/blobs/{}", digest_of(&image.blobs[1]))),
        ] {
            client.send(method, &path, "").await.expect_status(200);
        }
    }
    tokens
}

on_both![
    attack_38_the_signing_key_changes_under_use,
    attack_38_tokens_of_a_deleted_key_are_refused
];

async fn attack_38_the_signing_key_changes_under_use(accounts: AccountServer) {
    let (server, key, image) = (&accounts.server, &accounts.owner_key, Image::new(1));
    accounts.create_repository(PROJECT, "r1").await;
    image.push(&accounts.owner.client, (IMAGE, "latest")).await;
    let second = second_server(&accounts).await;
    let old = signing_key_id(&accounts.owner.token);
    assert!(published_key_ids(&accounts).await.iter().eq([&old]));
    // The key stops signing ten minutes later.
    server.clock.advance_seconds(30 * 24 * 3600 - 600);
    let last = sign_in(server, key).await;
    assert_eq!(signing_key_id(&last.token), old);
    let there = clients_everywhere(&accounts, second.as_ref(), &last.token);
    let load = || {
        let clients = there.iter().cycle().take(10);
        futures_util::future::join_all(clients.map(|client| pull_repeatedly(client, &image)))
    };
    let change = async { server.clock.advance_seconds(1200) };
    let (during, ()) = tokio::join!(load(), change);
    let after = load().await.concat();
    let new = sign_in(server, key).await;
    let new_kid = signing_key_id(&new.token);
    assert_ne!(new_kid, old);
    let kids: BTreeSet<_> = after.iter().map(|token| signing_key_id(token)).collect();
    assert!(kids.iter().eq([&new_kid]), "all made one key: {kids:?}");
    assert_eq!(published_key_ids(&accounts).await.len(), 2, "the old one still verifies");
    // Each server accepts the tokens of both keys.
    for token in during.concat().iter().chain(&after) {
        for client in clients_everywhere(&accounts, second.as_ref(), token) {
            client.get(MANIFEST).await.expect_status(200);
        }
    }
    server.clock.advance_seconds(2400);
    last.get("/v1/projects").await.expect_google_error("401 UNAUTHENTICATED");
    new.get("/v1/projects").await.expect_status(200);
    server.clock.advance_hours(24);
    let newest = sign_in(server, key).await;
    newest.get("/v1/projects").await.expect_status(200);
    // Any change makes the server refresh its caches.
    newest.create_account(PROJECT, "anybody").await.expect_status(200);
    assert_eq!(published_key_ids(&accounts).await, [new_kid], "the old one is forgotten");
}

/// Deleting a key invalidates its tokens before they expire, as after a key has leaked.
async fn attack_38_tokens_of_a_deleted_key_are_refused(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    Image::new(1).push(&accounts.owner.client, (IMAGE, "latest")).await;
    let second = second_server(&accounts).await;
    let registry = accounts.owner.registry_token(&[&format!("repository:{IMAGE}:pull")]).await;
    let signed = [&accounts.owner.token, &registry]
        .map(|token| clients_everywhere(&accounts, second.as_ref(), token))
        .concat();
    for client in &signed {
        client.get(MANIFEST).await.expect_status(200);
    }
    let removed = signing_key_id(&accounts.owner.token);
    let (meta, id) = (accounts.server.open_meta().await, removed.clone());
    let removal = meta.write(move |tx| {
        tx.execute("DELETE FROM signing_keys WHERE id = ?1", params![id.as_str()])?;
        epochs::bump(tx, epochs::ACCESS)
    });
    removal.await.expect("writable");
    for client in &signed {
        AccountServer::wait_for_status(async || client.get(MANIFEST).await, 401).await;
    }
    let again = sign_in(&accounts.server, &accounts.owner_key).await;
    assert!(published_key_ids(&accounts).await.iter().eq([&signing_key_id(&again.token)]));
    assert_ne!(signing_key_id(&again.token), removed);
    for client in clients_everywhere(&accounts, second.as_ref(), &again.token) {
        AccountServer::wait_for_status(async || client.get(MANIFEST).await, 200).await;
    }
    for client in &signed {
        client.get(MANIFEST).await.expect_status(401);
    }
}
