//! Links by which people set their passwords. The operator makes one, and hands it to the person. A link is good once, and
//! for a day.

use std::net::IpAddr;

use meta::events::EventAction;
use meta::users::{self, PasswordLinkRow, UserRow};
use meta::{Id, Tx, epochs, sessions};

use crate::clock::Micros;
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::people::changes::{ChangeAuthor, PersonChange};
use crate::people::password_hash::NoPlace;
use crate::people::secret_text::{self, SecretUse};

/// The time for which a link is good.
const LINK_LIFETIME: Micros = 24 * 3600 * 1_000_000;
/// The fewest characters of a password.
const MIN_CHARACTERS: usize = 12;
/// The most characters of a password.
const MAX_CHARACTERS: usize = 200;
/// The most bytes of a password.
const MAX_BYTES: usize = 1_000;

/// The token of a new link.
pub struct IssuedLink {
    /// The token: 43 characters, which are nowhere else.
    pub token: String,
    /// The time from which the link is no longer good.
    pub expires_at: Micros,
}

/// The meaning of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordLink {
    /// The e-mail address of the person that the link is for.
    pub email: String,
    /// The reason for which the link was made.
    pub purpose: PasswordPurpose,
}

/// The reason for which a link was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordPurpose {
    /// The person has no password yet.
    First,
    /// The person sets another password.
    Reset,
}

/// The reason why a link does not lead to a password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordLinkError {
    /// The link is wrong, was used, has expired, or its person is disabled.
    #[error("the link is wrong, was used before, or has expired; ask for a new one")]
    Unusable,
    /// The password is none that may be set. The link stays good.
    #[error(transparent)]
    Unacceptable(#[from] PasswordProblem),
    /// Too many passwords from the same network are being set or checked. The link stays good.
    #[error("too many people of this network are setting passwords or signing in; try again")]
    NetworkBusy,
    /// Too many passwords are being set or checked. The link stays good.
    #[error("too many people are setting passwords or signing in at this moment; try again")]
    Busy,
    /// The database or the machine failed.
    #[error(transparent)]
    Failed(#[from] IdentityError),
}

/// The reason why a password may not be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordProblem {
    /// The password is too short.
    #[error("a password has at least {MIN_CHARACTERS} characters")]
    TooShort,
    /// The password is too long.
    #[error("a password has at most {MAX_CHARACTERS} characters, and {MAX_BYTES} bytes")]
    TooLong,
    /// The password is the person's e-mail address.
    #[error("the password must not be the e-mail address")]
    IsEmail,
}

/// Checks a new password of the person with this address. Length alone counts, not the kinds of characters.
fn check_password(password: &str, email: &str) -> Result<(), PasswordProblem> {
    let characters = password.chars().count();
    if password.trim().eq_ignore_ascii_case(email) {
        Err(PasswordProblem::IsEmail)
    } else if characters < MIN_CHARACTERS {
        Err(PasswordProblem::TooShort)
    } else if characters > MAX_CHARACTERS || password.len() > MAX_BYTES {
        Err(PasswordProblem::TooLong)
    } else {
        Ok(())
    }
}

/// A link that is not stored yet.
pub(super) struct NewLink {
    /// The part that the person gets.
    pub(super) issued: IssuedLink,
    /// The part that goes into the database.
    pub(super) unstored: UnstoredLink,
}

/// The part of a link that goes into the database.
pub(super) struct UnstoredLink {
    token_hash: Vec<u8>,
    expires_at: Micros,
}

impl NewLink {
    pub(super) fn generate(now: Micros) -> Self {
        let (token, expires_at) = (secret_text::generate(), now.saturating_add(LINK_LIFETIME));
        let hash = secret_text::hash_of(SecretUse::PasswordLink, &token).expect("made just now");
        let unstored = UnstoredLink { token_hash: hash.hash_bytes(), expires_at };
        Self { issued: IssuedLink { token, expires_at }, unstored }
    }
}

