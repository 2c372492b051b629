//! The hourly sweep: what is over goes, and what nobody names goes.
//!
//! Each part goes on where it was when it is done again, and a part that fails does not keep the others from their work.
//! Files are deleted by way of an outcome, as in [`super::patrol`]: a sweep that dies leaves messages that somebody
//! settles, and no row whose end nobody was told.

mod objects;
mod segments;
mod tickets;

use std::sync::Arc;

use async_trait::async_trait;
use entity::{export, turns, upkeep};
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};
use uuid::Uuid;

use super::{
    ago,
    each::{Tally, each, summary},
    job::{Job, Run},
    when::When,
};
use crate::{app::Deps, config::NotifierConfig, dispatch::Dispatcher, error::NotifierError, settle::Settler};

/// Seconds of a day.
const DAY_S: u64 = 24 * 60 * 60;

/// The job of this name.
pub(super) struct Sweep {
    pub(super) deps: Deps,
    pub(super) settler: Arc<Settler>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) config: Arc<NotifierConfig>,
    pub(super) when: When,
}

/// How far the last run came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// The last object of the store that was looked at; none: at the beginning.
    objects: Option<String>,
}

#[async_trait]
impl Job for Sweep {
    fn name(&self) -> &'static str {
        "sweep"
    }

    fn when(&self) -> When {
        self.when.clone()
    }

    async fn run(&self, run: &Run<'_>) -> Result<String, NotifierError> {
        let parts = [
            ("expired", self.expire(run).await),
            ("revived", self.revive(run).await),
            ("orphaned objects", objects::delete_orphans(self, run).await),
            ("orphaned segment rows", segments::forget(self, run).await),
            ("stale tickets", tickets::forget(self).await),
        ];
        // the fairness of a day ago is nobody's concern
        let turns = turns::forget(&self.deps.db, ago(self.deps.clock.now(), DAY_S)).await?;
        debug!(turn.rows = turns, "old turns are forgotten");
        let mut steps = Vec::with_capacity(parts.len());
        for (what, done) in parts {
            let tally = match done {
                Ok(tally) => tally,
                Err(e @ (NotifierError::Stopping | NotifierError::Fenced)) => return Err(e),
                Err(e) => {
                    warn!(job.step = what, error = %e, "a part of the sweep failed");
                    Tally { done: 0, failed: 1 }
                }
            };
            steps.push((what, tally));
        }
        summary(&steps)
    }
}

impl Sweep {
    /// Files whose time is over. The gateway has refused them since then.
    async fn expire(&self, run: &Run<'_>) -> Result<Tally, NotifierError> {
        let (now, batch) = (self.deps.clock.now(), self.config.sweep_batch);
        let (mut tally, mut after) = (Tally::default(), Uuid::nil());
        loop {
            let rows = upkeep::overdue(&self.deps.db, after, now, batch).await?;
            let Some(last) = last(&rows) else { return Ok(tally) };
            after = last;
            tally.add(each(run, "expired", rows, async |row| self.settler.ask_expire(&row).await).await?);
        }
    }

    /// Exports that were dispatched or run, and that nobody works on and no job is there for.
    async fn revive(&self, run: &Run<'_>) -> Result<Tally, NotifierError> {
        let (before, batch) = (ago(self.deps.clock.now(), self.config.stuck_after_s), self.config.sweep_batch);
        let (mut tally, mut after) = (Tally::default(), Uuid::nil());
        loop {
            let rows = upkeep::stuck_after(&self.deps.db, after, before, batch).await?;
            let Some(last) = last(&rows) else { return Ok(tally) };
            after = last;
            tally.add(each(run, "revived", rows, async |row| self.dispatcher.revive(&row).await).await?);
        }
    }
}

fn last(rows: &[export::Model]) -> Option<Uuid> {
    rows.last().map(|row| row.id)
}
