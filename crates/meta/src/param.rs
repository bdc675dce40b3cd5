//! Values for the parameters of a statement, on either database.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::Id;

/// The value of one parameter of a statement.
#[derive(Debug, Clone, Copy)]
pub enum SqlParam<'a> {
    /// NULL.
    Null,
    /// A 64-bit integer.
    Int(i64),
    /// A boolean, which SQLite stores as 0 or 1.
    Bool(bool),
    /// A text. PostgreSQL refuses a text that contains a NUL character.
    Text(&'a str),
    /// A sequence of bytes.
    Bytes(&'a [u8]),
}

macro_rules! from {
    ($($type:ty, $value:ident => $param:expr;)*) => {$(
        impl<'a> From<$type> for SqlParam<'a> {
            fn from($value: $type) -> Self {
                $param
            }
        }
        impl<'a> From<Option<$type>> for SqlParam<'a> {
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

impl rusqlite::ToSql for SqlParam<'_> {
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

impl ToSql for SqlParam<'_> {
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
