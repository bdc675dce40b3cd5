//! The closed list of what the two databases want said differently.

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// How many parameters one statement may have, well under both limits (32,766 and 65,535).
pub(crate) const MAX_PARAMETERS: usize = 4_096;

/// A migration as this database wants it. Columns hold what they say (which SQLite checks only in a strict
/// table), and text sorts byte by byte, as the keys of pages need it.
pub(crate) fn ddl(dialect: Dialect, migration: &str) -> String {
    let replacements: &[(&str, &str)] = match dialect {
        Dialect::Sqlite => &[
            (" BYTEA", " BLOB"),
            (" BIGINT", " INTEGER"),
            (" BOOLEAN", " INTEGER"),
            ("\n);", "\n) STRICT;"),
        ],
        Dialect::Postgres => &[(" TEXT", " TEXT COLLATE \"C\"")],
    };
    let replace = |sql: String, (from, to): &(&str, &str)| sql.replace(from, to);
    replacements.iter().fold(migration.to_owned(), replace)
}

/// Behind a SELECT: keeps others from changing its rows until the transaction is decided, and refuses to go on where
/// somebody has since it began. SQLite's writers are one after the other anyway.
pub(crate) fn for_share(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR SHARE",
    }
}

/// `?N` is `$N` in PostgreSQL. No text of ours holds a question mark.
pub(crate) fn numbered(sql: &str) -> String {
    sql.replace('?', "$")
}

/// Asks for a statement's plan, and says which column of the answer has it.
pub(crate) fn explain(dialect: Dialect, sql: &str) -> (String, usize) {
    match dialect {
        Dialect::Sqlite => (format!("EXPLAIN QUERY PLAN {sql}"), 3),
        Dialect::Postgres => (format!("EXPLAIN {sql}"), 0),
    }
}
