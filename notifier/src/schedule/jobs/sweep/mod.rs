//! The scheduled job `sweep`: deletes expired files, orphans, stale tickets and old rows. The sweep runs every hour by
//! default.
//!
//! A failed step does not prevent the other steps. The sweep publishes a delete command for each expired file, as
//! [`super::reconciler`] does. NATS redelivers the command, even if the sweep is interrupted, until the file is deleted
//! and the owner is notified.

mod orphan_objects;
mod segment_rows;
mod tickets;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use entity::{dispatch_queue, export, maintenance};
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{
    config::NotifierConfig,
    deps::Deps,
    error::NotifierError,
    schedule::{
        job::{Job, Run},
        recurrence::Recurrence,
        steps::{StepCount, for_each_export, summary, time_before},
    },
    settle::commands,
};

/// Age from which the sweep deletes a record of a dispatch. The database records the time of the last dispatch for each
/// user, in each pool of exporters and in each of its two lanes.
const DISPATCH_ORDER_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

pub(in crate::schedule) struct Sweep {
    pub(in crate::schedule) deps: Deps,
    pub(in crate::schedule) config: Arc<NotifierConfig>,
    pub(in crate::schedule) recurrence: Recurrence,
}

/// The point at which the last run of the sweep stopped scanning the objects of the file store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ScanCursor {
    /// The path of the last scanned object; `None` if the next run starts with the first object.
    objects: Option<String>,
}

#[async_trait]
impl Job for Sweep {
    fn name(&self) -> &'static str {
        "sweep"
    }

    fn recurrence(&self) -> Recurrence {
        self.recurrence.clone()
    }

    async fn run(&self, run: &Run<'_>) -> Result<String, NotifierError> {
        let steps = [
            ("expired", self.expire_files(run).await),
            ("orphaned objects", orphan_objects::delete(self, run).await),
            ("orphaned segment rows", segment_rows::delete(self, run).await),
            ("stale tickets", tickets::delete(self).await),
        ];
        let mut counts = Vec::with_capacity(steps.len());
        for (step, result) in steps {
            let count = match result {
                Ok(count) => count,
                Err(e @ (NotifierError::Stopping | NotifierError::Fenced)) => return Err(e),
                Err(e) => {
                    warn!(job.step = step, error = %e, "a step of the sweep failed");
                    StepCount { done: 0, failed: 1 }
                }
            };
            counts.push((step, count));
        }
        let dispatched_before = time_before(self.deps.clock.now(), DISPATCH_ORDER_RETENTION);
        let rows = dispatch_queue::delete_before(&self.deps.db, dispatched_before).await?;
        debug!(dispatch_turn.rows = rows, "deleted old rows of the dispatch order");
        summary(&counts)
    }
}

impl Sweep {
    /// Publishes a delete command for each file whose retention has ended. Gateways already refuse to deliver these
    /// files.
    async fn expire_files(&self, run: &Run<'_>) -> Result<StepCount, NotifierError> {
        let (db, bus, now) = (&self.deps.db, &self.deps.bus, self.deps.clock.now());
        let (mut count, mut after) = (StepCount::default(), Uuid::nil());
        loop {
            let rows = maintenance::past_retention(db, after, now, self.config.tuning.sweep_batch).await?;
            let Some(last) = last_id(&rows) else { return Ok(count) };
            after = last;
            let step =
                for_each_export(run, "expired", rows, async |row| commands::publish_delete(bus, &row, now).await);
            count.add(step.await?);
        }
    }
}

fn last_id(rows: &[export::Model]) -> Option<Uuid> {
    rows.last().map(|row| row.id)
}
