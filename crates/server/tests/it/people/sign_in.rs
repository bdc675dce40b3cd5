//! Signing in: one answer to whoever may not, and limits for those who guess.

use futures_util::future::join_all;
use identity::SignInError;

use super::{ALICE, BOB, OtherProcess, PASSWORD, refusal, request};
use crate::util::{TestServer, on_both};

on_both![
    whoever_may_not_sign_in_gets_one_answer,
    an_address_is_good_in_any_case,
    wrong_passwords_delay_the_next_try,
    passwords_are_checked_a_few_at_a_time,
    a_network_takes_a_part_of_the_places,
    a_network_cannot_guess_at_many_accounts,
    a_password_that_was_replaced_is_wrong
];

/// The answer does not tell whether there is such a person.
async fn whoever_may_not_sign_in_gets_one_answer(server: TestServer) {
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    server.add_user("no-password@example.com").await;
    process.add_person(&server, BOB).await;
    server.change_user("disable", BOB).await;
    let mut answers = Vec::new();
    for (email, password) in [
        (ALICE, "a wrong password"),
        (ALICE, ""),
        ("nobody@example.com", PASSWORD),
        ("no-password@example.com", PASSWORD),
        ("no-password@example.com", ""),
        (BOB, PASSWORD),
        ("no address", PASSWORD),
        ("", ""),
        ("serviceAccount:first-admin@p.iam.gserviceaccount.com", PASSWORD),
        (&"x".repeat(100_000), &"x".repeat(100_000)),
    ] {
        let refused = refusal(process.try_to_sign_in(email, password).await);
        assert!(matches!(refused, SignInError::Wrong), "{email}: {refused}");
        answers.push(refused.to_string());
    }
    answers.dedup();
    assert_eq!(answers, ["the e-mail address or the password is wrong"]);
    process.sign_in(ALICE).await;
}

async fn an_address_is_good_in_any_case(server: TestServer) {
    let process = OtherProcess::start_with_person(&server, "Alice@Example.com").await;
    for email in ["alice@example.com", "ALICE@EXAMPLE.COM"] {
        let person = process.signed_in(&process.sign_in(email).await).await.expect("signed in");
        assert_eq!(person.email, ALICE);
        assert_eq!(person.caller.principal.to_string(), "user:alice@example.com");
    }
}

async fn wrong_passwords_delay_the_next_try(server: TestServer) {
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    server.clock.freeze();
    let sign_in = async |email: &str, password: &str, address: &str| {
        process.identity.sign_in(request(email, password, address)).await
    };
    let expect_delay = async |seconds: u64| {
        // Nor is the right password looked at.
        let refused = refusal(sign_in(ALICE, PASSWORD, "192.0.2.1").await);
        assert_eq!(
            refused.to_string(),
            format!("too many wrong passwords: the next try is possible in {seconds} s")
        );
    };
    for _ in 0..5 {
        let refused = refusal(sign_in(ALICE, "a wrong password", "192.0.2.1").await);
        assert!(matches!(refused, SignInError::Wrong), "{refused}");
    }
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        expect_delay(seconds).await;
        server.clock.advance_seconds(seconds as i64);
        let refused = refusal(sign_in(ALICE, "a wrong password", "192.0.2.1").await);
        assert!(matches!(refused, SignInError::Wrong), "after {seconds} s: {refused}");
    }
    // The person is not locked out: elsewhere nothing is delayed, and here after a minute.
    sign_in(ALICE, PASSWORD, "192.0.2.2").await.expect("from another network");
    expect_delay(60).await;
    server.clock.advance_seconds(60);
    sign_in(ALICE, PASSWORD, "192.0.2.1").await.expect("after the delay");
    // The right password ends the row of wrong ones.
    refusal(sign_in(ALICE, "a wrong password", "192.0.2.1").await);
    sign_in(ALICE, PASSWORD, "192.0.2.1").await.expect("one wrong password is no row");
    // Addresses that nobody has are delayed in the same way.
    for _ in 0..5 {
        refusal(sign_in("nobody@example.com", PASSWORD, "192.0.2.1").await);
    }
    let refused = refusal(sign_in("nobody@example.com", PASSWORD, "192.0.2.1").await);
    assert!(matches!(refused, SignInError::Delayed { seconds: 1 }), "{refused}");
}

