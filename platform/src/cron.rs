//! The moments of cron expressions in a time zone, on days with a clock change too.

use chrono::{DateTime, Offset, SubsecRound, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::{
    Cron, JobType,
    parser::{CronParser, Seconds, Year},
};

/// The number of fields of a user's cron expression: minute, hour, day of the month, month, day of the week.
const FIELDS: usize = 5;
/// The number of weeks over which [`CronSchedule::moments_per_week`] counts.
const COUNTED_WEEKS: u32 = 4;
/// The maximum number of moments that [`CronSchedule::moments_per_week`] counts.
const MAX_COUNTED: u32 = 1_000;

/// The reason why a schedule is refused. The text is for its user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// The cron expression can't be read.
    #[error("expected five fields of cron, such as `0 6 * * 1`: {0}")]
    Expression(String),
    /// The cron expression matches no time, such as the 30th of February.
    #[error("matches no time")]
    Never,
    /// No time zone has this name.
    #[error("unknown time zone: use an IANA name such as Europe/Berlin")]
    Zone,
}

/// A cron expression of five fields in a time zone.
#[derive(Clone, Debug)]
pub struct CronSchedule {
    cron: Cron,
    zone: Tz,
}

impl CronSchedule {
    /// Reads an expression and the IANA name of a time zone.
    ///
    /// # Errors
    /// When the expression has not five fields, can't be read or matches no time, or the time zone is unknown.
    pub fn parse(expression: &str, zone: &str) -> Result<Self, CronError> {
        let zone: Tz = zone.parse().map_err(|_| CronError::Zone)?;
        let count = expression.split_whitespace().count();
        if count != FIELDS {
            return Err(CronError::Expression(format!("there are {count}")));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(expression).map_err(|e| CronError::Expression(e.to_string()))?;
        // the expression has no field for years, so it matches no time at all if it matches none after 1970
        next_time(&cron, zone, DateTime::UNIX_EPOCH).ok_or(CronError::Never)?;
        Ok(Self { cron, zone })
    }

    /// The first moment later than `after`; None when there is none.
    #[must_use]
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        next_time(&self.cron, self.zone, after)
    }

    /// The next `count` moments later than `after`.
    #[must_use]
    pub fn upcoming(&self, after: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
        std::iter::successors(self.next(after), |last| self.next(*last)).take(count).collect()
    }

    /// The moments from `first` on, which is one itself, that are not later than `now`, oldest first.
    #[must_use]
    pub fn passed(&self, first: DateTime<Utc>, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let moments = std::iter::successors(Some(first), |last| self.next(*last));
        moments.take_while(|moment| *moment <= now).collect()
    }

    /// The mean number of moments a week in the weeks after `after`.
    #[must_use]
    pub fn moments_per_week(&self, after: DateTime<Utc>) -> f64 {
        let end = after + TimeDelta::weeks(i64::from(COUNTED_WEEKS));
        let moments = std::iter::successors(self.next(after), |last| self.next(*last)).take_while(|at| *at <= end);
        let count = u32::try_from(moments.take(MAX_COUNTED as usize).count()).unwrap_or(MAX_COUNTED);
        if count < MAX_COUNTED {
            return f64::from(count) / f64::from(COUNTED_WEEKS);
        }
        // more often than about every 40 minutes: the first day tells
        let day = after + TimeDelta::days(1);
        let moments = std::iter::successors(self.next(after), |last| self.next(*last)).take_while(|at| *at <= day);
        f64::from(u32::try_from(moments.count()).unwrap_or(u32::MAX)) * 7.0
    }
}

