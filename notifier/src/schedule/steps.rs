//! Runs one step of a scheduled job for each export in a list, and counts successes and failures.

use std::{future::Future, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use entity::export;
use tracing::warn;

use super::job::Run;
use crate::error::NotifierError;

/// The timeout of one step of a scheduled job for one export.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);

/// The numbers of items that one step of a scheduled job changed and failed to change. An item is an export, a database
/// row or an object in the file store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StepCount {
    /// Number of items that the step changed.
    pub(super) done: u64,
    /// Number of items for which the step failed.
    pub(super) failed: u64,
}

impl StepCount {
    pub(super) fn add(&mut self, other: Self) {
        self.done += other.done;
        self.failed += other.failed;
    }
}

/// Runs `action` for each export. `action` returns whether it changed the export. Counts the changed exports and the
/// failed actions. A failed action does not stop the others; a later run of the scheduled job retries the action.
///
/// # Errors
/// [`NotifierError::Stopping`] after shutdown has begun.
pub(super) async fn for_each_export<F: Future<Output = Result<bool, NotifierError>>>(
    run: &Run<'_>,
    step: &'static str,
    rows: Vec<export::Model>,
    action: impl Fn(export::Model) -> F,
) -> Result<StepCount, NotifierError> {
    let mut count = StepCount::default();
    for row in rows {
        run.check_stop()?;
        let id = row.export_id();
        match tokio::time::timeout(STEP_TIMEOUT, action(row)).await {
            Ok(Ok(changed)) => count.done += u64::from(changed),
            Ok(Err(e)) => {
                count.failed += 1;
                warn!(job.step = step, export.id = %id, error = %e, "failed a step for an export; the next run retries");
            }
            Err(_) => {
                count.failed += 1;
                warn!(job.step = step, export.id = %id, "timed out in a step for an export; the next run retries");
            }
        }
    }
    record(step, count.done);
    Ok(count)
}

/// Adds `done`, the number of items that a step changed, to the metric `sluice_notifier_maintenance_items_total`.
pub(super) fn record(step: &'static str, done: u64) {
    metrics::counter!("sluice_notifier_maintenance_items_total", "step" => step).increment(done);
}

/// Returns the summary of a run for operators.
///
/// # Errors
/// [`NotifierError::Partial`] when a step failed for some items.
pub(super) fn summary(steps: &[(&'static str, StepCount)]) -> Result<String, NotifierError> {
    let done: Vec<_> = steps
        .iter()
        .filter(|(_, count)| count.done > 0)
        .map(|(step, count)| format!("{step}: {}", count.done))
        .collect();
    let failed: Vec<_> = steps
        .iter()
        .filter(|(_, count)| count.failed > 0)
        .map(|(step, count)| format!("{step}: {} failed", count.failed))
        .collect();
    let text = |parts: &[String]| if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") };
    if failed.is_empty() { Ok(text(&done)) } else { Err(NotifierError::Partial(text(&[failed, done].concat()))) }
}

/// Returns the time `duration` before `now`, or the Unix epoch if that time is out of range.
pub(super) fn time_before(now: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    let delta = TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
    now.checked_sub_signed(delta).unwrap_or(DateTime::UNIX_EPOCH)
}
