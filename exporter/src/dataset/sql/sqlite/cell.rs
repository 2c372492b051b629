//! Converts the stored values of SQLite to the types of their columns. If a type can't hold a value exactly, the value
//! is refused, and not rounded or truncated. The only exception is a timestamp that is stored as a double, which is
//! rounded ([`moments::moment_of_real`]).

use std::{borrow::Cow, cmp::Ordering};

use polars::prelude::ChunkedBuilder;
use protocol::{catalog::ColumnType, decimal, filter::Literal};

use super::{
    super::super::{
        DatasetError,
        error::BROKEN_TEXT,
        frame_builder::{AppendError, ColumnBuilder},
    },
    moments, numbers,
    stored::Stored,
};

/// The number of nanoseconds in a microsecond.
const MICRO_NANOS: i128 = 1000;
const NANOS_PER_DAY: i64 = 86_400_000_000_000;
const BLOB: &str = "a BLOB";

/// A value of a column's type, from a row or from a literal of a filter. Exports write these values, and filters
/// compare them.
#[derive(Clone, Debug)]
pub(super) enum Cell<'a> {
    Null,
    Text(Cow<'a, str>),
    /// A decimal without an exponent, or `NaN`, `Infinity` or `-Infinity`.
    Decimal(Cow<'a, str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// A date, as the number of days since 1970-01-01.
    Date(i32),
    /// A timestamp, in nanoseconds since 1970-01-01T00:00:00Z. The values of rows are whole microseconds. A literal of
    /// a filter may have a fraction of a microsecond.
    Moment(i128),
    /// A time of day, in nanoseconds since midnight. `24:00:00` occurs only in a literal of a filter.
    Time(i64),
    /// An infinite date or timestamp, which occurs only in a literal of a filter. A negative infinity is before all
    /// other dates and timestamps, and a positive infinity is after them.
    Infinity {
        is_negative: bool,
    },
}

impl<'a> Cell<'a> {
    /// Converts a stored value to a column type.
    ///
    /// # Errors
    /// When the type can't hold the stored value unchanged. The error names the kind of the value, and does not repeat
    /// the value.
    pub(super) fn new(kind: ColumnType, stored: Stored<'a>) -> Result<Self, &'static str> {
        match stored {
            Stored::Null => return Ok(Self::Null),
            Stored::BrokenText => return Err(BROKEN_TEXT),
            _ => {}
        }
        match kind {
            ColumnType::String => Ok(Self::Text(text(stored))),
            ColumnType::Int => int(stored).map(Self::Int),
            ColumnType::Float => float(stored).map(Self::Float),
            ColumnType::Decimal => decimal(stored).map(Self::Decimal),
            ColumnType::Bool => boolean(stored).map(Self::Bool),
            ColumnType::Datetime => moment(stored).map(|micros| Self::Moment(i128::from(micros) * MICRO_NANOS)),
            ColumnType::Date => match stored {
                Stored::Text(text) => moments::date(text),
                other => moment(other).and_then(moments::date_of_moment),
            }
            .map(Self::Date),
            ColumnType::Time => match stored {
                Stored::Text(text) => moments::time(text),
                Stored::Blob(_) => Err(BLOB),
                _ => Err("a number"),
            }
            .map(Self::Time),
        }
    }

    /// Converts a literal of a filter to the value that is compared with the values of rows.
    pub(super) fn of_literal(literal: &Literal) -> Cell<'static> {
        match literal {
            Literal::String(text) => Cell::Text(text.clone().into()),
            Literal::Int(number) => Cell::Int(*number),
            Literal::Float(number) => Cell::Float(*number),
            Literal::Decimal(text) => Cell::Decimal(text.clone().into()),
            Literal::Bool(is) => Cell::Bool(*is),
            Literal::Date(date) => {
                Cell::Date(date.signed_duration_since(chrono::NaiveDate::default()).num_days() as i32)
            }
            Literal::Datetime(time) => {
                Cell::Moment(i128::from(time.timestamp()) * 1_000_000_000 + i128::from(time.timestamp_subsec_nanos()))
            }
            Literal::Time(time) => {
                let since = time.signed_duration_since(chrono::NaiveTime::MIN);
                Cell::Time(since.num_nanoseconds().unwrap_or_default())
            }
            Literal::EndOfDay => Cell::Time(NANOS_PER_DAY),
            Literal::Infinity { is_negative } => Cell::Infinity { is_negative: *is_negative },
        }
    }

    pub(super) const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Returns the text of a value in a column of type `string`; None for any other value.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Compares two values of one column type. Texts are compared by their bytes. Numbers are compared by value, with
    /// NaN as the greatest. Returns None if one of the values is NULL, or if their types differ.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        Some(match (self, other) {
            (Self::Text(left), Self::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
            (Self::Decimal(left), Self::Decimal(right)) => decimal::compare(left, right),
            (Self::Int(left), Self::Int(right)) => left.cmp(right),
            (Self::Float(left), Self::Float(right)) => {
                left.partial_cmp(right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
            }
            (Self::Bool(left), Self::Bool(right)) => left.cmp(right),
            (Self::Date(left), Self::Date(right)) => left.cmp(right),
            (Self::Moment(left), Self::Moment(right)) => left.cmp(right),
            (Self::Time(left), Self::Time(right)) => left.cmp(right),
            (Self::Infinity { is_negative: left }, Self::Infinity { is_negative: right }) => right.cmp(left),
            (Self::Date(_) | Self::Moment(_), Self::Infinity { is_negative }) => infinite(*is_negative).reverse(),
            (Self::Infinity { is_negative }, Self::Date(_) | Self::Moment(_)) => infinite(*is_negative),
            _ => return None,
        })
    }

    /// Returns the value with an owned copy of its text, so that it does not borrow from the row.
    pub(super) fn into_owned(self) -> Cell<'static> {
        match self {
            Self::Null => Cell::Null,
            Self::Text(text) => Cell::Text(text.into_owned().into()),
            Self::Decimal(text) => Cell::Decimal(text.into_owned().into()),
            Self::Int(number) => Cell::Int(number),
            Self::Float(number) => Cell::Float(number),
            Self::Bool(is) => Cell::Bool(is),
            Self::Date(days) => Cell::Date(days),
            Self::Moment(nanos) => Cell::Moment(nanos),
            Self::Time(nanos) => Cell::Time(nanos),
            Self::Infinity { is_negative } => Cell::Infinity { is_negative },
        }
    }

    /// Appends the value to the builder of its column. Returns the size in bytes of a text or decimal, and 0 for any
    /// other value.
    pub(super) fn append_to(&self, values: &mut ColumnBuilder) -> Result<usize, AppendError> {
        match (values, self) {
            (values, Self::Null) => values.append_null(),
            (ColumnBuilder::Text(values), Self::Text(text)) | (ColumnBuilder::Decimal(values), Self::Decimal(text)) => {
                values.append_value(text.as_ref());
                return Ok(text.len());
            }
            (ColumnBuilder::Int(values), Self::Int(number)) => values.append_value(*number),
            (ColumnBuilder::Float(values), Self::Float(number)) => values.append_value(*number),
            (ColumnBuilder::Bool(values), Self::Bool(is)) => values.append_value(*is),
            (ColumnBuilder::Date(values), Self::Date(days)) => values.append_value(*days),
            (ColumnBuilder::Datetime(values), Self::Moment(nanos)) => {
                let micros = i64::try_from(nanos / MICRO_NANOS);
                values.append_value(micros.map_err(|_| DatasetError::Garbled("a timestamp is out of range"))?);
            }
            (ColumnBuilder::Time(values), Self::Time(nanos)) => values.append_value(*nanos),
            _ => return Err("a value is not of the column's type".into()),
        }
        Ok(0)
    }
}

