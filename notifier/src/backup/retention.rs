//! Which backups are kept: grandfather, father, son. Pure.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;

/// How many days, weeks and months keep one backup each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Days.
    pub daily: usize,
    /// ISO weeks.
    pub weekly: usize,
    /// Months.
    pub monthly: usize,
    /// Where days begin.
    pub zone: Tz,
}

/// Which of these to keep, by their place in the slice. Of each of the last so many days, weeks and months that have a
/// backup at all, the last one is kept: days without one count for nothing, so that a machine that was off for a year
/// still has its last ones. The newest is always kept. What lies in the future is kept and takes nobody's place: then a
/// clock is wrong, and it can't be known which.
#[must_use]
pub fn keep(backups: &[DateTime<Utc>], now: DateTime<Utc>, rule: &Keep) -> HashSet<usize> {
    let mut kept: HashSet<usize> = (0..backups.len()).filter(|n| backups[*n] > now).collect();
    let past = || (0..backups.len()).filter(|n| backups[*n] <= now);
    kept.extend(past().max_by_key(|n| backups[*n]));
    let mut last_of_each = |count: usize, period: fn(NaiveDate) -> (i32, u32)| {
        let mut last: BTreeMap<(i32, u32), usize> = BTreeMap::new();
        for n in past() {
            let day = backups[n].with_timezone(&rule.zone).date_naive();
            let best = last.entry(period(day)).or_insert(n);
            if backups[n] > backups[*best] {
                *best = n;
            }
        }
        kept.extend(last.into_values().rev().take(count));
    };
    last_of_each(rule.daily, |day| (day.year(), day.ordinal()));
    last_of_each(rule.weekly, |day| (day.iso_week().year(), day.iso_week().week()));
    last_of_each(rule.monthly, |day| (day.year(), day.month()));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("{text}:00Z").parse().unwrap()
    }

    fn rule(daily: usize, weekly: usize, monthly: usize) -> Keep {
        Keep { daily, weekly, monthly, zone: Tz::UTC }
    }

    fn kept<'a>(backups: &[&'a str], now: &str, rule: &Keep) -> Vec<&'a str> {
        let times: Vec<_> = backups.iter().map(|text| at(text)).collect();
        let kept = keep(&times, at(now), rule);
        (0..backups.len()).filter(|n| kept.contains(n)).map(|n| backups[n]).collect()
    }

    #[test]
    fn the_last_of_each_day_week_and_month_is_kept() {
        // Monday the 16th of November 2026 begins an ISO week
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
        for (rule, expected) in [
            (rule(1, 0, 0), vec!["2026-11-22T12:00"]),
            (rule(2, 0, 0), vec!["2026-11-21T03:15", "2026-11-22T12:00"]),
            (rule(0, 2, 0), vec!["2026-11-15T03:15", "2026-11-22T12:00"]),
            (rule(0, 0, 2), vec!["2026-10-31T03:15", "2026-11-22T12:00"]),
            (
                rule(2, 2, 3),
                vec![
                    "2026-09-30T03:15",
                    "2026-10-31T03:15",
                    "2026-11-15T03:15",
                    "2026-11-21T03:15",
                    "2026-11-22T12:00",
                ],
            ),
            (
                rule(99, 0, 0),
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
            assert_eq!(kept(&all, now, &rule), expected, "{rule:?}");
        }
    }

    #[test]
    fn the_newest_is_kept_however_old_it_is_and_whatever_the_rule() {
        assert_eq!(
            kept(&["2020-01-01T00:00", "2020-01-02T00:00"], "2026-11-22T00:00", &rule(0, 0, 0)),
            ["2020-01-02T00:00"]
        );
        assert_eq!(kept(&[], "2026-11-22T00:00", &rule(7, 4, 6)), [""; 0]);
        // days without a backup take nobody's place
        assert_eq!(kept(&["2020-01-01T00:00", "2020-01-02T00:00"], "2026-11-22T00:00", &rule(2, 0, 0)).len(), 2);
    }

    #[test]
    fn a_clock_that_stepped_back_or_ahead_deletes_nothing_that_is_needed() {
        let all = ["2026-11-19T03:15", "2026-11-20T03:15", "2026-11-21T03:15", "2026-11-22T03:15"];
        // back by two days: what is ahead now is kept, and the rest as if it were not there
        assert_eq!(kept(&all, "2026-11-20T12:00", &rule(1, 0, 0)), all[1..]);
        // back before all of them: all are kept
        assert_eq!(kept(&all, "1970-01-01T00:00", &rule(1, 0, 0)), all);
        // one made when the clock was years ahead takes nobody's place once it is right again
        let ahead = [&all[..], &["2031-01-01T00:00"]].concat();
        assert_eq!(kept(&ahead, "2026-11-22T12:00", &rule(2, 0, 0)), &ahead[2..]);
    }

    #[test]
    fn days_begin_where_the_zone_says() {
        // 23:30 and 00:30 of Tokyo's 22nd and 23rd are on one day in UTC
        let all = ["2026-11-22T14:30", "2026-11-22T15:30"];
        let tokyo = Keep { zone: Tz::Asia__Tokyo, ..rule(2, 0, 0) };
        assert_eq!(kept(&all, "2026-11-22T16:00", &tokyo), all);
        assert_eq!(kept(&all, "2026-11-22T16:00", &rule(2, 0, 0)), all[1..]);
    }

    #[test]
    fn a_year_of_nights_keeps_seven_days_four_weeks_and_six_months() {
        let first = at("2026-01-01T03:15");
        let mut there: Vec<DateTime<Utc>> = vec![];
        for night in 0..365 {
            let now = first + chrono::TimeDelta::days(night);
            there.push(now);
            let kept = keep(&there, now, &rule(7, 4, 6));
            there = there.iter().enumerate().filter(|(n, _)| kept.contains(n)).map(|(_, at)| *at).collect();
            assert!(there.contains(&now) && there.len() <= 17);
        }
        let months: HashSet<u32> = there.iter().map(Datelike::month).collect();
        assert_eq!(months.len(), 6, "{there:?}");
    }
}
