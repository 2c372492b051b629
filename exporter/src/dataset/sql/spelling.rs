//! Formats dates and times of any year as texts for PostgreSQL literals.

use chrono::{DateTime, Datelike, NaiveDate, Utc};

/// Returns the text of a date, such as `2026-11-22`, `12026-01-01` or `0044-03-15 BC`.
pub(super) fn date(date: NaiveDate) -> String {
    let (day, era) = day(date);
    format!("{day}{era}")
}

/// Returns the text of a timestamp, such as `2026-11-22 15:26:01.500+00`, exact to the nanosecond.
pub(super) fn datetime(time: &DateTime<Utc>) -> String {
    let (day, era) = day(time.date_naive());
    format!("{day} {}+00{era}", time.format("%H:%M:%S%.f"))
}

/// Returns the text of a date without its era, and the suffix for the era: ` BC` for years before 1, and an empty text
/// otherwise. `NaiveDate` has a year 0, which PostgreSQL writes as 1 BC.
fn day(date: NaiveDate) -> (String, &'static str) {
    let (year, era) = if date.year() > 0 { (date.year(), "") } else { (1 - date.year(), " BC") };
    (format!("{year:04}-{:02}-{:02}", date.month(), date.day()), era)
}
