//! The terms of credits: what an account begins with, what a night adds, and when a night is over.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// The `[credits]` table of the settings. Gateways and notifiers must have the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CreditsConfig {
    /// What a new account begins with.
    pub opening: i64,
    /// What every local midnight adds.
    pub nightly: i64,
    /// A night adds nothing above this balance; absent: no cap.
    pub cap: Option<i64>,
    /// The IANA zone whose midnight counts.
    pub zone: String,
    /// Accounts that were seen within this many days get their grant at midnight, and their owners are told. Those of
    /// others are reckoned when somebody looks.
    pub active_days: u32,
}

impl Default for CreditsConfig {
    fn default() -> Self {
        Self { opening: 5, nightly: 1, cap: None, zone: "UTC".into(), active_days: 7 }
    }
}

/// Ten years.
const MAX_ACTIVE_DAYS: u32 = 3660;

/// Terms that can't work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// No such zone.
    #[error("credits.zone: `{0}` is no IANA time zone")]
    Zone(String),
    /// Each of these days is looked at every midnight.
    #[error("credits.active_days must be 3660 or less")]
    TooActive,
    /// A number below zero.
    #[error("credits.{0} must be 0 or more")]
    Negative(&'static str),
}

/// The terms, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What a new account begins with.
    pub opening: i64,
    /// What a night adds.
    pub nightly: i64,
    /// A night adds nothing above this balance.
    pub cap: Option<i64>,
    /// Whose midnight counts.
    pub zone: Tz,
    /// How long after it was last seen an account counts as active, days.
    pub active_days: u32,
}

impl TryFrom<&CreditsConfig> for Terms {
    type Error = TermsError;

    fn try_from(config: &CreditsConfig) -> Result<Self, TermsError> {
        let numbers =
            [("opening", config.opening), ("nightly", config.nightly), ("cap", config.cap.unwrap_or_default())];
        if let Some((name, _)) = numbers.into_iter().find(|(_, number)| *number < 0) {
            return Err(TermsError::Negative(name));
        }
        if config.active_days > MAX_ACTIVE_DAYS {
            return Err(TermsError::TooActive);
        }
        let zone = config.zone.parse().map_err(|_| TermsError::Zone(config.zone.clone()))?;
        Ok(Self {
            opening: config.opening,
            nightly: config.nightly,
            cap: config.cap,
            zone,
            active_days: config.active_days,
        })
    }
}

impl Terms {
    /// The local day of a moment.
    #[must_use]
    pub fn day(&self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.zone).date_naive()
    }

    /// The first moment of the next local day. A day whose midnight a clock change skips begins when its clocks begin;
    /// one whose midnight comes twice begins at the first.
    #[must_use]
    pub fn next_midnight(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let today = self.day(now);
        let midnight = today.checked_add_days(Days::new(1)).unwrap_or(today).and_time(NaiveTime::MIN);
        (0..8)
            .find_map(|quarter| {
                self.zone.from_local_datetime(&(midnight + TimeDelta::minutes(15 * quarter))).earliest()
            })
            .map_or(now + TimeDelta::days(1), |at| at.with_timezone(&Utc))
    }

    /// The days on which an account may have been last seen that counts as active, oldest first, with tomorrow: another
    /// machine's clock may be ahead.
    pub fn active(&self, now: DateTime<Utc>) -> impl Iterator<Item = NaiveDate> {
        let today = self.day(now);
        let first = today.checked_sub_days(Days::new(self.active_days.into())).unwrap_or(NaiveDate::MIN);
        first.iter_days().take_while(move |day| *day <= today + Days::new(1))
    }

    /// The nights after `through` up to `today`, and what each adds to a balance; nights that add nothing because of the
    /// cap are left out. Nothing at all when `today` is not after `through`, as after a clock that stepped back.
    #[must_use]
    pub fn nights(&self, balance: i64, through: NaiveDate, today: NaiveDate) -> Vec<(NaiveDate, i64)> {
        let mut balance = balance;
        let nights = through.iter_days().skip(1).take_while(|day| *day <= today);
        nights
            .filter_map(|day| {
                let amount = self.cap.map_or(self.nightly, |cap| self.nightly.min((cap - balance).max(0)));
                balance += amount;
                (amount > 0).then_some((day, amount))
            })
            .collect()
    }

    /// What the same nights add together, without walking through them.
    #[must_use]
    pub fn due(&self, balance: i64, through: NaiveDate, today: NaiveDate) -> i64 {
        let nights = (today - through).num_days().max(0);
        let amount = nights.saturating_mul(self.nightly);
        self.cap.map_or(amount, |cap| amount.min((cap - balance).max(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(zone: &str) -> Terms {
        Terms::try_from(&CreditsConfig { zone: zone.into(), ..CreditsConfig::default() }).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn midnights_follow_the_zone() {
        for (zone, now, expected) in [
            ("UTC", "2026-11-22T15:26:01Z", "2026-11-23T00:00:00Z"),
            ("UTC", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"),
            ("Asia/Taipei", "2026-11-22T15:59:59Z", "2026-11-22T16:00:00Z"),
            // both days on which Berlin changes its clocks
            ("Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            ("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            // in Havana the night of a change has no midnight, and in autumn it has two
            ("America/Havana", "2026-03-07T12:00:00Z", "2026-03-08T05:00:00Z"),
            ("America/Havana", "2026-10-31T12:00:00Z", "2026-11-01T04:00:00Z"),
        ] {
            assert_eq!(terms(zone).next_midnight(at(now)), at(expected), "{zone} {now}");
        }
    }

    #[test]
    fn a_day_of_a_clock_change_is_one_night_like_any_other() {
        let berlin = terms("Europe/Berlin");
        for (before, after) in [
            ("2026-03-28T22:59:59Z", "2026-03-28T23:00:00Z"),
            ("2026-03-29T21:59:59Z", "2026-03-29T22:00:00Z"),
            ("2026-10-24T21:59:59Z", "2026-10-24T22:00:00Z"),
            ("2026-10-25T22:59:59Z", "2026-10-25T23:00:00Z"),
        ] {
            assert_eq!(berlin.due(5, berlin.day(at(before)), berlin.day(at(after))), 1, "{after}");
        }
    }

    #[test]
    fn nights_add_up_and_stop_at_the_cap() {
        let mut terms = terms("UTC");
        let (from, to) = (day("2026-11-19"), day("2026-11-22"));
        assert_eq!(terms.nights(5, from, to).iter().map(|n| n.1).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(terms.nights(5, from, to)[0].0, day("2026-11-20"));
        assert_eq!((terms.nights(5, to, from), terms.nights(5, to, to)), (vec![], vec![]));
        assert_eq!((terms.due(5, from, to), terms.due(5, to, from)), (3, 0));
        terms.nightly = 3;
        for cap in 0..20 {
            terms.cap = Some(cap);
            for balance in 0..20 {
                let sum: i64 = terms.nights(balance, from, to).iter().map(|n| n.1).sum();
                assert_eq!(sum, terms.due(balance, from, to), "{cap} {balance}");
                assert!(sum == 0 || balance + sum <= cap);
            }
        }
    }

    #[test]
    fn terms_that_cannot_work_are_named() {
        let zone = CreditsConfig { zone: "Mars/Olympus".into(), ..CreditsConfig::default() };
        assert!(Terms::try_from(&zone).unwrap_err().to_string().contains("Mars/Olympus"));
        let cap = CreditsConfig { cap: Some(-1), ..CreditsConfig::default() };
        assert_eq!(Terms::try_from(&cap), Err(TermsError::Negative("cap")));
    }
}
