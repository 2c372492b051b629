//! The scheduled job `daily-credits`: writes the daily grants of recently active accounts to the database.
//!
//! A balance is correct without this job, because each read of an account adds the daily grants since the last written
//! one. The job writes the grants at midnight, so that the owners of active accounts are notified of them. It updates
//! accounts in batches, each in one short transaction. It skips accounts that were inactive for longer than the setting
//! `defer_grants_after_unused_days`.

use async_trait::async_trait;
use entity::ledger::{self, AccruedBatch};
use protocol::{envelope::TraceContext, subject};
use sea_orm::TransactionTrait;
use tracing::debug;

use crate::{
    credit_counters::count_grants,
    deps::Deps,
    error::NotifierError,
    schedule::{
        job::{Job, Run},
        recurrence::Recurrence,
    },
};

pub(in crate::schedule) struct DailyCredits {
    pub(in crate::schedule) deps: Deps,
    /// Number of accounts that the job updates in one transaction.
    pub(in crate::schedule) batch: u64,
}

#[async_trait]
impl Job for DailyCredits {
    fn name(&self) -> &'static str {
        "daily-credits"
    }

    fn recurrence(&self) -> Recurrence {
        Recurrence::midnight(&self.deps.credit_policy)
    }

    async fn run(&self, run: &Run<'_>) -> Result<String, NotifierError> {
        let (policy, now) = (&self.deps.credit_policy, self.deps.clock.now());
        let mut total = AccruedBatch::default();
        for last_active_on in policy.active_dates(now) {
            loop {
                run.check_stop()?;
                let tx = self.deps.db.begin().await?;
                run.fence(&tx).await?;
                let batch = ledger::accrue_batch(&tx, policy, now, last_active_on, self.batch).await?;
                tx.commit().await?;
                count_grants(batch.granted);
                total.accounts += batch.accounts;
                total.granted += batch.granted;
                if batch.accounts < self.batch {
                    break;
                }
            }
        }
        if total.accounts > 0 {
            // the leading dispatcher also publishes credit notifications; a lost hint delays them by one poll interval
            let hint = serde_json::json!({ "granted": total.granted.credits });
            let trace = TraceContext::generate().traceparent();
            if let Err(e) = self.deps.bus.publish_lossy(subject::DELIVERY_SUBMITTED.into(), &trace, &hint).await {
                debug!(error = %e, "failed to send a hint about daily grants");
            }
        }
        let today = policy.local_date(now);
        let credits = total.granted.credits;
        Ok(format!("{credits} credits for {} active accounts, through {today}", total.accounts))
    }
}
