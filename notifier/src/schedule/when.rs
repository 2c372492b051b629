//! When a job is due: cron lines in a zone, the midnight of the credits, or simply every so often.

use std::{fmt, time::Duration};

use chrono::{DateTime, Offset, SubsecRound, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::{
    Cron, JobType,
    parser::{CronParser, Seconds, Year},
};
use entity::terms::Terms;

use crate::error::NotifierError;

/// When the next time is so far away that it can't be found: looked for again after this long.
const FAR: TimeDelta = TimeDelta::days(366);

/// When a job is due.
#[derive(Clone, Debug)]
pub(crate) enum When {
    /// So long after the end of the last run.
    Every(TimeDelta),
    /// At the times of a cron line, by the clocks of a zone.
    Cron {
        /// The line as it was set.
        line: String,
        /// The line, read.
        cron: Box<Cron>,
        /// Whose clocks count.
        zone: Tz,
    },
    /// At every midnight of the credits' zone.
    Midnight(Box<Terms>),
}

impl When {
    /// Every so often.
    pub(crate) fn every(period: Duration) -> Self {
        Self::Every(TimeDelta::from_std(period).unwrap_or(TimeDelta::MAX))
    }

    /// At every midnight of these terms.
    pub(crate) fn midnight(terms: &Terms) -> Self {
        Self::Midnight(Box::new(*terms))
    }

    /// A cron line of five fields, or six with seconds, or a nickname such as `@daily`. `setting` is where the line
    /// stands.
    ///
    /// # Errors
    /// [`NotifierError::Config`] when it is none, or never comes, or the zone is none.
    pub(crate) fn cron(setting: &str, line: &str, zone: &str) -> Result<Self, NotifierError> {
        let wrong = |why: String| NotifierError::Config(format!("notifier.{setting}: `{line}` {why}"));
        let zone: Tz = zone
            .parse()
            .map_err(|_| NotifierError::Config(format!("notifier.schedule_zone: `{zone}` is no IANA time zone")))?;
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(line).map_err(|e| wrong(format!("is no cron line: {e}")))?;
        // a line without a year comes again or never does, wherever one begins to look
        cron.find_next_occurrence(&DateTime::UNIX_EPOCH.with_timezone(&zone), false)
            .map_err(|_| wrong("never comes".into()))?;
        Ok(Self::Cron { line: line.trim().to_owned(), cron: Box::new(cron), zone })
    }

    /// The first time after this one.
    pub(crate) fn next(&self, after: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Every(period) => after.checked_add_signed(*period).unwrap_or(after + FAR),
            Self::Cron { cron, zone, .. } => next_of(cron, *zone, after),
            Self::Midnight(terms) => terms.next_midnight(after),
        }
    }

    /// When to run first, for a job that never did.
    pub(crate) fn first(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Every(_) => now,
            Self::Cron { .. } | Self::Midnight(_) => self.next(now),
        }
    }

    /// When to run after a run. Times that went by during the run are made up, all of them once: a midnight that came
    /// in the middle of a run may not have counted in it.
    pub(crate) fn after(&self, began: DateTime<Utc>, ended: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Every(_) => self.next(ended),
            Self::Cron { .. } | Self::Midnight(_) => self.next(began),
        }
    }
}

/// The next time of a cron line. The parser looks for it by the time that clocks show, so it knows no parts of seconds, and
/// jumps over the second of two hours that show the same; for lines that name no hour that one counts as any other.
fn next_of(cron: &Cron, zone: Tz, after: DateTime<Utc>) -> DateTime<Utc> {
    let after = after.trunc_subsecs(0);
    let local = after.with_timezone(&zone);
    let found = |at: Option<DateTime<Utc>>| at.filter(|at| *at > after);
    let by_clocks = cron.find_next_occurrence(&local, false).ok().map(|at| at.with_timezone(&Utc));
    let by_hours = || {
        let unchanged = local.with_timezone(&local.offset().fix());
        let at = cron.find_next_occurrence(&unchanged, false).ok()?.with_timezone(&Utc);
        cron.is_time_matching(&at.with_timezone(&zone)).is_ok_and(|shows| shows).then_some(at)
    };
    let repeated = (cron.determine_job_type() != JobType::FixedTime).then(by_hours).flatten();
    [found(by_clocks), found(repeated)].into_iter().flatten().min().unwrap_or(after + FAR)
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(period) => write!(f, "every {} s", period.num_seconds()),
            Self::Cron { line, zone, .. } => write!(f, "{line} {zone}"),
            Self::Midnight(terms) => write!(f, "midnight {}", terms.zone),
        }
    }
}

#[cfg(test)]
mod tests {
    use entity::terms::CreditsConfig;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn times(when: &When, from: &str, count: usize) -> Vec<String> {
        let first = when.next(at(from));
        let all = std::iter::successors(Some(first), |last| Some(when.next(*last)));
        all.take(count).map(|at| at.format("%d %H:%M:%S").to_string()).collect()
    }

    #[test]
    fn cron_lines_follow_the_clocks_of_the_zone() {
        let hourly = When::cron("sweep_cron", "0 * * * *", "Europe/Berlin").unwrap();
        // no hour is left out and none comes twice, on both days on which the clocks change
        for (from, day) in [("2026-03-28T23:59:59.9Z", "29"), ("2026-10-24T23:59:59.9Z", "25")] {
            let times = times(&hourly, from, 5);
            assert_eq!(times, [0, 1, 2, 3, 4].map(|hour| format!("{day} {hour:02}:00:00")), "{from}");
        }
        assert_eq!(times(&hourly, "2026-11-22T16:00:00.5Z", 1), ["22 17:00:00"]);
        // what names its hour comes once a day, also on those
        let at_night = When::cron("sweep_cron", "30 2 * * *", "Europe/Berlin").unwrap();
        assert_eq!(times(&at_night, "2026-10-24T12:00:00Z", 2), ["25 00:30:00", "26 01:30:00"]);
        assert_eq!(times(&at_night, "2026-03-28T12:00:00Z", 2), ["29 01:00:00", "30 00:30:00"]);
        let nightly = When::cron("backup_cron", "30 3 * * *", "Europe/Berlin").unwrap();
        assert_eq!(times(&nightly, "2026-10-24T00:00:00Z", 3), ["24 01:30:00", "25 02:30:00", "26 02:30:00"]);
        assert_eq!(hourly.to_string(), "0 * * * * Europe/Berlin");
    }

    #[test]
    fn lines_and_zones_that_cannot_work_are_named() {
        for (line, zone, part) in [
            ("at noon", "UTC", "notifier.sweep_cron"),
            ("", "UTC", "notifier.sweep_cron"),
            ("0 0 30 2 *", "UTC", "never comes"),
            ("0 * * * *", "Mars/Olympus", "notifier.schedule_zone"),
        ] {
            let error = When::cron("sweep_cron", line, zone).unwrap_err().to_string();
            assert!(error.contains(part), "{line} {zone}: {error}");
        }
    }

    #[test]
    fn a_midnight_in_the_middle_of_a_run_is_still_to_come() {
        let terms = Terms::try_from(&CreditsConfig::default()).unwrap();
        let (began, ended) = (at("2026-11-22T23:59:59Z"), at("2026-11-23T00:00:01Z"));
        assert_eq!(When::midnight(&terms).after(began, ended), at("2026-11-23T00:00:00Z"));
        let often = When::every(Duration::from_secs(30));
        assert_eq!(often.after(began, ended), at("2026-11-23T00:00:31Z"));
        assert_eq!(often.first(began), began);
    }
}
