//! The bell: tokio-cron-scheduler rings when a job is likely due.
//!
//! It does no more than that. It lives in one process and forgets what it missed, and it keeps the offset that a zone had
//! when the process began, so after a change of the clocks it rings an hour off. [`super::watch`] decides.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_cron_scheduler::{Job as Ring, JobScheduler};

use super::{job::Job, when::When};
use crate::error::NotifierError;

/// Starts to ring for these jobs.
///
/// # Errors
/// When the scheduler does not start, or takes a line for none.
pub(super) async fn start(jobs: &[Arc<dyn Job>], bell: &Arc<Notify>) -> Result<JobScheduler, NotifierError> {
    let scheduler = JobScheduler::new().await?;
    for job in jobs {
        let ring = match job.when() {
            When::Every(period) => {
                let bell = Arc::clone(bell);
                let period = period.to_std().unwrap_or(Duration::MAX);
                Ring::new_repeated(period, move |_, _| bell.notify_one())?
            }
            When::Cron { line, zone, .. } => at(&line, zone, bell)?,
            When::Midnight(terms) => at("0 0 * * *", terms.zone, bell)?,
        };
        scheduler.add(ring).await?;
    }
    scheduler.start().await?;
    Ok(scheduler)
}

fn at(line: &str, zone: chrono_tz::Tz, bell: &Arc<Notify>) -> Result<Ring, NotifierError> {
    let bell = Arc::clone(bell);
    // it wants seconds
    let line = if line.split_whitespace().count() == 5 { format!("0 {line}") } else { line.to_owned() };
    let ring = Ring::new_async_tz(line, zone, move |_, _| {
        let bell = Arc::clone(&bell);
        Box::pin(async move { bell.notify_one() })
    });
    Ok(ring?)
}
