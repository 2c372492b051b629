//! Values that PostgreSQL has and polars has no word for. In frames one number stands for each of them; text formats and
//! workbooks write them as PostgreSQL prints them, and Parquet files hold the numbers.
//!
//! The infinite ones are the numbers that DuckDB takes for infinity too, in its own files and in others.

use polars::prelude::TimeUnit;

/// `infinity` as a date, days; with a minus it is `-infinity`.
pub(crate) const DATE: i32 = i32::MAX;
/// `infinity` as a moment, microseconds; with a minus it is `-infinity`.
pub(crate) const MOMENT: i64 = i64::MAX;
/// `24:00:00`, the end of a day, nanoseconds: polars has no such time of day, so that one stands for it which PostgreSQL,
/// with its microseconds, does not have.
pub(crate) const MIDNIGHT: i64 = 86_399_999_999_998;

/// How an infinite date is written.
#[inline]
pub(crate) fn date(days: i64) -> Option<&'static [u8]> {
    sign(days, i64::from(DATE))
}

/// How an infinite moment is written. Only microseconds have them: in nanoseconds the same number is a day in 2262.
#[inline]
pub(crate) fn moment(value: i64, unit: TimeUnit) -> Option<&'static [u8]> {
    if unit == TimeUnit::Microseconds { sign(value, MOMENT) } else { None }
}

/// How the end of a day is written.
#[inline]
pub(crate) fn time(nanos: i64) -> Option<&'static [u8]> {
    (nanos == MIDNIGHT).then_some(b"24:00:00")
}

#[inline]
fn sign(value: i64, infinite: i64) -> Option<&'static [u8]> {
    if value == infinite {
        Some(b"infinity")
    } else if value == -infinite {
        Some(b"-infinity")
    } else {
        None
    }
}
