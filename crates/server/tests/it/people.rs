//! People with a password: how the operator adds them, how they sign in, and how their sessions end.

mod admins;
mod command;
mod links;
mod policies;
mod sessions;
mod sign_in;

use identity::{
    CredentialError, Identity, IdentityError, IdentitySettings, MasterKey, NewSession,
    SessionDevice, SessionUse, SignInError, SignInRequest, SignedInPerson,
};
use serde_json::Value;

use crate::util::people::token_of;
use crate::util::{TestServer, with_deadline};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const PASSWORD: &str = "correct horse battery";

/// The identity of another process on a server's database: whatever it knows, it has from there.
struct OtherProcess {
    identity: Identity,
}

impl OtherProcess {
    async fn start(server: &TestServer) -> Self {
        let meta = server.open_meta().await;
        let master = MasterKey::new(&MasterKey::generate());
        let settings = IdentitySettings::default();
        Self { identity: Identity::new(meta, server.clock.clone(), master, settings) }
    }

    /// Starts on a server where a person was added, and has set the password.
    async fn start_with_person(server: &TestServer, email: &str) -> Self {
        let process = Self::start(server).await;
        process.add_person(server, email).await;
        process
    }

    async fn add_person(&self, server: &TestServer, email: &str) {
        self.set_password(&server.add_user(email).await["link"], PASSWORD).await;
    }

    async fn set_password(&self, link: &Value, password: &str) {
        self.identity.set_password(&token_of(link), password, None).await.expect("it is set");
    }

    async fn try_to_sign_in(&self, email: &str, password: &str) -> Result<NewSession, SignInError> {
        self.identity.sign_in(request(email, password, "192.0.2.1")).await
    }

    /// Signs a person in. Returns the secret of the session.
    async fn sign_in(&self, email: &str) -> String {
        self.try_to_sign_in(email, PASSWORD).await.expect("signed in").secret
    }

    /// Returns who is signed in. An ended session is the only other answer.
    async fn signed_in(&self, secret: &str) -> Option<SignedInPerson> {
        match self.identity.session(secret, SessionUse::Page).await {
            Ok(person) => Some(person),
            Err(IdentityError::Credential(
                CredentialError::Revoked
                | CredentialError::Expired
                | CredentialError::AccountDisabled,
            )) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until a session is good no longer. A process trusts what it read for four seconds.
    async fn wait_for_end(&self, secret: &str) {
        let ended = async {
            while self.signed_in(secret).await.is_some() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        with_deadline(ended).await;
    }
}

/// A request to sign in from an address.
fn request(email: &str, password: &str, address: &str) -> SignInRequest {
    let address = Some(address.parse().expect("an address"));
    let device = SessionDevice { address, agent: "a browser".to_owned() };
    SignInRequest { email: email.to_owned(), password: password.to_owned(), device }
}

/// The error of a sign-in that has to fail.
#[track_caller]
fn refusal(outcome: Result<NewSession, SignInError>) -> SignInError {
    outcome.err().expect("it is refused")
}

/// Members of the organization's policy that have a role.
async fn organization_members(server: &TestServer, role: &str) -> Vec<String> {
    let meta = server.open_meta().await;
    let read = meta.read(|tx| meta::policies::find(tx, crate::util::accounts::ORGANIZATION));
    let stored = read.await.expect("readable").expect("there is one");
    let bindings: Value = serde_json::from_str(&stored.bindings).expect("JSON");
    let bindings = bindings.as_array().expect("a list").iter();
    let of_role = bindings.filter(|binding| binding["role"] == role);
    let members = of_role.flat_map(|binding| binding["members"].as_array().expect("a list"));
    members.map(|member| member.as_str().expect("text").to_owned()).collect()
}

/// The events of a database, as `ACTION PRINCIPAL RESOURCE`.
async fn events_of(server: &TestServer) -> Vec<String> {
    let first: meta::Id = "0".repeat(32).parse().expect("an id");
    let meta = server.open_meta().await;
    let events = meta.read(move |tx| meta::events::list_after(tx, &first, 1000)).await;
    let events = events.expect("readable").into_iter();
    events
        .map(|(_, event)| {
            format!("{} {} {}", event.action.as_str(), event.principal, event.resource)
        })
        .collect()
}

/// Asserts that an event is among those of a database.
async fn expect_event(server: &TestServer, expected: &str) {
    let events = events_of(server).await;
    assert!(events.iter().any(|event| event == expected), "{expected}: {events:#?}");
}
