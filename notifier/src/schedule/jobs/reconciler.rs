//! The scheduled job `reconcile`: republishes lost commands, and deletes objects that exporters wrote after the end of
//! their export.
//!
//! The reconciler ends no export itself. If it ended an export and then crashed, no later run would find the export,
//! and its owner would not be notified. So the reconciler publishes a command, and NATS redelivers the command until a
//! notifier has settled the command.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use entity::{export, maintenance};
use protocol::export::Status;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    config::NotifierConfig,
    deps::Deps,
    error::NotifierError,
    schedule::{
        job::{Job, Run},
        recurrence::Recurrence,
        steps::{for_each_export, summary, time_before},
    },
    settle::{Leftovers, Settler, commands},
};

/// Minimum age of a request to cancel an export or to delete its file before the reconciler publishes the command
/// again. The command of a younger request is probably still in the stream.
const COMMAND_GRACE: Duration = Duration::from_secs(10);
/// Time that passes after the end of an export before the reconciler scans the objects of the export. During this time,
/// the notifier that settled the outcome may still be deleting the objects that the export no longer needs.
const SETTLE_GRACE: Duration = Duration::from_secs(60);
/// Number of times that the reconciler scans the objects of each ended export within the time `orphan_scan_window`
/// after the end.
const SCANS_PER_WINDOW: u32 = 4;

pub(in crate::schedule) struct Reconciler {
    pub(in crate::schedule) deps: Deps,
    pub(in crate::schedule) settler: Arc<Settler>,
    pub(in crate::schedule) config: Arc<NotifierConfig>,
}

#[async_trait]
impl Job for Reconciler {
    fn name(&self) -> &'static str {
        "reconcile"
    }

    fn recurrence(&self) -> Recurrence {
        Recurrence::every(self.config.command_reconcile_interval.get())
    }

    async fn run(&self, run: &Run<'_>) -> Result<String, NotifierError> {
        let (db, bus, now) = (&self.deps.db, &self.deps.bus, self.deps.clock.now());
        let batch = self.config.tuning.sweep_batch;
        let requested_before = time_before(now, COMMAND_GRACE);

        let mut rows = export::cancel_requested(db, batch).await?;
        rows.retain(|row| row.cancel_requested_at.is_some_and(|at| at <= requested_before));
        let canceled =
            for_each_export(run, "canceled", rows, async |row| commands::publish_cancel(bus, &row, now).await).await?;

        let mut rows = maintenance::delete_requested(db, batch).await?;
        rows.retain(|row| row.delete_requested_at.is_some_and(|at| at <= requested_before));
        let deleted =
            for_each_export(run, "deleted", rows, async |row| commands::publish_delete(bus, &row, now).await).await?;

        let mut scan: LateObjectScan = run.load_state().await?;
        let saved = scan;
        let rows = self.next_ended(&mut scan, now).await?;
        let late = for_each_export(run, "late objects", rows, async |row| self.delete_late_objects(row).await).await?;
        if scan != saved {
            run.save_state(&scan).await?;
        }
        summary(&[("canceled", canceled), ("deleted", deleted), ("late objects", late)])
    }
}

impl Reconciler {
    /// Reads the next page of exports that ended more than [`SETTLE_GRACE`] ago, but less than `orphan_scan_window`
    /// ago. Records the last row of the page in `scan`, so that the next call continues after this row. Returns no rows
    /// if no scan is in progress and no new scan is due.
    async fn next_ended(
        &self,
        scan: &mut LateObjectScan,
        now: DateTime<Utc>,
    ) -> Result<Vec<export::Model>, NotifierError> {
        let (window, batch) = (self.config.tuning.orphan_scan_window.get(), self.config.tuning.sweep_batch);
        let interval = TimeDelta::from_std(window / SCANS_PER_WINDOW).unwrap_or(TimeDelta::MAX);
        let Some(after) = scan.next(now, time_before(now, window), interval) else { return Ok(Vec::new()) };
        let rows = export::ended_between(&self.deps.db, after, time_before(now, SETTLE_GRACE), batch).await?;
        scan.advance(&rows, batch);
        Ok(rows)
    }

    async fn delete_late_objects(&self, row: export::Model) -> Result<bool, NotifierError> {
        let leftovers = match row.status()? {
            Status::Completed => Leftovers::OtherAttempts(row.attempt.unsigned_abs()),
            Status::Unchanged | Status::Failed | Status::Canceled | Status::Expired => Leftovers::Everything,
            Status::Queued | Status::Dispatched | Status::Running => Leftovers::Nothing,
        };
        Ok(self.settler.delete_leftovers(row.export_id(), leftovers).await? > 0)
    }
}

/// The progress of the scan for late objects, which are objects that an exporter wrote after the end of its export. A
/// scan visits all exports that ended recently, one page in each run of the job, because each export needs a request to
/// the file store. After the last page, the scan pauses until the next scan is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct LateObjectScan {
    /// The start time of the current scan, or of the last scan if none is in progress.
    began: Option<DateTime<Utc>>,
    /// The end time and id of the last scanned export; `None` if the scan is complete.
    after: Option<(DateTime<Utc>, Uuid)>,
}

impl LateObjectScan {
    /// Returns the end time and the id of the export after which the next page begins. For a scan in progress, this is
    /// the last scanned export. If a new scan is due, starts it, and returns `oldest` and the nil id. Otherwise returns
    /// `None`.
    ///
    /// A new scan is due `interval` after the start of the previous one. If the saved start time is in the future,
    /// because a clock was wrong, a new scan is due at once.
    fn next(
        &mut self,
        now: DateTime<Utc>,
        oldest: DateTime<Utc>,
        interval: TimeDelta,
    ) -> Option<(DateTime<Utc>, Uuid)> {
        if self.after.is_none() && self.began.is_none_or(|began| began > now || now - began >= interval) {
            self.began = Some(now);
            self.after = Some((oldest, Uuid::nil()));
        }
        self.after
    }

    /// Records the last row of a page as the point after which the next run continues. A page with fewer rows than
    /// `batch` completes the scan.
    fn advance(&mut self, rows: &[export::Model], batch: u64) {
        let last = rows.last().filter(|_| rows.len() as u64 >= batch);
        self.after = last.map(|row| (row.updated_at, row.id));
    }
}
