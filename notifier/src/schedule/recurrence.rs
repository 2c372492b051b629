//! The rules for the due times of scheduled jobs.

use std::{fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use entity::credit_policy::CreditPolicy;
use platform::cron::next_time;

use crate::error::NotifierError;

/// The time until the next run of a scheduled job whose rule yields no due time, such as a cron expression that matches
/// no later time.
const FALLBACK_INTERVAL: TimeDelta = TimeDelta::days(366);

/// The rule for the due times of a scheduled job.
#[derive(Clone, Debug)]
pub(crate) enum Recurrence {
    /// The scheduled job is due when this interval has passed since the end of its last run.
    Every(TimeDelta),
    /// The scheduled job is due at the times that a cron expression matches.
    Cron {
        /// The cron expression as the operator wrote it.
        expression: String,
        /// The parsed cron expression.
        cron: Box<Cron>,
        /// The time zone in which the expression is evaluated.
        time_zone: Tz,
    },
    /// The scheduled job is due at each midnight in the time zone of the credit policy.
    Midnight(Box<CreditPolicy>),
}

impl Recurrence {
    /// Returns the rule of a scheduled job that is due `interval` after the end of each run.
    pub(crate) fn every(interval: Duration) -> Self {
        Self::Every(TimeDelta::from_std(interval).unwrap_or(TimeDelta::MAX))
    }

    /// Returns the rule of a scheduled job that is due at each midnight in the time zone of `policy`.
    pub(crate) fn midnight(policy: &CreditPolicy) -> Self {
        Self::Midnight(Box::new(*policy))
    }

    /// Parses a cron expression: five fields, or six fields that begin with the seconds, or a nickname such as
    /// `@daily`. `setting` is the name of the setting for the text of an error.
    ///
    /// # Errors
    /// [`NotifierError::Config`] when the expression is invalid or matches no time.
    pub(crate) fn cron(setting: &str, expression: &str, time_zone: Tz) -> Result<Self, NotifierError> {
        let invalid = |reason: String| NotifierError::Config(format!("{setting}: `{expression}` {reason}"));
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(expression).map_err(|e| invalid(format!("is not a cron expression: {e}")))?;
        // the expression has no field for years, so it matches no time at all if it matches none after 1970
        cron.find_next_occurrence(&DateTime::UNIX_EPOCH.with_timezone(&time_zone), false)
            .map_err(|_| invalid("matches no time".into()))?;
        Ok(Self::Cron { expression: expression.trim().to_owned(), cron: Box::new(cron), time_zone })
    }

    /// Returns the first due time after `after`. For [`Self::Every`], this is `after` plus the interval.
    pub(crate) fn next(&self, after: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Every(interval) => after.checked_add_signed(*interval).unwrap_or(after + FALLBACK_INTERVAL),
            Self::Cron { cron, time_zone, .. } => {
                next_time(cron, *time_zone, after).unwrap_or(after + FALLBACK_INTERVAL)
            }
            Self::Midnight(policy) => policy.next_midnight(after),
        }
    }

    /// Returns the due time of a scheduled job that has never run: `now` for [`Self::Every`], and the first due time
    /// after `now` for the other rules.
    pub(crate) fn first(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Every(_) => now,
            Self::Cron { .. } | Self::Midnight(_) => self.next(now),
        }
    }

    /// Returns the due time after a run. An interval begins at the end of the run. A cron or midnight rule continues
    /// from the start of the run: if a due time passed during the run, the scheduled job is due again at once. The run
    /// may have read the clock before that due time, and may therefore have omitted the work that became due then.
    pub(crate) fn next_after_run(&self, began: DateTime<Utc>, ended: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Every(_) => self.next(ended),
            Self::Cron { .. } | Self::Midnight(_) => self.next(began),
        }
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(interval) => write!(f, "every {} s", interval.num_seconds()),
            Self::Cron { expression, time_zone, .. } => write!(f, "{expression} {time_zone}"),
            Self::Midnight(policy) => write!(f, "midnight {}", policy.time_zone),
        }
    }
}

#[cfg(test)]
mod tests {
    use entity::credit_policy::CreditsConfig;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn times(recurrence: &Recurrence, from: &str, count: usize) -> Vec<String> {
        let first = recurrence.next(at(from));
        let all = std::iter::successors(Some(first), |last| Some(recurrence.next(*last)));
        all.take(count).map(|at| at.format("%d %H:%M:%S").to_string()).collect()
    }

    #[test]
    fn cron_expressions_follow_local_time_across_clock_changes() {
        let berlin =
            |expression: &str| Recurrence::cron("notifier.sweep_schedule", expression, Tz::Europe__Berlin).unwrap();
        let hourly = berlin("0 * * * *");
        // on both days of a clock change, no hour is skipped or repeated
        for (from, day) in [("2026-03-28T23:59:59.9Z", "29"), ("2026-10-24T23:59:59.9Z", "25")] {
            let times = times(&hourly, from, 5);
            assert_eq!(times, [0, 1, 2, 3, 4].map(|hour| format!("{day} {hour:02}:00:00")), "{from}");
        }
        assert_eq!(times(&hourly, "2026-11-22T16:00:00.5Z", 1), ["22 17:00:00"]);
        // an expression that names its hour matches once a day, also on the days of a clock change
        let half_past_two = berlin("30 2 * * *");
        assert_eq!(times(&half_past_two, "2026-10-24T12:00:00Z", 2), ["25 00:30:00", "26 01:30:00"]);
        assert_eq!(times(&half_past_two, "2026-03-28T12:00:00Z", 2), ["29 01:00:00", "30 00:30:00"]);
        let half_past_three = berlin("30 3 * * *");
        let expected = ["24 01:30:00", "25 02:30:00", "26 02:30:00"];
        assert_eq!(times(&half_past_three, "2026-10-24T00:00:00Z", 3), expected);
        assert_eq!(hourly.to_string(), "0 * * * * Europe/Berlin");
    }

    #[test]
    fn the_error_of_an_invalid_cron_expression_names_its_key() {
        for (expression, part) in
            [("at noon", "notifier.sweep_schedule"), ("", "notifier.sweep_schedule"), ("0 0 30 2 *", "matches no time")]
        {
            let error = Recurrence::cron("notifier.sweep_schedule", expression, Tz::UTC).unwrap_err().to_string();
            assert!(error.contains(part), "{expression}: {error}");
        }
    }

    #[test]
    fn a_midnight_in_the_middle_of_a_run_is_still_pending() {
        let policy = CreditPolicy::new(&CreditsConfig::default(), "UTC").unwrap();
        let (began, ended) = (at("2026-11-22T23:59:59Z"), at("2026-11-23T00:00:01Z"));
        assert_eq!(Recurrence::midnight(&policy).next_after_run(began, ended), at("2026-11-23T00:00:00Z"));
        let every = Recurrence::every(Duration::from_secs(30));
        assert_eq!(every.next_after_run(began, ended), at("2026-11-23T00:00:31Z"));
        assert_eq!(every.first(began), began);
    }
}
