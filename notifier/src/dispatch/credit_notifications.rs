//! Notifies owners of the credit changes that happen without the end of an export: holds (reserved credits), daily
//! grants, and adjustments by an operator.
//!
//! Each account row stores its current version and the version of the last notification. A notification is pending
//! while these versions differ, so a crash loses no notification.

use std::time::Duration;

use entity::ledger::{self, PendingNotification};
use futures::{StreamExt, stream};
use tracing::warn;

use crate::{deps::Deps, error::NotifierError, settle::events};

/// Largest number of accounts in one batch. A batch is the result of one database query.
const BATCH: u64 = 500;
/// Number of accounts whose notifications the notifier publishes at the same time.
const CONCURRENCY: usize = 16;
/// The timeout of publishing all notifications of one batch.
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);

/// Publishes the balance of each account that has a pending notification, in batches of at most [`BATCH`] accounts. A
/// failed notification does not delay the others.
///
/// # Errors
/// When the database fails, a batch times out, or every notification of a batch fails. The caller retries later.
pub(super) async fn publish_pending(deps: &Deps) -> Result<(), NotifierError> {
    let mut after = None;
    loop {
        let pending = ledger::pending_notifications(&deps.db, after.as_ref(), BATCH).await?;
        let Some(last) = pending.last() else { return Ok(()) };
        after = Some(last.owner.clone());
        let count = pending.len();
        let publishing = stream::iter(pending).map(|notification| publish(deps, notification));
        let publishing = publishing.buffer_unordered(CONCURRENCY).collect::<Vec<_>>();
        let published = tokio::time::timeout(BATCH_TIMEOUT, publishing).await;
        let published = published.map_err(|_| NotifierError::Timeout("publishing credit notifications"))?;
        let failed: Vec<_> = published.into_iter().filter_map(Result::err).collect();
        metrics::counter!("sluice_notifier_credit_notifications_without_outcome_total")
            .increment((count - failed.len()) as u64);
        let all = failed.len() == count;
        for e in failed {
            if all {
                return Err(e);
            }
            warn!(error = %e, "failed to publish a credit notification, retrying");
        }
    }
}

async fn publish(deps: &Deps, notification: PendingNotification) -> Result<(), NotifierError> {
    events::account_changed(deps, &notification).await?;
    Ok(ledger::mark_notified(&deps.db, &notification.owner, notification.version).await?)
}
