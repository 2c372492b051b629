//! Parses dates, times and timestamps in the forms that are common in SQLite databases.
//!
//! SQLite has no types for dates and times (<https://www.sqlite.org/lang_datefunc.html>). They are stored as texts in
//! ISO 8601, as integers or doubles that count seconds since 1970, or as doubles that count Julian days. A number that
//! may mean something else, such as the calendar date 20260131 or a count of milliseconds, is refused. The error of
//! each function is a text that names the kind of the refused value, and never the value.

use chrono::{Days, NaiveDate};

/// The number of microseconds in a second.
const MICROS: i64 = 1_000_000;
/// The number of microseconds in a day.
const DAY_MICROS: i64 = 86_400 * MICROS;
/// The maximum absolute value of an accepted number of seconds since 1970. Such numbers are in the years 1653 to 2286.
/// A number of milliseconds exceeds this maximum for any time after April 1970, so it is refused.
const MAX_SECONDS: i64 = 10_000_000_000;
/// The Julian day at which SQLite's calendar ends, after the year 9999. SQLite's modifier `auto` reads every positive
/// number below this day as a Julian day.
pub(super) const JULIAN_END: f64 = 5_373_484.5;
/// The Julian day at which the year 0 begins. A 64-bit float holds this number exactly.
pub(super) const JULIAN_START: f64 = 1_721_059.5;
/// The Julian day of 1970-01-01T00:00:00Z, in milliseconds.
const JULIAN_EPOCH_MS: i64 = 210_866_760_000_000;

/// An SQL condition on a column of timestamps: whether the value has a time zone. Each `?` stands for the column.
///
/// The condition is true for every number, and for every timestamp for which [`has_zone`] is true. It is NULL for NULL.
/// It searches for the time zone after the first 16 characters, which are `YYYY-MM-DD HH:MM`. So it may also be true
/// for a text that is no timestamp, but every export of the column refuses such a text.
pub(in super::super) const HAS_ZONE: &str = "(typeof(?) IN ('integer', 'real') OR substr(?, 17) GLOB '*[Zz]' \
                                             OR substr(?, 17) GLOB '*UTC' OR substr(?, 17) GLOB '*[+-][0-9][0-9]' \
                                             OR substr(?, 17) GLOB '*[+-][0-9][0-9]:[0-9][0-9]' \
                                             OR substr(?, 17) GLOB '*[+-][0-9][0-9][0-9][0-9]')";

/// The error text for a fraction of a second with more digits than a timestamp or time of day can hold.
const TOO_FINE: &str = "a fraction of a second with more than six digits";
const NO_MOMENT: &str = "a text that is no date with a time, such as 2026-11-22 15:26:01";
const NO_DATE: &str = "a text that is no date, such as 2026-11-22";
const NO_TIME: &str = "a text that is no time of day, such as 15:26:01";
const AMBIGUOUS: &str = "a number that may be a date, a year or a count of days instead of seconds since 1970";
const NO_SECONDS: &str =
    "a number that is no count of seconds since 1970 between the years 1653 and 2286 (milliseconds?)";
const NOT_MIDNIGHT: &str = "a time besides its date";

/// Parses a date with or without a time of day to microseconds since 1970-01-01T00:00:00Z. A time without an offset is
/// in UTC, as in SQLite's own functions.
pub(super) fn moment(text: &str) -> Result<i64, &'static str> {
    let (days, rest) = leading_date(text).ok_or(NO_MOMENT)?;
    let midnight = i64::from(days) * DAY_MICROS;
    if rest.is_empty() {
        return Ok(midnight);
    }
    let (micros, zone) =
        rest.strip_prefix([' ', 'T', 't']).map_or(Err(NO_MOMENT), |clock| leading_time(clock, NO_MOMENT))?;
    Ok(midnight + micros - offset_seconds(zone).ok_or(NO_MOMENT)? * MICROS)
}

/// Whether the text is a timestamp that ends with a time zone: an offset, `Z` or `UTC`. [`HAS_ZONE`] gives the same
/// result in SQL for every timestamp that is stored as text.
pub(super) fn has_zone(text: &str) -> bool {
    let clock = leading_date(text).and_then(|(_, rest)| rest.strip_prefix([' ', 'T', 't']));
    let zone = clock.and_then(|clock| leading_time(clock, NO_MOMENT).ok()).map(|(_, zone)| zone);
    zone.is_some_and(|zone| !matches!(zone, "" | " ") && offset_seconds(zone).is_some())
}

