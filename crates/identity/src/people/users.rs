//! People, as the operator adds and disables them. A person who is disabled keeps their roles, and may do nothing.

use meta::events::EventAction;
use meta::users::{self, UserRow};
use meta::{Id, Tx, epochs, sessions};
use model::principal::UserEmail;

use crate::clock::Micros;
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::people::admins;
use crate::people::changes::{ChangeAuthor, PersonChange};
use crate::people::password_links::{IssuedLink, NewLink};
use crate::people::sessions::SessionSummary;
use crate::policies::evaluate::has_administrator;

/// The issuer of people who have a password here.
const LOCAL_ISSUER: &str = "local";
/// The most characters of a name.
const MAX_NAME_CHARACTERS: usize = 100;
/// The people who are read at once.
const USERS_PER_READ: i64 = 100;

/// A person who is to be added.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The e-mail address.
    pub email: UserEmail,
    /// The name for people to read, which may be empty.
    pub display_name: String,
}

/// A person who was added.
pub struct AddedUser {
    /// The link by which the person sets a password.
    pub link: IssuedLink,
    /// True if the setting `admins` names the person, who so administers everything.
    pub is_admin: bool,
}

/// The outcome of disabling a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisabledUser {
    /// The number of sessions that were ended.
    pub ended_sessions: u64,
    /// False if nobody is left who can sign in and administer everything.
    pub has_administrator: bool,
}

/// A person, as the operator sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSummary {
    /// The e-mail address.
    pub email: String,
    /// The name for people to read.
    pub display_name: String,
    /// True if the person may do nothing.
    pub disabled: bool,
    /// False if the person has not set a password yet.
    pub has_password: bool,
    /// The time at which the person was added.
    pub created_at: Micros,
}

impl Identity {
    /// Adds a person, and makes the link by which they set a password. A person whom the setting `admins` names gets the
    /// roles of an administrator.
    ///
    /// # Errors
    /// Fails if there is a person with this address, and if the name is too long or not printable.
    pub async fn add_user(&self, new: NewUser) -> Result<AddedUser, IdentityError> {
        let NewUser { email, display_name } = new;
        check_name(&display_name)?;
        let (now, id) = (self.clock.now(), Id::new());
        let is_admin = self.settings.admins.contains(&email.member());
        let user = UserRow {
            id,
            issuer: LOCAL_ISSUER.to_owned(),
            subject: id.to_string(),
            email: email.to_string(),
            display_name,
            disabled: false,
            password_hash: None,
            created_at: now,
        };
        let NewLink { issued, unstored } = NewLink::generate(now);
        let writing = self.write(move |tx| {
            if !users::insert(tx, &user)? {
                return Err(IdentityError::AlreadyExists(format!(
                    "{email} was added before: `berth users reset {email}` makes a new link"
                )));
            }
            unstored.store(tx, &user.id)?;
            if is_admin {
                admins::give(tx, &email.member(), now)?;
            }
            record(tx, EventAction::AddUser, &email, now)
        });
        writing.await?;
        self.poll_epoch().await?;
        Ok(AddedUser { link: issued, is_admin })
    }

    /// Lists all people, in the order of their addresses.
    pub async fn list_users(&self) -> Result<Vec<UserSummary>, IdentityError> {
        let mut found = Vec::<UserSummary>::new();
        loop {
            let last = found.last().map_or_else(String::new, |user| user.email.clone());
            let page = self.read(move |tx| Ok(users::list(tx, &last, USERS_PER_READ)?)).await?;
            let is_last = page.len() < USERS_PER_READ as usize;
            found.extend(page.into_iter().map(|user| UserSummary {
                email: user.email,
                display_name: user.display_name,
                disabled: user.disabled,
                has_password: user.password_hash.is_some(),
                created_at: user.created_at,
            }));
            if is_last {
                return Ok(found);
            }
        }
    }

