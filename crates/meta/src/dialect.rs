//! The closed list of what the two databases want said differently.

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// How many parameters one statement may have, well under both limits (32,766 and 65,535).
pub(crate) const MAX_PARAMETERS: usize = 4_096;

/// A migration as this database wants it: text sorts byte by byte everywhere, as keys of pages need it.
pub(crate) fn ddl(dialect: Dialect, migration: &str) -> String {
    match dialect {
        Dialect::Sqlite => migration.to_owned(),
        Dialect::Postgres => {
            let statements = migration.lines().filter(|line| !line.trim_start().starts_with("--"));
            let statements: Vec<_> =
                statements.map(|line| line.replace(" TEXT", " TEXT COLLATE \"C\"")).collect();
            statements.join("\n")
        }
    }
}

/// `?N` is `$N` in PostgreSQL. No text of ours holds a question mark.
pub(crate) fn numbered(sql: &str) -> String {
    sql.replace('?', "$")
}

/// Asks for a statement's plan.
pub(crate) fn explain(dialect: Dialect, sql: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("EXPLAIN QUERY PLAN {sql}"),
        Dialect::Postgres => format!("EXPLAIN {sql}"),
    }
}
