//! Brings the tables up to date. Migrations are only added: the text of a migration that was run never changes.

use model::digest::Digest;

use crate::dialect::ddl;
use crate::{ErrorKind, MetaError, Tx, params};

struct Migration {
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration { name: "0001_content", sql: include_str!("../migrations/0001_content.sql") },
    Migration { name: "0002_identity", sql: include_str!("../migrations/0002_identity.sql") },
    Migration { name: "0003_revocations", sql: include_str!("../migrations/0003_revocations.sql") },
    Migration { name: "0004_operations", sql: include_str!("../migrations/0004_operations.sql") },
    Migration { name: "0005_images", sql: include_str!("../migrations/0005_images.sql") },
    Migration { name: "0006_cleanup", sql: include_str!("../migrations/0006_cleanup.sql") },
    Migration { name: "0007_files", sql: include_str!("../migrations/0007_files.sql") },
    Migration { name: "0008_rules", sql: include_str!("../migrations/0008_rules.sql") },
    Migration { name: "0009_outbox", sql: include_str!("../migrations/0009_outbox.sql") },
    Migration { name: "0010_attachments", sql: include_str!("../migrations/0010_attachments.sql") },
    Migration { name: "0011_references", sql: include_str!("../migrations/0011_references.sql") },
    Migration {
        name: "0012_open_uploads",
        sql: include_str!("../migrations/0012_open_uploads.sql"),
    },
    Migration { name: "0013_settings", sql: include_str!("../migrations/0013_settings.sql") },
    Migration { name: "0014_upstreams", sql: include_str!("../migrations/0014_upstreams.sql") },
    Migration {
        name: "0015_upstream_tags",
        sql: include_str!("../migrations/0015_upstream_tags.sql"),
    },
    Migration {
        name: "0016_packages_by_name",
        sql: include_str!("../migrations/0016_packages_by_name.sql"),
    },
    Migration { name: "0017_secrets", sql: include_str!("../migrations/0017_secrets.sql") },
    Migration {
        name: "0018_remote_fetches",
        sql: include_str!("../migrations/0018_remote_fetches.sql"),
    },
    Migration {
        name: "0019_cache_limits",
        sql: include_str!("../migrations/0019_cache_limits.sql"),
    },
    Migration { name: "0020_people", sql: include_str!("../migrations/0020_people.sql") },
    Migration {
        name: "0021_tags_by_time",
        sql: include_str!("../migrations/0021_tags_by_time.sql"),
    },
    Migration { name: "0022_history", sql: include_str!("../migrations/0022_history.sql") },
    Migration { name: "0023_counters", sql: include_str!("../migrations/0023_counters.sql") },
    Migration { name: "0024_bounds", sql: include_str!("../migrations/0024_bounds.sql") },
    Migration {
        name: "0025_blobs_by_digest",
        sql: include_str!("../migrations/0025_blobs_by_digest.sql"),
    },
    Migration { name: "0026_roles", sql: include_str!("../migrations/0026_roles.sql") },
];

/// Runs the migrations that were not run yet. The caller holds a lock, so that no other process does the same.
pub(crate) fn run(tx: &mut Tx<'_>) -> Result<(), MetaError> {
    run_list(tx, MIGRATIONS)
}

fn run_list(tx: &mut Tx<'_>, migrations: &[Migration]) -> Result<(), MetaError> {
    tx.script(&ddl(
        tx.dialect(),
        "CREATE TABLE IF NOT EXISTS migrations (name TEXT NOT NULL PRIMARY KEY, checksum TEXT NOT NULL)",
    ))?;
    let applied =
        tx.query("SELECT name, checksum FROM migrations ORDER BY name", params![], |row| {
            Ok((row.text(0)?, row.text(1)?))
        })?;
    for (position, (name, checksum)) in applied.iter().enumerate() {
        let Some(known) = migrations.get(position).filter(|known| known.name == name) else {
            return Err(refusal(format!(
                "the database was made by a newer version of berth: this version does not know its migration {name}"
            )));
        };
        if *checksum != Digest::of(known.sql.as_bytes()).as_str() {
            return Err(refusal(format!(
                "migration {name} differs from the one with which the database was made"
            )));
        }
    }
    for migration in &migrations[applied.len()..] {
        tx.script(&ddl(tx.dialect(), migration.sql))?;
        let checksum = Digest::of(migration.sql.as_bytes());
        tx.execute(
            "INSERT INTO migrations (name, checksum) VALUES (?1, ?2)",
            params![migration.name, checksum.as_str()],
        )?;
    }
    Ok(())
}

fn refusal(message: String) -> MetaError {
    MetaError::new(ErrorKind::Other, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{TestDatabase, on_each};

    const FIRST: Migration = Migration { name: "0001", sql: "CREATE TABLE first (name TEXT)" };
    const SECOND: Migration = Migration { name: "0002", sql: "CREATE TABLE second (name TEXT)" };

    async fn migrate(db: &TestDatabase, list: &'static [Migration]) -> Result<(), String> {
        let run = move |tx: &mut Tx<'_>| {
            // The real migrations are forgotten, as if the database had been made by `list`.
            tx.execute("DELETE FROM migrations WHERE length(name) > 4", params![])?;
            run_list(tx, list)
        };
        db.meta.write(run).await.map_err(|error| error.to_string())
    }

    on_each! {
        async fn migrations_are_only_added(db: &TestDatabase) {
            migrate(db, &[FIRST]).await.unwrap();
            migrate(db, &[FIRST]).await.unwrap();
            migrate(db, &[FIRST, SECOND]).await.unwrap();
            let changed = migrate(db, &[FIRST, Migration { sql: "CREATE TABLE other (name TEXT)", ..SECOND }]).await;
            let changed = changed.unwrap_err();
            assert!(changed.contains("0002 differs from the one"), "{changed}");
            let newer = migrate(db, &[FIRST]).await.unwrap_err();
            assert!(newer.contains("does not know its migration 0002"), "{newer}");
            migrate(db, &[FIRST, SECOND]).await.unwrap();
        }

        async fn an_open_database_can_be_opened_again(db: &TestDatabase) {
            if !matches!(db.database, crate::DatabaseLocation::SqliteMemory) {
                let opened = tokio::join!(crate::Meta::open(db.database.clone()), crate::Meta::open(db.database.clone()));
                opened.0.unwrap().ping().await.unwrap();
                opened.1.unwrap().ping().await.unwrap();
            }
        }

        async fn what_another_berth_made_is_not_opened(db: &TestDatabase) {
            if matches!(db.database, crate::DatabaseLocation::SqliteMemory) {
                return;
            }
            db.write(|tx| tx.execute("INSERT INTO migrations (name, checksum) VALUES ('9999_future', 'x')", params![])).await;
            let newer = crate::Meta::open(db.database.clone()).await.err().expect("it is refused");
            assert!(newer.to_string().contains("9999_future"), "{newer}");
            db.write(|tx| tx.execute("UPDATE migrations SET checksum = 'another'", params![])).await;
            let other = crate::Meta::open(db.database.clone()).await.err().expect("it is refused");
            assert!(other.to_string().contains("0001_content"), "{other}");
        }
    }
}
