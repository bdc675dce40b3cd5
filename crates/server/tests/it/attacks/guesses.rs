//! Attack 36: guessing credentials.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method};

use crate::util::accounts::{PROJECT, exchange_assertion, post_form, sign_in};
use crate::util::wire::Http2Connection;
use crate::util::{AccountKey, AccountServer, Client, Reply, on_both};

/// Repeats a guess until it is throttled, which takes as many guesses as the burst allows.
async fn guess_until_throttled<Asked: Future<Output = Reply>>(ask: impl Fn() -> Asked) -> Reply {
    for _ in 0..2_000 {
        let reply = ask().await;
        if reply.status == 429 {
            assert_eq!(reply.header("retry-after"), "1");
            assert_eq!(reply.header("www-authenticate"), "");
            return reply;
        }
        // OAuth errors have the status 400.
        assert!([400, 401].contains(&reply.status.as_u16()), "{reply:#?}");
    }
    panic!("nobody was slowed down");
}

/// Asserts that a new key can sign in by each way.
async fn expect_sign_in_works(accounts: &AccountServer, key: &AccountKey) {
    accounts.basic_client("_json_key", &key.file.to_string()).get("/v2/").await.expect_status(200);
    let account = sign_in(&accounts.server, key).await;
    account.client.get("/v2/").await.expect_status(200);
    let self_signed = key.signed_token(&key.assertion_claims(accounts.server.clock.unix_seconds()));
    exchange_assertion(&accounts.anonymous(), &self_signed).await.expect_status(200);
    let token = account.registry_token(&[]).await;
    accounts.anonymous().with_token(&token).get("/v2/").await.expect_status(200);
}

/// A key file with another's private key.
fn forged_key(key: &AccountKey, own: &AccountKey) -> AccountKey {
    key.with_field("private_key", own.file["private_key"].clone())
}

async fn docker_login(client: &Client, key: &AccountKey) -> Reply {
    let file = key.file.to_string();
    let fields = [("grant_type", "password"), ("username", "_json_key"), ("password", &file)];
    post_form(client, "/v2/token", &fields).await
}

on_both![
    attack_36_guesses_for_an_account_are_throttled_without_locking_it_out,
    attack_36_guesses_from_an_address_are_throttled,
    attack_36_ten_thousand_guesses_are_throttled
];

async fn attack_36_guesses_for_an_account_are_throttled_without_locking_it_out(
    accounts: AccountServer,
) {
    let (owner, somebody) = (&accounts.owner, accounts.anonymous());
    let attacker = accounts.create_actor("attacker").await;
    let own = owner.create_key(&attacker.email).await;
    let guess = forged_key(&accounts.owner_key, &own);
    let claims = guess.assertion_claims(accounts.server.clock.unix_seconds());
    let assertion = guess.signed_token(&claims);

    docker_login(&somebody, &guess).await.expect_oci_error("401 UNAUTHORIZED");
    guess_until_throttled(|| docker_login(&somebody, &guess))
        .await
        .expect_oci_error("429 TOOMANYREQUESTS");
    let basic = accounts.basic_client("_json_key", &guess.file.to_string());
    guess_until_throttled(|| basic.get("/v2/")).await.expect_oci_error("429 TOOMANYREQUESTS");
    let refused = guess_until_throttled(|| exchange_assertion(&somebody, &assertion)).await;
    assert_eq!(refused.json()["error"], "rate_limit_exceeded");
    let by_token = somebody.clone().with_token(&assertion);
    let projects = || by_token.get("/v1/projects");
    guess_until_throttled(projects).await.expect_google_error("429 RESOURCE_EXHAUSTED");

    // The account itself can sign in from the same address, and so can other accounts.
    expect_sign_in_works(&accounts, &owner.create_key(&owner.email).await).await;
    let other = accounts.create_actor_in(PROJECT, "bystander").await;
    let other = owner.create_key(&other.email).await;
    docker_login(&somebody, &forged_key(&other, &own)).await.expect_oci_error("401 UNAUTHORIZED");
    expect_sign_in_works(&accounts, &other).await;
}

async fn attack_36_guesses_from_an_address_are_throttled(accounts: AccountServer) {
    let (owner, somebody) = (&accounts.owner, accounts.anonymous());
    accounts.server.clock.freeze();
    let short = owner.create_key(&owner.email).await;
    let expiring = sign_in(&accounts.server, &short).await.registry_token(&[]).await;
    let number = AtomicU32::new(0);
    // Each guess is for another account, which does not exist.
    let guess = || {
        let n = number.fetch_add(1, Ordering::Relaxed);
        let email = format!("account-{n}@my-project.iam.gserviceaccount.com");
        let guess = short.with_field("client_email", email);
        let somebody = somebody.clone();
        async move { docker_login(&somebody, &guess).await }
    };
    guess_until_throttled(guess).await.expect_oci_error("429 TOOMANYREQUESTS");
    let nonsense = accounts.basic_client("nobody", "nothing");
    guess_until_throttled(|| nonsense.get("/v2/")).await.expect_oci_error("429 TOOMANYREQUESTS");

    expect_sign_in_works(&accounts, &owner.create_key(&owner.email).await).await;
    somebody.get("/v2/").await.expect_status(401);
    // A token that was valid once is no guess. Docker learns from the challenge that it needs a new token.
    let expired = somebody.clone().with_token(&expiring);
    expired.get("/v2/").await.expect_status(200);
    accounts.server.clock.advance_seconds(3_601);
    let refused = expired.get("/v2/").await.expect_oci_error("401 UNAUTHORIZED");
    assert!(refused.header("www-authenticate").contains("error=\"invalid_token\""));
}

/// One connection is cheapest for the attacker. There are no passwords yet, whose hashes would be work for the server.
async fn attack_36_ten_thousand_guesses_are_throttled(accounts: AccountServer) {
    let attacker = accounts.create_actor("attacker").await;
    let own = accounts.owner.create_key(&attacker.email).await;
    let guess = forged_key(&accounts.owner_key, &own).file.to_string();
    let credential = STANDARD.encode(format!("_json_key:{guess}"));
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Basic {credential}").parse().expect("a header"));
    let wire = Http2Connection::connect(accounts.server.address).await;
    let statuses = stream::iter(0..10_000)
        .map(|_| wire.send((Method::GET, "/v2/"), headers.clone(), ""))
        .buffer_unordered(50)
        .map(|reply| reply.status.as_u16());
    let counts = statuses
        .fold(BTreeMap::<u16, u32>::new(), async |mut counts, status| {
            *counts.entry(status).or_default() += 1;
            counts
        })
        .await;
    assert!(counts.keys().all(|status| [401, 429].contains(status)), "{counts:?}");
    assert!(counts[&429] > 9_000, "{counts:?}");
    // Neither the account nor the address is locked out.
    expect_sign_in_works(&accounts, &accounts.owner_key).await;
}
