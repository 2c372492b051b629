//! One step for each of many rows, of which none may hold up the others.

use std::{future::Future, time::Duration};

use entity::export;
use tracing::warn;

use super::job::Run;
use crate::error::NotifierError;

/// How long one step of one export may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// How many steps did something, and how many failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) done: u64,
    pub(super) failed: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.done += other.done;
        self.failed += other.failed;
    }
}

/// One step for each row. A failure is logged, and leaves the row to a later run, also of another notifier.
///
/// # Errors
/// [`NotifierError::Stopping`] at the soft stop.
pub(super) async fn each<F: Future<Output = Result<bool, NotifierError>>>(
    run: &Run<'_>,
    what: &'static str,
    rows: Vec<export::Model>,
    step: impl Fn(export::Model) -> F,
) -> Result<Tally, NotifierError> {
    let mut tally = Tally::default();
    for row in rows {
        run.go_on()?;
        let id = row.export_id();
        match tokio::time::timeout(DEADLINE, step(row)).await {
            Ok(Ok(changed)) => tally.done += u64::from(changed),
            Ok(Err(e)) => {
                tally.failed += 1;
                warn!(job.step = what, export.id = %id, error = %e, "an export is left to the next run");
            }
            Err(_) => {
                tally.failed += 1;
                warn!(job.step = what, export.id = %id, "a step took too long over an export");
            }
        }
    }
    metrics::counter!("sluice_notifier_swept_total", "step" => what).increment(tally.done);
    Ok(tally)
}

/// What was done, or that some of it was not.
///
/// # Errors
/// [`NotifierError::Partly`] when something failed.
pub(super) fn summary(steps: &[(&'static str, Tally)]) -> Result<String, NotifierError> {
    let done: Vec<_> =
        steps.iter().filter(|(_, t)| t.done > 0).map(|(what, t)| format!("{what}: {}", t.done)).collect();
    let failed: Vec<_> =
        steps.iter().filter(|(_, t)| t.failed > 0).map(|(what, t)| format!("{what}: {} failed", t.failed)).collect();
    let text = |parts: &[String]| if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") };
    if failed.is_empty() { Ok(text(&done)) } else { Err(NotifierError::Partly(text(&[failed, done].concat()))) }
}
