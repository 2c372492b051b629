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

/// Returns the text for a value whose binary form is not that of PostgreSQL. A server that only resembles PostgreSQL may
/// send such a value. `$what` is the kind of the value.
macro_rules! not_binary {
    ($what:literal) => {
        concat!(
            "the server sent ",
            $what,
            ": ask the operator to check that the source is a PostgreSQL server, or to declare the column as \
             `type = \"string\"`, which reads texts"
        )
    };
}

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
    const FLOAT: &str = not_binary!("a float of another width than 32 or 64 bits");
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
            numeric::write(scratch, bytes).ok_or(not_binary!("a numeric in another form than the binary one"))?;
            values.append_value(scratch);
        }
        ColumnBuilder::Int(values) => {
            values.append_value(eight(not_binary!("an integer of another width than 64 bits"))?);
        }
        ColumnBuilder::Float(values) => values.append_value(match bytes.len() {
            4 => float32::shortest(f32::from_bits(four(FLOAT)?.cast_unsigned())),
            _ => f64::from_bits(eight(FLOAT)?.cast_unsigned()),
        }),
        ColumnBuilder::Bool(values) => {
            values.append_value(bytes.first().ok_or(not_binary!("an empty boolean"))? != &0);
        }
        ColumnBuilder::Date(values) => {
            values.append_value(match four(not_binary!("a date of another width than 32 bits"))? {
                i32::MAX => infinity::DATE,
                i32::MIN => -infinity::DATE,
                days => days.checked_add(EPOCH_DAYS).ok_or(LATE_DATE)?,
            });
        }
        ColumnBuilder::Datetime(values) => {
            values.append_value(match eight(not_binary!("a timestamp of another width than 64 bits"))? {
                i64::MAX => infinity::TIMESTAMP,
                i64::MIN => -infinity::TIMESTAMP,
                micros => micros.checked_add(EPOCH_MICROS).ok_or(LATE_TIMESTAMP)?,
            });
        }
        // the server sends microseconds since midnight
        ColumnBuilder::Time(values) => {
            values.append_value(match eight(not_binary!("a time of another width than 64 bits"))? {
                END_OF_DAY => infinity::END_OF_DAY,
                micros @ 0..END_OF_DAY => micros * 1_000,
                _ => return Err(not_binary!("a time that is not between 00:00 and 24:00")),
            });
        }
    }
    Ok(bytes.len())
}

#[cfg(test)]
mod tests {
    use protocol::catalog::Column;

    use super::{super::wire::Wire, *};

    /// Returns the texts of the error with which a value is refused, for the owner of the export and for the log. The
    /// value is in the second row of a column of this type.
    fn refusal(kind: ColumnType, good: &[u8], bad: &[u8]) -> [String; 2] {
        let mut stream = b"PGCOPY\n\xff\r\n\0".to_vec();
        stream.extend([0; 8]);
        for value in [good, bad] {
            stream.extend(1_i16.to_be_bytes());
            stream.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
            stream.extend(value);
        }
        let (mut frame, mut scratch) = (FrameBuilder::new([Column::new("c", kind)]), String::new());
        let mut row = 0;
        let pushed = Wire::new(1).push(stream.into(), |fields| {
            row += 1;
            push(&mut frame, fields, &mut scratch).map_err(|e| e.at_row(row))
        });
        let refused = pushed.unwrap_err();
        assert_eq!(row, 2, "the first row is read");
        assert!(!refused.is_transient() && !refused.is_outage());
        [refused.user_message(), refused.to_string()]
    }

    /// Checks that each of the values `bad` is refused with this sentence, and `good` is not.
    fn assert_refused(kind: ColumnType, good: &[u8], bad: &[&[u8]], sentence: &str) {
        for bad in bad {
            let expected = format!("row 2 of the export: column `c`: {sentence}");
            assert_eq!(refusal(kind, good, bad), [expected.clone(), expected], "{kind:?} {bad:?}");
        }
    }

    #[test]
    fn a_value_in_another_form_is_refused_with_its_kind_and_advice() {
        let refused = |what: &str, kind, good: &[u8], bad: &[&[u8]]| {
            let sentence = format!(
                "the server sent {what}: ask the operator to check that the source is a PostgreSQL server, or to declare the \
                 column as `type = \"string\"`, which reads texts"
            );
            assert_refused(kind, good, bad, &sentence);
        };
        refused("an integer of another width than 64 bits", ColumnType::Int, &[0; 8], &[&[], &[0; 4], &[0; 9]]);
        let floats: &[&[u8]] = &[&[], &[0; 3], &[0; 5], &[0; 16]];
        refused("a float of another width than 32 or 64 bits", ColumnType::Float, &[0; 4], floats);
        // 12.5: two groups, weight 0, positive, one decimal place
        let decimal: &[u8] = &[0, 2, 0, 0, 0, 0, 0, 1, 0, 12, 0x13, 0x88];
        let decimals: &[&[u8]] = &[&[], b"12.5", &decimal[..10], &[0, 0, 0, 0, 0x12, 0x34, 0, 0]];
        refused("a numeric in another form than the binary one", ColumnType::Decimal, decimal, decimals);
        refused("an empty boolean", ColumnType::Bool, &[1], &[&[]]);
        refused("a date of another width than 32 bits", ColumnType::Date, &[0; 4], &[&[], &[0; 3], &[0; 8]]);
        let moments: &[&[u8]] = &[&[], &[0; 4], &[0; 9]];
        refused("a timestamp of another width than 64 bits", ColumnType::Datetime, &[0; 8], moments);
        refused("a time of another width than 64 bits", ColumnType::Time, &[0; 8], &[&[], &[0; 4], &[0; 12]]);
        let (last, late) = (END_OF_DAY.to_be_bytes(), (END_OF_DAY + 1).to_be_bytes());
        let times: &[&[u8]] = &[&late, &(-1_i64).to_be_bytes()];
        refused("a time that is not between 00:00 and 24:00", ColumnType::Time, &last, times);
    }

    #[test]
    fn a_value_that_no_file_holds_is_refused_with_advice() {
        let last = i32::MAX - EPOCH_DAYS;
        assert_refused(
            ColumnType::Date,
            &last.to_be_bytes(),
            &[&(last + 1).to_be_bytes()],
            "a date is after the year 5881580, which no export holds: leave its row out by a filter, or declare the column \
             as `type = \"string\"` to export every value as its exact text",
        );
        let last = i64::MAX - EPOCH_MICROS;
        assert_refused(
            ColumnType::Datetime,
            &last.to_be_bytes(),
            &[&(last + 1).to_be_bytes()],
            "a timestamp is after the year 294246, which no export holds: leave its row out by a filter, or declare the \
             column as `type = \"string\"` to export every value as its exact text",
        );
        assert_refused(
            ColumnType::String,
            "é".as_bytes(),
            &[b"\xff", b"caf\xe9", b"a\xed\xa0\x80"],
            "a text is not UTF-8: correct it in the database, or leave the column out",
        );
    }
}
