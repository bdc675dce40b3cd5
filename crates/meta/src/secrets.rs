//! Secrets, their versions, and the repositories that use them (tables `secrets`, `secret_versions` and
//! `repository_secrets`). Values are sealed before they come here.

use model::name::RepositoryName;
use model::secret::{SecretName, SecretVersion};

use crate::repositories::repository_name_at;
use crate::{Id, MetaError, SqlRow, Tx, params};

/// A secret, without its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// The id of the secret.
    pub id: Id,
    /// The name of the secret.
    pub name: SecretName,
    /// The origin of the registry to which the values are sent.
    pub origin: String,
    /// The largest number that a version has had.
    pub last_version: i64,
    /// The time of its creation.
    pub created_at: i64,
}

/// A version of a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretVersionRow {
    /// The number of the version.
    pub number: i64,
    /// The sealed value.
    pub sealed_value: Vec<u8>,
    /// False if the version may not be used.
    pub enabled: bool,
    /// The time of its creation.
    pub created_at: i64,
}

/// A version of a secret with the secret that it belongs to.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// The secret.
    pub secret: SecretRow,
    /// The version.
    pub version: SecretVersionRow,
}

fn secret_name_at(row: &SqlRow<'_>, column: usize) -> Result<SecretName, MetaError> {
    let project = row.text(column)?.parse().ok();
    let name = row.text(column + 1)?;
    let name = project.and_then(|project| SecretName::new(project, &name).ok());
    name.ok_or_else(|| MetaError::corrupt("the name of a secret"))
}

fn read_secret(row: &SqlRow<'_>) -> Result<SecretRow, MetaError> {
    Ok(SecretRow {
        id: row.id(0)?,
        name: secret_name_at(row, 1)?,
        origin: row.text(3)?,
        last_version: row.int(4)?,
        created_at: row.int(5)?,
    })
}

fn read_version(row: &SqlRow<'_>) -> Result<SecretVersionRow, MetaError> {
    version_at(row, 0)
}

/// Reads a version from four columns, of which `first` is the first one.
fn version_at(row: &SqlRow<'_>, first: usize) -> Result<SecretVersionRow, MetaError> {
    Ok(SecretVersionRow {
        number: row.int(first)?,
        sealed_value: row.bytes(first + 1)?,
        enabled: row.bool(first + 2)?,
        created_at: row.int(first + 3)?,
    })
}

/// Returns the secret with this name.
pub fn find(tx: &mut Tx<'_>, name: &SecretName) -> Result<Option<SecretRow>, MetaError> {
    tx.query_first(
        "SELECT id, project, name, origin, last_version, created_at FROM secrets
         WHERE project = ?1 AND name = ?2",
        params![name.project.as_str(), name.secret()],
        read_secret,
    )
}

/// The statement of [`list`]. A test checks its query plan.
pub(crate) const LIST_SQL: &str =
    "SELECT id, project, name, origin, last_version, created_at FROM secrets
     WHERE (project, name) > (?1, ?2) ORDER BY project, name LIMIT ?3";

/// Returns the secrets whose projects and ids sort after these, in that order.
pub fn list(
    tx: &mut Tx<'_>,
    project: &str,
    secret: &str,
    limit: i64,
) -> Result<Vec<SecretRow>, MetaError> {
    tx.query(LIST_SQL, params![project, secret, limit], read_secret)
}

/// Stores a secret without versions.
pub fn insert(tx: &mut Tx<'_>, new: &SecretRow) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO secrets (id, project, name, origin, last_version, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            &new.id,
            new.name.project.as_str(),
            new.name.secret(),
            new.origin.as_str(),
            new.last_version,
            new.created_at
        ],
    )?;
    Ok(())
}

/// Deletes a secret with its versions. Returns the number of secrets deleted, 0 or 1.
pub fn delete(tx: &mut Tx<'_>, secret: &Id) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM secret_versions WHERE secret_id = ?1", params![secret])?;
    tx.execute("DELETE FROM secrets WHERE id = ?1", params![secret])
}

/// Returns a version of a secret.
pub fn find_version(
    tx: &mut Tx<'_>,
    secret: &Id,
    version: SecretVersion,
) -> Result<Option<SecretVersionRow>, MetaError> {
    match version {
        SecretVersion::Number(number) => tx.query_first(
            "SELECT version, sealed_value, enabled, created_at FROM secret_versions
             WHERE secret_id = ?1 AND version = ?2",
            params![secret, number],
            read_version,
        ),
        SecretVersion::Latest => tx.query_first(
            "SELECT version, sealed_value, enabled, created_at FROM secret_versions
             WHERE secret_id = ?1 ORDER BY version DESC LIMIT 1",
            params![secret],
            read_version,
        ),
    }
}

