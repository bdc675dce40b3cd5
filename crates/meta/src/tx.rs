//! One transaction, on either database.
//!
//! A [`Tx`] remembers its first failed statement and runs none after it: PostgreSQL would answer a later COMMIT with a
//! silent rollback, and SQLite would commit the rest. This module does not know when a transaction begins and ends.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio_postgres::types::Type;

use crate::dialect::{self, Dialect};
use crate::postgres::Session;
use crate::{ErrorKind, Id, MetaError, SqlParam, params};

/// The rows, or keys, that one statement takes at most.
const MAX_ROWS_PER_STATEMENT: usize = 256;

/// A transaction in progress. The functions of the tables' modules take one.
pub struct Tx<'c> {
    connection: AnyConnection<'c>,
    read_only: bool,
    failed: Option<MetaError>,
}

#[derive(Clone, Copy)]
enum AnyConnection<'c> {
    Sqlite(&'c rusqlite::Connection),
    Postgres(&'c Session),
}

/// A query that looks for the rows of many keys.
#[derive(Debug, Clone, Copy)]
pub struct KeyList<'a> {
    /// The statement, up to its list of keys.
    pub select: &'a str,
    /// The parameter `?1`, such as the id of the repository to which the rows belong.
    pub first: SqlParam<'a>,
    /// The keys to look for.
    pub keys: &'a [SqlParam<'a>],
}

/// One row of the result of a query.
pub struct SqlRow<'r>(AnyRow<'r>);

enum AnyRow<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

