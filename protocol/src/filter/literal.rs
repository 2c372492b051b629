//! Parses the values of a filter by the types of their columns.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde_json::Value;

use super::Literal;
use crate::{
    catalog::{Column, ColumnType},
    decimal,
    time::is_finer_than,
};

/// The error text for a text with the character U+0000. PostgreSQL refuses this character, and C libraries end a text
/// there.
pub(super) const NUL: &str = "expected a text without the character U+0000";
/// The maximum length of a decimal without its sign, in characters. A `numeric` column of PostgreSQL can declare at
/// most 1,000 digits, and the decimal point is one more character.
const MAX_DECIMAL: usize = 1_001;
/// The part of the error text for a date or a time whose year is outside the range of chrono, so that a filter can't
/// represent it.
const YEARS: &str = "of a year from -262143 to 262142";
/// The text of the end of a day as a time of day (ISO 8601).
const END_OF_DAY: &str = "24:00:00";

/// Parses a value for comparison with a column.
///
/// # Errors
/// A phrase that describes the expected value.
pub(super) fn literal(column: &Column, value: &Value) -> Result<Literal, String> {
    let kind = column.kind;
    let text = value.as_str();
    if text.is_some_and(|text| text.contains('\0')) {
        return Err(NUL.to_owned());
    }
    let literal = match kind {
        ColumnType::String => text.map(|t| Literal::String(t.to_owned())),
        ColumnType::Int => value.as_i64().map(Literal::Int),
        ColumnType::Float => float(value).map(Literal::Float),
        ColumnType::Decimal => exact_decimal(value).map(Literal::Decimal),
        ColumnType::Bool => value.as_bool().map(Literal::Bool),
        ColumnType::Date | ColumnType::Datetime if matches!(text, Some("infinity" | "-infinity")) => {
            Some(Literal::Infinity { is_negative: text == Some("-infinity") })
        }
        ColumnType::Time if text == Some(END_OF_DAY) => Some(Literal::EndOfDay),
        ColumnType::Date => text.and_then(|t| NaiveDate::parse_from_str(t, "%Y-%m-%d").ok()).map(Literal::Date),
        ColumnType::Datetime | ColumnType::Time if text.is_some_and(|text| is_finer_than(text, 9)) => None,
        ColumnType::Datetime if column.local => text.and_then(local_datetime).map(Literal::Datetime),
        ColumnType::Datetime => text.and_then(datetime).map(Literal::Datetime),
        ColumnType::Time => text.and_then(|t| NaiveTime::parse_from_str(t, "%H:%M:%S%.f").ok()).map(Literal::Time),
    };
    if let Some(literal) = literal {
        return Ok(literal);
    }
    let wanted = match kind {
        ColumnType::String => "a string",
        ColumnType::Int => "a whole number from -9223372036854775808 to 9223372036854775807",
        ColumnType::Float => "a number, or one of the strings \"NaN\", \"INF\" and \"-INF\"",
        ColumnType::Decimal => "a decimal number of at most 1,000 digits, as a number or a string",
        ColumnType::Bool => "true or false",
        ColumnType::Date | ColumnType::Datetime if text.is_some_and(has_far_year) => {
            return Err(format!("expected a date or a time {YEARS}"));
        }
        ColumnType::Date => "a date such as \"2026-11-22\"",
        ColumnType::Datetime | ColumnType::Time if text.is_some_and(|text| is_finer_than(text, 9)) => {
            "at most nine digits after the second"
        }
        ColumnType::Datetime if column.local => {
            "a time without an offset such as \"2026-11-22T15:26:01\", because this column has no time zone"
        }
        ColumnType::Datetime => "a time such as \"2026-11-22T15:26:01Z\"",
        ColumnType::Time => "a time of day such as \"15:26:01\"",
    };
    Err(format!("expected {wanted}"))
}

/// Parses a timestamp for a column without a time zone, such as `2026-11-22T15:26:01`. Ignores a zero offset such as
/// `Z`. Returns None for any other offset, because an offset has no meaning in such a column.
fn local_datetime(text: &str) -> Option<DateTime<Utc>> {
    let offset = DateTime::parse_from_rfc3339(text).map(|time| time.offset().local_minus_utc());
    datetime(text).filter(|_| offset.is_ok_and(|seconds| seconds == 0) || offset.is_err())
}

/// Parses an RFC 3339 timestamp. A timestamp or date without an offset is in UTC. As in files, a year beyond 9999 or
/// before 0 has a sign.
fn datetime(text: &str) -> Option<DateTime<Utc>> {
    let zoned = DateTime::parse_from_rfc3339(text).map(|t| t.with_timezone(&Utc)).ok();
    let naive = || {
        NaiveDateTime::parse_from_str(text.strip_suffix('Z').unwrap_or(text), "%Y-%m-%dT%H:%M:%S%.f")
            .ok()
            .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))
    };
    zoned.or_else(|| naive().map(|t| t.and_utc()))
}

/// Whether a text begins with a year that a filter can't represent, such as `5874897-12-31`, the last date of
/// PostgreSQL.
fn has_far_year(text: &str) -> bool {
    let year = text.trim_start_matches(['+', '-']).split_once('-').map_or("", |(year, _)| year);
    let number = year.bytes().all(|b| b.is_ascii_digit()).then(|| year.parse::<u64>().ok()).flatten();
    number.is_some_and(|year| year > 262_142)
}

/// Parses a number, or a string with a number. Accepts the special values in the spelling of exported files.
fn float(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "INF" | "Infinity" => Some(f64::INFINITY),
            "-INF" | "-Infinity" => Some(f64::NEG_INFINITY),
            text => decimal::plain(text)?.parse().ok().filter(|number: &f64| number.is_finite()),
        },
        other => other.as_f64(),
    }
}

/// Parses a number, or a string with a number, to a decimal text without an exponent.
fn exact_decimal(value: &Value) -> Option<String> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let plain = match text.as_str() {
        "INF" => "Infinity".into(),
        "-INF" => "-Infinity".into(),
        text => decimal::plain(text)?,
    };
    (plain.trim_start_matches('-').len() <= MAX_DECIMAL).then(|| plain.into_owned())
}
