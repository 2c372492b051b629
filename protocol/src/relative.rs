//! Parses times relative to now, such as `now-1d/d`, in the date math of Grafana and Elasticsearch.
//!
//! A text begins with `now`, and up to 20 operations follow: `+1h` and `-2d` add and subtract, `/d` rounds down. The
//! units are `s`, `m`, `h`, `d`, `w`, `M` and `y`. A week begins on Monday. Days and longer units follow the calendar
//! of a time zone; hours and shorter units have a fixed length.

use chrono::{
    DateTime, Datelike, MappedLocalTime, Months, NaiveDateTime, NaiveTime, Offset, SecondsFormat, TimeDelta, TimeZone,
    Timelike, Utc,
};
use chrono_tz::Tz;

/// The text with which every relative time begins.
const NOW: &str = "now";
/// The maximum number of operations in one relative time.
const MAX_OPERATIONS: usize = 20;
/// The error text that describes the form of a relative time.
const FORM: &str =
    "a moment relative to now is such as \"now\", \"now-1d\" or \"now-1d/d\", with the units s m h d w M y";

/// The time and the time zone with which relative times are resolved.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// The time that the word `now` stands for.
    pub now: DateTime<Utc>,
    /// The time zone whose calendar defines days and longer units.
    pub zone: Tz,
}

/// The reason why a text is not a valid relative time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelativeError {
    /// The text does not follow the syntax.
    #[error("{FORM}")]
    Syntax,
    /// The text has too many operations.
    #[error("a moment relative to now has at most {MAX_OPERATIONS} operations")]
    TooLong,
    /// The resulting time is outside the years 1 to 9999.
    #[error("this moment is not within the years 1 to 9999")]
    Range,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    const fn parse(letter: u8) -> Option<Self> {
        Some(match letter {
            b's' => Self::Second,
            b'm' => Self::Minute,
            b'h' => Self::Hour,
            b'd' => Self::Day,
            b'w' => Self::Week,
            b'M' => Self::Month,
            b'y' => Self::Year,
            _ => return None,
        })
    }
}

/// Whether a text begins with `now`, so that it must be a relative time.
#[must_use]
pub fn is_relative(text: &str) -> bool {
    text.starts_with(NOW)
}

impl Reference {
    /// Returns the time that a relative text denotes, in the time zone of this reference.
    ///
    /// # Errors
    ///
    /// When the text does not follow the syntax, or the time is outside the years 1 to 9999.
    pub fn resolve(&self, text: &str) -> Result<DateTime<Tz>, RelativeError> {
        let mut rest = text.strip_prefix(NOW).ok_or(RelativeError::Syntax)?.as_bytes();
        let mut moment = self.now.with_timezone(&self.zone);
        let mut operations = 0;
        while let Some((operator, after)) = rest.split_first() {
            operations += 1;
            if operations > MAX_OPERATIONS {
                return Err(RelativeError::TooLong);
            }
            let digits =
                if *operator == b'/' { 0 } else { after.iter().take_while(|byte| byte.is_ascii_digit()).count() };
            let (number, after) = after.split_at(digits);
            let (unit, after) = after.split_first().ok_or(RelativeError::Syntax)?;
            let unit = Unit::parse(*unit).ok_or(RelativeError::Syntax)?;
            moment = match operator {
                b'+' | b'-' => added(moment, amount(number)?, unit, *operator == b'-')?,
                b'/' => floor(moment, unit)?,
                _ => return Err(RelativeError::Syntax),
            };
            if !(1..=9999).contains(&moment.year()) {
                return Err(RelativeError::Range);
            }
            rest = after;
        }
        Ok(moment)
    }
}

/// Returns the date of a time in its time zone, such as `2026-11-29`.
#[must_use]
pub fn date_text(moment: &DateTime<Tz>) -> String {
    moment.format("%Y-%m-%d").to_string()
}