    /// Disables a person, and ends their sessions in all processes within five seconds. Their link is good no longer.
    ///
    /// # Errors
    /// Fails if there is no such person.
    pub async fn disable_user(&self, email: &UserEmail) -> Result<DisabledUser, IdentityError> {
        let (email, now) = (email.clone(), self.clock.now());
        let writing = self.write(move |tx| {
            let user = find_user(tx, &email)?;
            users::set_disabled(tx, &user.id, true, now)?;
            users::delete_link(tx, &user.id)?;
            let ended_sessions = sessions::delete_all(tx, &user.id, None)?;
            epochs::bump(tx, epochs::ACCESS)?;
            record(tx, EventAction::DisableUser, &email, now)?;
            Ok(DisabledUser { ended_sessions, has_administrator: has_administrator(tx)? })
        });
        let disabled = writing.await?;
        self.poll_epoch().await?;
        Ok(disabled)
    }

    /// Enables a person again, with the password and the roles as they are.
    ///
    /// # Errors
    /// Fails if there is no such person.
    pub async fn enable_user(&self, email: &UserEmail) -> Result<(), IdentityError> {
        let (email, now) = (email.clone(), self.clock.now());
        let writing = self.write(move |tx| {
            let user = find_user(tx, &email)?;
            users::set_disabled(tx, &user.id, false, now)?;
            epochs::bump(tx, epochs::ACCESS)?;
            record(tx, EventAction::EnableUser, &email, now)
        });
        writing.await?;
        self.poll_epoch().await?;
        Ok(())
    }

    /// Makes a link by which a person sets a new password, in place of the person's link before. Password and sessions
    /// stay until then.
    ///
    /// # Errors
    /// Fails if there is no such person, or if the person is disabled.
    pub async fn reset_password(&self, email: &UserEmail) -> Result<IssuedLink, IdentityError> {
        let (email, now) = (email.clone(), self.clock.now());
        let NewLink { issued, unstored } = NewLink::generate(now);
        let writing = self.write(move |tx| {
            let user = find_user(tx, &email)?;
            if user.disabled {
                return Err(IdentityError::Precondition(format!(
                    "{email} is disabled: `berth users enable {email}` comes first"
                )));
            }
            unstored.store(tx, &user.id)?;
            record(tx, EventAction::ResetPassword, &email, now)
        });
        writing.await?;
        Ok(issued)
    }

    /// Lists the sessions of a person, the oldest first.
    ///
    /// # Errors
    /// Fails if there is no such person.
    pub async fn list_user_sessions(
        &self,
        email: &UserEmail,
    ) -> Result<Vec<SessionSummary>, IdentityError> {
        let email = email.clone();
        let user = self.read_by_key(move |tx| find_user(tx, &email)).await?;
        self.list_sessions_of(user.id).await
    }

    /// Ends all sessions of a person, in all processes within five seconds. Returns their number.
    ///
    /// # Errors
    /// Fails if there is no such person.
    pub async fn end_user_sessions(&self, email: &UserEmail) -> Result<u64, IdentityError> {
        let (email, now) = (email.clone(), self.clock.now());
        let writing = self.write(move |tx| {
            let user = find_user(tx, &email)?;
            let ended = sessions::delete_all(tx, &user.id, None)?;
            epochs::bump(tx, epochs::ACCESS)?;
            record(tx, EventAction::EndSessions, &email, now)?;
            Ok(ended)
        });
        let ended = writing.await?;
        self.poll_epoch().await?;
        Ok(ended)
    }
}

fn check_name(name: &str) -> Result<(), IdentityError> {
    if name.chars().count() > MAX_NAME_CHARACTERS || name.chars().any(char::is_control) {
        let problem = format!("at most {MAX_NAME_CHARACTERS} characters that can be shown");
        return Err(IdentityError::invalid("name", problem));
    }
    Ok(())
}

fn find_user(tx: &mut Tx<'_>, email: &UserEmail) -> Result<UserRow, IdentityError> {
    let unknown = || IdentityError::ResourceUnknown(format!("user:{email}"));
    users::find(tx, email.as_str())?.ok_or_else(unknown)
}

/// Records what the operator did to a person.
fn record(
    tx: &mut Tx<'_>,
    action: EventAction,
    email: &UserEmail,
    now: Micros,
) -> Result<(), IdentityError> {
    PersonChange { action, author: ChangeAuthor::Operator, email: email.as_str(), now }.record(tx)
}
