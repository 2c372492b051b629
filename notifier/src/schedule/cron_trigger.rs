//! Wakes the schedule poller at due times, by tokio-cron-scheduler.
//!
//! A trigger only makes the next poll come sooner; [`super::poller`] decides whether a job is due. tokio-cron-scheduler
//! runs in one process and forgets missed times, and it keeps the UTC offset of the start, so that it triggers an hour
//! off after a clock change.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_cron_scheduler::{Job as Trigger, JobScheduler};

use super::{job::Job, recurrence::Recurrence};
use crate::error::NotifierError;

/// Starts a trigger for each job, which wakes `poll`.
///
/// # Errors
/// When the scheduler does not start, or rejects a cron line.
pub(super) async fn start(jobs: &[Arc<dyn Job>], poll: &Arc<Notify>) -> Result<JobScheduler, NotifierError> {
    let scheduler = JobScheduler::new().await?;
    for job in jobs {
        let trigger = match job.recurrence() {
            Recurrence::Every(interval) => {
                let poll = Arc::clone(poll);
                let interval = interval.to_std().unwrap_or(Duration::MAX);
                Trigger::new_repeated(interval, move |_, _| poll.notify_one())?
            }
            Recurrence::Cron { line, time_zone, .. } => at(&line, time_zone, poll)?,
            Recurrence::Midnight(policy) => at("0 0 * * *", policy.time_zone, poll)?,
        };
        scheduler.add(trigger).await?;
    }
    scheduler.start().await?;
    Ok(scheduler)
}

fn at(line: &str, time_zone: chrono_tz::Tz, poll: &Arc<Notify>) -> Result<Trigger, NotifierError> {
    let poll = Arc::clone(poll);
    // tokio-cron-scheduler requires the field of seconds
    let line = if line.split_whitespace().count() == 5 { format!("0 {line}") } else { line.to_owned() };
    let trigger = Trigger::new_async_tz(line, time_zone, move |_, _| {
        let poll = Arc::clone(&poll);
        Box::pin(async move { poll.notify_one() })
    });
    Ok(trigger?)
}
