//! Wakes the schedule poller at due times, with tokio-cron-scheduler.
//!
//! A trigger only makes the next poll happen sooner; [`super::poller`] decides whether a job is due.
//! tokio-cron-scheduler is not sufficient for this decision: it runs in each process separately, does not repeat missed
//! times, and ignores clock changes after the start of the process.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_cron_scheduler::{Job as Trigger, JobScheduler};

use super::{job::Job, recurrence::Recurrence};
use crate::error::NotifierError;

/// Starts a trigger for each scheduled job. The trigger notifies `wake_up` at the due times of the job.
///
/// # Errors
/// When the scheduler does not start, or rejects a cron expression.
pub(super) async fn start(jobs: &[Arc<dyn Job>], wake_up: &Arc<Notify>) -> Result<JobScheduler, NotifierError> {
    let scheduler = JobScheduler::new().await?;
    for job in jobs {
        let trigger = match job.recurrence() {
            Recurrence::Every(interval) => {
                let wake_up = Arc::clone(wake_up);
                let interval = interval.to_std().unwrap_or(Duration::MAX);
                Trigger::new_repeated(interval, move |_, _| wake_up.notify_one())?
            }
            Recurrence::Cron { expression, time_zone, .. } => cron_trigger(&expression, time_zone, wake_up)?,
            Recurrence::Midnight(policy) => cron_trigger("0 0 * * *", policy.time_zone, wake_up)?,
        };
        scheduler.add(trigger).await?;
    }
    scheduler.start().await?;
    Ok(scheduler)
}

fn cron_trigger(expression: &str, time_zone: chrono_tz::Tz, wake_up: &Arc<Notify>) -> Result<Trigger, NotifierError> {
    let wake_up = Arc::clone(wake_up);
    // tokio-cron-scheduler requires a field for seconds
    let expression =
        if expression.split_whitespace().count() == 5 { format!("0 {expression}") } else { expression.to_owned() };
    let trigger = Trigger::new_async_tz(expression, time_zone, move |_, _| {
        let wake_up = Arc::clone(&wake_up);
        Box::pin(async move { wake_up.notify_one() })
    });
    Ok(trigger?)
}
