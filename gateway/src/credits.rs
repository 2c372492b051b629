//! Credits as callers see them, and when the next one comes.

use axum::http::{HeaderName, header};
use chrono::{DateTime, Days, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use entity::ledger::{self, Balance};
use platform::clock::SharedClock;
use protocol::{
    credits::{CreditsSummary, CreditsView},
    id::Owner,
    problem::Slug,
};
use sea_orm::{DatabaseConnection, TransactionTrait};

use crate::{
    config::CreditsConfig,
    error::{Outcome, Refusal},
};

/// How many entries `GET /v1/credits` shows.
const ENTRIES: u64 = 50;

/// Reads accounts.
#[derive(Clone, Debug)]
pub struct Credits {
    db: DatabaseConnection,
    clock: SharedClock,
    opening: i64,
    zone: Tz,
}

/// A zone that is none.
#[derive(Debug, thiserror::Error)]
#[error("gateway.credits.zone: `{0}` is no IANA time zone")]
pub struct UnknownZone(String);

impl Credits {
    /// Accounts in this database.
    ///
    /// # Errors
    /// When the configured zone is unknown.
    pub fn new(config: &CreditsConfig, db: DatabaseConnection, clock: SharedClock) -> Result<Self, UnknownZone> {
        let zone = config.zone.parse().map_err(|_| UnknownZone(config.zone.clone()))?;
        Ok(Self { db, clock, opening: config.opening, zone })
    }

    /// What a new account begins with.
    #[must_use]
    pub fn opening(&self) -> i64 {
        self.opening
    }

    /// When the next credit is granted.
    #[must_use]
    pub fn next_grant_at(&self) -> DateTime<Utc> {
        next_midnight(self.clock.now(), self.zone)
    }

    /// The account, opened if it is new.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn balance(&self, owner: &Owner) -> Outcome<Balance> {
        // looking costs no write lock; only the first look of all opens the account
        if let Some(balance) = ledger::find(&self.db, owner).await? {
            return Ok(balance);
        }
        let tx = self.db.begin().await?;
        let balance = ledger::open(&tx, owner, self.opening, self.clock.now()).await?;
        tx.commit().await?;
        Ok(balance)
    }

    /// The short form.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn summary(&self, owner: &Owner) -> Outcome<CreditsSummary> {
        let balance = self.balance(owner).await?.balance;
        Ok(CreditsSummary { balance, next_grant_at: self.next_grant_at().into() })
    }

    /// The long form.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn view(&self, owner: &Owner) -> Outcome<CreditsView> {
        let Balance { balance, held } = self.balance(owner).await?;
        let entries = ledger::entries(&self.db, owner, ENTRIES).await?;
        Ok(CreditsView { balance, held, next_grant_at: self.next_grant_at().into(), entries })
    }

    /// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers) for a balance.
    #[must_use]
    pub fn rate_limit(&self, balance: i64) -> [(HeaderName, String); 2] {
        [
            (HeaderName::from_static("ratelimit"), format!("\"credits\";r={balance};t={}", self.seconds_to_grant())),
            (HeaderName::from_static("ratelimit-policy"), format!("\"credits\";q={};w=86400", self.opening)),
        ]
    }

    /// The refusal of somebody who has too few.
    #[must_use]
    pub fn exhausted(&self, balance: i64, cost: i64) -> Refusal {
        let detail = format!(
            "This export costs {cost} and you have {balance}. The next credit comes at {}.",
            protocol::time::Timestamp::from(self.next_grant_at())
        );
        let mut refusal =
            Refusal::new(Slug::CreditsExhausted, detail).with_header(header::RETRY_AFTER, self.seconds_to_grant());
        refusal.headers.extend(self.rate_limit(balance));
        refusal
    }

    fn seconds_to_grant(&self) -> i64 {
        (self.next_grant_at() - self.clock.now()).num_seconds().max(1)
    }
}

/// The first moment of the next local day. A day whose midnight a clock change skips begins when its clocks begin.
fn next_midnight(now: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    let today = now.with_timezone(&zone).date_naive();
    let tomorrow = today.checked_add_days(Days::new(1)).unwrap_or(today).and_time(NaiveTime::MIN);
    (0..8)
        .find_map(|quarter| zone.from_local_datetime(&(tomorrow + chrono::TimeDelta::minutes(15 * quarter))).earliest())
        .map_or(now + chrono::TimeDelta::days(1), |at| at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midnight_is_local_also_on_days_of_clock_changes() {
        let next = |now: &str, zone: &str| next_midnight(now.parse().unwrap(), zone.parse().unwrap()).to_rfc3339();
        assert_eq!(next("2026-11-22T15:00:00Z", "UTC"), "2026-11-23T00:00:00+00:00");
        assert_eq!(next("2026-11-22T23:30:00Z", "Europe/Berlin"), "2026-11-23T23:00:00+00:00");
        assert_eq!(next("2026-03-28T23:30:00Z", "Europe/Berlin"), "2026-03-29T22:00:00+00:00");
        // Cairo's clocks went from 00:00 to 01:00 that night
        assert_eq!(next("2026-04-23T12:00:00Z", "Africa/Cairo"), "2026-04-23T22:00:00+00:00");
    }
}
