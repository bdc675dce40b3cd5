//! Signing in and out in a browser.

use super::{Browser, PASSWORD};
use crate::util::people::token_of;
use crate::util::{AccountServer, Backend, TestServer, on_both};

const ALICE: &str = "alice@example.com";
const SIGN_IN: &str = "/console/-/sign-in";
const YOU: &str = "/console/-/you";

on_both![
    a_person_sets_a_password_signs_in_and_out,
    sessions_are_listed_and_ended,
    a_session_ends_with_the_person,
    wrong_passwords_are_told,
    a_network_waits_after_many_wrong_passwords,
    a_link_is_good_once,
    whoever_is_signed_out_comes_back
];

async fn a_person_sets_a_password_signs_in_and_out(accounts: AccountServer) {
    let mut alice = Browser::signed_in(&accounts.server, ALICE).await;
    assert!(alice.open(YOU).await.contains(ALICE));
    // The sign-in page sends on whoever is signed in.
    assert_eq!(alice.get(&format!("{SIGN_IN}?next={YOU}")).await.header("location"), YOU);
    let before = alice.clone();
    alice.submit(YOU, "/console/-/sign-out", &[]).await.expect_status(303);
    assert_eq!(alice.cookie("__Host-berth"), None);
    // The session is over at the server too: a copy of the cookie opens nothing.
    let mut copy = before;
    assert!(copy.get(YOU).await.header("location").starts_with(SIGN_IN));
}

async fn sessions_are_listed_and_ended(accounts: AccountServer) {
    let mut first = Browser::signed_in(&accounts.server, ALICE).await;
    let mut second = Browser::new(&accounts.server);
    second.sign_in(ALICE, PASSWORD).await.expect_status(303);
    let mut third = Browser::new(&accounts.server);
    third.sign_in(ALICE, PASSWORD).await.expect_status(303);
    let page = first.open(YOU).await;
    assert_eq!(page.matches("name=\"session\" value=\"").count(), 3, "{page}");
    assert_eq!(page.matches("this one").count(), 1, "{page}");
    // The first row is the oldest session, which is this browser's.
    let ids: Vec<_> = page.split("name=\"session\" value=\"").skip(1).collect();
    let other = ids[1].split('"').next().expect("an id");
    first.submit(YOU, YOU, &[("session", other)]).await.expect_status(303);
    assert!(second.get(YOU).await.header("location").starts_with(SIGN_IN));
    third.get(YOU).await.expect_status(200);
    first.submit(YOU, YOU, &[]).await.expect_status(303);
    assert!(third.get(YOU).await.header("location").starts_with(SIGN_IN));
    first.get(YOU).await.expect_status(200);
    // Another person's session is none of hers.
    let mut bob = Browser::signed_in(&accounts.server, "bob@example.com").await;
    let page = first.open(YOU).await;
    let own = page.split("name=\"session\" value=\"").nth(1).expect("one");
    let own = own.split('"').next().expect("an id");
    bob.submit(YOU, YOU, &[("session", own)]).await.expect_status(404);
    first.get(YOU).await.expect_status(200);
}

async fn a_session_ends_with_the_person(accounts: AccountServer) {
    let mut alice = Browser::signed_in(&accounts.server, ALICE).await;
    alice.get(YOU).await.expect_status(200);
    accounts.server.change_user("disable", ALICE).await;
    assert!(alice.get(YOU).await.header("location").starts_with(SIGN_IN));
    alice.sign_in(ALICE, PASSWORD).await.expect_status(403);
    accounts.server.change_user("enable", ALICE).await;
    alice.sign_in(ALICE, PASSWORD).await.expect_status(303);
    accounts.server.change_user("sign_out", ALICE).await;
    assert!(alice.get(YOU).await.header("location").starts_with(SIGN_IN));
}

async fn a_network_waits_after_many_wrong_passwords(backend: Backend) {
    let server = TestServer::start_with(backend, |config| {
        config.proxies = vec!["127.0.0.1".parse().expect("an address")];
    })
    .await;
    server.clock.freeze();
    Browser::signed_in(&server, ALICE).await;
    let mut guesser = Browser::new(&server);
    for n in 0..50 {
        let email = format!("nobody-{n}@example.com");
        guesser.sign_in(&email, PASSWORD).await.expect_status(403);
    }
    let refused = guesser.sign_in(ALICE, PASSWORD).await.expect_status(429);
    assert_eq!(refused.header("retry-after"), "10");
    let text = refused.text();
    assert!(
        text.contains("Too many sign-ins come from your network. Try again in 10 s."),
        "{text}"
    );
    assert!(text.contains("name=\"password\""), "the form is there for the next try: {text}");
    let mut elsewhere = Browser::new(&server);
    elsewhere.client = elsewhere.client.with_header("x-forwarded-for", "192.0.2.7");
    elsewhere.sign_in(ALICE, PASSWORD).await.expect_status(303);
}

async fn wrong_passwords_are_told(server: TestServer) {
    server.clock.freeze();
    Browser::signed_in(&server, ALICE).await;
    let mut browser = Browser::new(&server);
    let mut told = Vec::new();
    for (email, password) in [(ALICE, "wrong"), ("nobody@example.com", PASSWORD), ("", "")] {
        let refused = browser.sign_in(email, password).await.expect_status(403);
        let text = refused.text();
        let (_, rest) = text.split_once("role=\"alert\" class=\"message error\">").expect("told");
        told.push(rest.split('<').next().expect("a sentence").to_owned());
        assert_eq!(browser.cookie("__Host-berth"), None);
    }
    told.dedup();
    assert_eq!(told, ["The e-mail address or the password is wrong."]);
    for _ in 0..10 {
        browser.sign_in(ALICE, "wrong").await;
    }
    let refused = browser.sign_in(ALICE, PASSWORD).await.expect_status(429);
    assert!(refused.text().contains("Try again in "), "{refused:?}");
}

async fn a_link_is_good_once(server: TestServer) {
    let link = server.add_user(ALICE).await["link"].clone();
    let page = format!("/console/-/password/{}", token_of(&link));
    let mut browser = Browser::new(&server);
    let short = browser.submit(&page, &page, &[("password", "short")]).await.expect_status(400);
    assert!(short.text().contains("at least 12 characters"), "{short:?}");
    browser.submit(&page, &page, &[("password", PASSWORD)]).await.expect_status(303);
    browser.get(&page).await.expect_status(410);
    browser.get("/console/-/password/wrong").await.expect_status(410);
    // No address of another page holds the link.
    let other = server.add_user("bob@example.com").await["link"].clone();
    let other = format!("/console/-/password/{}", token_of(&other));
    let html = browser.get(&other).await.expect_status(200).text().into_owned();
    assert!(!html.contains("%2Fpassword%2F"), "{html}");
    browser.sign_in(ALICE, PASSWORD).await.expect_status(303);
}

async fn whoever_is_signed_out_comes_back(accounts: AccountServer) {
    let mut alice = Browser::signed_in(&accounts.server, ALICE).await;
    alice.submit(YOU, "/console/-/sign-out", &[]).await.expect_status(303);
    let away = alice.get("/console/my-project/my-repo?sort=-pushed").await.expect_status(303);
    let sign_in = away.header("location").to_owned();
    assert_eq!(
        sign_in,
        "/console/-/sign-in?next=%2Fconsole%2Fmy-project%2Fmy-repo%3Fsort%3D-pushed"
    );
    let page = alice.open(&sign_in).await;
    assert!(
        page.contains("name=\"next\" value=\"/console/my-project/my-repo?sort=-pushed\""),
        "{page}"
    );
}
