//! Decodes the values of a binary `COPY` into the columns of a data frame.

use std::str;

use polars::prelude::ChunkedBuilder;
use protocol::catalog::ColumnType;

use super::{
    super::{
        DatasetError,
        frame_builder::{ColumnBuilder, FrameBuilder},
        sql::Native,
    },
    numeric,
    wire::Fields,
};
use crate::value::{float32, infinity};

/// The number of days from 1970-01-01 to 2000-01-01, the epoch of PostgreSQL.
const EPOCH_DAYS: i32 = 10_957;
/// The number of microseconds from 1970-01-01 to 2000-01-01, the epoch of PostgreSQL.
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

const LATE_TIMESTAMP: &str = "a timestamp is after the year 294246, which no export holds: leave its row out by a filter, \
    or declare the column as `type = \"string\"` to export every value as its exact text";
const LATE_DATE: &str = "a date is after the year 5881580, which no export holds: leave its row out by a filter, or declare \
    the column as `type = \"string\"` to export every value as its exact text";
const NO_UTF8: &str = "a text is not UTF-8: correct it in the database, or leave the column out";

/// The time of day 24:00, in microseconds.
const END_OF_DAY: i64 = 86_400_000_000;

/// Returns the SQL type to which a `SELECT` casts a column of the type `kind`, so that the binary form of the values is
/// known. `native` is the known type of the column in PostgreSQL: a `real` column stays `real`. The caller does not
/// cast columns of text; `sql::as_text` converts them.
pub(super) fn cast(kind: ColumnType, native: Option<Native>) -> &'static str {
    match kind {
        ColumnType::Float if native == Some(Native::Real) => "real",
        ColumnType::String => "text",
        ColumnType::Int => "bigint",
        ColumnType::Float => "double precision",
        ColumnType::Decimal => "numeric",
        ColumnType::Bool => "boolean",
        ColumnType::Date => "date",
        ColumnType::Datetime => "timestamptz",
        ColumnType::Time => "time",
    }
}

/// Appends a row of the `COPY` to a data frame. `scratch` is a reusable buffer for the text of a `numeric`.
pub(super) fn push(
    frame: &mut FrameBuilder,
    fields: &mut Fields<'_>,
    scratch: &mut String,
) -> Result<(), DatasetError> {
    frame.push(|_, values| append(values, fields.next(), scratch))
}

fn append(values: &mut ColumnBuilder, field: Option<&[u8]>, scratch: &mut String) -> Result<usize, &'static str> {
    const FLOAT: &str = "the server sent a float of another width than 32 or 64 bits";
    let Some(bytes) = field else {
        values.append_null();
        return Ok(0);
    };
    let four = |wrong| bytes.try_into().map(i32::from_be_bytes).map_err(|_| wrong);
    let eight = |wrong| bytes.try_into().map(i64::from_be_bytes).map_err(|_| wrong);
    match values {
        ColumnBuilder::Text(values) => {
            values.append_value(str::from_utf8(bytes).map_err(|_| NO_UTF8)?);
        }
        ColumnBuilder::Decimal(values) => {
            scratch.clear();
            numeric::write(scratch, bytes).ok_or("the server sent no binary numeric")?;
            values.append_value(scratch);
        }
        ColumnBuilder::Int(values) => {
            values.append_value(eight("the server sent an integer of another width than 64 bits")?);
        }
        ColumnBuilder::Float(values) => values.append_value(match bytes.len() {
            4 => float32::shortest(f32::from_bits(four(FLOAT)?.cast_unsigned())),
            _ => f64::from_bits(eight(FLOAT)?.cast_unsigned()),
        }),
        ColumnBuilder::Bool(values) => {
            values.append_value(bytes.first().ok_or("the server sent an empty boolean")? != &0);
        }
        ColumnBuilder::Date(values) => {
            values.append_value(match four("the server sent a date of another width than 32 bits")? {
                i32::MAX => infinity::DATE,
                i32::MIN => -infinity::DATE,
                days => days.checked_add(EPOCH_DAYS).ok_or(LATE_DATE)?,
            });
        }
        ColumnBuilder::Datetime(values) => {
            values.append_value(match eight("the server sent a timestamp of another width than 64 bits")? {
                i64::MAX => infinity::TIMESTAMP,
                i64::MIN => -infinity::TIMESTAMP,
                micros => micros.checked_add(EPOCH_MICROS).ok_or(LATE_TIMESTAMP)?,
            });
        }
        // the server sends microseconds since midnight
        ColumnBuilder::Time(values) => {
            values.append_value(match eight("the server sent a time of another width than 64 bits")? {
                END_OF_DAY => infinity::END_OF_DAY,
                micros @ 0..END_OF_DAY => micros * 1_000,
                _ => return Err("a time is after 24:00"),
            });
        }
    }
    Ok(bytes.len())
}