/// People who do not exist take the same places, so that their answers cost the same work.
async fn passwords_are_checked_a_few_at_a_time(server: TestServer) {
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    let somebody = async |n: usize| {
        let (email, address) = (format!("nobody-{n}@example.com"), format!("198.51.100.{n}"));
        refusal(process.identity.sign_in(request(&email, PASSWORD, &address)).await)
    };
    let (mut wrong, mut busy) = (0, 0);
    for refused in join_all((0..100).map(&somebody)).await {
        match refused {
            SignInError::Wrong => wrong += 1,
            SignInError::Busy => busy += 1,
            error => panic!("{error}"),
        }
    }
    assert!(wrong >= 36 && busy > 0, "{wrong} wrong, {busy} busy");
    // A try that was not looked at is no wrong one.
    for n in 0..100 {
        let refused = somebody(n).await;
        assert!(matches!(refused, SignInError::Wrong), "{refused}");
    }
    process.sign_in(ALICE).await;
}

/// Whoever signs in from elsewhere still finds a place.
async fn a_network_takes_a_part_of_the_places(server: TestServer) {
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    let flood = (0..100).map(|n| {
        let (identity, address) = (process.identity.clone(), format!("2001:db8::{n:x}"));
        async move {
            let email = format!("nobody-{n}@example.com");
            identity.sign_in(request(&email, PASSWORD, &address)).await
        }
    });
    let (flooded, signed_in) = tokio::join!(
        join_all(flood),
        process.identity.sign_in(request(ALICE, PASSWORD, "2001:db8:0:1::1"))
    );
    signed_in.expect("from another network");
    let (mut wrong, mut delayed) = (0, 0);
    for outcome in flooded {
        match refusal(outcome) {
            SignInError::Wrong => wrong += 1,
            SignInError::NetworkDelayed { seconds: 1 } => delayed += 1,
            error => panic!("{error}"),
        }
    }
    assert!(wrong >= 9 && delayed > 0, "{wrong} wrong, {delayed} delayed");
}

async fn a_network_cannot_guess_at_many_accounts(server: TestServer) {
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    server.clock.freeze();
    let guess = async |email: &str, address: &str| {
        process.identity.sign_in(request(email, PASSWORD, address)).await
    };
    for n in 0..50 {
        let refused = refusal(guess(&format!("nobody-{n}@example.com"), "2001:db8::1").await);
        assert!(matches!(refused, SignInError::Wrong), "{n}: {refused}");
    }
    // Nor is the right password looked at, from any address of the network.
    for address in ["2001:db8::1", "2001:db8::2"] {
        let refused = refusal(guess(ALICE, address).await);
        assert!(matches!(refused, SignInError::NetworkDelayed { seconds: 10 }), "{refused}");
    }
    guess(ALICE, "2001:db8:0:1::1").await.expect("from another network");
    server.clock.advance_seconds(10);
    // The right password costs no try.
    for _ in 0..3 {
        guess(ALICE, "2001:db8::2").await.expect("the network has a try again");
    }
    refusal(guess("nobody@example.com", "2001:db8::1").await);
    let refused = refusal(guess(ALICE, "2001:db8::1").await);
    assert!(matches!(refused, SignInError::NetworkDelayed { seconds: 10 }), "{refused}");
}

async fn a_password_that_was_replaced_is_wrong(server: TestServer) {
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    let link = server.change_user("reset", ALICE).await;
    process.sign_in(ALICE).await;
    process.set_password(&link["reset"], "another long password").await;
    refusal(process.try_to_sign_in(ALICE, PASSWORD).await);
    process.try_to_sign_in(ALICE, "another long password").await.expect("the new one");
    super::expect_event(&server, "sign-in user:alice@example.com user:alice@example.com").await;
}
