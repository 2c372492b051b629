//! Parses the texts of CSV and NDJSON files to values, and appends the values to the columns of a data frame.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};
use polars::prelude::ChunkedBuilder;
use protocol::{catalog::Column, decimal};

use super::super::{
    DatasetError,
    frame_builder::{AppendError, ColumnBuilder, FrameBuilder},
    numbers,
};

/// Appends a row to a data frame. `field` receives the index of a column, and returns the text of the row's value in
/// this column. It returns None for NULL, and an error if the text can't be read.
pub(super) fn push<'a>(
    frame: &mut FrameBuilder,
    field: impl Fn(usize) -> Result<Option<&'a str>, DatasetError>,
) -> Result<(), DatasetError> {
    frame.push_typed(|index, column, values| Ok::<_, AppendError>(append(values, column, field(index)?)?))
}

/// Builds the error text for a value that does not fit the declared type of its column. The text has the reason, the
/// type, and what to do.
macro_rules! refusal {
    ($reason:literal, $kind:literal) => {
        concat!(
            $reason,
            ", and the column is declared as `type = \"",
            $kind,
            "\"`: correct the value in the file, or declare the column as `type = \"string\"` to export every value as its \
             exact text"
        )
    };
}

const NO_INT: &str = refusal!("a value is no whole number of 64 bits", "int");
const NO_FLOAT: &str = "a value is no number, or has more digits than a float keeps, and the column is declared as \
                        `type = \"float\"`: correct the value in the file, or declare the column as `type = \"decimal\"` to \
                        keep all digits, or as `type = \"string\"` to export every value as its exact text";
const NO_DECIMAL: &str = refusal!("a value is no decimal number such as -12.50", "decimal");
const NO_BOOL: &str = refusal!("a value is neither true nor false", "bool");
const NO_DATE: &str = refusal!("a value is no date such as 2026-11-22", "date");
const NO_DATETIME: &str = refusal!("a value is no time to the microsecond such as 2026-11-22T15:26:01Z", "datetime");
const NO_LOCAL_DATETIME: &str =
    refusal!("a value is no time to the microsecond such as 2026-11-22T15:26:01", "datetime");
const HAS_ZONE: &str = refusal!("a value has a time zone, and other values of its column have none", "datetime");
const NO_TIME: &str = refusal!("a value is no time of day such as 15:26:01", "time");

/// Parses a text as the type of a column, and appends the value. If the text is None, appends NULL. Returns the size of
/// the text in bytes. The error describes the expected form, and never repeats the value.
fn append(values: &mut ColumnBuilder, column: &Column, text: Option<&str>) -> Result<usize, &'static str> {
    let Some(text) = text else {
        values.append_null();
        return Ok(0);
    };
    let trimmed = text.trim();
    match values {
        ColumnBuilder::Text(values) => values.append_value(text),
        ColumnBuilder::Int(values) => values.append_value(trimmed.parse().map_err(|_| NO_INT)?),
        ColumnBuilder::Float(values) => values.append_value(float(trimmed).ok_or(NO_FLOAT)?),
        ColumnBuilder::Decimal(values) => values.append_value(decimal::parse(trimmed).ok_or(NO_DECIMAL)?),
        ColumnBuilder::Bool(values) => values.append_value(boolean(trimmed).ok_or(NO_BOOL)?),
        ColumnBuilder::Date(values) => values.append_value(date(trimmed).ok_or(NO_DATE)?),
        ColumnBuilder::Datetime(values) if column.local => values.append_value(local_datetime(trimmed)?),
        ColumnBuilder::Datetime(values) => values.append_value(datetime(trimmed).ok_or(NO_DATETIME)?),
        ColumnBuilder::Time(values) => values.append_value(time(trimmed).ok_or(NO_TIME)?),
    }
    Ok(text.len())
}

/// Parses a 64-bit float. Returns None if the text is not a number, or if the number is too large or has more digits
/// than a float can hold. Words such as `inf` and `nan` are valid.
fn float(text: &str) -> Option<f64> {
    /// The number of decimal digits that a float always keeps, if its absolute value is at least [`SMALLEST`].
    const SURE_DIGITS: usize = 15;
    const SMALLEST: f64 = 1e-300;
    let float: f64 = text.parse().ok()?;
    if !float.is_finite() {
        let has_digits = text.bytes().any(|byte| byte.is_ascii_digit());
        return (!has_digits).then_some(float);
    }
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count();
    let is_sure = digits == 0 || (digits <= SURE_DIGITS && float.abs() >= SMALLEST);
    (is_sure || numbers::parse_float(text).is_some()).then_some(float)
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "t" | "1" => Some(true),
        "false" | "False" | "FALSE" | "f" | "0" => Some(false),
        _ => None,
    }
}

fn date(text: &str) -> Option<i32> {
    // the library reads `05-03-24` as a day of the year 5
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| has_year(text))?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// Whether a text begins with a year of at least four digits, which may have a sign.
fn has_year(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.bytes().take_while(u8::is_ascii_digit).count() >= 4
}

/// Parses a timestamp to microseconds since 1970-01-01T00:00:00Z. A timestamp without an offset is in UTC. Returns None
/// for any other text, for a leap second, and for a fraction finer than microseconds.
fn datetime(text: &str) -> Option<i64> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(zoned) => exact_micros(zoned.to_utc(), text),
        Err(_) => naive_datetime(text),
    }
}

/// Parses a timestamp without a time zone to microseconds since 1970-01-01T00:00:00. Returns an error for a timestamp
/// with a time zone, and for any other text.
fn local_datetime(text: &str) -> Result<i64, &'static str> {
    naive_datetime(text).ok_or_else(|| if datetime(text).is_some() { HAS_ZONE } else { NO_LOCAL_DATETIME })
}

