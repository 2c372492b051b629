//! Compares all accounts with the ledger once a night, so that nobody has to think of it.
//!
//! It changes nothing: a difference is a defect, and `sluice credits audit --rebuild` mends it once somebody has looked. The
//! run goes well either way; what it found is left in the job's row, so that every notifier shows it, restarts included.

use async_trait::async_trait;
use entity::ledger;
use serde::{Deserialize, Serialize};
use tracing::error;

use super::{
    job::{Job, Run},
    when::When,
};
use crate::{app::Deps, error::NotifierError};

/// The name of the job.
pub(super) const NAME: &str = "audit";
/// Accounts named in the log of one run; `sluice credits audit` names all.
const NAMED: usize = 20;

/// The job of this name.
pub(super) struct Audit {
    pub(super) deps: Deps,
    pub(super) when: When,
}

/// What the last run found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    /// Accounts that differ from the ledger.
    pub(super) mismatches: u64,
}

impl Found {
    /// What a row tells of the last run.
    pub(super) fn of(state: Option<&str>) -> Self {
        state.and_then(|state| serde_json::from_str(state).ok()).unwrap_or_default()
    }
}

#[async_trait]
impl Job for Audit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn when(&self) -> When {
        self.when.clone()
    }

    async fn run(&self, run: &Run<'_>) -> Result<String, NotifierError> {
        let findings = ledger::audit(&self.deps.db).await?;
        for finding in findings.iter().take(NAMED) {
            error!(
                account.tenant = %finding.tenant,
                account.balance = finding.balance,
                account.held = finding.held,
                ledger.balance = finding.ledger_balance,
                ledger.held = finding.ledger_held,
                "an account differs from the ledger"
            );
        }
        run.leave(&Found { mismatches: findings.len() as u64 }).await?;
        Ok(match findings.len() {
            0 => "all accounts are what the ledger says".to_owned(),
            count => format!("{count} accounts differ from the ledger: see `sluice credits audit`"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_tells_is_read_also_when_it_is_anothers() {
        assert_eq!(Found::of(Some(r#"{"mismatches":3}"#)).mismatches, 3);
        assert_eq!([Found::of(None), Found::of(Some("{}")), Found::of(Some("x"))], [Found::default(); 3]);
    }
}
