//! Sessions: what they allow, how long they last, and who ends them, also in another process.

use identity::{IdentityError, SessionId, SessionUse, SignInError};
use meta::sessions::SessionRow;
use meta::{Id, sessions, users};
use model::permissions::artifactregistry;
use model::resource::Resource;
use serde_json::json;

use super::{ALICE, BOB, OtherProcess, PASSWORD, expect_event};
use crate::util::server::repository_of_p;
use crate::util::{TestServer, on_both};

on_both![
    a_person_may_do_what_policies_allow,
    a_secret_proves_one_session_and_is_kept_nowhere,
    a_session_that_is_not_used_ends,
    a_session_ends_however_much_it_is_used,
    prefetching_is_no_use,
    a_disabled_person_is_signed_out_everywhere,
    the_operator_lists_and_ends_sessions,
    people_end_their_own_sessions_alone,
    a_person_has_a_hundred_sessions,
    ended_sessions_are_deleted
];

const HOUR: i64 = 3600;

async fn a_person_may_do_what_policies_allow(server: TestServer) {
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    let secret = process.sign_in(ALICE).await;
    let person = process.signed_in(&secret).await.expect("signed in");
    let download = artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS;
    let may = async || {
        let person = process.signed_in(&secret).await.expect("signed in");
        let resource = Resource::Repository(repository_of_p("r1"));
        process.identity.may(&person.caller, download, &resource).await.expect("decided")
    };
    assert!(!may().await);
    let admin = server.google_admin();
    let member = "user:alice@example.com";
    admin.grant_role("projects/p", "roles/artifactregistry.reader", member).await;
    process.identity.poll_epoch().await.expect("read");
    assert!(may().await);
    process.identity.check_again(&person.caller).await.expect("still signed in");
    admin.revoke_role("projects/p", "roles/artifactregistry.reader", member).await;
    process.identity.poll_epoch().await.expect("read");
    assert!(!may().await);
    // A request that has begun is checked before its end.
    server.change_user("sign_out", ALICE).await;
    process.identity.poll_epoch().await.expect("read");
    let ended = process.identity.check_again(&person.caller).await.expect_err("signed out");
    assert!(matches!(ended, IdentityError::Credential(_)), "{ended}");
}

async fn a_secret_proves_one_session_and_is_kept_nowhere(server: TestServer) {
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    let (first, second) = (process.sign_in(ALICE).await, process.sign_in(ALICE).await);
    assert!(first.len() == 43 && first != second, "{first} {second}");
    let other = process.signed_in(&second).await.expect("signed in").session_id;
    let id = process.signed_in(&first).await.expect("signed in").session_id.to_string();
    assert_ne!(id, other.to_string(), "each sign-in is a session of its own");
    for secret in [&id, "", &first[1..], &first.to_uppercase(), &format!("{first}A")] {
        assert!(process.signed_in(secret).await.is_none(), "{secret}");
    }
    // Nor is it in a file: the database, its log, the audit log.
    for path in std::fs::read_dir(&server.data).expect("readable").flatten() {
        let bytes = std::fs::read(path.path()).unwrap_or_default();
        let found = bytes.windows(first.len()).any(|window| window == first.as_bytes());
        assert!(!found, "{path:?}");
    }
}

async fn a_session_that_is_not_used_ends(server: TestServer) {
    server.clock.freeze();
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    let (used, unused) = (process.sign_in(ALICE).await, process.sign_in(ALICE).await);
    server.clock.advance_seconds(11 * HOUR);
    assert!(process.signed_in(&used).await.is_some());
    server.clock.advance_seconds(HOUR - 1);
    assert!(process.signed_in(&unused).await.is_some(), "just before its end");
    server.clock.advance_seconds(12 * HOUR - 1);
    assert!(process.signed_in(&unused).await.is_some(), "its last use was written down");
    assert!(process.signed_in(&used).await.is_none());
    // A process that has not seen the session before says the same.
    let third = OtherProcess::start(&server).await;
    assert!(third.signed_in(&used).await.is_none());
    assert!(third.signed_in(&unused).await.is_some());
}

