//! Turns committed exports into jobs: the reading half of the outbox.
//!
//! A gateway commits a row and then gives a hint; when the hint is lost, or the gateway dies in between, the next
//! look at the table finds the row all the same. Publishing a job twice is harmless, as the stream knows its id and
//! a worker's claim is conditional.

use std::{sync::Arc, time::Duration};

use async_nats::Subscriber;
use entity::{export, transition};
use futures::{FutureExt, StreamExt};
use protocol::{
    envelope::{Envelope, Job},
    subject::{self, Lane},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    app::Deps,
    config::NotifierConfig,
    error::NotifierError,
    settle::events::{self, CreditStep},
    waiting::waits,
};

/// How long one look at the table and all it leads to may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// Publishes jobs.
pub(crate) struct Dispatcher {
    deps: Deps,
    config: Arc<NotifierConfig>,
}

impl Dispatcher {
    pub(crate) fn new(deps: Deps, config: Arc<NotifierConfig>) -> Self {
        Self { deps, config }
    }

    /// Dispatches at each hint and at each tick until the soft stop.
    ///
    /// # Errors
    /// When the hints end, which only a closed client does.
    pub(crate) async fn run(
        self: Arc<Self>,
        mut hints: Subscriber,
        soft: CancellationToken,
    ) -> Result<(), NotifierError> {
        let poll = Duration::from_millis(self.config.dispatch_poll_ms);
        let mut failing = false;
        loop {
            tokio::select! {
                biased;
                () = soft.cancelled() => return Ok(()),
                hint = hints.next() => if hint.is_none() { return Err(NotifierError::Unsubscribed("submitted exports")) },
                () = tokio::time::sleep(poll) => {}
            }
            // one look answers all hints that have come so far
            while let Some(Some(_)) = hints.next().now_or_never() {}
            let looked = tokio::time::timeout(DEADLINE, self.dispatch(&soft)).await;
            match looked.unwrap_or(Err(NotifierError::Timeout("dispatching"))) {
                Ok(()) if failing => {
                    failing = false;
                    info!("dispatching works again");
                }
                Ok(()) => {}
                // once for each outage, not twice a second
                Err(e) if failing => debug!(error = %e, "dispatching still fails"),
                Err(e) => {
                    failing = true;
                    warn!(error = %e, "dispatching fails; tried again and again");
                }
            }
        }
    }

    /// Everything that waits, oldest first. An export that can't be dispatched does not hold up those behind it,
    /// unless it is the bus that fails for all: then they would only wait for it in turn. One that is to be canceled
    /// is passed over: its end comes as an outcome.
    async fn dispatch(&self, soft: &CancellationToken) -> Result<(), NotifierError> {
        let (mut after, mut failure) = (None, None);
        loop {
            let waiting = export::queued_after(&self.deps.db, after, self.config.dispatch_batch).await?;
            for row in &waiting {
                let Err(e) = self.dispatch_one(row).await else { continue };
                if matches!(e, NotifierError::Bus(_)) && !self.has_jobs_stream().await {
                    return Err(e);
                }
                debug!(export.id = %row.id, error = %e, "an export can't be dispatched");
                failure = Some(e);
            }
            after = waiting.last().map(export::Model::export_id);
            if (waiting.len() as u64) < self.config.dispatch_batch || soft.is_cancelled() {
                return failure.map_or(Ok(()), Err);
            }
        }
    }

    /// Whether the stream of jobs answers: what can't be published then can't be for a reason of its own.
    async fn has_jobs_stream(&self) -> bool {
        self.deps.bus.jetstream().get_stream(subject::STREAM_JOBS).await.is_ok()
    }

    async fn dispatch_one(&self, row: &export::Model) -> Result<(), NotifierError> {
        let id = row.export_id();
        self.publish_job(row, id.to_string()).await?;
        // before the row moves on, so that a crash in between repeats it instead of losing it
        if row.credits != 0 {
            events::credits(&self.deps.bus, &self.deps.db, row, CreditStep::Hold).await?;
        }
        let moved = transition::dispatched(&self.deps.db, id, self.deps.clock.now()).await?;
        metrics::counter!("sluice_notifier_dispatched_total").increment(u64::from(moved));
        debug!(export.id = %id, export.moved = moved, "dispatched");
        Ok(())
    }

    /// Publishes the job of an export anew if it has none although it should. True when it had none.
    ///
    /// # Errors
    /// When the stream doesn't answer.
    pub(crate) async fn revive(&self, row: &export::Model) -> Result<bool, NotifierError> {
        if waits(&self.deps.bus, subject::STREAM_JOBS, &job_subject(row)).await? {
            return Ok(false);
        }
        // the stream may still know the first id
        let id = format!("{}:{}:{}", row.id, row.attempt, row.updated_at.timestamp_micros());
        self.publish_job(row, id).await?;
        Ok(true)
    }

    async fn publish_job(&self, row: &export::Model, message_id: String) -> Result<(), NotifierError> {
        let job = Job { export_id: row.export_id(), owner: row.owner() };
        let message = Envelope::new(message_id, events::traceparent(row), job);
        Ok(self.deps.bus.publish_durable(job_subject(row), &message.id, &message).await?)
    }
}

/// A lane that this version does not know is served with the patient ones.
fn job_subject(row: &export::Model) -> String {
    let lane = Lane::ALL.into_iter().find(|lane| lane.as_str() == row.lane).unwrap_or(Lane::Bulk);
    subject::job(&row.pool, lane, row.export_id())
}
