//! Sessions: how long they last, and how they end.
//!
//! A session is a row, so that each process knows it. An accepted one stays in a cache until the rights of anybody
//! change, or until its last use has to be written down.

use std::net::IpAddr;

use meta::events::EventAction;
use meta::sessions::{self, SessionRow};
use meta::users::{self, UserRow};
use meta::{Id, MetaError, epochs};
use model::principal::Principal;

use crate::caller::{AuthenticatedBy, Caller, SecurityEpoch};
use crate::clock::{Micros, micros};
use crate::error::{CredentialError, IdentityError};
use crate::identity::Identity;
use crate::people::changes::{ChangeAuthor, PersonChange};
use crate::people::secret_text::{self, SecretUse};
use crate::people::signed_in::{CachedSession, SessionId, SessionUse, SignedInPerson};
use crate::settings::SessionLimits;

/// The most sessions that a person has at once. A further sign-in ends the one that was not used for longest.
pub(crate) const MAX_SESSIONS: usize = 100;
/// The time within which further uses of a session are not written down.
const USE_PERIOD: Micros = 60 * 1_000_000;

/// A session, as its owner and the operator see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSummary {
    /// The id of the session.
    pub id: SessionId,
    /// The time of the sign-in.
    pub created_at: Micros,
    /// The time of the last use, a minute more or less.
    pub last_seen_at: Micros,
    /// The time at which the session ends by itself if it is not used again.
    pub expires_at: Micros,
    /// The address that the person signed in from.
    pub address: Option<IpAddr>,
    /// The program that the person signed in with, as it called itself.
    pub agent: String,
}

impl SessionLimits {
    /// Returns the time at which a session ends, however much it is used. A shorter lifetime in the settings holds for
    /// sessions that exist already.
    fn expiry(self, session: &SessionRow) -> Micros {
        session.expires_at.min(session.created_at.saturating_add(micros(self.lifetime)))
    }

    /// Returns the time at which a session ends if it is not used after `last_seen_at`.
    fn idle_end(self, last_seen_at: Micros) -> Micros {
        last_seen_at.saturating_add(micros(self.idle))
    }
}

impl Identity {
    /// Returns the person who is signed in with this secret of a session.
    ///
    /// # Errors
    /// Fails with a [`CredentialError`] if the session has ended, or if the person was disabled: the person is not signed
    /// in then.
    pub async fn session(
        &self,
        secret: &str,
        usage: SessionUse,
    ) -> Result<SignedInPerson, IdentityError> {
        let hash = secret_text::hash_of(SecretUse::Session, secret);
        let hash = hash.ok_or(CredentialError::Revoked)?;
        let (security_epoch, now) = (self.security_epoch().await?, self.clock.now());
        let is_fresh = |cached: &CachedSession| {
            let is_idle = now >= self.settings.sessions.idle_end(cached.last_seen_at);
            let is_recorded = match usage {
                SessionUse::Page => now - cached.last_seen_at < USE_PERIOD,
                SessionUse::Prefetch => true,
            };
            now < cached.expires_at && !is_idle && is_recorded
        };
        if let Some(cached) = self.sessions.get(&hash, security_epoch.epoch).filter(is_fresh) {
            return Ok(cached.person);
        }
        let mut loaded = self.load_session(hash.hash_bytes(), security_epoch).await?;
        if !is_fresh(&loaded) {
            self.record_use(&mut loaded, now).await;
        }
        self.sessions.put(hash, security_epoch.epoch, loaded.clone());
        Ok(loaded.person)
    }

    /// Reads a session that has not ended.
    async fn load_session(
        &self,
        secret_hash: Vec<u8>,
        security_epoch: SecurityEpoch,
    ) -> Result<CachedSession, IdentityError> {
        let reading = self.read_by_key(move |tx| {
            let session = sessions::find_by_secret(tx, &secret_hash)?;
            let session = session.ok_or(CredentialError::Revoked)?;
            let user = users::find_by_id(tx, &session.user_id)?.filter(|user| !user.disabled);
            Ok((session, user.ok_or(CredentialError::AccountDisabled)?))
        });
        let (session, user) = reading.await?;
        let (limits, now) = (self.settings.sessions, self.clock.now());
        let expires_at = limits.expiry(&session);
        if now >= expires_at || now >= limits.idle_end(session.last_seen_at) {
            return Err(CredentialError::Expired.into());
        }
        let person = signed_in(&session, user, security_epoch, expires_at);
        Ok(CachedSession { person, last_seen_at: session.last_seen_at, expires_at })
    }

    /// Writes a use of a session down. A database that takes no writes does not keep people from looking.
    async fn record_use(&self, session: &mut CachedSession, now: Micros) {
        let id = session.person.session_id.0;
        match self.write(move |tx| Ok(sessions::record_use(tx, &id, now)?)).await {
            Ok(_) => session.last_seen_at = now,
            Err(error) => tracing::warn!(%error, "the use of a session was not recorded: {error}"),
        }
    }

