//! Brings the tables up to date. Migrations are only ever added: one that was run is never changed.

use model::digest::Digest;

use crate::dialect::ddl;
use crate::{ErrorKind, MetaError, Tx, params};

struct Migration {
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] =
    &[Migration { name: "0001_content", sql: include_str!("../migrations/0001_content.sql") }];

/// Runs the migrations that were not run yet. The caller holds a lock that keeps others out.
pub(crate) fn run(tx: &mut Tx<'_>) -> Result<(), MetaError> {
    run_list(tx, MIGRATIONS)
}

fn run_list(tx: &mut Tx<'_>, migrations: &[Migration]) -> Result<(), MetaError> {
    tx.script(&ddl(
        tx.dialect(),
        "CREATE TABLE IF NOT EXISTS migrations (name TEXT NOT NULL PRIMARY KEY, checksum TEXT NOT NULL)",
    ))?;
    let done =
        tx.query("SELECT name, checksum FROM migrations ORDER BY name", params![], |row| {
            Ok((row.text(0)?, row.text(1)?))
        })?;
    for (position, (name, checksum)) in done.iter().enumerate() {
        let Some(known) = migrations.get(position).filter(|known| known.name == name) else {
            return Err(refused(format!(
                "the database was made by a newer berth: it has migration {name}, which this one does not know"
            )));
        };
        if *checksum != Digest::of(known.sql.as_bytes()).as_str() {
            return Err(refused(format!(
                "migration {name} is not the one that the database was made with"
            )));
        }
    }
    for migration in &migrations[done.len()..] {
        tx.script(&ddl(tx.dialect(), migration.sql))?;
        let checksum = Digest::of(migration.sql.as_bytes());
        tx.exec(
            "INSERT INTO migrations (name, checksum) VALUES (?1, ?2)",
            params![migration.name, checksum.as_str()],
        )?;
    }
    Ok(())
}

fn refused(message: String) -> MetaError {
    MetaError::new(ErrorKind::Other, message)
}