macro_rules! column {
    ($(#[$doc:meta])* $name:ident, $type:ty) => {
        $(#[$doc])*
        pub fn $name(&self, column: usize) -> Result<$type, MetaError> {
            match &self.0 {
                AnyRow::Sqlite(row) => row.get(column).map_err(|error| unreadable(column, &error)),
                AnyRow::Postgres(row) => {
                    row.try_get(column).map_err(|error| unreadable(column, &error))
                }
            }
        }
    };
}

fn unreadable(column: usize, error: &dyn std::error::Error) -> MetaError {
    MetaError::new(ErrorKind::Corrupt, format!("column {column} holds something else: {error}"))
}

impl SqlRow<'_> {
    column! {
        /// Reads a text.
        text, String
    }
    column! {
        /// Reads a text, or NULL.
        opt_text, Option<String>
    }
    column! {
        /// Reads bytes.
        bytes, Vec<u8>
    }
    column! {
        /// Reads bytes, or NULL.
        opt_bytes, Option<Vec<u8>>
    }
    column! {
        /// Reads a boolean.
        bool, bool
    }
    column! {
        /// Reads an id.
        id, Id
    }
    column! {
        /// Reads an id, or NULL.
        opt_id, Option<Id>
    }

    /// Reads a text that is only looked at, without a copy of it.
    pub(crate) fn text_ref(&self, column: usize) -> Result<&str, MetaError> {
        match &self.0 {
            AnyRow::Sqlite(row) => {
                let text = row.get_ref(column).and_then(|value| Ok(value.as_str()?));
                text.map_err(|error| unreadable(column, &error))
            }
            AnyRow::Postgres(row) => {
                row.try_get(column).map_err(|error| unreadable(column, &error))
            }
        }
    }

    /// Reads an integer, or NULL.
    pub fn opt_int(&self, column: usize) -> Result<Option<i64>, MetaError> {
        match &self.0 {
            // PostgreSQL gives a literal such as `1` the type of a 32-bit integer.
            AnyRow::Postgres(row)
                if row
                    .columns()
                    .get(column)
                    .is_some_and(|column| *column.type_() == Type::INT4) =>
            {
                let small: Result<Option<i32>, _> = row.try_get(column);
                small.map(|small| small.map(i64::from))
            }
            AnyRow::Postgres(row) => row.try_get(column),
            AnyRow::Sqlite(row) => {
                return row.get(column).map_err(|error| unreadable(column, &error));
            }
        }
        .map_err(|error| unreadable(column, &error))
    }

    /// Reads an integer.
    pub fn int(&self, column: usize) -> Result<i64, MetaError> {
        self.opt_int(column)?.ok_or_else(|| MetaError::corrupt("a number"))
    }
}

impl<'c> Tx<'c> {
    pub(crate) fn sqlite(connection: &'c rusqlite::Connection) -> Self {
        Self { connection: AnyConnection::Sqlite(connection), read_only: false, failed: None }
    }

    pub(crate) fn postgres(session: &'c Session) -> Self {
        Self { connection: AnyConnection::Postgres(session), read_only: false, failed: None }
    }

    /// Marks the transaction as one that only reads.
    pub(crate) fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// Runs a closure. The caller may commit only if this returns `Ok`. A closure that panicked, or that hid the error
    /// of one of its statements, gives an error.
    pub(crate) fn run<T, E: From<MetaError>>(
        mut self,
        closure: &mut impl FnMut(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let outcome = catch_unwind(AssertUnwindSafe(|| closure(&mut self)));
        match (outcome, self.failed) {
            (Err(panic), _) => Err(panicked(&*panic).into()),
            // The caller must see the database's own error to run the closure again, so it replaces the closure's.
            (Ok(_), Some(failed)) if failed.is_transient() => Err(failed.into()),
            (Ok(Ok(_)), Some(failed)) => Err(failed.into()),
            (Ok(outcome), _) => outcome,
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.connection {
            AnyConnection::Sqlite(_) => Dialect::Sqlite,
            AnyConnection::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Returns the suffix of a SELECT that locks its rows, see [`dialect::for_share`]. A transaction that only reads
    /// decides nothing, so it locks nothing.
    pub(crate) fn for_share(&self) -> &'static str {
        if self.read_only { "" } else { dialect::for_share(self.dialect()) }
    }

    fn attempt<T>(
        &mut self,
        statement: impl FnOnce(AnyConnection<'c>) -> Result<T, MetaError>,
    ) -> Result<T, MetaError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let outcome = statement(self.connection);
        if let Err(error) = &outcome {
            self.failed = Some(error.clone());
        }
        outcome
    }

    /// Runs a statement and returns the number of rows that it inserted, changed or deleted.
    pub fn execute(&mut self, sql: &str, params: &[SqlParam<'_>]) -> Result<u64, MetaError> {
        self.attempt(|connection| match connection {
            AnyConnection::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                Ok(statement.execute(rusqlite::params_from_iter(params))? as u64)
            }
            AnyConnection::Postgres(session) => session.execute(sql, params),
        })
    }

    /// Runs `head VALUES (…), (…) … tail` over all rows, in as few statements as the limits allow. The number of rows
    /// of each statement is a power of two, so that few different statements have to be prepared.
    pub fn execute_values(
        &mut self,
        head: &str,
        tail: &str,
        rows: &[Vec<SqlParam<'_>>],
    ) -> Result<u64, MetaError> {
        let (mut rest, mut affected) = (rows, 0);
        while let Some(first) = rest.first() {
            let columns = first.len();
            let max_rows = (dialect::MAX_PARAMETERS / columns).min(MAX_ROWS_PER_STATEMENT);
            let length = slice_length(rest.len(), max_rows);
            let (slice, after) = rest.split_at(length);
            let sql = values_sql(head, tail, columns, length);
            affected += self.execute(&sql, &slice.concat())?;
            rest = after;
        }
        Ok(affected)
    }

    /// Runs a statement and reads every row of its result.
    pub fn query<T>(
        &mut self,
        sql: &str,
        params: &[SqlParam<'_>],
        read: impl Fn(&SqlRow<'_>) -> Result<T, MetaError>,
    ) -> Result<Vec<T>, MetaError> {
        let mut found = Vec::new();
        self.for_each_row(sql, params, |row| {
            found.push(read(row)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// Runs a statement and hands every row of its result to `take`.
    fn for_each_row(
        &mut self,
        sql: &str,
        params: &[SqlParam<'_>],
        mut take: impl FnMut(&SqlRow<'_>) -> Result<(), MetaError>,
    ) -> Result<(), MetaError> {
        self.attempt(|connection| match connection {
            AnyConnection::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query(rusqlite::params_from_iter(params))?;
                while let Some(row) = rows.next()? {
                    take(&SqlRow(AnyRow::Sqlite(row)))?;
                }
                Ok(())
            }
            AnyConnection::Postgres(session) => {
                let rows = session.query(sql, params)?;
                rows.iter().try_for_each(|row| take(&SqlRow(AnyRow::Postgres(row))))
            }
        })
    }

    /// Runs `select (…)` over all keys of a list, in as few statements as the limits allow, and reads every row.
    pub fn query_keys<T>(
        &mut self,
        list: KeyList<'_>,
        read: impl Fn(&SqlRow<'_>) -> Result<T, MetaError>,
    ) -> Result<Vec<T>, MetaError> {
        let (mut rest, mut found) = (list.keys, Vec::new());
        while !rest.is_empty() {
            let length = slice_length(rest.len(), MAX_ROWS_PER_STATEMENT);
            let (slice, after) = rest.split_at(length);
            let numbers: Vec<_> = (2..length + 2).map(|number| format!("?{number}")).collect();
            let sql = format!("{} ({})", list.select, numbers.join(", "));
            let params: Vec<_> = std::iter::once(&list.first).chain(slice).copied().collect();
            found.extend(self.query(&sql, &params, &read)?);
            rest = after;
        }
        Ok(found)
    }

    /// Runs a statement and reads the first row of its result, if there is one.
    pub fn query_first<T>(
        &mut self,
        sql: &str,
        params: &[SqlParam<'_>],
        read: impl Fn(&SqlRow<'_>) -> Result<T, MetaError>,
    ) -> Result<Option<T>, MetaError> {
        let mut first = None;
        // There is no early end, so that a statement with RETURNING runs to its own.
        self.for_each_row(sql, params, |row| {
            if first.is_none() {
                first = Some(read(row)?);
            }
            Ok(())
        })?;
        Ok(first)
    }

    /// Waits until no other transaction that took its turn with this id is in progress. On a server, a transaction may
    /// still be committed after its process has ended. A transaction of SQLite ends with its process.
    pub(crate) fn take_turn(&mut self, id: &Id) -> Result<(), MetaError> {
        match self.dialect() {
            Dialect::Sqlite => Ok(()),
            Dialect::Postgres => {
                // The lock's key has 64 bits, half of the id. Two ids with the same half only wait for each other.
                let key = u128::from_be_bytes(id.to_bytes()) as i64;
                self.execute("SELECT pg_advisory_xact_lock(?1)", params![key]).map(|_| ())
            }
        }
    }

    /// Runs several statements without parameters.
    pub(crate) fn script(&mut self, sql: &str) -> Result<(), MetaError> {
        self.attempt(|connection| match connection {
            AnyConnection::Sqlite(connection) => Ok(connection.execute_batch(sql)?),
            AnyConnection::Postgres(session) => session.script(sql),
        })
    }

    /// Returns the query plan of a statement. Tests look in it for scans of whole tables.
    pub fn query_plan(&mut self, sql: &str, params: &[SqlParam<'_>]) -> Result<String, MetaError> {
        let (sql, column) = dialect::explain(self.dialect(), sql);
        let lines = self.query(&sql, params, |row| row.text(column))?;
        Ok(lines.join("\n"))
    }
}

fn panicked(panic: &(dyn Any + Send)) -> MetaError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    MetaError::new(
        ErrorKind::Other,
        format!("a transaction panicked: {}", text.unwrap_or("without a message")),
    )
}

/// Returns the largest power of two that is at most `left` and at most `max`.
fn slice_length(left: usize, max: usize) -> usize {
    1 << left.min(max).ilog2()
}

fn values_sql(head: &str, tail: &str, columns: usize, rows: usize) -> String {
    let row = |row: usize| {
        let numbers: Vec<_> = (1..=columns).map(|n| format!("?{}", row * columns + n)).collect();
        format!("({})", numbers.join(", "))
    };
    let rows: Vec<_> = (0..rows).map(row).collect();
    format!("{head} VALUES {} {tail}", rows.join(", "))
}