impl UnstoredLink {
    /// Stores the link of a person, in place of the link before.
    pub(super) fn store(&self, tx: &mut Tx<'_>, user: &Id) -> Result<(), IdentityError> {
        let row = PasswordLinkRow { user_id: *user, expires_at: self.expires_at };
        Ok(users::set_link(tx, &self.token_hash, &row)?)
    }
}

impl Identity {
    /// Returns the meaning of a link, which stays good.
    pub async fn password_link(&self, token: &str) -> Result<PasswordLink, PasswordLinkError> {
        let user = self.user_of_link(token).await?;
        let purpose = match user.password_hash {
            None => PasswordPurpose::First,
            Some(_) => PasswordPurpose::Reset,
        };
        Ok(PasswordLink { email: user.email, purpose })
    }

    async fn user_of_link(&self, token: &str) -> Result<UserRow, PasswordLinkError> {
        let hash = secret_text::hash_of(SecretUse::PasswordLink, token);
        let hash = hash.ok_or(PasswordLinkError::Unusable)?.hash_bytes();
        let now = self.clock.now();
        let found = self.read_by_key(move |tx| find_user(tx, &hash, now)).await?;
        found.ok_or(PasswordLinkError::Unusable)
    }

    /// Sets the password of the person that a link is for, and ends their sessions. `address` is that of the client.
    /// Returns the person's e-mail address.
    pub async fn set_password(
        &self,
        token: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<String, PasswordLinkError> {
        // A wrong link costs no hash.
        let user = self.user_of_link(token).await?;
        check_password(password, &user.email)?;
        let place = self.passwords.try_reserve(address).map_err(|refused| match refused {
            NoPlace::OfNetwork => PasswordLinkError::NetworkBusy,
            NoPlace::AtAll => PasswordLinkError::Busy,
        })?;
        let password_hash = place.hash(password.to_owned()).await?;
        let hash = secret_text::hash_of(SecretUse::PasswordLink, token);
        let hash = hash.ok_or(PasswordLinkError::Unusable)?.hash_bytes();
        let now = self.clock.now();
        let writing = self.write(move |tx| {
            let Some(user) = find_user(tx, &hash, now)? else { return Ok(None) };
            users::set_password_hash(tx, &user.id, &password_hash, now)?;
            users::delete_link(tx, &user.id)?;
            sessions::delete_all(tx, &user.id, None)?;
            epochs::bump(tx, epochs::ACCESS)?;
            PersonChange {
                action: EventAction::SetPassword,
                author: ChangeAuthor::Person,
                email: &user.email,
                now,
            }
            .record(tx)?;
            Ok(Some(user.email))
        });
        let email = writing.await?.ok_or(PasswordLinkError::Unusable)?;
        self.poll_epoch().await?;
        Ok(email)
    }
}

/// Returns the enabled person that a link is for, if the link is good.
fn find_user(
    tx: &mut Tx<'_>,
    token_hash: &[u8],
    now: Micros,
) -> Result<Option<UserRow>, IdentityError> {
    let link = users::find_link(tx, token_hash)?.filter(|link| now < link.expires_at);
    let Some(link) = link else { return Ok(None) };
    Ok(users::find_by_id(tx, &link.user_id)?.filter(|user| !user.disabled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_that_may_be_set() {
        let check = |password: &str, expected| {
            assert_eq!(check_password(password, "alice@example.com"), expected, "{password}");
        };
        check("abcdefghijkl", Ok(()));
        check("abcdefghijk", Err(PasswordProblem::TooShort));
        check("", Err(PasswordProblem::TooShort));
        check(&"x".repeat(200), Ok(()));
        check(&"x".repeat(201), Err(PasswordProblem::TooLong));
        check(&"密".repeat(12), Ok(()));
        check(&"密".repeat(11), Err(PasswordProblem::TooShort));
        check(&"🦀".repeat(200), Ok(()));
        check("alice@example.com", Err(PasswordProblem::IsEmail));
        check(" Alice@Example.com ", Err(PasswordProblem::IsEmail));
        check("alice@example.com2", Ok(()));
    }
}