/// Returns a time as RFC 3339 text in UTC with milliseconds.
#[must_use]
pub fn instant_text(moment: &DateTime<Tz>) -> String {
    moment.to_utc().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Returns the local date and time in the time zone of `moment`, such as `2026-11-29T16:33:53.123`.
#[must_use]
pub fn local_text(moment: &DateTime<Tz>) -> String {
    moment.format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
}

/// Returns the number before a unit, or 1 if there are no digits.
fn amount(digits: &[u8]) -> Result<u32, RelativeError> {
    let text = std::str::from_utf8(digits).unwrap_or_default();
    if text.is_empty() { Ok(1) } else { text.parse().map_err(|_| RelativeError::Range) }
}

fn added(moment: DateTime<Tz>, amount: u32, unit: Unit, is_negative: bool) -> Result<DateTime<Tz>, RelativeError> {
    let signed = if is_negative { -i64::from(amount) } else { i64::from(amount) };
    let clock = |delta: Option<TimeDelta>| delta.and_then(|delta| moment.checked_add_signed(delta));
    let local = moment.naive_local();
    let days = |count: i64| TimeDelta::try_days(count).and_then(|delta| local.checked_add_signed(delta));
    let months = |count: u32| {
        if is_negative {
            local.checked_sub_months(Months::new(count))
        } else {
            local.checked_add_months(Months::new(count))
        }
    };
    let moved = match unit {
        Unit::Second => return clock(TimeDelta::try_seconds(signed)).ok_or(RelativeError::Range),
        Unit::Minute => return clock(TimeDelta::try_minutes(signed)).ok_or(RelativeError::Range),
        Unit::Hour => return clock(TimeDelta::try_hours(signed)).ok_or(RelativeError::Range),
        Unit::Day => days(signed),
        Unit::Week => days(signed * 7),
        Unit::Month => months(amount),
        Unit::Year => amount.checked_mul(12).and_then(months),
    };
    at_local(&moment, moved.ok_or(RelativeError::Range)?)
}

/// Rounds a time down to the start of the unit that contains it, such as the day.
fn floor(moment: DateTime<Tz>, unit: Unit) -> Result<DateTime<Tz>, RelativeError> {
    let local = moment.naive_local();
    let date = local.date();
    let midnight = |date: chrono::NaiveDate| date.and_time(NaiveTime::MIN);
    let clock = |minute, second| local.with_nanosecond(0)?.with_second(second)?.with_minute(minute);
    let begin = match unit {
        Unit::Second => clock(local.minute(), local.second()),
        Unit::Minute => clock(local.minute(), 0),
        Unit::Hour => clock(0, 0),
        Unit::Day => Some(midnight(date)),
        Unit::Week => {
            let since_monday = TimeDelta::days(i64::from(date.weekday().num_days_from_monday()));
            date.checked_sub_signed(since_monday).map(midnight)
        }
        Unit::Month => date.with_day(1).map(midnight),
        Unit::Year => date.with_day(1).and_then(|date| date.with_month(1)).map(midnight),
    };
    let begin = begin.ok_or(RelativeError::Range)?;
    // if a clock change repeats the first hour of a day, the day begins at the first occurrence
    let is_calendar = matches!(unit, Unit::Day | Unit::Week | Unit::Month | Unit::Year);
    match moment.timezone().from_local_datetime(&begin) {
        MappedLocalTime::Ambiguous(early, _) if is_calendar => Ok(early),
        _ => at_local(&moment, begin),
    }
}

/// Returns the instant at which the clocks of the time zone show `local`. If the clocks show this time twice, returns
/// the instant with the offset of `from`, or else the earlier instant. A time that the clocks skip is moved forward by
/// the length of the gap.
fn at_local(from: &DateTime<Tz>, local: NaiveDateTime) -> Result<DateTime<Tz>, RelativeError> {
    let zone = from.timezone();
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(moment) => Ok(moment),
        MappedLocalTime::Ambiguous(early, late) => {
            Ok(if late.offset().fix() == from.offset().fix() { late } else { early })
        }
        MappedLocalTime::None => {
            // this time, read as UTC, is before the gap in every time zone
            let before = local.checked_sub_signed(TimeDelta::hours(26)).ok_or(RelativeError::Range)?;
            let offset = zone.offset_from_utc_datetime(&before).fix();
            let utc = local.checked_sub_offset(offset).ok_or(RelativeError::Range)?;
            Ok(zone.from_utc_datetime(&utc))
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::{America, Asia, Europe, Pacific};

    use super::*;

    fn resolved(now: &str, zone: Tz, text: &str) -> String {
        let now = DateTime::parse_from_rfc3339(now).unwrap().with_timezone(&Utc);
        let moment = Reference { now, zone }.resolve(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }

    #[test]
    fn operations_chain_from_left_to_right() {
        let now = "2026-11-29T15:33:53.123Z"; // a Sunday
        for (text, expected) in [
            ("now", "2026-11-29T15:33:53.123Z"),
            ("now-1d", "2026-11-28T15:33:53.123Z"),
            ("now/d", "2026-11-29T00:00:00Z"),
            ("now-1d/d", "2026-11-28T00:00:00Z"),
            ("now/d-1d", "2026-11-28T00:00:00Z"),
            ("now+90s/s", "2026-11-29T15:35:23Z"),
            ("now/m", "2026-11-29T15:33:00Z"),
            ("now-2h/h", "2026-11-29T13:00:00Z"),
            ("now/w", "2026-11-23T00:00:00Z"),
            ("now-1w/w", "2026-11-16T00:00:00Z"),
            ("now/M", "2026-11-01T00:00:00Z"),
            ("now/y", "2026-01-01T00:00:00Z"),
            ("now-1M/M+14d", "2026-10-15T00:00:00Z"),
            ("now-d", "2026-11-28T15:33:53.123Z"),
            ("now/y-1y", "2025-01-01T00:00:00Z"),
        ] {
            assert_eq!(resolved(now, Tz::UTC, text), expected, "{text}");
        }
        // the last day of a shorter month
        assert_eq!(resolved("2026-03-31T12:00:00Z", Tz::UTC, "now-1M"), "2026-02-28T12:00:00Z");
        assert_eq!(resolved("2028-02-29T12:00:00Z", Tz::UTC, "now-1y"), "2027-02-28T12:00:00Z");
    }

    #[test]
    fn days_follow_the_calendar_of_the_zone_and_hours_the_clock() {
        let berlin = Europe::Berlin;
        // 29 March has 23 hours, and 25 October has 25 hours
        assert_eq!(resolved("2026-03-29T10:00:00Z", berlin, "now-1d"), "2026-03-28T12:00:00+01:00");
        assert_eq!(resolved("2026-03-29T10:00:00Z", berlin, "now-24h"), "2026-03-28T11:00:00+01:00");
        assert_eq!(resolved("2026-03-29T10:00:00Z", berlin, "now/d"), "2026-03-29T00:00:00+01:00");
        assert_eq!(resolved("2026-03-28T23:30:00Z", berlin, "now/d"), "2026-03-29T00:00:00+01:00");
        assert_eq!(resolved("2026-10-25T22:00:00Z", berlin, "now/d"), "2026-10-25T00:00:00+02:00");
        assert_eq!(resolved("2026-10-25T22:00:00Z", berlin, "now-1d/d"), "2026-10-24T00:00:00+02:00");
        // clocks skip 02:30 on 29 March, and show 02:30 twice on 25 October
        assert_eq!(resolved("2026-03-30T00:30:00Z", berlin, "now-1d"), "2026-03-29T03:30:00+02:00");
        assert_eq!(resolved("2026-10-26T01:30:00Z", berlin, "now-1d"), "2026-10-25T02:30:00+01:00");
        assert_eq!(resolved("2026-10-24T00:30:00Z", berlin, "now+1d"), "2026-10-25T02:30:00+02:00");
        // within a repeated hour, rounding stays in the same occurrence of the hour
        assert_eq!(resolved("2026-10-25T00:45:00Z", berlin, "now/h"), "2026-10-25T02:00:00+02:00");
        assert_eq!(resolved("2026-10-25T01:45:00Z", berlin, "now/h"), "2026-10-25T02:00:00+01:00");
    }

    #[test]
    fn a_day_begins_with_its_first_moment() {
        assert_eq!(resolved("2018-11-04T12:00:00Z", America::Sao_Paulo, "now/d"), "2018-11-04T01:00:00-02:00");
        assert_eq!(resolved("2026-11-29T12:00:00Z", Asia::Kathmandu, "now/h"), "2026-11-29T17:00:00+05:45");
        // Havana has the first hour of this day twice
        assert_eq!(resolved("2026-11-01T17:00:00Z", America::Havana, "now/d"), "2026-11-01T00:00:00-04:00");
        // Samoa skipped 30 December 2011
        assert_eq!(resolved("2011-12-31T12:00:00Z", Pacific::Apia, "now-2d"), "2011-12-31T02:00:00+14:00");
    }

    #[test]
    fn other_texts_are_refused() {
        let reference = Reference { now: DateTime::UNIX_EPOCH, zone: Tz::UTC };
        for text in [
            "", "now ", "now-", "now-1", "now/2d", "now-1x", "nowish", "now*1d", "now-1d/", "now--1d", "now/D",
            "now-1.5d",
        ] {
            assert_eq!(reference.resolve(text), Err(RelativeError::Syntax), "{text}");
        }
        for text in ["now-9999y", "now+99999999999d", "now+4294967295M", "now-4294967295w"] {
            assert_eq!(reference.resolve(text), Err(RelativeError::Range), "{text}");
        }
        assert_eq!(reference.resolve(&format!("now{}", "+1d".repeat(21))), Err(RelativeError::TooLong));
        assert!(is_relative("now-1d") && !is_relative("2026-11-29"));
    }
}
