//! The job `reconcile`: repairs lost messages and deletes late objects at short intervals.
//!
//! The reconciler ends no export itself: if it died after the change of the row, the next run would not find the row
//! again, and the owner would not be notified. It publishes a command, which is redelivered until it is settled.

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
    dispatch::jobs,
    error::NotifierError,
    schedule::{
        job::{Job, Run},
        recurrence::Recurrence,
        steps::{before, for_each_export, summary},
    },
    settle::{Leftovers, Settler, commands},
};

/// A younger request to cancel or delete is likely still on its way as a command.
const COMMAND_GRACE: Duration = Duration::from_secs(10);
/// The settler of an export that ended more recently is likely still deleting its leftovers.
const SETTLE_GRACE: Duration = Duration::from_secs(60);
/// Scans for the late objects of one export within the scan window.
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
        Recurrence::every(self.config.reconcile_interval.get())
    }

    async fn run(&self, run: &Run<'_>) -> Result<String, NotifierError> {
        let (db, bus, now) = (&self.deps.db, &self.deps.bus, self.deps.clock.now());
        let batch = self.config.tuning.sweep_batch;
        let requested_before = before(now, COMMAND_GRACE);

        let mut rows = export::cancel_requested(db, batch).await?;
        rows.retain(|row| row.cancel_requested_at.is_some_and(|at| at <= requested_before));
        let canceled =
            for_each_export(run, "canceled", rows, async |row| commands::publish_cancel(bus, &row).await).await?;

        let mut rows = maintenance::delete_requested(db, batch).await?;
        rows.retain(|row| row.delete_requested_at.is_some_and(|at| at <= requested_before));
        let deleted =
            for_each_export(run, "deleted", rows, async |row| commands::publish_delete(bus, &row).await).await?;

        let rows = export::find_stale(db, before(now, self.config.stale_after.get()), batch).await?;
        let republished =
            for_each_export(run, "republished jobs", rows, async |row| jobs::republish_if_lost(bus, &row).await)
                .await?;

        let mut scan: Scan = run.load_state().await?;
        let saved = scan;
        let rows = self.next_ended(&mut scan, now).await?;
        let late = for_each_export(run, "late objects", rows, async |row| self.delete_late_objects(row).await).await?;
        if scan != saved {
            run.save_state(&scan).await?;
        }
        summary(&[
            ("canceled", canceled),
            ("deleted", deleted),
            ("republished jobs", republished),
            ("late objects", late),
        ])
    }
}

impl Reconciler {
    /// The next page of the exports that ended within the scan window.
    async fn next_ended(&self, scan: &mut Scan, now: DateTime<Utc>) -> Result<Vec<export::Model>, NotifierError> {
        let (window, batch) = (self.config.orphan_scan_window.get(), self.config.tuning.sweep_batch);
        let interval = TimeDelta::from_std(window / SCANS_PER_WINDOW).unwrap_or(TimeDelta::MAX);
        let Some(after) = scan.next(now, before(now, window), interval) else { return Ok(Vec::new()) };
        let rows = export::ended_between(&self.deps.db, after, before(now, SETTLE_GRACE), batch).await?;
        scan.advance(&rows, batch);
        Ok(rows)
    }

    async fn delete_late_objects(&self, row: export::Model) -> Result<bool, NotifierError> {
        let leftovers = match row.status()? {
            Status::Completed => Leftovers::OtherAttempts(row.attempt.unsigned_abs()),
            Status::Failed | Status::Canceled | Status::Expired => Leftovers::Everything,
            Status::Queued | Status::Dispatched | Status::Running => Leftovers::Nothing,
        };
        Ok(self.settler.delete_leftovers(row.export_id(), leftovers).await? > 0)
    }
}

/// The progress of the scan for late objects. Each export costs a request to the store, so a scan visits the exports
/// that ended within the window page by page, one page per run, and pauses before it starts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Scan {
    /// When the present or last scan began.
    began: Option<DateTime<Utc>>,
    /// The end time and id of the last visited export. None: the scan is finished.
    after: Option<(DateTime<Utc>, Uuid)>,
}

impl Scan {
    /// The position from which to continue, starting a new scan if one is due. None: no scan is due. A scan that began
    /// after `now`, by a clock that has stepped back since, counts as due.
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

    /// Moves behind the visited rows. An incomplete page is the last one.
    fn advance(&mut self, rows: &[export::Model], batch: u64) {
        let last = rows.last().filter(|_| rows.len() as u64 >= batch);
        self.after = last.map(|row| (row.updated_at, row.id));
    }
}
