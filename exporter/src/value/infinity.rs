//! PostgreSQL values that polars cannot represent: `infinity`, `-infinity` and `24:00:00`.
//!
//! In a frame one reserved number stands for each of them. Text formats and workbooks write the text that PostgreSQL
//! prints; Parquet files hold the number. DuckDB reserves the same numbers for its infinite dates and timestamps.

use polars::prelude::TimeUnit;

/// `infinity` as a date, in days since 1970-01-01; the negative number is `-infinity`.
pub(crate) const DATE: i32 = i32::MAX;
/// `infinity` as a timestamp, in microseconds since 1970-01-01; the negative number is `-infinity`.
pub(crate) const TIMESTAMP: i64 = i64::MAX;
/// `24:00:00` as a time of day, in nanoseconds. PostgreSQL, which counts microseconds, has no other value with this
/// number.
pub(crate) const END_OF_DAY: i64 = 86_399_999_999_998;

/// The text of an infinite date; None for any other date.
#[inline]
pub(crate) fn date(days: i64) -> Option<&'static [u8]> {
    signed(days, i64::from(DATE))
}

/// The text of an infinite timestamp; None for any other. Only microseconds are infinite: the same number of
/// nanoseconds is a day in 2262.
#[inline]
pub(crate) fn timestamp(value: i64, unit: TimeUnit) -> Option<&'static [u8]> {
    if unit == TimeUnit::Microseconds { signed(value, TIMESTAMP) } else { None }
}

/// The text of the end of a day; None for any other time of day.
#[inline]
pub(crate) fn time(nanos: i64) -> Option<&'static [u8]> {
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
