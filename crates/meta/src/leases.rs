//! Leases (table `leases`) on work that only one process at a time may do.

use crate::{MetaError, Tx, params};

/// Takes or renews a lease. Returns the fence of the lease, or `None` while another holder has the lease. The fence
/// increases whenever the holder changes, so that a holder that slept can be distinguished from its successor.
pub fn acquire(
    tx: &mut Tx<'_>,
    name: &str,
    holder: &str,
    now: i64,
    expires_at: i64,
) -> Result<Option<i64>, MetaError> {
    tx.query_first(
        "INSERT INTO leases (name, holder, fence, expires_at) VALUES (?1, ?2, 1, ?4)
         ON CONFLICT (name) DO UPDATE SET
           fence = leases.fence + CASE WHEN leases.holder = excluded.holder THEN 0 ELSE 1 END,
           holder = excluded.holder, expires_at = excluded.expires_at
         WHERE leases.holder = excluded.holder OR leases.expires_at <= ?3
         RETURNING fence",
        params![name, holder, now, expires_at],
        |row| row.int(0),
    )
}

/// Ends a lease if `holder` still has it. Returns the number of leases ended, 0 or 1.
pub fn release(tx: &mut Tx<'_>, name: &str, holder: &str) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE leases SET expires_at = 0 WHERE name = ?1 AND holder = ?2",
        params![name, holder],
    )
}
