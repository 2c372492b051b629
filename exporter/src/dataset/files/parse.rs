//! Parses the texts of CSV and NDJSON files into the columns of a frame.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use polars::prelude::ChunkedBuilder;
use protocol::catalog::ColumnType;

use super::super::{
    DatasetError, decimals,
    frame_builder::{ColumnBuilder, FrameBuilder},
};

/// Appends a row to a frame. `field` returns the text of a column by the column's index, or None for NULL.
pub(super) fn push<'a>(frame: &mut FrameBuilder, field: impl Fn(usize) -> Option<&'a str>) -> Result<(), DatasetError> {
    frame.push(|index, values| append(values, field(index)))
}

/// Parses and appends a value, and returns the size of its text in bytes. The error names the expected form, never the
/// value.
fn append(values: &mut ColumnBuilder, text: Option<&str>) -> Result<usize, &'static str> {
    let Some(text) = text else {
        values.append_null();
        return Ok(0);
    };
    let trimmed = text.trim();
    match values {
        ColumnBuilder::Text(values) => values.append_value(text),
        ColumnBuilder::Int(values) => {
            values.append_value(trimmed.parse().map_err(|_| "a value is no whole number of 64 bits")?);
        }
        ColumnBuilder::Float(values) => values.append_value(float(trimmed).ok_or("a value is no number")?),
        ColumnBuilder::Decimal(values) => {
            values.append_value(decimals::parse(trimmed).ok_or("a value is no decimal number such as -12.50")?);
        }
        ColumnBuilder::Bool(values) => {
            values.append_value(boolean(trimmed).ok_or("a value is neither true nor false")?);
        }
        ColumnBuilder::Date(values) => {
            values.append_value(date(trimmed).ok_or("a value is no date such as 2026-11-22")?);
        }
        ColumnBuilder::Datetime(values) => {
            values.append_value(datetime(trimmed).ok_or("a value is no time such as 2026-11-22T15:26:01Z")?);
        }
        ColumnBuilder::Time(values) => {
            values.append_value(time(trimmed).ok_or("a value is no time of day such as 15:26:01")?);
        }
    }
    Ok(text.len())
}

/// Returns the narrowest column type that fits all of these texts; text if there are none.
pub(super) fn infer<'a>(texts: impl Iterator<Item = &'a str>) -> ColumnType {
    type Test = (ColumnType, fn(&str) -> bool);
    let mut tests: Vec<Test> = vec![
        // a number with a leading zero is probably a code, such as a postal code
        (ColumnType::Int, |t| t.parse::<i64>().is_ok() && !is_code(t)),
        (ColumnType::Float, |t| float(t).is_some() && !is_code(t)),
        (ColumnType::Bool, |t| matches!(t, "true" | "false")),
        (ColumnType::Date, |t| date(t).is_some()),
        (ColumnType::Datetime, |t| datetime(t).is_some()),
    ];
    let mut any = false;
    for text in texts {
        any = true;
        tests.retain(|(_, fits)| fits(text));
    }
    tests.first().filter(|_| any).map_or(ColumnType::String, |(kind, _)| *kind)
}

fn is_code(text: &str) -> bool {
    let digits = text.trim_start_matches('-');
    text.starts_with('+') || (digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0."))
}

fn float(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "t" | "1" => Some(true),
        "false" | "False" | "FALSE" | "f" | "0" => Some(false),
        _ => None,
    }
}

fn date(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// Parses a timestamp to microseconds since 1970-01-01T00:00:00Z. A timestamp without an offset is in UTC.
fn datetime(text: &str) -> Option<i64> {
    if let Ok(zoned) = DateTime::parse_from_rfc3339(text) {
        return Some(zoned.timestamp_micros());
    }
    let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    naive
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|t| t.and_utc().timestamp_micros())
}

fn time(text: &str) -> Option<i64> {
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S%.f").ok()?;
    Some(i64::from(time.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(time.nanosecond() % 1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_does_not_fit_its_type_is_refused() {
        assert_eq!(datetime("2001-01-13T15:56:00.5+01:00"), datetime("2001-01-13 14:56:00.5"));
        assert_eq!((date("2026-02-30"), time("24:00:00"), boolean("yes")), (None, None, None));
    }

    #[test]
    fn types_are_inferred_narrowly() {
        for (texts, kind) in [
            (vec!["1", "-2"], ColumnType::Int),
            (vec!["1", "2.5"], ColumnType::Float),
            (vec!["007", "8"], ColumnType::String),
            (vec!["+49"], ColumnType::String),
            (vec!["true", "false"], ColumnType::Bool),
            (vec!["2026-11-22"], ColumnType::Date),
            (vec!["2026-11-22T00:00:00Z"], ColumnType::Datetime),
            (vec!["2026-11-22", "x"], ColumnType::String),
            (vec![], ColumnType::String),
        ] {
            assert_eq!(infer(texts.iter().copied()), kind, "{texts:?}");
        }
    }
}
