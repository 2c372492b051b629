//! Reads raw values of SQLite rows by their storage class.

use sea_orm::sqlx::{Decode, Error, Row, Sqlite, TypeInfo, ValueRef, sqlite::SqliteRow};
use sea_orm::{DbErr, RuntimeErr};

use super::{super::super::DatasetError, moments};

/// A stored value, by its storage class (<https://www.sqlite.org/datatype3.html#storage_classes_and_datatypes>).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stored<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
    /// A text whose bytes are not UTF-8.
    BrokenText,
    Blob(&'a [u8]),
}

impl<'a> Stored<'a> {
    /// Returns the value of a row at this index.
    ///
    /// # Errors
    /// When the row has no such column.
    pub(super) fn read(row: &'a SqliteRow, index: usize) -> Result<Self, DatasetError> {
        let raw = row.try_get_raw(index).map_err(failed)?;
        if raw.is_null() {
            return Ok(Self::Null);
        }
        let class = raw.type_info().name().to_owned();
        let undecodable = |source| failed(Error::ColumnDecode { index: index.to_string(), source });
        Ok(match class.as_str() {
            "INTEGER" => Self::Integer(<i64 as Decode<Sqlite>>::decode(raw).map_err(undecodable)?),
            "REAL" => Self::Real(<f64 as Decode<Sqlite>>::decode(raw).map_err(undecodable)?),
            "TEXT" => <&str as Decode<Sqlite>>::decode(raw).map_or(Self::BrokenText, Self::Text),
            _ => Self::Blob(<&[u8] as Decode<Sqlite>>::decode(raw).map_err(undecodable)?),
        })
    }
}

impl Stored<'_> {
    /// Whether the value of a timestamp column has a time zone. A text has a time zone if it is a timestamp with an
    /// offset, `Z` or `UTC`. A number always has one, because it counts from an instant in UTC.
    pub(super) fn has_zone(self) -> bool {
        match self {
            Self::Integer(_) | Self::Real(_) => true,
            Self::Text(text) => moments::has_zone(text),
            Self::Null | Self::BrokenText | Self::Blob(_) => false,
        }
    }
}

fn failed(error: Error) -> DatasetError {
    DbErr::Query(RuntimeErr::SqlxError(error.into())).into()
}
