//! Runs scheduled jobs, each on one notifier at a time.
//!
//! Each job has a row in `scheduled_job` with its due time, and a lease `job:<name>`. Every notifier polls the rows. If
//! a job is due, one notifier acquires the lease and runs the job. Only a successful run sets the next due time, in a
//! transaction that checks the lease. So after a missed or interrupted run, the job is still due, and a notifier runs
//! it after its next poll.
//!
//! - [`job`] defines the trait of a job, and [`recurrence`] defines its due times. [`jobs`] contains all jobs, and
//!   [`steps`] contains functions that several jobs call.
//! - [`cron_trigger`] and [`operator`] wake the poller, [`poller`] finds due jobs, and [`runner`] runs one.

mod cron_trigger;
mod job;
pub(crate) mod jobs;
mod operator;
mod poller;
pub(crate) mod recurrence;
mod runner;
mod steps;

use std::sync::Arc;

use entity::scheduled_job;
use platform::lifecycle::Lifecycle;
use protocol::subject;
use tokio::sync::Notify;
use tracing::warn;

use self::{
    job::Job,
    jobs::{
        backup::Backup, credit_audit::CreditAudit, daily_credits::DailyCredits, reconciler::Reconciler, sweep::Sweep,
    },
    operator::{RunHandler, ScheduleHandler},
    poller::{PolledJob, SchedulePoller},
    recurrence::Recurrence,
    runner::Runner,
};
use crate::{config::NotifierConfig, deps::Deps, error::NotifierError, requests::RequestServer, settle::Settler};

/// Creates all scheduled jobs.
///
/// # Errors
/// [`NotifierError::Config`] for an invalid cron expression.
fn all_jobs(
    config: &Arc<NotifierConfig>,
    deps: &Deps,
    settler: Arc<Settler>,
) -> Result<Vec<Arc<dyn Job>>, NotifierError> {
    let (deps, config) = (|| deps.clone(), || Arc::clone(config));
    let cron = |setting: &str, line: &str| Recurrence::cron(setting, line, config().schedule_time_zone);
    let audit_schedule = cron("the schedule of the credit audit", config().tuning.audit_schedule)?;
    let sweep_schedule = cron("notifier.sweep_schedule", &config().sweep_schedule)?;
    let mut jobs: Vec<Arc<dyn Job>> = vec![
        Arc::new(CreditAudit { deps: deps(), recurrence: audit_schedule }),
        Arc::new(DailyCredits { deps: deps(), batch: config().tuning.daily_grant_batch }),
        Arc::new(Reconciler { deps: deps(), settler, config: config() }),
        Arc::new(Sweep { deps: deps(), config: config(), recurrence: sweep_schedule }),
    ];
    jobs.extend(Backup::if_configured(&deps())?);
    Ok(jobs)
}

/// Starts the poller and a runner for each scheduled job. `instance` is the name of this notifier in the row of a job.
///
/// # Errors
/// When a cron expression is invalid, the cron scheduler does not start, or the NATS client is closed.
pub(crate) async fn start(
    config: &Arc<NotifierConfig>,
    deps: Deps,
    settler: Arc<Settler>,
    instance: &str,
    requests: &RequestServer<'_>,
    life: &Lifecycle,
) -> Result<(), NotifierError> {
    let jobs = all_jobs(config, &deps, settler)?;
    let now = deps.clock.now();
    for job in &jobs {
        let recurrence = job.recurrence();
        let ensured = scheduled_job::ensure(&deps.db, job.name(), &recurrence.to_string(), recurrence.first(now)).await;
        if let Err(e) = ensured {
            warn!(job.name = job.name(), error = %e, "failed to create the row of a scheduled job; the poller retries");
        }
    }

    // a `Notify` stores one wake-up while the poller is busy
    let wake_up = Arc::new(Notify::new());
    let mut scheduler = cron_trigger::start(&jobs, &wake_up).await?;
    let hints = deps.bus.subscribe(subject::OPS_DUE.into()).await?;
    let schedule_handler = ScheduleHandler { deps: deps.clone() };
    let run_handler = RunHandler { deps: deps.clone(), wake_up: Arc::clone(&wake_up) };
    requests.add("ops/schedule", "schedule", subject::OPS_SCHEDULE, schedule_handler).await?;
    requests.add("ops/run", "run", subject::OPS_RUN, run_handler).await?;

    let mut polled = Vec::with_capacity(jobs.len());
    for job in jobs {
        let due = Arc::new(Notify::new());
        polled.push(PolledJob { job: Arc::clone(&job), due: Arc::clone(&due) });
        let runner = Runner {
            deps: deps.clone(),
            job,
            instance: instance.to_owned(),
            lease_duration: config.lease_duration.get(),
            timeout: config.scheduled_job_timeout.get(),
            due,
        };
        life.spawn_critical("a scheduled job", runner.run(life.soft().clone()));
    }
    let interval = config.tuning.schedule_poll_interval.get();
    let poller = SchedulePoller { deps, jobs: polled, interval, wake_up };
    let shutdown = life.soft().clone();
    life.spawn_critical("schedule", async move {
        let ended = poller.run(hints, shutdown).await;
        scheduler.shutdown().await?;
        ended
    });
    Ok(())
}