/// Converts a number of seconds since 1970 to microseconds since 1970. Refuses a number that may mean something else,
/// such as the calendar date 20260131.
pub(super) fn moment_of_integer(seconds: i64) -> Result<i64, &'static str> {
    if seconds > 0 && (seconds as f64) < JULIAN_END || is_calendar_number(seconds) {
        return Err(AMBIGUOUS);
    }
    if !(-MAX_SECONDS..=MAX_SECONDS).contains(&seconds) {
        return Err(NO_SECONDS);
    }
    Ok(seconds * MICROS)
}

/// Converts a 64-bit float to microseconds since 1970. A float from [`JULIAN_START`] to [`JULIAN_END`] is a Julian day,
/// and is rounded to the nearest millisecond. A negative float, and one above [`JULIAN_END`], is a number of seconds
/// since 1970, and is rounded to the nearest microsecond.
///
/// # Errors
/// When the float is positive and below [`JULIAN_START`], when it looks like a calendar date (20260131), or when it is
/// not a number of seconds that a timestamp can have.
pub(super) fn moment_of_real(real: f64) -> Result<i64, &'static str> {
    if (JULIAN_START..JULIAN_END).contains(&real) {
        return Ok(((real * 86_400_000.0 + 0.5).floor() as i64 - JULIAN_EPOCH_MS) * 1000);
    }
    if (f64::MIN_POSITIVE..JULIAN_START).contains(&real) || is_calendar_number(real as i64) && real.fract() == 0.0 {
        return Err(AMBIGUOUS);
    }
    if real.is_nan() || real.abs() > MAX_SECONDS as f64 {
        return Err(NO_SECONDS);
    }
    let seconds = real.floor();
    Ok(seconds as i64 * MICROS + ((real - seconds) * MICROS as f64).round() as i64)
}

/// Parses a date to days since 1970-01-01. A timestamp is accepted as a date if its time is midnight in UTC.
pub(super) fn date(text: &str) -> Result<i32, &'static str> {
    match leading_date(text) {
        None => Err(NO_DATE),
        Some((days, "")) => Ok(days),
        Some(_) => moment(text).and_then(date_of_moment),
    }
}

/// Converts a timestamp in microseconds since 1970 to days since 1970-01-01. Refuses a timestamp that is not at
/// midnight in UTC.
pub(super) fn date_of_moment(micros: i64) -> Result<i32, &'static str> {
    if micros.rem_euclid(DAY_MICROS) == 0 { Ok((micros / DAY_MICROS) as i32) } else { Err(NOT_MIDNIGHT) }
}

/// Parses a time of day without an offset to nanoseconds since midnight.
pub(super) fn time(text: &str) -> Result<i64, &'static str> {
    match leading_time(text, NO_TIME)? {
        (micros, "") => Ok(micros * 1000),
        _ => Err(NO_TIME),
    }
}

/// Returns the text of the date that is `days` days after `day`; None if the date is outside of the years 0000 to 9999.
pub(super) fn shifted_date(day: NaiveDate, days: i64) -> Option<String> {
    use chrono::Datelike;
    let step = Days::new(days.unsigned_abs());
    let shifted = if days < 0 { day.checked_sub_days(step) } else { day.checked_add_days(step) }?;
    (0..=9999).contains(&shifted.year()).then(|| shifted.format("%Y-%m-%d").to_string())
}

/// Whether a number looks like a calendar date such as 20260131, or like a date with a time such as 20260131152601.
fn is_calendar_number(number: i64) -> bool {
    let is_date = |number: i64| {
        let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
        (1000..=9999).contains(&year) && NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32).is_some()
    };
    is_date(number) || is_date(number / 1_000_000)
}

/// Splits a text into the date at its beginning, in days since 1970-01-01, and the text after the date. Returns None if
/// the text does not begin with a date.
fn leading_date(text: &str) -> Option<(i32, &str)> {
    let (date, rest) = text.split_at_checked(10)?;
    let bytes = date.as_bytes();
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..])?);
    let date = NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32)?;
    Some((date.signed_duration_since(NaiveDate::default()).num_days() as i32, rest))
}