/// Returns all versions of a secret, the oldest first.
pub fn list_versions(tx: &mut Tx<'_>, secret: &Id) -> Result<Vec<SecretVersionRow>, MetaError> {
    tx.query(
        "SELECT version, sealed_value, enabled, created_at FROM secret_versions
         WHERE secret_id = ?1 ORDER BY version",
        params![secret],
        read_version,
    )
}

/// Stores a version of a secret, whose number becomes the largest one.
pub fn insert_version(
    tx: &mut Tx<'_>,
    secret: &Id,
    new: &SecretVersionRow,
) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO secret_versions (secret_id, version, sealed_value, enabled, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![secret, new.number, new.sealed_value.as_slice(), new.enabled, new.created_at],
    )?;
    let sql = "UPDATE secrets SET last_version = ?2 WHERE id = ?1";
    tx.execute(sql, params![secret, new.number])?;
    Ok(())
}

/// Enables or disables a version. Returns the number of versions that are there, 0 or 1.
pub fn set_enabled(
    tx: &mut Tx<'_>,
    secret: &Id,
    number: i64,
    enabled: bool,
) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE secret_versions SET enabled = ?3 WHERE secret_id = ?1 AND version = ?2",
        params![secret, number, enabled],
    )
}

/// Deletes a version. Returns the number of versions deleted, 0 or 1.
pub fn delete_version(tx: &mut Tx<'_>, secret: &Id, number: i64) -> Result<u64, MetaError> {
    let sql = "DELETE FROM secret_versions WHERE secret_id = ?1 AND version = ?2";
    tx.execute(sql, params![secret, number])
}

/// The statement of [`list_sealed`]. A test checks its query plan.
pub(crate) const SEALED_SQL: &str =
    "SELECT s.id, s.project, s.name, s.origin, s.last_version, s.created_at,
            v.version, v.sealed_value, v.enabled, v.created_at
     FROM secret_versions v JOIN secrets s ON s.id = v.secret_id
     WHERE (v.secret_id, v.version) > (?1, ?2) ORDER BY v.secret_id, v.version LIMIT ?3";

/// Returns the versions of all secrets that sort after this one, in the order of the secrets' ids.
pub fn list_sealed(
    tx: &mut Tx<'_>,
    secret: &Id,
    number: i64,
    limit: i64,
) -> Result<Vec<SealedSecret>, MetaError> {
    tx.query(SEALED_SQL, params![secret, number, limit], |row| {
        Ok(SealedSecret { secret: read_secret(row)?, version: version_at(row, 6)? })
    })
}

/// The permission of a repository to use a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretUse {
    /// The secret, which need not be there any more.
    pub secret: SecretName,
    /// The principal that named the secret.
    pub added_by: String,
    /// The time at which the secret was named.
    pub added_at: i64,
}

impl SecretUse {
    /// Returns whether the secret that is used has this name.
    pub fn is_of(&self, name: &SecretName) -> bool {
        let Self { secret: used, .. } = self;
        used == name
    }
}

/// Returns the secret that a repository may use.
pub fn find_use(tx: &mut Tx<'_>, repository: &Id) -> Result<Option<SecretUse>, MetaError> {
    tx.query_first(
        "SELECT project, name, added_by, added_at FROM repository_secrets WHERE repository_id = ?1",
        params![repository],
        |row| {
            let secret = secret_name_at(row, 0)?;
            Ok(SecretUse { secret, added_by: row.text(2)?, added_at: row.int(3)? })
        },
    )
}

/// Records that a repository may use a secret, in place of the one before.
pub fn set_use(tx: &mut Tx<'_>, repository: &Id, new: &SecretUse) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO repository_secrets (repository_id, project, name, added_by, added_at)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (repository_id) DO UPDATE SET project = excluded.project, name = excluded.name,
         added_by = excluded.added_by, added_at = excluded.added_at",
        params![
            repository,
            new.secret.project.as_str(),
            new.secret.secret(),
            new.added_by.as_str(),
            new.added_at
        ],
    )?;
    Ok(())
}

/// Records that a repository uses no secret.
pub fn delete_use(tx: &mut Tx<'_>, repository: &Id) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM repository_secrets WHERE repository_id = ?1", params![repository])
}

/// The statement of [`list_users`]. A test checks its query plan.
pub(crate) const USERS_SQL: &str = "SELECT r.project, r.location, r.name
     FROM repository_secrets u JOIN repositories r ON r.id = u.repository_id
     WHERE u.project = ?1 AND u.name = ?2 ORDER BY u.repository_id LIMIT ?3";

/// Returns the repositories that use a secret, the oldest first.
pub fn list_users(
    tx: &mut Tx<'_>,
    secret: &SecretName,
    limit: i64,
) -> Result<Vec<RepositoryName>, MetaError> {
    tx.query(USERS_SQL, params![secret.project.as_str(), secret.secret(), limit], |row| {
        repository_name_at(row, 0)
    })
}
