//! The nightly credits of those who were seen lately.
//!
//! What a night adds is a matter of the account and the calendar: whoever looks at an account reckons the nights that it
//! lacks. This job does so for active accounts, so that their owners hear of it at midnight. It is a set-based update in
//! batches of one short transaction each, and those whom nobody has seen for days cost it nothing.

use async_trait::async_trait;
use entity::ledger::{self, Night};
use protocol::{envelope::TraceContext, subject};
use sea_orm::TransactionTrait;
use tracing::debug;

use super::{
    job::{Job, Run},
    when::When,
};
use crate::{app::Deps, error::NotifierError};

/// The job of this name.
pub(super) struct Midnight {
    pub(super) deps: Deps,
    /// Accounts of one transaction.
    pub(super) batch: u64,
}

#[async_trait]
impl Job for Midnight {
    fn name(&self) -> &'static str {
        "midnight"
    }

    fn when(&self) -> When {
        When::midnight(&self.deps.terms)
    }

    async fn run(&self, run: &Run<'_>) -> Result<String, NotifierError> {
        let now = self.deps.clock.now();
        let mut total = Night::default();
        for day in self.deps.terms.active(now) {
            loop {
                run.go_on()?;
                let tx = self.deps.db.begin().await?;
                run.fence(&tx).await?;
                let night = ledger::reckon_seen(&tx, &self.deps.terms, now, day, self.batch).await?;
                tx.commit().await?;
                total.accounts += night.accounts;
                total.credits += night.credits;
                if night.accounts < self.batch {
                    break;
                }
            }
        }
        metrics::counter!("sluice_credits_granted_total").increment(total.credits.unsigned_abs());
        metrics::counter!("sluice_credit_events_total", "kind" => "grant").increment(total.accounts);
        if total.accounts > 0 {
            // who leads the dispatching also tells of credits; without the hint it looks a moment later
            let hint = serde_json::json!({ "granted": total.credits });
            let trace = TraceContext::generate().traceparent();
            if let Err(e) = self.deps.bus.publish_lossy(subject::DELIVERY_SUBMITTED.into(), &trace, &hint).await {
                debug!(error = %e, "a hint of the night's credits was lost");
            }
        }
        let today = self.deps.terms.day(now);
        Ok(format!("{} credits for {} active accounts, through {today}", total.credits, total.accounts))
    }
}
