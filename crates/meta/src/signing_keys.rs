//! The keys that sign the tokens of this server (table `signing_keys`).

use crate::{MetaError, Tx, params};

/// A key that signs tokens of this server.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// The id of the key, which is in the header of each token that it signed.
    pub id: String,
    /// The public key.
    pub public_key: Vec<u8>,
    /// The sealed private key.
    pub sealed_private_key: Vec<u8>,
    /// The time of its creation.
    pub created_at: i64,
    /// The time until which the key signs new tokens.
    pub signs_until: i64,
    /// The time until which tokens that the key signed are accepted.
    pub verifies_until: i64,
}

/// Returns the keys whose tokens are still accepted, the newest first.
pub fn list_valid(tx: &mut Tx<'_>, now: i64) -> Result<Vec<SigningKey>, MetaError> {
    tx.query(
        "SELECT id, public_key, sealed_private_key, created_at, signs_until, verifies_until
         FROM signing_keys WHERE verifies_until > ?1 ORDER BY created_at DESC, id",
        params![now],
        |row| {
            Ok(SigningKey {
                id: row.text(0)?,
                public_key: row.bytes(1)?,
                sealed_private_key: row.bytes(2)?,
                created_at: row.int(3)?,
                signs_until: row.int(4)?,
                verifies_until: row.int(5)?,
            })
        },
    )
}

/// Deletes all keys. Returns the number of keys deleted.
pub fn delete_all(tx: &mut Tx<'_>) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM signing_keys", params![])
}

/// Stores a key.
pub fn insert(tx: &mut Tx<'_>, new: &SigningKey) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO signing_keys (id, public_key, sealed_private_key, created_at, signs_until, verifies_until)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            new.id.as_str(),
            new.public_key.as_slice(),
            new.sealed_private_key.as_slice(),
            new.created_at,
            new.signs_until,
            new.verifies_until
        ],
    )?;
    Ok(())
}
