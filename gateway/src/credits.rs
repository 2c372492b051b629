//! Credits as callers see them, and when the next one comes.

use axum::http::{HeaderName, header};
use chrono::{DateTime, Utc};
use entity::{
    ledger::{self, Balance},
    terms::Terms,
};
use platform::clock::SharedClock;
use protocol::{
    credits::{CreditsSummary, CreditsView},
    id::Owner,
    problem::Slug,
};
use sea_orm::{DatabaseConnection, TransactionTrait};

use crate::error::{Outcome, Refusal};

/// How many entries `GET /v1/credits` shows.
const ENTRIES: u64 = 50;

/// Reads accounts.
#[derive(Clone, Debug)]
pub struct Credits {
    db: DatabaseConnection,
    clock: SharedClock,
    terms: Terms,
}

impl Credits {
    /// Accounts in this database, on these terms.
    #[must_use]
    pub fn new(terms: Terms, db: DatabaseConnection, clock: SharedClock) -> Self {
        Self { db, clock, terms }
    }

    /// The terms.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// When the next credit is granted.
    #[must_use]
    pub fn next_grant_at(&self) -> DateTime<Utc> {
        self.terms.next_midnight(self.clock.now())
    }

    /// The account as it is today, opened if it is new.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn balance(&self, owner: &Owner) -> Outcome<Balance> {
        let now = self.clock.now();
        // looking costs no write lock; only the first look of a day writes the night down
        if let Some(balance) = ledger::look(&self.db, owner, &self.terms, now).await? {
            return Ok(balance);
        }
        let tx = self.db.begin().await?;
        let balance = ledger::reckon(&tx, owner, &self.terms, now).await?;
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
            (HeaderName::from_static("ratelimit-policy"), format!("\"credits\";q={};w=86400", self.terms.nightly)),
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
