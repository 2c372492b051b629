//! Takes jobs: one durable pull consumer for each lane, and a slot before each pull.
//!
//! Slots are permits that move into the job's task, so that a job is only ever pulled by somebody who can run it at
//! once. Bulk exports have a second semaphore, smaller than the first: some slots are never theirs.

mod attempt;
mod cancel;
mod job;
mod keeper;
mod outcome;
pub(crate) mod plan;

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{
    AckKind, Message,
    consumer::{AckPolicy, PullConsumer, pull},
};
use futures::StreamExt;
use platform::{bus::Bus, clock::SharedClock, lifecycle::Lifecycle, store::FileStore};
use protocol::subject::{self, Lane};
use sea_orm::DatabaseConnection;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

pub(crate) use self::cancel::{Cancels, listen};
use crate::{ExporterConfig, catalog::Current, drain::Drain};

/// One pull waits this long for a job, then looks up whether it should still wait.
const PULL: Duration = Duration::from_secs(3);
/// Pauses after failures grow from this …
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What all jobs of a process share.
pub(crate) struct Worker {
    pub(crate) config: ExporterConfig,
    pub(crate) catalog: Current,
    pub(crate) bus: Bus,
    pub(crate) db: DatabaseConnection,
    pub(crate) store: FileStore,
    pub(crate) clock: SharedClock,
    /// The name under which this process claims exports.
    pub(crate) instance: String,
    pub(crate) cancels: Cancels,
    /// Cancelled when running jobs must be handed over.
    pub(crate) hand_over: CancellationToken,
    /// The running jobs.
    pub(crate) jobs: TaskTracker,
    /// Whether to take no new ones.
    pub(crate) drain: Drain,
}

/// Starts to take jobs of both lanes.
pub(crate) fn start(worker: &Arc<Worker>, life: &Lifecycle) {
    let slots = Slots {
        all: Arc::new(Semaphore::new(worker.config.slots())),
        bulk: Arc::new(Semaphore::new(worker.config.bulk_slots())),
    };
    let (all, bulk) = (worker.config.slots(), worker.config.bulk_slots());
    for (lane, slots) in [(Lane::Interactive, all), (Lane::Bulk, bulk)] {
        metrics::gauge!("sluice_exporter_slots", "lane" => lane.as_str()).set(slots as f64);
    }
    for lane in Lane::ALL {
        life.spawn_critical("worker", take(Arc::clone(worker), lane, slots.clone(), life.clone()));
    }
}

/// After the soft stop: lets running jobs go on for a while, then has the rest handed over.
pub(crate) async fn drain(worker: &Worker, soft: &CancellationToken) {
    soft.cancelled().await;
    worker.jobs.close();
    if tokio::time::timeout(worker.config.drain(), worker.jobs.wait()).await.is_err() {
        info!(exporter.jobs = worker.jobs.len(), "handing over what still runs");
        worker.hand_over.cancel();
        worker.jobs.wait().await;
    }
}

/// Counts as a job in hand for as long as it lives, however that ends.
struct Busy(Lane);

impl Busy {
    fn new(lane: Lane) -> Self {
        metrics::gauge!("sluice_exporter_running", "lane" => lane.as_str()).increment(1);
        Self(lane)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        metrics::gauge!("sluice_exporter_running", "lane" => self.0.as_str()).decrement(1);
    }
}

/// How many jobs run at once.
#[derive(Clone)]
struct Slots {
    all: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
}

/// The right to run one job.
struct Slot {
    _all: OwnedSemaphorePermit,
    _bulk: Option<OwnedSemaphorePermit>,
}

impl Slots {
    /// Waits for a slot of this lane. None: the process is at its end.
    async fn take(&self, lane: Lane) -> Option<Slot> {
        let bulk = match lane {
            Lane::Interactive => None,
            Lane::Bulk => Some(Arc::clone(&self.bulk).acquire_owned().await.ok()?),
        };
        Some(Slot { _bulk: bulk, _all: Arc::clone(&self.all).acquire_owned().await.ok()? })
    }
}

/// Takes jobs of a lane until the soft stop, through any failure of NATS.
async fn take(worker: Arc<Worker>, lane: Lane, slots: Slots, life: Lifecycle) -> Result<(), std::convert::Infallible> {
    let mut pause = FIRST_PAUSE;
    let mut consumer: Option<PullConsumer> = None;
    loop {
        let slot = tokio::select! {
            () = life.soft().cancelled() => return Ok(()),
            slot = async {
                worker.drain.is_off().await;
                slots.take(lane).await
            } => slot,
        };
        let Some(slot) = slot else { return Ok(()) };
        let begun = Instant::now();
        let pulled = tokio::select! {
            // a job that arrives in this moment is given to another exporter after its ack wait
            () = life.soft().cancelled() => return Ok(()),
            pulled = pull(&worker, lane, &mut consumer) => pulled,
        };
        match pulled {
            Ok(None) => pause = FIRST_PAUSE,
            Ok(Some(message)) if worker.drain.is_on() => {
                // the pull was on its way when an operator had us drain: another exporter takes it
                if let Err(e) = message.ack_with(AckKind::Nak(None)).await {
                    warn!(error = %e, "a job can't be given back; it goes to another after its ack wait");
                }
            }
            Ok(Some(message)) => {
                pause = FIRST_PAUSE;
                let job = Arc::clone(&worker);
                let busy = Busy::new(lane);
                life.spawn(worker.jobs.track_future(async move {
                    job::handle(&job, message).await;
                    drop((slot, busy));
                }));
            }
            Err(e) => {
                warn!(lane = lane.as_str(), error = %e, pause_ms = pause.as_millis() as u64, "can't pull jobs");
                metrics::counter!("sluice_exporter_pull_failures_total", "lane" => lane.as_str()).increment(1);
                drop(slot);
                consumer = None;
                tokio::select! {
                    () = life.soft().cancelled() => return Ok(()),
                    () = tokio::time::sleep(pause.saturating_sub(begun.elapsed())) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Waits a while for one job. The consumer is made anew after each failure.
async fn pull(
    worker: &Worker,
    lane: Lane,
    known: &mut Option<PullConsumer>,
) -> Result<Option<Message>, async_nats::Error> {
    let consumer = match known {
        Some(consumer) => consumer,
        None => {
            let stream = worker.bus.jetstream().get_stream(subject::STREAM_JOBS).await?;
            let made = stream.create_consumer(consumer_config(&worker.config, lane)).await?;
            info!(lane = lane.as_str(), pool = %worker.config.pool, "taking jobs");
            known.insert(made)
        }
    };
    let mut batch = consumer.batch().max_messages(1).expires(PULL).messages().await?;
    batch.next().await.transpose()
}

fn consumer_config(config: &ExporterConfig, lane: Lane) -> pull::Config {
    pull::Config {
        durable_name: Some(subject::job_consumer(&config.pool, lane)),
        description: Some(format!("{} exports of the pool {}", lane.as_str(), config.pool)),
        filter_subject: subject::jobs_of(&config.pool, lane),
        ack_policy: AckPolicy::Explicit,
        ack_wait: config.ack_wait(),
        // attempts are counted in the database, as handing over and waiting for a lease deliver again too
        max_deliver: -1,
        max_ack_pending: -1,
        ..pull::Config::default()
    }
}
