//! Pulls jobs from NATS, from one durable pull consumer for each lane. The lanes are the two queues of a pool:
//! `interactive` for small exports, and `bulk` for all others.
//!
//! The exporter acquires a slot before each pull, so that it can run the pulled job at once. The task that runs the job
//! holds the slot.

use std::{convert::Infallible, sync::Arc, time::Duration};

use async_nats::jetstream::{
    AckKind, Message,
    consumer::{AckPolicy, PullConsumer, pull},
};
use futures::StreamExt;
use platform::{backoff::Backoff, lifecycle::Lifecycle};
use protocol::subject::{self, Lane};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    context::WorkerContext,
    job,
    slots::{RunningJob, Slot, Slots},
};
use crate::config::ExporterConfig;

/// The maximum time that one pull waits for a job. Between two pulls, the exporter checks whether it is
/// draining.
const PULL_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause after the first failed pull. The pause doubles with each further failure.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause after a failed pull.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Starts one task for each lane, which pulls the jobs of the lane.
pub(crate) fn start(context: &Arc<WorkerContext>, life: &Lifecycle) {
    let slots = Slots::new(&context.config);
    for lane in Lane::ALL {
        let puller = Puller { context: Arc::clone(context), lane, slots: slots.clone(), consumer: None };
        life.spawn_critical("worker", puller.run(life.clone()));
    }
}

/// Waits until the process begins to stop, which cancels `soft`. Then waits for the end of the running jobs, at most
/// for `exporter.shutdown_drain_timeout`. After this time, hands the unfinished jobs over to other exporters.
pub(crate) async fn drain(context: &WorkerContext, soft: &CancellationToken) {
    soft.cancelled().await;
    context.jobs.close();
    if tokio::time::timeout(context.config.shutdown_drain_timeout.get(), context.jobs.wait()).await.is_err() {
        info!(exporter.jobs = context.jobs.len(), "handing over running jobs");
        context.hand_over.cancel();
        context.jobs.wait().await;
    }
}

/// Pulls the jobs of one lane. The lane `interactive` has the small exports, and the lane `bulk` has all others.
struct Puller {
    context: Arc<WorkerContext>,
    lane: Lane,
    slots: Slots,
    /// The durable NATS consumer of the lane; None before the first pull and after a failed pull.
    consumer: Option<PullConsumer>,
}

impl Puller {
    /// Pulls jobs until the process begins to stop. After a failed pull, pauses and tries again.
    async fn run(mut self, life: Lifecycle) -> Result<(), Infallible> {
        let stop = life.soft().clone();
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        while let Some(Some(slot)) = stop.run_until_cancelled(self.slot()).await {
            let began = Instant::now();
            // NATS redelivers a job that arrives during the stop to another exporter after the ack wait
            let Some(pulled) = stop.run_until_cancelled(self.pull()).await else { break };
            match pulled {
                Ok(None) => backoff.reset(),
                Ok(Some(message)) if self.context.drain.is_on() => return_job(&message).await,
                Ok(Some(message)) => {
                    backoff.reset();
                    self.spawn(message, slot, &life);
                }
                Err(e) => {
                    drop(slot);
                    self.consumer = None;
                    let (lane, pause) = (self.lane.as_str(), backoff.next_pause());
                    warn!(lane, error = %e, pause_ms = pause.as_millis() as u64, "failed to pull jobs");
                    metrics::counter!("sluice_exporter_pull_failures_total", "lane" => lane).increment(1);
                    stop.run_until_cancelled(tokio::time::sleep(pause.saturating_sub(began.elapsed()))).await;
                }
            }
        }
        Ok(())
    }

    /// Waits for a free slot. If the exporter is draining, first waits until an operator has revoked the drain. The
    /// result is never None, because the semaphores of the slots are never closed.
    async fn slot(&self) -> Option<Slot> {
        self.context.drain.is_off().await;
        self.slots.acquire(self.lane).await
    }

    /// Waits for one job. Returns None if no job arrives within [`PULL_TIMEOUT`]. Creates the durable consumer before
    /// the first pull and after a failed pull.
    async fn pull(&mut self) -> Result<Option<Message>, async_nats::Error> {
        let consumer = match &mut self.consumer {
            Some(consumer) => consumer,
            missing => {
                let WorkerContext { bus, config, .. } = self.context.as_ref();
                let stream = bus.jetstream().get_stream(subject::STREAM_JOBS).await?;
                let consumer = stream.create_consumer(consumer_config(config, self.lane)).await?;
                info!(lane = self.lane.as_str(), pool = %config.pool, "pulling jobs");
                missing.insert(consumer)
            }
        };
        let mut batch = consumer.batch().max_messages(1).expires(PULL_TIMEOUT).messages().await?;
        batch.next().await.transpose()
    }

    /// Runs a job in a task, which holds the slot until the job ends.
    fn spawn(&self, message: Message, slot: Slot, life: &Lifecycle) {
        let context = Arc::clone(&self.context);
        let running = RunningJob::new(self.lane);
        life.spawn(self.context.jobs.track_future(async move {
            job::handle(&context, message).await;
            drop((slot, running));
        }));
    }
}

/// Returns a job to NATS, so that another exporter takes the job. A draining exporter returns a job that arrives after
/// the drain has begun.
async fn return_job(message: &Message) {
    if let Err(e) = message.ack_with(AckKind::Nak(None)).await {
        warn!(error = %e, "failed to return a job; NATS redelivers it after the ack wait");
    }
}

fn consumer_config(config: &ExporterConfig, lane: Lane) -> pull::Config {
    pull::Config {
        durable_name: Some(subject::job_consumer(&config.pool, lane)),
        description: Some(format!("{} exports of the pool {}", lane.as_str(), config.pool)),
        filter_subject: subject::jobs_filter(&config.pool, lane),
        ack_policy: AckPolicy::Explicit,
        ack_wait: config.ack_wait(),
        // the database counts attempts, because NATS redelivers a job also after a hand-over or a wait for a lease
        max_deliver: -1,
        max_ack_pending: -1,
        ..pull::Config::default()
    }
}
