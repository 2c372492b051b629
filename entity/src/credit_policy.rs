//! The credit policy: how many credits an account starts with, how many each local day adds, and when a local day
//! begins.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The `[credits]` table of the settings. Gateways and notifiers need the same values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CreditsConfig {
    /// Credits that a new account starts with. Raise it to let new users run more exports on their first day.
    pub initial_balance: i64,
    /// Credits that each account receives at local midnight. 0 turns daily grants off.
    pub daily_grant: i64,
    /// The balance up to which daily grants raise an account. Without a value, unused credits accumulate without limit.
    pub accrual_cap: Option<i64>,
    /// An account that was used within this number of days receives its daily grant at midnight, with a notification.
    /// Any other account receives its missing grants at its next use, so a smaller number shortens the work at
    /// midnight. At most 3660.
    pub defer_grants_after_unused_days: u32,
}

impl Default for CreditsConfig {
    fn default() -> Self {
        Self { initial_balance: 5, daily_grant: 1, accrual_cap: None, defer_grants_after_unused_days: 7 }
    }
}

/// The maximum of `defer_grants_after_unused_days`: ten years. The daily credits job runs one query for each of these
/// days.
const MAX_MIDNIGHT_GRANT_ACTIVE_DAYS: u32 = 3660;

/// The reason why a credit policy is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreditPolicyError {
    /// The IANA time zone database has no zone with this name.
    #[error("time_zone: `{0}` is not an IANA time zone")]
    TimeZone(String),
    /// `credits.defer_grants_after_unused_days` exceeds its maximum of 3660 days.
    #[error("credits.defer_grants_after_unused_days must be {MAX_MIDNIGHT_GRANT_ACTIVE_DAYS} or less")]
    TooManyActiveDays,
    /// The setting of `[credits]` with this name is below zero.
    #[error("credits.{0} must be 0 or more")]
    Negative(&'static str),
}

/// A validated credit policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditPolicy {
    /// Credits that a new account starts with.
    pub initial_balance: i64,
    /// Credits that each local day adds to an account.
    pub daily_grant: i64,
    /// The balance up to which daily grants raise an account; None when there is no cap.
    pub accrual_cap: Option<i64>,
    /// The time zone of the installation. A local day begins at midnight in this time zone.
    pub time_zone: Tz,
    /// An account that was used within this number of days receives its daily grant at midnight.
    pub defer_grants_after_unused_days: u32,
}

impl CreditPolicy {
    /// Validates the settings. `time_zone` is the IANA name of the installation's time zone.
    ///
    /// # Errors
    /// When the time zone is unknown or a number is out of range.
    pub fn new(config: &CreditsConfig, time_zone: &str) -> Result<Self, CreditPolicyError> {
        let numbers = [
            ("initial_balance", config.initial_balance),
            ("daily_grant", config.daily_grant),
            ("accrual_cap", config.accrual_cap.unwrap_or_default()),
        ];
        if let Some((name, _)) = numbers.into_iter().find(|(_, number)| *number < 0) {
            return Err(CreditPolicyError::Negative(name));
        }
        if config.defer_grants_after_unused_days > MAX_MIDNIGHT_GRANT_ACTIVE_DAYS {
            return Err(CreditPolicyError::TooManyActiveDays);
        }
        Ok(Self {
            initial_balance: config.initial_balance,
            daily_grant: config.daily_grant,
            accrual_cap: config.accrual_cap,
            time_zone: time_zone.parse().map_err(|_| CreditPolicyError::TimeZone(time_zone.to_owned()))?,
            defer_grants_after_unused_days: config.defer_grants_after_unused_days,
        })
    }

