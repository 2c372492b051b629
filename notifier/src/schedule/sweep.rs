//! The sweep: finds what was forgotten, and what is over.
//!
//! It moves no export to its end itself: a sweep that dies after the move would not see the row again, and nobody
//! would be told. It says what it found in an outcome, which comes again until it is settled and told.

use std::{future::Future, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use entity::export;
use protocol::export::Status;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    app::Deps,
    config::NotifierConfig,
    dispatch::Dispatcher,
    error::NotifierError,
    settle::{Leftovers, Settler},
};

/// A wish that is younger than this is likely on its way as an outcome.
const WISH_UNDERWAY_S: u64 = 10;
/// An export that ended less than this long ago is likely being tidied by whoever settles it.
const END_UNDERWAY_S: u64 = 60;
/// How often objects left behind are looked for while an export is within the window for that.
const LOOKS: u64 = 4;
/// How long one step of one export may take.
const DEADLINE: Duration = Duration::from_secs(120);

pub(super) struct Sweep {
    deps: Deps,
    settler: Arc<Settler>,
    dispatcher: Arc<Dispatcher>,
    config: Arc<NotifierConfig>,
}

impl Sweep {
    pub(super) fn new(
        deps: Deps,
        settler: Arc<Settler>,
        dispatcher: Arc<Dispatcher>,
        config: Arc<NotifierConfig>,
    ) -> Self {
        Self { deps, settler, dispatcher, config }
    }

    /// Sweeps at each ring until the soft stop.
    pub(super) async fn run(&self, mut rings: mpsc::Receiver<()>, soft: &CancellationToken) {
        let mut lap = Lap::default();
        loop {
            tokio::select! {
                biased;
                () = soft.cancelled() => return,
                ring = rings.recv() => if ring.is_none() { return },
            }
            self.each("cancel what is to be canceled", self.canceled(), soft, |row| self.cancel(row)).await;
            self.each("delete files whose time is over", self.over(), soft, |row| self.expire(row)).await;
            self.each("publish lost jobs", self.stuck(), soft, |row| self.revive(row)).await;
            self.each("delete what was left behind", self.ended(&mut lap), soft, |row| self.tidy(row)).await;
        }
    }

    /// One step for each row found. A failure is logged and leaves the row to a later sweep, also of another notifier.
    async fn each<F: Future<Output = Result<bool, NotifierError>>>(
        &self,
        what: &'static str,
        find: impl Future<Output = Result<Vec<export::Model>, NotifierError>>,
        soft: &CancellationToken,
        step: impl Fn(export::Model) -> F,
    ) {
        let rows = match find.await {
            Ok(rows) => rows,
            Err(e) => return warn!(sweep.step = what, error = %e, "a sweep can't look"),
        };
        let (mut done, mut failed) = (0_u64, 0_u64);
        for row in rows {
            if soft.is_cancelled() {
                return;
            }
            let id = row.export_id();
            match tokio::time::timeout(DEADLINE, step(row)).await {
                Ok(Ok(changed)) => done += u64::from(changed),
                Ok(Err(e)) => {
                    failed += 1;
                    warn!(sweep.step = what, export.id = %id, error = %e, "a sweep leaves an export to the next");
                }
                Err(_) => {
                    failed += 1;
                    warn!(sweep.step = what, export.id = %id, "a sweep took too long over an export");
                }
            }
        }
        metrics::counter!("sluice_notifier_swept_total", "step" => what).increment(done);
        if done + failed > 0 {
            info!(sweep.step = what, sweep.done = done, sweep.failed = failed, "swept");
        }
    }

    /// Whose cancel request was committed and then lost.
    async fn canceled(&self) -> Result<Vec<export::Model>, NotifierError> {
        let rows = export::cancel_requested(&self.deps.db, self.config.sweep_batch).await?;
        let before = self.ago(WISH_UNDERWAY_S);
        Ok(rows.into_iter().filter(|row| row.cancel_requested_at.is_some_and(|at| at <= before)).collect())
    }

    async fn cancel(&self, row: export::Model) -> Result<bool, NotifierError> {
        self.settler.ask_cancel(&row).await
    }

    async fn over(&self) -> Result<Vec<export::Model>, NotifierError> {
        Ok(export::to_expire(&self.deps.db, self.deps.clock.now(), self.config.sweep_batch).await?)
    }

    async fn expire(&self, row: export::Model) -> Result<bool, NotifierError> {
        self.settler.ask_expire(&row).await
    }

    async fn stuck(&self) -> Result<Vec<export::Model>, NotifierError> {
        let before = self.ago(self.config.stuck_after_s);
        Ok(export::stuck(&self.deps.db, before, self.config.sweep_batch).await?)
    }

    async fn revive(&self, row: export::Model) -> Result<bool, NotifierError> {
        self.dispatcher.revive(&row).await
    }

    /// Who ended lately, some at each sweep.
    async fn ended(&self, lap: &mut Lap) -> Result<Vec<export::Model>, NotifierError> {
        let (now, window) = (self.deps.clock.now(), self.config.tidy_window_s);
        let Some(after) = lap.next(now, self.ago(window), seconds(window / LOOKS)) else { return Ok(Vec::new()) };
        let rows = export::ended(&self.deps.db, after, self.ago(END_UNDERWAY_S), self.config.sweep_batch).await?;
        lap.seen(&rows, self.config.sweep_batch);
        Ok(rows)
    }

    async fn tidy(&self, row: export::Model) -> Result<bool, NotifierError> {
        let leftovers = match row.status()? {
            Status::Completed => Leftovers::OtherAttempts(row.attempt.unsigned_abs()),
            Status::Failed | Status::Canceled | Status::Expired => Leftovers::Everything,
            Status::Queued | Status::Dispatched | Status::Running => Leftovers::Nothing,
        };
        Ok(self.settler.tidy(row.export_id(), leftovers).await? > 0)
    }

    fn ago(&self, ago: u64) -> DateTime<Utc> {
        self.deps.clock.now().checked_sub_signed(seconds(ago)).unwrap_or(DateTime::UNIX_EPOCH)
    }
}

/// A setting as a duration; one that is too large is as good as for ever.
fn seconds(seconds: u64) -> TimeDelta {
    i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds).unwrap_or(TimeDelta::MAX)
}

/// Where the look for leftovers is. Each object costs a call of the store, so those who ended within the window are
/// gone through in laps, a batch at a time, with a pause after each lap.
#[derive(Debug, Default)]
struct Lap {
    began: Option<DateTime<Utc>>,
    /// None: this lap is done.
    after: Option<(DateTime<Utc>, Uuid)>,
}

impl Lap {
    /// After whom to go on; None: not now.
    fn next(&mut self, now: DateTime<Utc>, oldest: DateTime<Utc>, every: TimeDelta) -> Option<(DateTime<Utc>, Uuid)> {
        if self.after.is_none() && self.began.is_none_or(|began| now - began >= every) {
            self.began = Some(now);
            self.after = Some((oldest, Uuid::nil()));
        }
        self.after
    }

    /// Fewer than a whole batch: there are no more.
    fn seen(&mut self, rows: &[export::Model], batch: u64) {
        let last = rows.last().filter(|_| rows.len() as u64 >= batch);
        self.after = last.map(|row| (row.updated_at, row.id));
    }
}
