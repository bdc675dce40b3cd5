//! The complete list of differences between the SQL of the two databases.

/// The SQL dialect of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// The largest number of parameters of one statement, well below the limits of both databases (32,766 and 65,535).
pub(crate) const MAX_PARAMETERS: usize = 4_096;

/// Translates the SQL of a migration into a dialect. Columns accept only values of their type, which SQLite checks only
/// in STRICT tables. Text sorts byte by byte, because pages of lists continue after a key.
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

/// Returns the suffix of a SELECT that locks its rows: no other transaction can change them until this one ends. The
/// statement fails if a row was changed after this transaction began. SQLite needs no suffix, because its writers run
/// one after the other.
pub(crate) fn for_share(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR SHARE",
    }
}

/// Writes the parameters `?N` as `$N`, as PostgreSQL expects them. No SQL of ours has a question mark elsewhere.
pub(crate) fn numbered(sql: &str) -> String {
    sql.replace('?', "$")
}

/// Returns the statement that asks for the plan of `sql`, and the column of its result that holds the plan.
pub(crate) fn explain(dialect: Dialect, sql: &str) -> (String, usize) {
    match dialect {
        Dialect::Sqlite => (format!("EXPLAIN QUERY PLAN {sql}"), 3),
        Dialect::Postgres => (format!("EXPLAIN {sql}"), 0),
    }
}