/// Splits a text into the time of day at its beginning, in microseconds since midnight, and the text after the time.
/// `wrong` is the error for a text that does not begin with a time of day.
fn leading_time<'a>(text: &'a str, wrong: &'static str) -> Result<(i64, &'a str), &'static str> {
    let two = |at: usize, most: i64| {
        text.as_bytes().get(at..at + 2).and_then(digits).filter(|number| *number <= most).ok_or(wrong)
    };
    let byte = |at: usize| text.as_bytes().get(at).copied();
    let (hours, minutes) = (two(0, 23)?, two(3, 59)?);
    if byte(2) != Some(b':') {
        return Err(wrong);
    }
    let mut micros = (hours * 60 + minutes) * 60 * MICROS;
    if byte(5) != Some(b':') {
        return Ok((micros, &text[5..]));
    }
    micros += two(6, 59)? * MICROS;
    let rest = &text[8..];
    let Some(fraction) = rest.strip_prefix('.') else { return Ok((micros, rest)) };
    let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
    let (fraction, rest) = fraction.split_at(end);
    let kept = &fraction[..end.min(6)];
    if fraction.is_empty() || !fraction[kept.len()..].bytes().all(|digit| digit == b'0') {
        return Err(if fraction.is_empty() { wrong } else { TOO_FINE });
    }
    let value = digits(kept.as_bytes()).ok_or(wrong)?;
    Ok((micros + value * 10_i64.pow(6 - kept.len() as u32), rest))
}