async fn a_session_ends_however_much_it_is_used(server: TestServer) {
    server.clock.freeze();
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    let session = process.try_to_sign_in(ALICE, PASSWORD).await.expect("signed in");
    for _ in 0..7 * 24 / 8 - 1 {
        server.clock.advance_seconds(8 * HOUR);
        assert!(process.signed_in(&session.secret).await.is_some());
    }
    server.clock.advance_seconds(8 * HOUR - 1);
    assert!(process.signed_in(&session.secret).await.is_some());
    assert_eq!(session.expires_at.div_euclid(1_000_000), server.clock.unix_seconds() + 1);
    server.clock.advance_seconds(1);
    assert!(process.signed_in(&session.secret).await.is_none());
}

/// A browser that fetches pages in advance does not keep a person signed in.
async fn prefetching_is_no_use(server: TestServer) {
    server.clock.freeze();
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    let secret = process.sign_in(ALICE).await;
    let prefetch = async || process.identity.session(&secret, SessionUse::Prefetch).await;
    for _ in 0..11 {
        server.clock.advance_seconds(HOUR);
        prefetch().await.expect("signed in");
    }
    server.clock.advance_seconds(HOUR);
    prefetch().await.expect_err("not used for twelve hours");
}

async fn a_disabled_person_is_signed_out_everywhere(server: TestServer) {
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    process.add_person(&server, BOB).await;
    let (alice, bob) = (process.sign_in(ALICE).await, process.sign_in(BOB).await);
    let person = process.signed_in(&alice).await.expect("signed in");
    assert!(process.signed_in(&bob).await.is_some());
    let disabled = server.change_user("disable", ALICE).await;
    assert_eq!(disabled["disabled"]["ended_sessions"], 1);
    process.wait_for_end(&alice).await;
    process.identity.check_again(&person.caller).await.expect_err("a running request ends");
    assert!(process.signed_in(&bob).await.is_some(), "nobody else is signed out");
    let refused = super::refusal(process.try_to_sign_in(ALICE, PASSWORD).await);
    assert!(matches!(refused, SignInError::Wrong), "{refused}");
    server.change_user("enable", ALICE).await;
    assert!(process.signed_in(&alice).await.is_none(), "what was ended stays ended");
    process.sign_in(ALICE).await;
    for event in ["disable-user", "enable-user"] {
        expect_event(&server, &format!("{event} system:operator user:alice@example.com")).await;
    }
}

async fn the_operator_lists_and_ends_sessions(server: TestServer) {
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    let secret = process.sign_in(ALICE).await;
    let id = process.signed_in(&secret).await.expect("signed in").session_id;
    let listed = server.change_user("sessions", ALICE).await;
    let sessions = listed["sessions"].as_array().expect("a list");
    assert_eq!(sessions.len(), 1);
    assert_eq!(
        [&sessions[0]["id"], &sessions[0]["address"], &sessions[0]["agent"]],
        [&json!(id.to_string()), &json!("192.0.2.1"), &json!("a browser")]
    );
    assert_eq!(server.change_user("sign_out", ALICE).await["signed_out"], 1);
    process.wait_for_end(&secret).await;
    assert_eq!(server.change_user("sessions", ALICE).await["sessions"], json!([]));
    expect_event(&server, "end-sessions system:operator user:alice@example.com").await;
}