    /// Returns the sessions of a caller, the oldest first. A caller who is no person has none.
    pub async fn list_sessions(
        &self,
        caller: &Caller,
    ) -> Result<Vec<SessionSummary>, IdentityError> {
        let Some(user) = user_id(caller) else { return Ok(Vec::new()) };
        self.list_sessions_of(user).await
    }

    /// Returns the sessions of a person that have not ended by themselves.
    pub(crate) async fn list_sessions_of(
        &self,
        user: Id,
    ) -> Result<Vec<SessionSummary>, IdentityError> {
        let (limits, now) = (self.settings.sessions, self.clock.now());
        let reading = self.read(move |tx| Ok(sessions::list(tx, &user, MAX_SESSIONS as i64)?));
        let summaries = reading.await?.into_iter().map(|row| SessionSummary {
            id: SessionId(row.id),
            created_at: row.created_at,
            last_seen_at: row.last_seen_at,
            expires_at: limits.expiry(&row).min(limits.idle_end(row.last_seen_at)),
            address: row.address.and_then(|address| address.parse().ok()),
            agent: row.agent,
        });
        Ok(summaries.filter(|session| now < session.expires_at).collect())
    }

    /// Ends one session of a caller, in all processes within five seconds.
    ///
    /// # Errors
    /// Fails if the caller has no such session.
    pub async fn end_session(
        &self,
        caller: &Caller,
        session: SessionId,
    ) -> Result<(), IdentityError> {
        let unknown = move || IdentityError::ResourceUnknown(format!("Session {session}"));
        let user = user_id(caller).ok_or_else(unknown)?;
        let ended = self.end_sessions(caller, move |tx| sessions::delete(tx, &user, &session.0));
        if ended.await? == 0 { Err(unknown()) } else { Ok(()) }
    }

    /// Ends all sessions of a caller, perhaps except one, in all processes within five seconds. Returns their number.
    pub async fn end_all_sessions(
        &self,
        caller: &Caller,
        except: Option<SessionId>,
    ) -> Result<u64, IdentityError> {
        let Some(user) = user_id(caller) else { return Ok(0) };
        let kept = except.map(|session| session.0);
        self.end_sessions(caller, move |tx| sessions::delete_all(tx, &user, kept.as_ref())).await
    }

    /// Ends sessions of a caller. `end` returns their number.
    async fn end_sessions(
        &self,
        caller: &Caller,
        end: impl Fn(&mut meta::Tx<'_>) -> Result<u64, MetaError> + Send + 'static,
    ) -> Result<u64, IdentityError> {
        let (principal, now) = (caller.principal.clone(), self.clock.now());
        let writing = self.write(move |tx| {
            let ended = end(tx)?;
            if ended > 0 {
                epochs::bump(tx, epochs::ACCESS)?;
                PersonChange {
                    action: EventAction::EndSessions,
                    author: ChangeAuthor::Person,
                    email: principal.email().unwrap_or_default(),
                    now,
                }
                .record(tx)?;
            }
            Ok(ended)
        });
        let ended = writing.await?;
        self.poll_epoch().await?;
        Ok(ended)
    }

    /// Deletes sessions and links that ended by themselves, some hundred at most. Returns their number. A job calls this
    /// until nothing is left.
    pub async fn delete_ended_sessions(&self) -> Result<u64, IdentityError> {
        let (now, idle) = (self.clock.now(), micros(self.settings.sessions.idle));
        let writing = self.write(move |tx| {
            let links = users::delete_expired_links(tx, now)?;
            Ok(links + sessions::delete_ended(tx, now, now.saturating_sub(idle))?)
        });
        writing.await
    }
}

/// Returns the id of the person that a caller is.
fn user_id(caller: &Caller) -> Option<Id> {
    match &caller.principal {
        Principal::User(_) => caller.authenticated_by.uid.as_deref()?.parse().ok(),
        Principal::Anonymous | Principal::ServiceAccount(_) | Principal::System(_) => None,
    }
}

/// Returns the person of a session that was read at `security_epoch`.
fn signed_in(
    session: &SessionRow,
    user: UserRow,
    security_epoch: SecurityEpoch,
    expires_at: Micros,
) -> SignedInPerson {
    let authenticated_by = AuthenticatedBy {
        uid: Some(user.id.to_string()),
        session: Some(session.id),
        expires_at: Some(expires_at.div_euclid(1_000_000)),
        security_epoch,
        ..AuthenticatedBy::default()
    };
    let principal = Principal::User(user.email.as_str().into());
    SignedInPerson {
        caller: Caller::of_person(principal, authenticated_by),
        session_id: SessionId(session.id),
        email: user.email,
        signed_in_at: session.created_at,
    }
}
