//! Signing in with a password. An unknown address, a disabled person, a person without a password and a wrong password
//! have one answer, for the same work.

use std::net::IpAddr;

use meta::events::EventAction;
use meta::sessions::{self, SessionRow};
use meta::users::{self, UserRow};
use meta::{Id, Tx, epochs};
use model::principal::UserEmail;

use crate::clock::{Micros, micros};
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::people::changes::{ChangeAuthor, PersonChange};
use crate::people::password_hash::NoPlace;
use crate::people::secret_text::{self, SecretUse};
use crate::people::sessions::MAX_SESSIONS;
use crate::people::sign_in_delays::SignInTarget;

/// The most characters of the name of a program that are kept.
const MAX_AGENT_CHARACTERS: usize = 200;

/// A request of somebody who wants to sign in.
pub struct SignInRequest {
    /// The e-mail address, in any case.
    pub email: String,
    /// The password.
    pub password: String,
    /// The device that the request came from.
    pub device: SessionDevice,
}

/// The device of a session, so that a person recognises their sessions.
#[derive(Debug, Clone, Default)]
pub struct SessionDevice {
    /// The address of the client.
    pub address: Option<IpAddr>,
    /// The program, as it calls itself. It is cut to 200 characters.
    pub agent: String,
}

/// A session that has just begun.
pub struct NewSession {
    /// The secret that proves the session: 43 characters, which are nowhere else.
    pub secret: String,
    /// The time at which the session ends, however much it is used.
    pub expires_at: Micros,
}

/// The reason why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The address or the password is wrong, or the person is disabled or has no password.
    #[error("the e-mail address or the password is wrong")]
    Wrong,
    /// Too many wrong passwords came before. This one was not looked at.
    #[error("too many wrong passwords: the next try is possible in {seconds} s")]
    Delayed {
        /// The seconds until the next try is possible.
        seconds: u64,
    },
    /// Too many wrong passwords, or too many at once, came from the same network. This one was not looked at.
    #[error("too many sign-ins from this network: the next try is possible in {seconds} s")]
    NetworkDelayed {
        /// The seconds until the next try is possible.
        seconds: u64,
    },
    /// Too many people are signing in. The password was not looked at.
    #[error("too many people are signing in at this moment; try again")]
    Busy,
    /// The database or the machine failed.
    #[error(transparent)]
    Failed(#[from] IdentityError),
}

impl Identity {
    /// Signs a person in. Each sign-in is a new session, with a new id and a new secret.
    pub async fn sign_in(&self, request: SignInRequest) -> Result<NewSession, SignInError> {
        let SignInRequest { email, password, device } = request;
        let (address, now) = (device.address, self.clock.now());
        let target = SignInTarget::new(&email, address);
        let begun = self.sign_in_delays.begin(&target, now);
        begun.map_err(|seconds| SignInError::Delayed { seconds })?;
        if let Err(seconds) = self.sign_in_rates.begin(address, now) {
            self.sign_in_delays.take_back(&target);
            return Err(SignInError::NetworkDelayed { seconds });
        }
        let outcome = self.check_password(&email, password, device).await;
        match &outcome {
            Ok(_) => self.sign_in_delays.forget(&target),
            Err(SignInError::Wrong) => return outcome,
            Err(_) => self.sign_in_delays.take_back(&target),
        }
        self.sign_in_rates.take_back(address);
        outcome
    }

    async fn check_password(
        &self,
        email: &str,
        password: String,
        device: SessionDevice,
    ) -> Result<NewSession, SignInError> {
        let place =
            self.passwords.try_reserve(device.address).map_err(|refused| match refused {
                NoPlace::OfNetwork => SignInError::NetworkDelayed { seconds: 1 },
                NoPlace::AtAll => SignInError::Busy,
            })?;
        let email = email.parse::<UserEmail>().ok();
        let user = match email.clone() {
            Some(email) => self.read_by_key(move |tx| Ok(users::find(tx, email.as_str())?)).await?,
            None => None,
        };
        let stored = user.as_ref().and_then(|user| user.password_hash.clone());
        let is_right = place.verify(password, stored).await?;
        let address = device.address;
        let reason = match user {
            None => "there is no such person",
            Some(user) if user.disabled => "the person is disabled",
            Some(user) if user.password_hash.is_none() => "the person has no password yet",
            Some(_) if !is_right => "the password is wrong",
            Some(user) => match self.create_session(user, device).await? {
                Some(session) => return Ok(session),
                None => "the person was changed meanwhile",
            },
        };
        log_refusal(email.as_ref(), address, reason);
        Err(SignInError::Wrong)
    }

    /// Begins a session. Returns `None` if the person was disabled or has another password meanwhile.
    async fn create_session(
        &self,
        user: UserRow,
        device: SessionDevice,
    ) -> Result<Option<NewSession>, IdentityError> {
        let secret = secret_text::generate();
        let hash = secret_text::hash_of(SecretUse::Session, &secret).expect("made just now");
        let (hash, now) = (hash.hash_bytes(), self.clock.now());
        let session = SessionRow {
            id: Id::new(),
            user_id: user.id,
            created_at: now,
            last_seen_at: now,
            expires_at: now.saturating_add(micros(self.settings.sessions.lifetime)),
            address: device.address.map(|address| address.to_canonical().to_string()),
            agent: printable(&device.agent),
        };
        let expires_at = session.expires_at;
        let writing = self.write(move |tx| {
            let current = users::find_by_id(tx, &user.id)?;
            if current.is_none_or(|now| now.disabled || now.password_hash != user.password_hash) {
                return Ok(false);
            }
            end_oldest(tx, &user.id)?;
            sessions::insert(tx, &hash, &session)?;
            PersonChange {
                action: EventAction::SignIn,
                author: ChangeAuthor::Person,
                email: &user.email,
                now,
            }
            .record(tx)?;
            Ok(true)
        });
        Ok(writing.await?.then_some(NewSession { secret, expires_at }))
    }
}

/// Logs why somebody was not signed in. Only the log says that. A text that is no address is not shown.
fn log_refusal(email: Option<&UserEmail>, address: Option<IpAddr>, reason: &'static str) {
    let account = email.map_or("-", UserEmail::as_str);
    let client = address.map_or_else(|| "-".to_owned(), |address| address.to_string());
    tracing::info!(
        client,
        account,
        reason,
        "a sign-in was refused: {reason}; it is for {account} and came from {client}"
    );
}

/// Returns the name of a program without characters that a page or a terminal would not show, and not too long.
fn printable(agent: &str) -> String {
    agent.chars().filter(|c| !c.is_control()).take(MAX_AGENT_CHARACTERS).collect()
}

/// Ends the session that was not used for longest, if the person has as many as a person may have.
fn end_oldest(tx: &mut Tx<'_>, user: &Id) -> Result<(), IdentityError> {
    let open = sessions::list(tx, user, MAX_SESSIONS as i64)?;
    if open.len() < MAX_SESSIONS {
        return Ok(());
    }
    if let Some(oldest) = open.iter().min_by_key(|session| session.last_seen_at) {
        sessions::delete(tx, user, &oldest.id)?;
        epochs::bump(tx, epochs::ACCESS)?;
    }
    Ok(())
}
