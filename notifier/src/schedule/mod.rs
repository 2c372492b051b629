//! What happens by the clock.
//!
//! The scheduler only rings: the work runs on the [`Lifecycle`], one round at a time, so that a slow round is never
//! overtaken by the next and a stop waits for it.

mod sweep;

use std::{sync::Arc, time::Duration};

use platform::lifecycle::Lifecycle;
use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler};
use tracing::warn;

use self::sweep::Sweep;
use crate::{app::Deps, config::NotifierConfig, dispatch::Dispatcher, error::NotifierError, settle::Settler};

/// Starts the schedule.
///
/// # Errors
/// When the scheduler does not start.
pub(crate) async fn start(
    config: &Arc<NotifierConfig>,
    deps: Deps,
    settler: Arc<Settler>,
    dispatcher: Arc<Dispatcher>,
    life: &Lifecycle,
) -> Result<(), NotifierError> {
    // one ring is enough; while it waits, further ones are dropped
    let (ring, rings) = mpsc::channel(1);
    let mut scheduler = JobScheduler::new().await?;
    let every = Duration::from_secs(config.sweep_s);
    let bell = ring.clone();
    let job = Job::new_repeated_async(every, move |_, _| {
        let bell = bell.clone();
        Box::pin(async move { strike(&bell) })
    })?;
    scheduler.add(job).await?;
    scheduler.start().await?;
    // what was left behind by whoever ran before
    strike(&ring);

    let sweep = Sweep::new(deps, settler, dispatcher, Arc::clone(config));
    let soft = life.soft().clone();
    life.spawn_critical("schedule", async move {
        sweep.run(rings, &soft).await;
        scheduler.shutdown().await
    });
    Ok(())
}

fn strike(bell: &mpsc::Sender<()>) {
    match bell.try_send(()) {
        Ok(()) | Err(mpsc::error::TrySendError::Full(())) => {}
        Err(mpsc::error::TrySendError::Closed(())) => warn!("the sweep has stopped; nobody hears the schedule"),
    }
}
