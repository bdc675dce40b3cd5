//! The roles on the organization that the settings gave (table `given_roles`).

use crate::{MetaError, Tx, params};

/// A role that the settings gave to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenRole {
    /// The member, as policies name it.
    pub member: String,
    /// The name of the role.
    pub role: String,
}

/// Returns all roles that the settings gave. They are few: the settings limit the number of members.
pub fn list(tx: &mut Tx<'_>) -> Result<Vec<GivenRole>, MetaError> {
    tx.query("SELECT member, role FROM given_roles ORDER BY member, role", params![], |row| {
        Ok(GivenRole { member: row.text(0)?, role: row.text(1)? })
    })
}

/// Records that the settings gave a role. One that is recorded already stays.
pub fn insert(tx: &mut Tx<'_>, given: &GivenRole, now: i64) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO given_roles (member, role, given_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (member, role) DO NOTHING",
        params![given.member.as_str(), given.role.as_str(), now],
    )?;
    Ok(())
}

/// Deletes the record of a role. Returns the number of records deleted, 0 or 1.
pub fn delete(tx: &mut Tx<'_>, given: &GivenRole) -> Result<u64, MetaError> {
    tx.execute(
        "DELETE FROM given_roles WHERE member = ?1 AND role = ?2",
        params![given.member.as_str(), given.role.as_str()],
    )
}
