//! One transaction, on either database.
//!
//! A [`Tx`] remembers its first failed statement and refuses to go on: PostgreSQL would answer a later COMMIT
//! with a silent rollback, SQLite would commit the rest. When it begins and ends is not known here.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::dialect::{self, Dialect};
use crate::postgres::Session;
use crate::{ErrorKind, Id, MetaError, params};

/// A transaction in progress.
pub struct Tx<'c> {
    on: On<'c>,
    read_only: bool,
    failed: Option<MetaError>,
}

#[derive(Clone, Copy)]
enum On<'c> {
    Sqlite(&'c rusqlite::Connection),
    Postgres(&'c Session),
}

/// A value for a statement.
#[derive(Debug, Clone, Copy)]
pub enum Param<'a> {
    /// Nothing.
    Null,
    /// A whole number.
    Int(i64),
    /// Yes or no.
    Bool(bool),
    /// Text without NUL.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

macro_rules! from {
    ($($type:ty, $value:ident => $param:expr;)*) => {$(
        impl<'a> From<$type> for Param<'a> {
            fn from($value: $type) -> Self {
                $param
            }
        }
        impl<'a> From<Option<$type>> for Param<'a> {
            fn from(value: Option<$type>) -> Self {
                value.map_or(Self::Null, Self::from)
            }
        }
    )*};
}

from! {
    i64, value => Self::Int(value);
    bool, value => Self::Bool(value);
    &'a str, value => Self::Text(value);
    &'a [u8], value => Self::Bytes(value);
    &'a Id, value => Self::Bytes(value.as_bytes());
}

impl rusqlite::ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match *self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Int(value) => ToSqlOutput::Owned(Value::Integer(value)),
            Self::Bool(value) => ToSqlOutput::Owned(Value::Integer(value.into())),
            Self::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
            Self::Bytes(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
        })
    }
}

impl ToSql for Param<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match *self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) => value.to_sql(ty, out),
            Self::Bool(value) => value.to_sql(ty, out),
            Self::Text(value) => value.to_sql(ty, out),
            Self::Bytes(value) => value.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT8, Type::BOOL, Type::TEXT, Type::BYTEA].contains(ty)
    }

    to_sql_checked!();
}

/// Rows that are looked for by many keys.
#[derive(Debug, Clone, Copy)]
pub struct KeyList<'a> {
    /// The statement, up to its list of keys. `?1` is the owner.
    pub select: &'a str,
    /// Whose rows are looked for.
    pub owner: &'a Id,
    /// The keys.
    pub keys: &'a [&'a str],
}

/// A row of an answer.
pub struct Row<'r>(AnyRow<'r>);

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

