//! The due times of a scheduled job: by a cron line, at each local midnight, or at a fixed interval.

use std::{fmt, time::Duration};

use chrono::{DateTime, Offset, SubsecRound, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::{
    Cron, JobType,
    parser::{CronParser, Seconds, Year},
};
use entity::credit_policy::CreditPolicy;

use crate::error::NotifierError;

/// The due time when the next one can't be computed: the job is scheduled again after this time.
const FALLBACK: TimeDelta = TimeDelta::days(366);

/// When a job is due.
#[derive(Clone, Debug)]
pub(crate) enum Recurrence {
    /// A fixed time after the end of the last run.
    Every(TimeDelta),
    /// The times of a cron line, in local time.
    Cron {
        /// The cron line from the settings.
        line: String,
        /// The parsed form of the line.
        cron: Box<Cron>,
        /// The time zone of the installation.
        time_zone: Tz,
    },
    /// Each midnight in the time zone of the credit policy.
    Midnight(Box<CreditPolicy>),
}

impl Recurrence {
    /// Due `interval` after the end of each run.
    pub(crate) fn every(interval: Duration) -> Self {
        Self::Every(TimeDelta::from_std(interval).unwrap_or(TimeDelta::MAX))
    }

    /// Due at each midnight of this credit policy.
    pub(crate) fn midnight(policy: &CreditPolicy) -> Self {
        Self::Midnight(Box::new(*policy))
    }

    /// Due by a cron line of five fields, or six with seconds, or a nickname such as `@daily`. `setting` is the key of
    /// the line in the settings.
    ///
    /// # Errors
    /// [`NotifierError::Config`] when the line is invalid or matches no time.
    pub(crate) fn cron(setting: &str, line: &str, time_zone: Tz) -> Result<Self, NotifierError> {
        let invalid = |reason: String| NotifierError::Config(format!("{setting}: `{line}` {reason}"));
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(line).map_err(|e| invalid(format!("is not a cron line: {e}")))?;
        // a line without a year that matches no time after one instant matches none at all
        cron.find_next_occurrence(&DateTime::UNIX_EPOCH.with_timezone(&time_zone), false)
            .map_err(|_| invalid("matches no time".into()))?;
        Ok(Self::Cron { line: line.trim().to_owned(), cron: Box::new(cron), time_zone })
    }

    /// The first due time after `after`.
    pub(crate) fn next(&self, after: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Every(interval) => after.checked_add_signed(*interval).unwrap_or(after + FALLBACK),
            Self::Cron { cron, time_zone, .. } => next_cron_time(cron, *time_zone, after),
            Self::Midnight(policy) => policy.next_midnight(after),
        }
    }

    /// The due time of a job that has never run.
    pub(crate) fn first(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Every(_) => now,
            Self::Cron { .. } | Self::Midnight(_) => self.next(now),
        }
    }

    /// The due time after a run. Times that passed during the run make the job due once more, because the run may have
    /// missed their effect: a midnight in the middle of a run is still pending.
    pub(crate) fn next_after_run(&self, began: DateTime<Utc>, ended: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Every(_) => self.next(ended),
            Self::Cron { .. } | Self::Midnight(_) => self.next(began),
        }
    }
}

/// The next time of a cron line. The parser searches in local time: it ignores fractions of a second, and skips the
/// second of two local hours with the same name when the clocks go back. A line that names no hour must match that hour
/// too, so the search is repeated with the UTC offset unchanged.
fn next_cron_time(cron: &Cron, time_zone: Tz, after: DateTime<Utc>) -> DateTime<Utc> {
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
    [later(by_local_time), later(repeated)].into_iter().flatten().min().unwrap_or(after + FALLBACK)
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(interval) => write!(f, "every {} s", interval.num_seconds()),
            Self::Cron { line, time_zone, .. } => write!(f, "{line} {time_zone}"),
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
    fn cron_lines_follow_local_time_across_clock_changes() {
        let berlin = |line: &str| Recurrence::cron("notifier.sweep_schedule", line, Tz::Europe__Berlin).unwrap();
        let hourly = berlin("0 * * * *");
        // on both days of a clock change, no hour is skipped or repeated
        for (from, day) in [("2026-03-28T23:59:59.9Z", "29"), ("2026-10-24T23:59:59.9Z", "25")] {
            let times = times(&hourly, from, 5);
            assert_eq!(times, [0, 1, 2, 3, 4].map(|hour| format!("{day} {hour:02}:00:00")), "{from}");
        }
        assert_eq!(times(&hourly, "2026-11-22T16:00:00.5Z", 1), ["22 17:00:00"]);
        // a line that names its hour matches once a day, also on the days of a clock change
        let half_past_two = berlin("30 2 * * *");
        assert_eq!(times(&half_past_two, "2026-10-24T12:00:00Z", 2), ["25 00:30:00", "26 01:30:00"]);
        assert_eq!(times(&half_past_two, "2026-03-28T12:00:00Z", 2), ["29 01:00:00", "30 00:30:00"]);
        let half_past_three = berlin("30 3 * * *");
        let expected = ["24 01:30:00", "25 02:30:00", "26 02:30:00"];
        assert_eq!(times(&half_past_three, "2026-10-24T00:00:00Z", 3), expected);
        assert_eq!(hourly.to_string(), "0 * * * * Europe/Berlin");
    }

    #[test]
    fn an_invalid_cron_line_is_refused_by_its_key() {
        for (line, part) in
            [("at noon", "notifier.sweep_schedule"), ("", "notifier.sweep_schedule"), ("0 0 30 2 *", "matches no time")]
        {
            let error = Recurrence::cron("notifier.sweep_schedule", line, Tz::UTC).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
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