/// Decides from the first values of a column of the type `datetime` whether its timestamps have no time zone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ZoneSample {
    has_naive: bool,
    has_other: bool,
}

impl ZoneSample {
    /// Records whether the value `text` of the column has a time zone. The caller must leave out NULL values.
    pub(super) fn add(&mut self, text: &str) {
        match naive_datetime(text.trim()) {
            Some(_) => self.has_naive = true,
            None => self.has_other = true,
        }
    }

    /// Whether at least one value was recorded, and all recorded values are timestamps without a time zone.
    pub(super) const fn is_naive(self) -> bool {
        self.has_naive && !self.has_other
    }
}

/// Parses a timestamp without an offset to microseconds since 1970-01-01T00:00:00. Returns None if the text has another
/// form, or if microseconds can't express the timestamp exactly.
fn naive_datetime(text: &str) -> Option<i64> {
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    let naive = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())?;
    exact_micros(naive.and_utc(), text)
}

/// Returns the timestamp `moment`, which was parsed from `text`, in microseconds since 1970-01-01T00:00:00Z. Returns
/// None for a leap second, for a fraction finer than microseconds, and for a year with fewer than four digits.
fn exact_micros(moment: DateTime<Utc>, text: &str) -> Option<i64> {
    let nanos = moment.timestamp_subsec_nanos();
    let is_exact = has_year(text) && nanos < 1_000_000_000 && nanos.is_multiple_of(1_000) && fraction_digits(text) <= 9;
    is_exact.then(|| moment.timestamp_micros())
}

/// Parses a time of day to nanoseconds since midnight. Returns None for any other text, for a leap second, and for a
/// fraction finer than nanoseconds.
fn time(text: &str) -> Option<i64> {
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S%.f").ok()?;
    let is_exact = time.nanosecond() < 1_000_000_000 && fraction_digits(text) <= 9;
    is_exact.then(|| i64::from(time.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(time.nanosecond()))
}

/// Returns the number of digits after the first decimal point, without the zeros at the end; 0 if there is no point.
fn fraction_digits(text: &str) -> usize {
    let digits = text.split_once('.').map_or("", |(_, fraction)| fraction);
    let end = digits.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].trim_end_matches('0').len()
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
    fn a_column_without_a_time_zone_refuses_moments_with_one() {
        let (naive, zoned) = ("2026-03-29 02:30:00.500", "2026-03-29T02:30:00Z");
        assert_eq!(local_datetime(naive), Ok(1_774_751_400_500_000));
        assert!(local_datetime(zoned).unwrap_err().contains("time zone"));
        assert!(local_datetime("tomorrow").unwrap_err().contains("no time"));
        assert!(local_datetime("2026-03-29 02:30:00.1234567").unwrap_err().contains("no time"));
    }

    #[test]
    fn timestamps_without_a_time_zone_are_known_in_every_spelling() {
        let is_naive = |fields: &[&str]| {
            let mut sample = ZoneSample::default();
            fields.iter().for_each(|field| sample.add(field));
            sample.is_naive()
        };
        let spellings = ["2026-11-22 10:00:00", "2026-11-22T10:00:00.5", " 2026-11-22T10:00:00 "];
        assert!(
            is_naive(&spellings) && is_naive(&["2026-11-22T10:00:00", "+10000-01-01T00:00:00", "-0001-01-01T00:00:00"])
        );
        assert!(!is_naive(&[]) && !is_naive(&["2026-11-22"]) && !is_naive(&["2026-11-22 10:00:00", "x"]));
        assert!(!is_naive(&["2026-11-22 10:00:00", "2026-11-22 10:00:00Z"]));
    }

    #[test]
    fn a_declared_type_changes_no_value() {
        for text in ["05-03-24", "5-3-24", "2026-11-22x"] {
            assert_eq!(date(text), None, "{text}");
        }
        for text in [
            "05-03-24T10:00:00Z",
            "2026-11-22T10:00:00.1234567Z",
            "2026-11-22 10:00:00.0000000001",
            "2026-11-22T23:59:60Z",
            "2026-11-22T24:00:00Z",
        ] {
            assert_eq!(datetime(text), None, "{text}");
        }
        assert_eq!(datetime("1970-01-01T00:00:00.000001000Z"), Some(1));
        for text in ["23:59:60", "10:00:00.0000000001", "24:00:00"] {
            assert_eq!(time(text), None, "{text}");
        }
        assert_eq!(time("00:00:00.0000000010"), Some(1));
        assert_eq!((float("1e400"), float("-1e999"), float("-inf")), (None, None, Some(f64::NEG_INFINITY)));
    }

    #[test]
    fn a_float_keeps_all_digits_of_its_text() {
        for text in ["0.1000000000000000055", "9007199254740993", "12345678901234567890", "1e-400", "3e-324"] {
            assert_eq!(float(text), None, "{text}");
        }
        for (text, value) in [
            ("0.1", 0.1),
            ("+.5", 0.5),
            ("1.10", 1.1),
            ("0.30000000000000004", 0.1 + 0.2),
            ("9007199254740992", 9_007_199_254_740_992.0),
            ("1.7976931348623157e308", f64::MAX),
            ("5e-324", 5e-324),
            ("0e-999", 0.0),
        ] {
            assert_eq!(float(text), Some(value), "{text}");
        }
        assert!(float("-0.0").is_some_and(|zero| zero == 0.0 && zero.is_sign_negative()));
    }
}
