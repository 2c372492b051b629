//! The retention policy: which backups to keep, by day, week and month ("grandfather-father-son").

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;

/// The retention policy: the numbers of days, weeks and months whose last backup is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Number of days whose last backup is kept.
    pub daily: usize,
    /// Number of ISO weeks whose last backup is kept.
    pub weekly: usize,
    /// Number of months whose last backup is kept.
    pub monthly: usize,
    /// The time zone that defines days, weeks and months.
    pub time_zone: Tz,
}

/// Returns the indexes of the backups to keep, given their start times.
///
/// Keeps the last backup of each of the newest days, weeks and months. Only periods with a backup count, so a long time
/// without backups deletes none of the existing ones. Always keeps the newest backup. Also keeps each backup with a
/// start time in the future, because the clock of this machine or of the other machine may be wrong.
#[must_use]
pub fn retained(backups: &[DateTime<Utc>], now: DateTime<Utc>, policy: &RetentionPolicy) -> HashSet<usize> {
    let mut kept: HashSet<usize> = (0..backups.len()).filter(|n| backups[*n] > now).collect();
    let past = || (0..backups.len()).filter(|n| backups[*n] <= now);
    kept.extend(past().max_by_key(|n| backups[*n]));
    let mut keep_last_of_each = |count: usize, period: fn(NaiveDate) -> (i32, u32)| {
        let mut last: BTreeMap<(i32, u32), usize> = BTreeMap::new();
        for n in past() {
            let day = backups[n].with_timezone(&policy.time_zone).date_naive();
            let latest = last.entry(period(day)).or_insert(n);
            if backups[n] > backups[*latest] {
                *latest = n;
            }
        }
        kept.extend(last.into_values().rev().take(count));
    };
    keep_last_of_each(policy.daily, |day| (day.year(), day.ordinal()));
    keep_last_of_each(policy.weekly, |day| (day.iso_week().year(), day.iso_week().week()));
    keep_last_of_each(policy.monthly, |day| (day.year(), day.month()));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("{text}:00Z").parse().unwrap()
    }

    fn policy(daily: usize, weekly: usize, monthly: usize) -> RetentionPolicy {
        RetentionPolicy { daily, weekly, monthly, time_zone: Tz::UTC }
    }

    fn kept<'a>(backups: &[&'a str], now: &str, policy: &RetentionPolicy) -> Vec<&'a str> {
        let times: Vec<_> = backups.iter().map(|text| at(text)).collect();
        let kept = retained(&times, at(now), policy);
        (0..backups.len()).filter(|n| kept.contains(n)).map(|n| backups[n]).collect()
    }

    #[test]
    fn the_last_of_each_day_week_and_month_is_kept() {
        // an ISO week starts on Monday 2026-11-16
        let all = [
            "2026-09-30T03:15",
            "2026-10-01T03:15",
            "2026-10-31T03:15",
            "2026-11-14T03:15",
            "2026-11-15T03:15",
            "2026-11-16T03:15",
            "2026-11-21T03:15",
            "2026-11-22T03:15",
            "2026-11-22T12:00",
        ];
        let now = "2026-11-22T13:00";
        for (policy, expected) in [
            (policy(1, 0, 0), vec!["2026-11-22T12:00"]),
            (policy(2, 0, 0), vec!["2026-11-21T03:15", "2026-11-22T12:00"]),
            (policy(0, 2, 0), vec!["2026-11-15T03:15", "2026-11-22T12:00"]),
            (policy(0, 0, 2), vec!["2026-10-31T03:15", "2026-11-22T12:00"]),
            (
                policy(2, 2, 3),
                vec![
                    "2026-09-30T03:15",
                    "2026-10-31T03:15",
                    "2026-11-15T03:15",
                    "2026-11-21T03:15",
                    "2026-11-22T12:00",
                ],
            ),
            (
                policy(99, 0, 0),
                vec![
                    "2026-09-30T03:15",
                    "2026-10-01T03:15",
                    "2026-10-31T03:15",
                    "2026-11-14T03:15",
                    "2026-11-15T03:15",
                    "2026-11-16T03:15",
                    "2026-11-21T03:15",
                    "2026-11-22T12:00",
                ],
            ),
        ] {
            assert_eq!(kept(&all, now, &policy), expected, "{policy:?}");
        }
    }

    #[test]
    fn the_newest_backup_is_kept_at_any_age_and_under_any_policy() {
        assert_eq!(
            kept(&["2020-01-01T00:00", "2020-01-02T00:00"], "2026-11-22T00:00", &policy(0, 0, 0)),
            ["2020-01-02T00:00"]
        );
        assert_eq!(kept(&[], "2026-11-22T00:00", &policy(7, 4, 6)), [""; 0]);
        // days without a backup do not count
        assert_eq!(kept(&["2020-01-01T00:00", "2020-01-02T00:00"], "2026-11-22T00:00", &policy(2, 0, 0)).len(), 2);
    }

    #[test]
    fn a_wrong_clock_deletes_no_backup_that_the_policy_keeps() {
        let all = ["2026-11-19T03:15", "2026-11-20T03:15", "2026-11-21T03:15", "2026-11-22T03:15"];
        // with a clock that is two days behind, future backups are kept, and the policy applies to the others
        assert_eq!(kept(&all, "2026-11-20T12:00", &policy(1, 0, 0)), all[1..]);
        // with a clock that is behind all backups, all are kept
        assert_eq!(kept(&all, "1970-01-01T00:00", &policy(1, 0, 0)), all);
        // once the clock is right, a backup with a start time years ahead does not count towards the policy
        let ahead = [&all[..], &["2031-01-01T00:00"]].concat();
        assert_eq!(kept(&ahead, "2026-11-22T12:00", &policy(2, 0, 0)), &ahead[2..]);
    }

    #[test]
    fn days_follow_the_time_zone() {
        // 23:30 on the 22nd and 00:30 on the 23rd in Tokyo are on one day in UTC
        let all = ["2026-11-22T14:30", "2026-11-22T15:30"];
        let tokyo = RetentionPolicy { time_zone: Tz::Asia__Tokyo, ..policy(2, 0, 0) };
        assert_eq!(kept(&all, "2026-11-22T16:00", &tokyo), all);
        assert_eq!(kept(&all, "2026-11-22T16:00", &policy(2, 0, 0)), all[1..]);
    }

    #[test]
    fn a_year_of_daily_backups_keeps_seven_days_four_weeks_and_six_months() {
        let first = at("2026-01-01T03:15");
        let mut stored: Vec<DateTime<Utc>> = vec![];
        for day in 0..365 {
            let now = first + chrono::TimeDelta::days(day);
            stored.push(now);
            let kept = retained(&stored, now, &policy(7, 4, 6));
            stored = stored.iter().enumerate().filter(|(n, _)| kept.contains(n)).map(|(_, at)| *at).collect();
            assert!(stored.contains(&now) && stored.len() <= 17);
        }
        let months: HashSet<u32> = stored.iter().map(Datelike::month).collect();
        assert_eq!(months.len(), 6, "{stored:?}");
    }
}
