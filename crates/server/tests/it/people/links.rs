//! Links by which people set their passwords: good once, for a day, and for one person.

use identity::{PasswordLinkError, PasswordProblem, PasswordPurpose};
use serde_json::json;

use super::{ALICE, BOB, OtherProcess, PASSWORD, expect_event, refusal};
use crate::util::people::token_of;
use crate::util::{TestServer, on_both};

on_both![
    a_link_is_good_once,
    a_link_is_good_for_a_day,
    a_new_link_replaces_the_one_before,
    a_link_of_a_disabled_person_is_not_good,
    passwords_that_may_not_be_set_leave_the_link,
    a_new_password_ends_all_sessions,
    expired_links_are_deleted,
    links_are_made_for_people_who_exist
];

/// Asserts that a link leads nowhere, whichever way it is used.
async fn expect_unusable(process: &OtherProcess, token: &str) {
    let asked = process.identity.password_link(token).await.expect_err("not good");
    let set = process.identity.set_password(token, "another long password", None).await;
    for error in [asked, set.expect_err("not good")] {
        assert!(matches!(error, PasswordLinkError::Unusable), "{error}");
        assert_eq!(
            error.to_string(),
            "the link is wrong, was used before, or has expired; ask for a new one"
        );
    }
}

async fn a_link_is_good_once(server: TestServer) {
    let process = OtherProcess::start(&server).await;
    let token = token_of(&server.add_user(ALICE).await["link"]);
    for _ in 0..2 {
        let link = process.identity.password_link(&token).await.expect("looking does not use it");
        assert_eq!((link.email.as_str(), link.purpose), (ALICE, PasswordPurpose::First));
    }
    refusal(process.try_to_sign_in(ALICE, PASSWORD).await);
    // Of several uses at the same time, one counts.
    let uses =
        (0..4).map(|n| {
            let (identity, token) = (process.identity.clone(), token.clone());
            async move {
                identity.set_password(&token, &format!("long password number {n}"), None).await
            }
        });
    let outcomes = futures_util::future::join_all(uses).await;
    let set: Vec<_> = (0..4).filter(|n| outcomes[*n].is_ok()).collect();
    assert_eq!(set.len(), 1, "{outcomes:?}");
    let password = format!("long password number {}", set[0]);
    process.try_to_sign_in(ALICE, &password).await.expect("the password is set");
    expect_unusable(&process, &token).await;
    for wrong in ["", "x", &token[1..], &format!("{token}A"), &"A".repeat(43)] {
        expect_unusable(&process, wrong).await;
    }
    expect_event(&server, "set-password user:alice@example.com user:alice@example.com").await;
}

async fn a_link_is_good_for_a_day(server: TestServer) {
    server.clock.freeze();
    let process = OtherProcess::start(&server).await;
    let token = token_of(&server.add_user(ALICE).await["link"]);
    server.clock.advance_seconds(24 * 3600 - 1);
    process.identity.password_link(&token).await.expect("just before its end");
    server.clock.advance_seconds(1);
    expect_unusable(&process, &token).await;
}

async fn a_new_link_replaces_the_one_before(server: TestServer) {
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    let secret = process.sign_in(ALICE).await;
    let first = token_of(&server.change_user("reset", ALICE).await["reset"]);
    let second = token_of(&server.change_user("reset", ALICE).await["reset"]);
    expect_unusable(&process, &first).await;
    let link = process.identity.password_link(&second).await.expect("good");
    assert_eq!(link.purpose, PasswordPurpose::Reset);
    // Until the password is set, nothing changes for the person.
    assert!(process.signed_in(&secret).await.is_some());
    process.sign_in(ALICE).await;
    expect_event(&server, "reset-password system:operator user:alice@example.com").await;
}

