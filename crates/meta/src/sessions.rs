//! The sessions of people who are signed in (table `sessions`). A session that was ended has no row.

use crate::{Id, MetaError, SqlRow, Tx, params};

/// A session of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// The id of the session, which proves nothing.
    pub id: Id,
    /// The id of the person.
    pub user_id: Id,
    /// The time of the sign-in.
    pub created_at: i64,
    /// The time of the last use, some minute more or less.
    pub last_seen_at: i64,
    /// The time at which the session ends, however much it is used.
    pub expires_at: i64,
    /// The address that the person signed in from.
    pub address: Option<String>,
    /// The program that the person signed in with, as it called itself.
    pub agent: String,
}

fn read_session(row: &SqlRow<'_>) -> Result<SessionRow, MetaError> {
    Ok(SessionRow {
        id: row.id(0)?,
        user_id: row.id(1)?,
        created_at: row.int(2)?,
        last_seen_at: row.int(3)?,
        expires_at: row.int(4)?,
        address: row.opt_text(5)?,
        agent: row.text(6)?,
    })
}

/// Stores a session.
pub fn insert(tx: &mut Tx<'_>, secret_hash: &[u8], new: &SessionRow) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO sessions
           (id, user_id, secret_hash, created_at, last_seen_at, expires_at, address, agent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            &new.id,
            &new.user_id,
            secret_hash,
            new.created_at,
            new.last_seen_at,
            new.expires_at,
            new.address.as_deref(),
            new.agent.as_str()
        ],
    )?;
    Ok(())
}

/// Returns the session with this hash of its secret.
pub fn find_by_secret(
    tx: &mut Tx<'_>,
    secret_hash: &[u8],
) -> Result<Option<SessionRow>, MetaError> {
    tx.query_first(
        "SELECT id, user_id, created_at, last_seen_at, expires_at, address, agent
         FROM sessions WHERE secret_hash = ?1",
        params![secret_hash],
        read_session,
    )
}

/// Returns whether a session was not ended.
pub fn exists(tx: &mut Tx<'_>, id: &Id) -> Result<bool, MetaError> {
    let found =
        tx.query_first("SELECT 1 FROM sessions WHERE id = ?1", params![id], |row| row.int(0))?;
    Ok(found.is_some())
}

/// Records that a session was used. Returns the number of sessions changed: 0 if a later use is recorded already, or if
/// the session was ended.
pub fn record_use(tx: &mut Tx<'_>, id: &Id, now: i64) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE sessions SET last_seen_at = ?2 WHERE id = ?1 AND last_seen_at < ?2",
        params![id, now],
    )
}

/// The statement of [`list`]. A test checks its query plan.
pub(crate) const LIST_SQL: &str =
    "SELECT id, user_id, created_at, last_seen_at, expires_at, address, agent
     FROM sessions WHERE user_id = ?1 ORDER BY id LIMIT ?2";

/// Returns the sessions of a person, the oldest first.
pub fn list(tx: &mut Tx<'_>, user: &Id, limit: i64) -> Result<Vec<SessionRow>, MetaError> {
    tx.query(LIST_SQL, params![user, limit], read_session)
}

/// Ends one session of a person. Returns the number of sessions ended, 0 or 1.
pub fn delete(tx: &mut Tx<'_>, user: &Id, id: &Id) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM sessions WHERE id = ?1 AND user_id = ?2", params![id, user])
}

/// Ends all sessions of a person, perhaps except one. Returns the number of sessions ended.
pub fn delete_all(tx: &mut Tx<'_>, user: &Id, except: Option<&Id>) -> Result<u64, MetaError> {
    match except {
        Some(kept) => {
            tx.execute("DELETE FROM sessions WHERE user_id = ?1 AND id <> ?2", params![user, kept])
        }
        None => tx.execute("DELETE FROM sessions WHERE user_id = ?1", params![user]),
    }
}

/// The statements of [`delete_ended`]. A test checks their query plans.
pub(crate) const ENDED_SQL: [&str; 2] = [
    "DELETE FROM sessions WHERE id IN
     (SELECT id FROM sessions WHERE expires_at <= ?1 ORDER BY expires_at LIMIT 100)",
    "DELETE FROM sessions WHERE id IN
     (SELECT id FROM sessions WHERE last_seen_at <= ?1 ORDER BY last_seen_at LIMIT 100)",
];

/// Deletes sessions that ended by themselves: those that end before `now`, and those that were last used at `idle_since`
/// or before. At most 100 of each kind are deleted. Returns their number.
pub fn delete_ended(tx: &mut Tx<'_>, now: i64, idle_since: i64) -> Result<u64, MetaError> {
    let [expired, idle] = ENDED_SQL;
    Ok(tx.execute(expired, params![now])? + tx.execute(idle, params![idle_since])?)
}