impl Row<'_> {
    column! {
        /// Text.
        text, String
    }
    column! {
        /// Text or nothing.
        opt_text, Option<String>
    }
    column! {
        /// Bytes.
        bytes, Vec<u8>
    }
    column! {
        /// Bytes or nothing.
        opt_bytes, Option<Vec<u8>>
    }
    column! {
        /// Yes or no.
        bool, bool
    }

    /// A whole number or nothing.
    pub fn opt_int(&self, column: usize) -> Result<Option<i64>, MetaError> {
        match &self.0 {
            // A literal 1 is a 32-bit number there.
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

    /// A whole number.
    pub fn int(&self, column: usize) -> Result<i64, MetaError> {
        self.opt_int(column)?.ok_or_else(|| MetaError::corrupt("a number"))
    }

    /// An id.
    pub fn id(&self, column: usize) -> Result<Id, MetaError> {
        Id::from_slice(&self.bytes(column)?).ok_or_else(|| MetaError::corrupt("an id"))
    }

    /// An id or nothing.
    pub fn opt_id(&self, column: usize) -> Result<Option<Id>, MetaError> {
        let bytes = self.opt_bytes(column)?;
        bytes
            .map(|bytes| Id::from_slice(&bytes).ok_or_else(|| MetaError::corrupt("an id")))
            .transpose()
    }
}

impl<'c> Tx<'c> {
    pub(crate) fn sqlite(connection: &'c rusqlite::Connection) -> Self {
        Self { on: On::Sqlite(connection), read_only: false, failed: None }
    }

    pub(crate) fn postgres(session: &'c Session) -> Self {
        Self { on: On::Postgres(session), read_only: false, failed: None }
    }

    /// One that only reads.
    pub(crate) fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// Runs a closure. `Ok`, and only that, may be committed: not what swallowed an error or panicked.
    pub(crate) fn run<T, E: From<MetaError>>(
        mut self,
        closure: &mut impl FnMut(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let outcome = catch_unwind(AssertUnwindSafe(|| closure(&mut self)));
        match (outcome, self.failed) {
            (Err(panic), _) => Err(panicked(&*panic).into()),
            // Whatever the closure made of it: it is to be run again, and must be seen to be.
            (Ok(_), Some(failed)) if failed.may_pass() => Err(failed.into()),
            (Ok(Ok(_)), Some(failed)) => Err(failed.into()),
            (Ok(outcome), _) => outcome,
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.on {
            On::Sqlite(_) => Dialect::Sqlite,
            On::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Behind a SELECT, see [`dialect::for_share`]. Who only reads decides nothing, and locks nothing.
    pub(crate) fn for_share(&self) -> &'static str {
        if self.read_only { "" } else { dialect::for_share(self.dialect()) }
    }

    fn attempt<T>(
        &mut self,
        statement: impl FnOnce(On<'c>) -> Result<T, MetaError>,
    ) -> Result<T, MetaError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let outcome = statement(self.on);
        if let Err(error) = &outcome {
            self.failed = Some(error.clone());
        }
        outcome
    }

    /// Runs a statement. Answers how many rows it touched.
    pub fn exec(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, MetaError> {
        self.attempt(|on| match on {
            On::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                Ok(statement.execute(rusqlite::params_from_iter(params))? as u64)
            }
            On::Postgres(session) => session.execute(sql, params),
        })
    }

    /// Runs `head VALUES (…), (…) … tail` over all rows, in as few statements as the limits allow. Slices
    /// are powers of two long.
    pub fn exec_values(
        &mut self,
        head: &str,
        tail: &str,
        rows: &[Vec<Param<'_>>],
    ) -> Result<u64, MetaError> {
        let (mut rest, mut touched) = (rows, 0);
        while let Some(first) = rest.first() {
            let columns = first.len();
            let most = (dialect::MAX_PARAMETERS / columns).min(256);
            let length = slice_length(rest.len(), most);
            let (slice, after) = rest.split_at(length);
            let sql = values_sql((head, tail), columns, length);
            touched += self.exec(&sql, &slice.concat())?;
            rest = after;
        }
        Ok(touched)
    }

    /// Runs a statement and reads every row of its answer.
    pub fn query<T>(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        read: impl Fn(&Row<'_>) -> Result<T, MetaError>,
    ) -> Result<Vec<T>, MetaError> {
        self.attempt(|on| match on {
            On::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query(rusqlite::params_from_iter(params))?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push(read(&Row(AnyRow::Sqlite(row)))?);
                }
                Ok(found)
            }
            On::Postgres(session) => {
                let rows = session.query(sql, params)?;
                rows.iter().map(|row| read(&Row(AnyRow::Postgres(row)))).collect()
            }
        })
    }

    /// Runs `select (…)` over all keys of a list, in as few statements as the limits allow, and reads every row.
    pub fn query_keys<T>(
        &mut self,
        list: KeyList<'_>,
        read: impl Fn(&Row<'_>) -> Result<T, MetaError>,
    ) -> Result<Vec<T>, MetaError> {
        let (mut rest, mut found) = (list.keys, Vec::new());
        while !rest.is_empty() {
            let length = slice_length(rest.len(), 256);
            let (slice, after) = rest.split_at(length);
            let numbers: Vec<_> = (2..length + 2).map(|number| format!("?{number}")).collect();
            let sql = format!("{} ({})", list.select, numbers.join(", "));
            let owner = std::iter::once(Param::from(list.owner));
            let params: Vec<_> = owner.chain(slice.iter().map(|key| Param::from(*key))).collect();
            found.extend(self.query(&sql, &params, &read)?);
            rest = after;
        }
        Ok(found)
    }

    /// Runs a statement and reads the first row of its answer, if there is one.
    pub fn opt<T>(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        read: impl Fn(&Row<'_>) -> Result<T, MetaError>,
    ) -> Result<Option<T>, MetaError> {
        // All rows are read, so that a statement that writes comes to its end.
        Ok(self.query(sql, params, read)?.into_iter().next())
    }

    /// Waits until every other transaction is decided that took its turn with this id: on a server, one may still
    /// be committed whose process is gone. SQLite's end with their process.
    pub(crate) fn take_turn(&mut self, id: &Id) -> Result<(), MetaError> {
        match self.dialect() {
            Dialect::Sqlite => Ok(()),
            Dialect::Postgres => {
                // Half of it names it well enough: who meets another's only waits.
                let key = u128::from_be_bytes(id.to_bytes()) as i64;
                self.exec("SELECT pg_advisory_xact_lock(?1)", params![key]).map(|_| ())
            }
        }
    }

    /// Runs several statements without parameters.
    pub(crate) fn script(&mut self, sql: &str) -> Result<(), MetaError> {
        self.attempt(|on| match on {
            On::Sqlite(connection) => Ok(connection.execute_batch(sql)?),
            On::Postgres(session) => session.script(sql),
        })
    }

    /// How the database would run a statement, for tests that look for scans.
    pub fn explain(&mut self, sql: &str, params: &[Param<'_>]) -> Result<String, MetaError> {
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

/// The longest power of two that is at most `left` and `most`, so that few different statements have to be prepared.
fn slice_length(left: usize, most: usize) -> usize {
    1 << left.min(most).ilog2()
}

fn values_sql((head, tail): (&str, &str), columns: usize, rows: usize) -> String {
    let row = |row: usize| {
        let numbers: Vec<_> = (1..=columns).map(|n| format!("?{}", row * columns + n)).collect();
        format!("({})", numbers.join(", "))
    };
    let rows: Vec<_> = (0..rows).map(row).collect();
    format!("{head} VALUES {} {tail}", rows.join(", "))
}