/// Parses the time zone at the end of a timestamp, and returns its offset in seconds east of UTC. `zone` is empty, `Z`,
/// `UTC`, `+01:00`, `+0100` or `+01`, with or without a space before it. Returns None for any other text.
fn offset_seconds(zone: &str) -> Option<i64> {
    let zone = zone.strip_prefix(' ').unwrap_or(zone);
    if matches!(zone, "" | "Z" | "z" | "UTC") {
        return Some(0);
    }
    let (sign, zone) = match zone.split_at_checked(1)? {
        ("+", zone) => (1, zone),
        ("-", zone) => (-1, zone),
        _ => return None,
    };
    let bytes = zone.as_bytes();
    let (hours, minutes) = match (bytes.len(), bytes.get(2)) {
        (2, None) => (digits(bytes)?, 0),
        (4, Some(_)) => (digits(&bytes[..2])?, digits(&bytes[2..])?),
        (5, Some(b':')) => (digits(&bytes[..2])?, digits(&bytes[3..])?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60)
}

/// Parses decimal digits. Returns None if there is another character. The caller must pass at most 18 digits, which
/// always fit into 64 bits.
fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(micros: i64) -> String {
        chrono::DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339()
    }

    #[test]
    fn timestamps_are_read_in_every_usual_spelling() {
        for (text, expected) in [
            ("2026-11-22", "2026-11-22T00:00:00+00:00"),
            ("2026-11-22 15:26", "2026-11-22T15:26:00+00:00"),
            ("2026-11-22 15:26:01", "2026-11-22T15:26:01+00:00"),
            ("2026-11-22T15:26:01Z", "2026-11-22T15:26:01+00:00"),
            ("2026-11-22t15:26:01.5z", "2026-11-22T15:26:01.500+00:00"),
            ("2026-11-22 15:26:01.123456 UTC", "2026-11-22T15:26:01.123456+00:00"),
            ("2026-11-22 15:26:01.123456000", "2026-11-22T15:26:01.123456+00:00"),
            ("2026-11-22T15:26:01+01:00", "2026-11-22T14:26:01+00:00"),
            ("2026-11-22 15:26:01 -0130", "2026-11-22T16:56:01+00:00"),
            ("2026-11-22T00:26+14", "2026-11-21T10:26:00+00:00"),
            ("0000-01-01", "0000-01-01T00:00:00+00:00"),
            ("9999-12-31 23:59:59.999999", "9999-12-31T23:59:59.999999+00:00"),
        ] {
            assert_eq!(moment(text).map(written).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "2026",
            "2026-11",
            "2026-02-30",
            "22.11.2026",
            "2026/11/22",
            "05-03-24",
            "2026-11-22 25:00",
            "2026-11-22 15",
            "2026-11-22 15:26:60",
            "2026-11-22 15:26:01.",
            "2026-11-22 15:26:01 CET",
            "2026-11-22 15:26:01+24:00",
            "2026-11-22 15:26:01.1234567",
            " 2026-11-22",
            "2026-11-22x",
            "+2026-11-22",
            "2026-11-2é",
            "é",
            "1700000000",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn sql_finds_the_same_time_zones_as_the_reader() {
        use sea_orm::{ConnectionTrait, Statement, Value};

        let database = testkit::db::sqlite().await;
        let sql = format!("SELECT {}", HAS_ZONE.replace('?', "?1"));
        let with_sql = async |value: Value| {
            let statement = Statement::from_sql_and_values(database.db.get_database_backend(), &sql, [value]);
            let row = database.db.query_one_raw(statement).await.unwrap().unwrap();
            row.try_get_by_index::<Option<bool>>(0).unwrap()
        };
        let mut zoned = 0;
        for (date, clock, zone) in ["2026-11-22", "0000-01-01"].iter().flat_map(|date| {
            let clocks = ["", " 15:26", "T15:26:01", "t15:26:01.5", " 15:26:01.123456000"];
            let zones = ["", "Z", "z", "UTC", "+01:00", "-0130", "+14", "-00"];
            clocks.into_iter().flat_map(move |clock| zones.map(|zone| (*date, clock, zone)))
        }) {
            for space in ["", " "] {
                let text = format!("{date}{clock}{space}{zone}");
                if moment(&text).is_ok() {
                    zoned += i32::from(has_zone(&text));
                    assert_eq!(has_zone(&text), !zone.is_empty(), "{text}");
                    assert_eq!(with_sql(text.clone().into()).await, Some(has_zone(&text)), "{text}");
                }
            }
        }
        assert_eq!(zoned, 2 * 4 * 7 * 2);
        for text in ["x", "", "2026-11-22", "2026-11-22 15:26:01 CET", "2026-11-22 15:26 "] {
            assert_eq!((has_zone(text), with_sql(text.into()).await), (false, Some(false)), "{text}");
        }
        assert_eq!(with_sql(1_700_000_000_i64.into()).await, Some(true));
        assert_eq!(with_sql(2_458_849.5.into()).await, Some(true));
        assert_eq!(with_sql(None::<String>.into()).await, None);
    }

    #[test]
    fn numbers_are_seconds_or_julian_days_and_never_milliseconds() {
        for (number, expected) in [
            (0, "1970-01-01T00:00:00+00:00"),
            (1_700_000_000, "2023-11-14T22:13:20+00:00"),
            (-2_208_988_800, "1900-01-01T00:00:00+00:00"),
        ] {
            assert_eq!(moment_of_integer(number).map(written).as_deref(), Ok(expected), "{number}");
            assert_eq!(moment_of_real(number as f64), moment_of_integer(number), "{number}");
        }
        for number in
            [1_700_000_000_000, -1_700_000_000_000, i64::MAX, i64::MIN, 20_260_131, 2026, 2_458_850, 20_260_131_152_601]
        {
            assert!(moment_of_integer(number).is_err(), "{number}");
        }
        for (number, expected) in [
            (1_700_000_000.25, "2023-11-14T22:13:20.250+00:00"),
            (1_700_000_000.123_456_7, "2023-11-14T22:13:20.123457+00:00"),
            (-0.5, "1969-12-31T23:59:59.500+00:00"),
            (2_458_849.5, "2020-01-01T00:00:00+00:00"),
            (2_440_587.5, "1970-01-01T00:00:00+00:00"),
        ] {
            assert_eq!(moment_of_real(number).map(written).as_deref(), Ok(expected), "{number}");
        }
        for number in [1.7e12, f64::NAN, f64::INFINITY, 43_831.5, 20_260_131.0] {
            assert!(moment_of_real(number).is_err(), "{number}");
        }
    }

    #[test]
    fn a_date_has_no_time_and_a_time_no_date() {
        assert_eq!(date("1970-01-02"), Ok(1));
        assert_eq!(date("1970-01-02 00:00:00.000"), Ok(1));
        assert_eq!(date("1970-01-02T02:00:00+02:00"), Ok(1));
        for text in ["1970-01-02 00:00:01", "1970-01-02T00:00:00+02:00", "1970-1-2", "19700102", ""] {
            assert!(date(text).is_err(), "{text}");
        }
        assert_eq!((date_of_moment(-DAY_MICROS), date_of_moment(1)), (Ok(-1), Err(NOT_MIDNIGHT)));
        assert_eq!(time("15:26"), Ok(55_560_000_000_000));
        assert_eq!(time("23:59:59.999999"), Ok(86_399_999_999_000));
        for text in ["24:00", "15:26:01Z", "1:02", "15:26:01.9999999", "15-26", ""] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_shifted_date_stays_within_four_digits() {
        let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap();
        assert_eq!(shifted_date(day("2026-03-01"), -1).as_deref(), Some("2026-02-28"));
        assert_eq!(shifted_date(day("9999-12-31"), 1), None);
        assert_eq!(shifted_date(day("0000-01-01"), -1), None);
    }
}
