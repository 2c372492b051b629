//! Represents PostgreSQL values that polars can't represent: `infinity`, `-infinity` and `24:00:00`.
//!
//! In a data frame, a reserved number stands for each of these values. Text formats and workbooks contain the text that
//! PostgreSQL prints. Parquet files contain the reserved number. DuckDB reserves the same numbers for infinite dates
//! and timestamps.

use polars::prelude::TimeUnit;

/// The reserved number for the date `infinity`, in days since 1970-01-01. Its negative stands for `-infinity`.
pub const DATE: i32 = i32::MAX;
/// The reserved number for the timestamp `infinity`, in microseconds since 1970-01-01. Its negative stands for
/// `-infinity`.
pub const TIMESTAMP: i64 = i64::MAX;
/// The reserved number for the time of day `24:00:00`, in nanoseconds since midnight. No other time has this number,
/// because PostgreSQL stores whole microseconds.
pub const END_OF_DAY: i64 = 86_399_999_999_998;

/// Returns `infinity` or `-infinity` for the reserved number of an infinite date; None for any other date.
#[inline]
pub fn date(days: i64) -> Option<&'static [u8]> {
    signed(days, i64::from(DATE))
}

/// Returns `infinity` or `-infinity` for the reserved number of an infinite timestamp; None for any other timestamp.
/// Only timestamps in microseconds can be infinite, because in nanoseconds the reserved number is a date in 2262.
#[inline]
pub fn timestamp(value: i64, unit: TimeUnit) -> Option<&'static [u8]> {
    if unit == TimeUnit::Microseconds { signed(value, TIMESTAMP) } else { None }
}

/// Returns the text `24:00:00` for [`END_OF_DAY`]; None for any other time of day.
#[inline]
pub fn time(nanos: i64) -> Option<&'static [u8]> {
    (nanos == END_OF_DAY).then_some(b"24:00:00")
}

#[inline]
fn signed(value: i64, infinite: i64) -> Option<&'static [u8]> {
    if value == infinite {
        Some(b"infinity")
    } else if value == -infinite {
        Some(b"-infinity")
    } else {
        None
    }
}
