//! The scheduled job `credit-audit`: compares every account with the ledger.
//!
//! The audit changes nothing. A difference is a bug in Sluice; an operator examines the account and repairs it with
//! `sluice credits audit --rebuild`. The run succeeds even if accounts differ. The row of the job holds the number of
//! differences, so that every notifier publishes this number as a metric, also after a restart.

use async_trait::async_trait;
use entity::ledger;
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::{
    deps::Deps,
    error::NotifierError,
    schedule::{
        job::{Job, Run},
        recurrence::Recurrence,
    },
};

/// The name of the scheduled job in its database row and in the metrics.
pub(in crate::schedule) const NAME: &str = "credit-audit";
/// Largest number of accounts that one run logs. `sluice credits audit` lists all of them.
const MAX_LOGGED: usize = 20;

pub(in crate::schedule) struct CreditAudit {
    pub(in crate::schedule) deps: Deps,
    pub(in crate::schedule) recurrence: Recurrence,
}

/// The result of the last run, saved in the row of the scheduled job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::schedule) struct AuditState {
    /// Number of accounts whose balance or held credits differ from the sums in the ledger.
    pub(in crate::schedule) mismatches: u64,
}

impl AuditState {
    /// Parses the saved state. Missing or invalid state counts as 0 mismatches.
    pub(in crate::schedule) fn parse(state: Option<&str>) -> Self {
        state.and_then(|state| serde_json::from_str(state).ok()).unwrap_or_default()
    }
}

#[async_trait]
impl Job for CreditAudit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn recurrence(&self) -> Recurrence {
        self.recurrence.clone()
    }

    async fn run(&self, run: &Run<'_>) -> Result<String, NotifierError> {
        let findings = ledger::audit(&self.deps.db).await?;
        for finding in findings.iter().take(MAX_LOGGED) {
            error!(
                account.tenant = %finding.tenant,
                account.balance = finding.balance,
                account.held = finding.held,
                ledger.balance = finding.ledger_balance,
                ledger.held = finding.ledger_held,
                "an account differs from the ledger"
            );
        }
        run.save_state(&AuditState { mismatches: findings.len() as u64 }).await?;
        Ok(match findings.len() {
            0 => "all accounts match the ledger".to_owned(),
            count => format!("{count} accounts differ from the ledger: see `sluice credits audit`"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_state_counts_as_no_differences() {
        assert_eq!(AuditState::parse(Some(r#"{"mismatches":3}"#)).mismatches, 3);
        let parsed = [AuditState::parse(None), AuditState::parse(Some("{}")), AuditState::parse(Some("x"))];
        assert_eq!(parsed, [AuditState::default(); 3]);
    }
}