    /// Returns the local date at the instant `at`: the date in the time zone of the installation.
    #[must_use]
    pub fn local_date(&self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.time_zone).date_naive()
    }

    /// Returns the first instant of the next local day. When a clock change skips midnight, the day begins after the
    /// change. When a clock change repeats midnight, the day begins at the first of the two midnights.
    #[must_use]
    pub fn next_midnight(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let today = self.local_date(now);
        let midnight = today.checked_add_days(Days::new(1)).unwrap_or(today).and_time(NaiveTime::MIN);
        (0..8)
            .find_map(|quarter| {
                self.time_zone.from_local_datetime(&(midnight + TimeDelta::minutes(15 * quarter))).earliest()
            })
            .map_or(now + TimeDelta::days(1), |at| at.with_timezone(&Utc))
    }

    /// Returns the dates of last use that make an account active, oldest first. The dates include tomorrow, because the
    /// clock of another machine may be ahead.
    pub fn active_dates(&self, now: DateTime<Utc>) -> impl Iterator<Item = NaiveDate> {
        let today = self.local_date(now);
        let first =
            today.checked_sub_days(Days::new(self.defer_grants_after_unused_days.into())).unwrap_or(NaiveDate::MIN);
        first.iter_days().take_while(move |day| *day <= today + Days::new(1))
    }

    /// Returns the date and amount of each daily grant after `through`, up to and including `today`. Omits dates on
    /// which the cap leaves nothing to grant. Returns nothing when `today` is not after `through`, for example because
    /// the clock was set back.
    #[must_use]
    pub(crate) fn daily_grants(&self, balance: i64, through: NaiveDate, today: NaiveDate) -> Vec<(NaiveDate, i64)> {
        let mut balance = balance;
        let dates = through.iter_days().skip(1).take_while(|day| *day <= today);
        dates
            .filter_map(|day| {
                let amount =
                    self.accrual_cap.map_or(self.daily_grant, |cap| self.daily_grant.min((cap - balance).max(0)));
                balance += amount;
                (amount > 0).then_some((day, amount))
            })
            .collect()
    }

    /// Returns the sum of [`CreditPolicy::daily_grants`] for the same arguments, without a loop over the days.
    #[must_use]
    pub(crate) fn accrued(&self, balance: i64, through: NaiveDate, today: NaiveDate) -> i64 {
        let days = (today - through).num_days().max(0);
        let amount = days.saturating_mul(self.daily_grant);
        self.accrual_cap.map_or(amount, |cap| amount.min((cap - balance).max(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(time_zone: &str) -> CreditPolicy {
        CreditPolicy::new(&CreditsConfig::default(), time_zone).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn the_next_midnight_follows_the_time_zone() {
        for (time_zone, now, expected) in [
            ("UTC", "2026-11-22T15:26:01Z", "2026-11-23T00:00:00Z"),
            ("UTC", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"),
            ("Asia/Taipei", "2026-11-22T15:59:59Z", "2026-11-22T16:00:00Z"),
            // both clock changes of Berlin
            ("Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            ("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            // Havana changes its clocks at midnight: no midnight in spring, two in autumn
            ("America/Havana", "2026-03-07T12:00:00Z", "2026-03-08T05:00:00Z"),
            ("America/Havana", "2026-10-31T12:00:00Z", "2026-11-01T04:00:00Z"),
        ] {
            assert_eq!(policy(time_zone).next_midnight(at(now)), at(expected), "{time_zone} {now}");
        }
    }

    #[test]
    fn a_day_with_a_clock_change_accrues_one_grant() {
        let berlin = policy("Europe/Berlin");
        for (before, after) in [
            ("2026-03-28T22:59:59Z", "2026-03-28T23:00:00Z"),
            ("2026-03-29T21:59:59Z", "2026-03-29T22:00:00Z"),
            ("2026-10-24T21:59:59Z", "2026-10-24T22:00:00Z"),
            ("2026-10-25T22:59:59Z", "2026-10-25T23:00:00Z"),
        ] {
            assert_eq!(berlin.accrued(5, berlin.local_date(at(before)), berlin.local_date(at(after))), 1, "{after}");
        }
    }

    #[test]
    fn daily_grants_add_up_and_stop_at_the_cap() {
        let mut policy = policy("UTC");
        let (from, to) = (date("2026-11-19"), date("2026-11-22"));
        assert_eq!(policy.daily_grants(5, from, to).iter().map(|n| n.1).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(policy.daily_grants(5, from, to)[0].0, date("2026-11-20"));
        assert_eq!((policy.daily_grants(5, to, from), policy.daily_grants(5, to, to)), (vec![], vec![]));
        assert_eq!((policy.accrued(5, from, to), policy.accrued(5, to, from)), (3, 0));
        policy.daily_grant = 3;
        for cap in 0..20 {
            policy.accrual_cap = Some(cap);
            for balance in 0..20 {
                let sum: i64 = policy.daily_grants(balance, from, to).iter().map(|n| n.1).sum();
                assert_eq!(sum, policy.accrued(balance, from, to), "{cap} {balance}");
                assert!(sum == 0 || balance + sum <= cap);
            }
        }
    }

    #[test]
    fn an_invalid_policy_names_the_setting() {
        let unknown = CreditPolicy::new(&CreditsConfig::default(), "Mars/Olympus").unwrap_err();
        assert!(unknown.to_string().contains("Mars/Olympus"));
        let cap = CreditsConfig { accrual_cap: Some(-1), ..CreditsConfig::default() };
        assert_eq!(CreditPolicy::new(&cap, "UTC"), Err(CreditPolicyError::Negative("accrual_cap")));
    }
}
