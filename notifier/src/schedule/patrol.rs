//! The patrol: finds what was forgotten and can't wait for the sweep.
//!
//! It moves no export to its end itself: a run that dies after the move would not see the row again, and nobody would be
//! told. It says what it found in an outcome, which comes again until it is settled and told.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use entity::{export, upkeep};
use protocol::export::Status;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ago,
    each::{each, summary},
    job::{Job, Run},
    seconds,
    when::When,
};
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

/// The job of this name.
pub(super) struct Patrol {
    pub(super) deps: Deps,
    pub(super) settler: Arc<Settler>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) config: Arc<NotifierConfig>,
}

#[async_trait]
impl Job for Patrol {
    fn name(&self) -> &'static str {
        "patrol"
    }

    fn when(&self) -> When {
        When::every(Duration::from_secs(self.config.patrol_s))
    }

    async fn run(&self, run: &Run<'_>) -> Result<String, NotifierError> {
        let (db, now, batch) = (&self.deps.db, self.deps.clock.now(), self.config.sweep_batch);
        let heard = ago(now, WISH_UNDERWAY_S);

        let mut rows = export::cancel_requested(db, batch).await?;
        rows.retain(|row| row.cancel_requested_at.is_some_and(|at| at <= heard));
        let canceled = each(run, "canceled", rows, async |row| self.settler.ask_cancel(&row).await).await?;

        let mut rows = upkeep::delete_requested(db, batch).await?;
        rows.retain(|row| row.delete_requested_at.is_some_and(|at| at <= heard));
        let deleted = each(run, "deleted", rows, async |row| self.settler.ask_expire(&row).await).await?;

        let rows = export::stuck(db, ago(now, self.config.stuck_after_s), batch).await?;
        let revived = each(run, "revived", rows, async |row| self.dispatcher.revive(&row).await).await?;

        let mut lap: Lap = run.left().await?;
        let before = lap;
        let rows = self.ended(&mut lap, now).await?;
        let tidied = each(run, "tidied", rows, async |row| self.tidy(row).await).await?;
        if lap != before {
            run.leave(&lap).await?;
        }
        summary(&[("canceled", canceled), ("deleted", deleted), ("revived", revived), ("tidied", tidied)])
    }
}

impl Patrol {
    /// Who ended lately, some at each run.
    async fn ended(&self, lap: &mut Lap, now: DateTime<Utc>) -> Result<Vec<export::Model>, NotifierError> {
        let (window, batch) = (self.config.tidy_window_s, self.config.sweep_batch);
        let Some(after) = lap.next(now, ago(now, window), seconds(window / LOOKS)) else { return Ok(Vec::new()) };
        let rows = export::ended(&self.deps.db, after, ago(now, END_UNDERWAY_S), batch).await?;
        lap.seen(&rows, batch);
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
}

/// Where the look for leftovers is. Each object costs a call of the store, so those who ended within the window are
/// gone through in laps, a batch at a time, with a pause after each lap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Lap {
    began: Option<DateTime<Utc>>,
    /// None: this lap is done.
    after: Option<(DateTime<Utc>, Uuid)>,
}

impl Lap {
    /// After whom to go on; None: not now. A lap that began after `now`, by a clock that has stepped back since, is over.
    fn next(&mut self, now: DateTime<Utc>, oldest: DateTime<Utc>, every: TimeDelta) -> Option<(DateTime<Utc>, Uuid)> {
        if self.after.is_none() && self.began.is_none_or(|began| began > now || now - began >= every) {
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