async fn a_link_of_a_disabled_person_is_not_good(server: TestServer) {
    let process = OtherProcess::start(&server).await;
    let token = token_of(&server.add_user(ALICE).await["link"]);
    server.change_user("disable", ALICE).await;
    expect_unusable(&process, &token).await;
    let refused = server.users(json!({ "reset": { "email": ALICE } })).await;
    assert!(refused.expect_err("disabled").contains("berth users enable alice@example.com"));
    server.change_user("enable", ALICE).await;
    expect_unusable(&process, &token).await;
    let link = server.change_user("reset", ALICE).await;
    process.set_password(&link["reset"], PASSWORD).await;
    process.sign_in(ALICE).await;
}

async fn passwords_that_may_not_be_set_leave_the_link(server: TestServer) {
    let process = OtherProcess::start(&server).await;
    let token = token_of(&server.add_user(ALICE).await["link"]);
    for (password, problem) in [
        ("short", PasswordProblem::TooShort),
        (&"x".repeat(201), PasswordProblem::TooLong),
        ("Alice@example.com", PasswordProblem::IsEmail),
    ] {
        let refused = process.identity.set_password(&token, password, None).await;
        match refused.expect_err("it may not be set") {
            PasswordLinkError::Unacceptable(found) => assert_eq!(found, problem),
            error => panic!("{error}"),
        }
    }
    // Any characters will do, and all of them count.
    let password = format!("密码 🦀 {}é", " ".repeat(20));
    process.identity.set_password(&token, &password, None).await.expect("set");
    refusal(process.try_to_sign_in(ALICE, password.trim_end_matches('é')).await);
    process.try_to_sign_in(ALICE, &password).await.expect("signed in");
}

async fn a_new_password_ends_all_sessions(server: TestServer) {
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    process.add_person(&server, BOB).await;
    let (first, second) = (process.sign_in(ALICE).await, process.sign_in(ALICE).await);
    let bob = process.sign_in(BOB).await;
    let third = OtherProcess::start(&server).await;
    assert!(third.signed_in(&second).await.is_some());
    let link = server.change_user("reset", ALICE).await;
    process.set_password(&link["reset"], "another long password").await;
    assert!(process.signed_in(&first).await.is_none());
    third.wait_for_end(&second).await;
    assert!(process.signed_in(&bob).await.is_some());
}

async fn expired_links_are_deleted(server: TestServer) {
    server.clock.freeze();
    let process = OtherProcess::start(&server).await;
    server.add_user(ALICE).await;
    server.clock.advance_hours(12);
    server.add_user(BOB).await;
    server.clock.advance_hours(12);
    let links = async || {
        let meta = server.open_meta().await;
        let sql = "SELECT COUNT(*) FROM password_links";
        let counted = meta.read(move |tx| tx.query(sql, &[], |row| row.int(0)));
        counted.await.expect("readable")[0]
    };
    // The server's own job may do the same at this moment.
    process.identity.delete_ended_sessions().await.expect("deleted");
    assert_eq!(links().await, 1);
}

async fn links_are_made_for_people_who_exist(server: TestServer) {
    for verb in ["reset", "disable", "enable", "sessions", "sign_out"] {
        let refused = server.users(json!({ verb: { "email": "nobody@example.com" } })).await;
        assert_eq!(refused.expect_err(verb), "user:nobody@example.com was not found");
    }
    server.add_user(ALICE).await;
    let again = server.users(json!({ "add": { "email": "Alice@example.com" } })).await;
    assert!(again.expect_err("there is one").contains("berth users reset alice@example.com"));
    let robot = "robot-1@p.iam.gserviceaccount.com";
    for email in ["", "alice", "a@b@c", "user:a@example.com", robot] {
        let refused = server.users(json!({ "add": { "email": email } })).await;
        assert!(refused.expect_err(email).contains("is not the e-mail address of a person"));
    }
    for name in ["x".repeat(101), "a\u{7}".to_owned()] {
        let refused = server.users(json!({ "add": { "email": BOB, "name": name } })).await;
        assert!(refused.expect_err("a name").starts_with("name: at most 100 characters"));
    }
}
