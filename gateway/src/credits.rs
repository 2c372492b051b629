//! Reads credit accounts for callers: the balance, the ledger entries and the rate-limit headers. A ledger entry
//! records one change of an account.

use axum::http::{HeaderName, header};
use chrono::{DateTime, Utc};
use entity::{
    credit_policy::CreditPolicy,
    ledger::{self, Balance, GrantTotals},
};
use platform::clock::SharedClock;
use protocol::{
    credits::{CreditsSummary, CreditsView},
    id::Owner,
    problem::Slug,
    time::Timestamp,
};
use sea_orm::{DatabaseConnection, TransactionTrait};

use crate::error::{Outcome, Refusal};

/// The maximum number of ledger entries in a response of `GET /v1/credits`. A ledger entry records one change of an
/// account.
const MAX_ENTRIES: u64 = 50;

/// Reads credit accounts and applies the installation's credit policy.
#[derive(Clone, Debug)]
pub(crate) struct Credits {
    db: DatabaseConnection,
    clock: SharedClock,
    policy: CreditPolicy,
}

impl Credits {
    #[must_use]
    pub(crate) fn new(policy: CreditPolicy, db: DatabaseConnection, clock: SharedClock) -> Self {
        Self { db, clock, policy }
    }

    #[must_use]
    pub(crate) fn policy(&self) -> &CreditPolicy {
        &self.policy
    }

    /// Returns the time at which accounts next get their daily credits.
    #[must_use]
    pub(crate) fn next_grant_at(&self) -> DateTime<Utc> {
        self.policy.next_midnight(self.clock.now())
    }

    /// Returns the balance and the held credits of the owner's account. First opens the account if the owner is new,
    /// adds the daily credits that the account has not received yet, and records that the owner was active today.
    /// Credits are held (reserved) while an export runs.
    ///
    /// # Errors
    /// `unavailable` when the database fails.
    pub(crate) async fn balance(&self, owner: &Owner) -> Outcome<Balance> {
        let now = self.clock.now();
        // only the owner's first request of a day must write; for further requests a read without a write lock is
        // enough
        if let Some(balance) = ledger::read_if_current(&self.db, owner, &self.policy, now).await? {
            return Ok(balance);
        }
        let tx = self.db.begin().await?;
        let accrued = ledger::open_and_accrue(&tx, owner, &self.policy, now).await?;
        tx.commit().await?;
        count_grants(accrued.granted);
        Ok(accrued.balance)
    }

    /// Returns the owner's balance and the time of the next daily credits, for the message `session.ready`. This
    /// message is the first one of every session.
    ///
    /// # Errors
    /// `unavailable` when the database fails.
    pub(crate) async fn summary(&self, owner: &Owner) -> Outcome<CreditsSummary> {
        let balance = self.balance(owner).await?.balance;
        Ok(CreditsSummary { balance, next_grant_at: self.next_grant_at().into() })
    }

    /// Reads the account and its latest ledger entries for the response of `GET /v1/credits`. A ledger entry records
    /// one change of the account.
    ///
    /// # Errors
    /// `unavailable` when the database fails.
    pub(crate) async fn view(&self, owner: &Owner) -> Outcome<CreditsView> {
        let Balance { balance, held } = self.balance(owner).await?;
        let entries = ledger::entries(&self.db, owner, MAX_ENTRIES).await?;
        Ok(CreditsView { balance, held, next_grant_at: self.next_grant_at().into(), entries })
    }

    /// Builds the response headers `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers), which
    /// report this balance of credits to the client.
    #[must_use]
    pub(crate) fn rate_limit(&self, balance: i64) -> [(HeaderName, String); 2] {
        let grant = self.policy.daily_grant;
        [
            (HeaderName::from_static("ratelimit"), format!("\"credits\";r={balance};t={}", self.seconds_to_grant())),
            (HeaderName::from_static("ratelimit-policy"), format!("\"credits\";q={grant};w=86400")),
        ]
    }

    /// Creates the refusal of an export that costs more credits than the balance.
    #[must_use]
    pub(crate) fn exhausted(&self, balance: i64, cost: i64) -> Refusal {
        let detail = format!(
            "This export costs {cost} credit{} and you have {balance}. The next daily grant is at {}.",
            if cost == 1 { "" } else { "s" },
            Timestamp::from(self.next_grant_at())
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

/// Updates the metrics of granted credits, such as daily credits. Call this function after the commit of the
/// transaction that added the credits to the account.
pub(crate) fn count_grants(granted: GrantTotals) {
    metrics::counter!("sluice_credits_granted_total").increment(granted.credits.unsigned_abs());
    metrics::counter!("sluice_credit_events_total", "kind" => "grant").increment(granted.entries);
}