/// Returns the first time later than `after` that a cron expression matches; None when it matches none.
///
/// A fixed time of day that a clock change skips is the first moment after the gap, and one that occurs twice is the
/// first of the two.
///
/// The crate `croner` ignores fractions of a second, so this function removes them from `after`. The search of `croner`
/// in local time skips the hour that repeats when clocks go back. An expression without a fixed time of day, such as
/// one for every hour, must match the repeated hour too. So for such an expression, a second search uses the UTC offset
/// at `after`, and the earlier result counts.
#[must_use]
pub fn next_time(cron: &Cron, time_zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let after = after.trunc_subsecs(0);
    let local = after.with_timezone(&time_zone);
    let later = |at: Option<DateTime<Utc>>| at.filter(|at| *at > after);
    let by_local_time = cron.find_next_occurrence(&local, false).ok().map(|at| at.with_timezone(&Utc));
    let by_fixed_offset = || {
        let fixed = local.with_timezone(&local.offset().fix());
        let at = cron.find_next_occurrence(&fixed, false).ok()?.with_timezone(&Utc);
        cron.is_time_matching(&at.with_timezone(&time_zone)).is_ok_and(|matches| matches).then_some(at)
    };
    let repeated = (cron.determine_job_type() != JobType::FixedTime).then(by_fixed_offset).flatten();
    [later(by_local_time), later(repeated)].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn upcoming(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = CronSchedule::parse(expression, zone).unwrap();
        schedule.upcoming(at(after), count).iter().map(|at| at.format("%m-%dT%H:%M").to_string()).collect()
    }

    #[test]
    fn half_past_two_has_one_moment_on_each_day_of_a_clock_change() {
        for (zone, after, moments) in [
            // 02:30 does not exist: the clock jumps to 03:00 CEST
            ("Europe/Berlin", "2026-03-28T00:00:00Z", ["03-28T01:30", "03-29T01:00", "03-30T00:30"]),
            // 02:30 exists twice: the first one counts
            ("Europe/Berlin", "2026-10-24T00:00:00Z", ["10-24T00:30", "10-25T00:30", "10-26T01:30"]),
            ("America/New_York", "2026-03-07T00:00:00Z", ["03-07T07:30", "03-08T07:00", "03-09T06:30"]),
            ("America/New_York", "2026-10-31T00:00:00Z", ["10-31T06:30", "11-01T07:30", "11-02T07:30"]),
        ] {
            assert_eq!(upcoming("30 2 * * *", zone, after, 3), moments, "{zone} {after}");
        }
        // in New York the hour from 1 to 2 repeats
        let expected = ["10-31T05:30", "11-01T05:30", "11-02T06:30"];
        assert_eq!(upcoming("30 1 * * *", "America/New_York", "2026-10-31T00:00:00Z", 3), expected);
    }

    #[test]
    fn an_hourly_expression_skips_and_repeats_no_hour() {
        for (zone, after) in [
            ("Europe/Berlin", "2026-03-29T00:00:00Z"),
            ("Europe/Berlin", "2026-10-25T00:00:00Z"),
            ("America/New_York", "2026-03-08T05:00:00Z"),
            ("America/New_York", "2026-11-01T04:00:00Z"),
        ] {
            let schedule = CronSchedule::parse("0 * * * *", zone).unwrap();
            let moments = schedule.upcoming(at(after), 5);
            let expected: Vec<_> = (1..=5).map(|hour| at(after) + TimeDelta::hours(hour)).collect();
            assert_eq!(moments, expected, "{zone} {after}");
        }
    }

    #[test]
    fn moments_that_passed_are_listed_up_to_now() {
        let schedule = CronSchedule::parse("0 6 * * *", "UTC").unwrap();
        let (first, now) = (at("2026-11-20T06:00:00Z"), at("2026-11-22T06:00:00Z"));
        assert_eq!(schedule.passed(first, now).len(), 3);
        assert_eq!(schedule.passed(first, now - TimeDelta::milliseconds(1)).len(), 2);
        assert!(schedule.passed(first, first - TimeDelta::hours(1)).is_empty());
    }

    #[test]
    fn the_moments_of_a_week_are_counted() {
        for (expression, count) in
            [("0 6 * * 1-5", 5.0), ("0 6 * * *", 7.0), ("* * * * *", 10_080.0), ("0 6 1 * *", 0.25)]
        {
            let schedule = CronSchedule::parse(expression, "UTC").unwrap();
            assert!((schedule.moments_per_week(at("2026-11-22T00:00:00Z")) - count).abs() < 0.01, "{expression}");
        }
    }

    #[test]
    fn only_five_fields_and_a_known_zone_are_accepted() {
        for expression in ["", "0 6 * *", "0 0 6 * * *", "@daily", "61 6 * * *", "a b c d e"] {
            let refused = CronSchedule::parse(expression, "UTC");
            assert!(matches!(refused, Err(CronError::Expression(_))), "{expression}: {refused:?}");
        }
        assert_eq!(CronSchedule::parse("0 0 30 2 *", "UTC").err(), Some(CronError::Never));
        for zone in ["", "CEST+2", "Berlin"] {
            assert_eq!(CronSchedule::parse("0 6 * * *", zone).err(), Some(CronError::Zone), "{zone}");
        }
    }
}
