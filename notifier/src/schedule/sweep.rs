//! The sweep: finds what was forgotten, and what is over.

use std::{future::Future, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use entity::export;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    app::Deps,
    config::NotifierConfig,
    dispatch::Dispatcher,
    error::NotifierError,
    settle::{Leftovers, Settler},
};

/// A wish that is younger than this is likely on its way as an outcome.
const WISH_UNDERWAY_S: i64 = 10;
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
        loop {
            tokio::select! {
                biased;
                () = soft.cancelled() => return,
                ring = rings.recv() => if ring.is_none() { return },
            }
            self.each("cancel what is to be canceled", self.canceled(), soft, |row| self.cancel(row)).await;
            self.each("delete files whose time is over", self.over(), soft, |row| self.expire(row)).await;
            self.each("publish lost jobs", self.stuck(), soft, |row| self.revive(row)).await;
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
        let settled = self.settler.cancel(&row).await?;
        self.settler.tidy(row.export_id(), settled.unwrap_or(Leftovers::Nothing)).await;
        Ok(settled.is_some())
    }

    async fn over(&self) -> Result<Vec<export::Model>, NotifierError> {
        Ok(export::to_expire(&self.deps.db, self.deps.clock.now(), self.config.sweep_batch).await?)
    }

    async fn expire(&self, row: export::Model) -> Result<bool, NotifierError> {
        Ok(self.settler.expire(&row).await?.is_some())
    }

    async fn stuck(&self) -> Result<Vec<export::Model>, NotifierError> {
        let before = self.ago(i64::try_from(self.config.stuck_after_s).unwrap_or(i64::MAX));
        Ok(export::stuck(&self.deps.db, before, self.config.sweep_batch).await?)
    }

    async fn revive(&self, row: export::Model) -> Result<bool, NotifierError> {
        self.dispatcher.revive(&row).await
    }

    fn ago(&self, seconds: i64) -> DateTime<Utc> {
        let now = self.deps.clock.now();
        TimeDelta::try_seconds(seconds).and_then(|back| now.checked_sub_signed(back)).unwrap_or(DateTime::UNIX_EPOCH)
    }
}