/// Returns how an infinity compares with a finite value: `Less` for a negative infinity, and `Greater` for a positive
/// infinity.
const fn infinite(is_negative: bool) -> Ordering {
    if is_negative { Ordering::Less } else { Ordering::Greater }
}

/// Converts a stored value to its text in a column of type `string`. A double becomes the shortest text that parses
/// back to this double. A BLOB becomes `\x` and hexadecimal digits. The caller must handle NULL, and a text that is not
/// UTF-8, before it calls this function.
fn text(stored: Stored<'_>) -> Cow<'_, str> {
    match stored {
        Stored::Text(text) => text.into(),
        Stored::Integer(number) => number.to_string().into(),
        Stored::Real(number) => numbers::shortest(number).into(),
        Stored::Blob(bytes) => format!("\\x{}", hex::encode(bytes)).into(),
        Stored::Null | Stored::BrokenText => "".into(),
    }
}

fn int(stored: Stored<'_>) -> Result<i64, &'static str> {
    match stored {
        Stored::Integer(number) => Ok(number),
        Stored::Real(number) => {
            let wrong = if number.fract() == 0.0 || !number.is_finite() {
                "a number that is beyond whole numbers of 64 bits"
            } else {
                "a number with a fraction"
            };
            numbers::whole(number).ok_or(wrong)
        }
        Stored::Text(text) => numbers::parse_int(text).ok_or("a text that is no whole number of 64 bits"),
        _ => Err(BLOB),
    }
}

fn float(stored: Stored<'_>) -> Result<f64, &'static str> {
    match stored {
        Stored::Real(number) => Ok(number),
        Stored::Integer(number) => numbers::double(number).ok_or("a whole number with more digits than a float keeps"),
        Stored::Text(text) => {
            numbers::parse_float(text).ok_or("a text that is no number, or has more digits than a float keeps")
        }
        _ => Err(BLOB),
    }
}

fn decimal(stored: Stored<'_>) -> Result<Cow<'_, str>, &'static str> {
    match stored {
        Stored::Integer(number) => Ok(number.to_string().into()),
        Stored::Real(number) => Ok(numbers::decimal_text(number).into()),
        Stored::Text(text) => decimal::plain(text).ok_or("a text that is no decimal number such as -12.50"),
        _ => Err(BLOB),
    }
}

fn boolean(stored: Stored<'_>) -> Result<bool, &'static str> {
    const TRUE: [&str; 6] = ["1", "true", "t", "yes", "y", "on"];
    const FALSE: [&str; 6] = ["0", "false", "f", "no", "n", "off"];
    let is_one_of = |words: [&str; 6], text: &str| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    match stored {
        Stored::Integer(1) => Ok(true),
        Stored::Integer(0) => Ok(false),
        Stored::Real(1.0) => Ok(true),
        Stored::Real(0.0) => Ok(false),
        Stored::Text(text) if is_one_of(TRUE, text) => Ok(true),
        Stored::Text(text) if is_one_of(FALSE, text) => Ok(false),
        Stored::Text(_) => Err("a text that is neither true nor false"),
        Stored::Blob(_) => Err(BLOB),
        _ => Err("a number that is neither 0 nor 1"),
    }
}

fn moment(stored: Stored<'_>) -> Result<i64, &'static str> {
    match stored {
        Stored::Text(text) => moments::moment(text),
        Stored::Integer(seconds) => moments::moment_of_integer(seconds),
        Stored::Real(number) => moments::moment_of_real(number),
        _ => Err(BLOB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: ColumnType, stored: Stored<'_>) -> Result<String, &'static str> {
        Cell::new(kind, stored).map(|cell| format!("{cell:?}"))
    }

    #[test]
    fn a_column_of_strings_has_the_exact_text_of_every_value() {
        for (stored, expected) in [
            (Stored::Text("12 apples"), "12 apples"),
            (Stored::Text("a\0b "), "a\0b "),
            (Stored::Integer(i64::MIN), "-9223372036854775808"),
            (Stored::Real(0.1 + 0.2), "0.30000000000000004"),
            (Stored::Blob(&[0, 255]), "\\x00ff"),
            (Stored::Blob(&[]), "\\x"),
        ] {
            assert_eq!(Cell::new(ColumnType::String, stored).unwrap().text(), Some(expected));
        }
        assert!(Cell::new(ColumnType::String, Stored::BrokenText).is_err());
        assert!(Cell::new(ColumnType::String, Stored::Null).unwrap().is_null());
    }

    #[test]
    fn a_value_that_its_type_does_not_keep_is_refused() {
        let big = 18_446_744_073_709_551_615.0;
        for (kind, stored, found) in [
            (ColumnType::Int, Stored::Text("abc"), "text"),
            (ColumnType::Int, Stored::Text("12 apples"), "text"),
            (ColumnType::Int, Stored::Real(1.5), "fraction"),
            (ColumnType::Int, Stored::Real(big), "64 bits"),
            (ColumnType::Int, Stored::Blob(b"5"), "BLOB"),
            (ColumnType::Float, Stored::Text("abc"), "text"),
            (ColumnType::Float, Stored::Integer(i64::MAX), "digits"),
            (ColumnType::Decimal, Stored::Text("=1+1"), "text"),
            (ColumnType::Bool, Stored::Integer(2), "number"),
            (ColumnType::Bool, Stored::Text("maybe"), "text"),
            (ColumnType::Date, Stored::Integer(20_260_131), "number"),
            (ColumnType::Date, Stored::Text("2026-01-31 12:00"), "time"),
            (ColumnType::Datetime, Stored::Integer(1_700_000_000_000), "milliseconds"),
            (ColumnType::Datetime, Stored::Blob(b""), "BLOB"),
            (ColumnType::Time, Stored::Integer(5), "number"),
        ] {
            let refused = shown(kind, stored).unwrap_err();
            assert!(refused.contains(found), "{kind:?} {stored:?}: {refused}");
        }
    }

    #[test]
    fn values_in_other_spellings_are_equal_to_the_usual_one() {
        for (kind, left, right) in [
            (ColumnType::Int, Stored::Real(5.0), Stored::Integer(5)),
            (ColumnType::Int, Stored::Text("5"), Stored::Integer(5)),
            (ColumnType::Float, Stored::Text("inf"), Stored::Real(f64::INFINITY)),
            (ColumnType::Float, Stored::Integer(3), Stored::Real(3.0)),
            (ColumnType::Decimal, Stored::Text("1.10"), Stored::Real(1.1)),
            (ColumnType::Bool, Stored::Text("TRUE"), Stored::Integer(1)),
            (ColumnType::Date, Stored::Integer(1_700_006_400), Stored::Text("2023-11-15")),
            (ColumnType::Datetime, Stored::Real(1_700_000_000.5), Stored::Text("2023-11-14T23:13:20.5+01:00")),
            (ColumnType::Time, Stored::Text("15:26"), Stored::Text("15:26:00.000")),
        ] {
            let (left, right) = (Cell::new(kind, left).unwrap(), Cell::new(kind, right).unwrap());
            assert_eq!(left.compare(&right), Some(Ordering::Equal), "{left:?} {right:?}");
        }
        let text = |text| Cell::new(ColumnType::String, Stored::Text(text)).unwrap();
        for (left, right) in [("acme", "ACME"), ("acme", "acme "), ("a", "a\0"), ("é", "e\u{301}")] {
            assert_ne!(text(left).compare(&text(right)), Some(Ordering::Equal), "{left:?} {right:?}");
        }
    }
}