async fn people_end_their_own_sessions_alone(server: TestServer) {
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    process.add_person(&server, BOB).await;
    let mut secrets = Vec::new();
    for _ in 0..4 {
        secrets.push(process.sign_in(ALICE).await);
    }
    let bob = process.sign_in(BOB).await;
    let identity = &process.identity;
    let alice = process.signed_in(&secrets[0]).await.expect("signed in");
    let bobs = process.signed_in(&bob).await.expect("signed in");
    let listed = identity.list_sessions(&alice.caller).await.expect("listed");
    assert_eq!(listed.len(), 4);
    assert_eq!(listed[0].id, alice.session_id);
    assert_eq!(listed[0].address, Some("192.0.2.1".parse().expect("an address")));
    let refused = identity.end_session(&alice.caller, bobs.session_id).await;
    assert!(matches!(refused, Err(IdentityError::ResourceUnknown(_))), "{refused:?}");
    let unknown: SessionId = "0".repeat(32).parse().expect("an id");
    identity.end_session(&alice.caller, unknown).await.expect_err("there is none");
    identity.end_session(&alice.caller, listed[1].id).await.expect("ended");
    assert!(process.signed_in(&secrets[1]).await.is_none());
    let ended = identity.end_all_sessions(&alice.caller, Some(alice.session_id)).await;
    assert_eq!(ended.expect("ended"), 2);
    assert!(process.signed_in(&secrets[0]).await.is_some());
    assert!(process.signed_in(&secrets[3]).await.is_none());
    assert_eq!(identity.end_all_sessions(&alice.caller, None).await.expect("ended"), 1);
    assert!(process.signed_in(&secrets[0]).await.is_none());
    assert!(process.signed_in(&bob).await.is_some());
    expect_event(&server, "end-sessions user:alice@example.com user:alice@example.com").await;
    // Callers who are no people have no sessions.
    let nobody = identity::Caller::anonymous();
    assert!(identity.list_sessions(&nobody).await.expect("listed").is_empty());
    assert_eq!(identity.end_all_sessions(&nobody, None).await.expect("none"), 0);
    identity.end_session(&nobody, bobs.session_id).await.expect_err("not theirs");
}

/// Stores sessions of a person past the server, the first of which was used last.
async fn store_sessions(server: &TestServer, count: u8, last_seen_at: i64) -> Vec<Id> {
    let ids: Vec<_> = (0..count).map(|_| Id::new()).collect();
    let (rows, meta) = (ids.clone(), server.open_meta().await);
    let stored = meta.write(move |tx| {
        let user_id = users::find(tx, ALICE)?.expect("added").id;
        for (number, id) in rows.iter().enumerate() {
            let row = SessionRow {
                id: *id,
                user_id,
                created_at: last_seen_at,
                last_seen_at: last_seen_at - number as i64,
                expires_at: i64::MAX,
                address: None,
                agent: String::new(),
            };
            sessions::insert(tx, &[number as u8; 32], &row)?;
        }
        Ok::<_, meta::MetaError>(())
    });
    stored.await.expect("writable");
    ids
}

/// Returns which of the sessions are stored.
async fn stored_sessions(server: &TestServer, ids: &[Id]) -> Vec<bool> {
    let (ids, meta) = (ids.to_vec(), server.open_meta().await);
    let stored = meta.read(move |tx| ids.iter().map(|id| sessions::exists(tx, id)).collect());
    let stored: Result<Vec<bool>, meta::MetaError> = stored.await;
    stored.expect("readable")
}

async fn a_person_has_a_hundred_sessions(server: TestServer) {
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    let ids = store_sessions(&server, 100, server.clock.unix_seconds() * 1_000_000).await;
    let secret = process.sign_in(ALICE).await;
    assert!(process.signed_in(&secret).await.is_some());
    let stored = stored_sessions(&server, &ids).await;
    assert_eq!(stored.iter().filter(|stored| **stored).count(), 99);
    assert!(stored[0] && !stored[99], "the one that was not used for longest has ended");
}

async fn ended_sessions_are_deleted(server: TestServer) {
    server.clock.freeze();
    let process = OtherProcess::start_with_person(&server, ALICE).await;
    let now = server.clock.unix_seconds() * 1_000_000;
    let ids = store_sessions(&server, 3, now).await;
    let secret = process.sign_in(ALICE).await;
    server.clock.advance_seconds(6 * HOUR);
    assert!(process.signed_in(&secret).await.is_some());
    assert_eq!(process.identity.delete_ended_sessions().await.expect("deleted"), 0);
    server.clock.advance_seconds(7 * HOUR);
    // The server's own job may do the same at this moment.
    process.identity.delete_ended_sessions().await.expect("deleted");
    assert_eq!(stored_sessions(&server, &ids).await, [false; 3]);
    assert!(process.signed_in(&secret).await.is_some());
}
