//! What happens by the clock.
//!
//! Each job has a row in `scheduled_job` that says when it is due, and a lease `job:<name>`. Every notifier looks at the
//! rows; of those that find a job due, one takes the lease and runs it. The due time moves on only when a run has ended
//! well, in a transaction that proves the lease: a run that was missed, or died, is made up by whoever looks next.
//!
//! - [`job`] says what a job is; [`jobs`] lists them; [`when`] says when they are due.
//! - [`bell`] and [`ops`] ring, [`watch`] looks, [`runner`] runs.

mod audit;
mod bell;
mod each;
pub(crate) mod job;
mod midnight;
mod ops;
mod patrol;
mod runner;
mod sweep;
mod watch;
pub(crate) mod when;

use std::{sync::Arc, time::Duration};

use async_nats::service::Service;
use chrono::{DateTime, TimeDelta, Utc};
use platform::lifecycle::Lifecycle;
use protocol::subject;
use tokio::sync::Notify;

use self::{
    audit::Audit,
    job::Job,
    midnight::Midnight,
    patrol::Patrol,
    runner::Runner,
    sweep::Sweep,
    watch::{Watch, Watched},
    when::When,
};
use crate::{
    app::Deps, backup::job::Backup, config::NotifierConfig, delivery::requests, dispatch::Dispatcher,
    error::NotifierError, settle::Settler,
};

/// All that runs by the clock.
///
/// # Errors
/// [`NotifierError::Config`] for a schedule that can't work.
fn jobs(
    config: &Arc<NotifierConfig>,
    deps: &Deps,
    settler: &Arc<Settler>,
    dispatcher: &Arc<Dispatcher>,
) -> Result<Vec<Arc<dyn Job>>, NotifierError> {
    let (deps, config) = (|| deps.clone(), || Arc::clone(config));
    let (settler, dispatcher) = (|| Arc::clone(settler), || Arc::clone(dispatcher));
    let cron = |setting: &str, line: &str| When::cron(setting, line, &config().schedule_zone);
    let mut jobs: Vec<Arc<dyn Job>> = vec![
        Arc::new(Audit { deps: deps(), when: cron("audit_cron", &config().audit_cron)? }),
        Arc::new(Midnight { deps: deps(), batch: config().credits_batch }),
        Arc::new(Patrol { deps: deps(), settler: settler(), dispatcher: dispatcher(), config: config() }),
        Arc::new(Sweep {
            deps: deps(),
            settler: settler(),
            dispatcher: dispatcher(),
            when: cron("sweep_cron", &config().sweep_cron)?,
            config: config(),
        }),
    ];
    jobs.extend(Backup::of(&deps())?);
    Ok(jobs)
}

/// Starts the schedule. `instance` names this notifier to operators; `service` is where they ask.
///
/// # Errors
/// When a schedule can't work, or the database or NATS does not answer.
pub(crate) async fn start(
    config: &Arc<NotifierConfig>,
    deps: Deps,
    settler: Arc<Settler>,
    dispatcher: Arc<Dispatcher>,
    instance: &str,
    service: &Service,
    life: &Lifecycle,
) -> Result<(), NotifierError> {
    let jobs = jobs(config, &deps, &settler, &dispatcher)?;
    let now = deps.clock.now();
    for job in &jobs {
        let when = job.when();
        entity::job::ensure(&deps.db, job.name(), &when.to_string(), when.first(now)).await?;
    }

    // one ring is enough; further ones until the next look are the same
    let bell = Arc::new(Notify::new());
    let mut scheduler = bell::start(&jobs, &bell).await?;
    let hints = deps.bus.subscribe(subject::OPS_DUE.into()).await?;
    let (limit, lister) = (config.delivery_concurrency, ops::Lister { deps: deps.clone() });
    let starter = ops::Starter { deps: deps.clone(), bell: Arc::clone(&bell) };
    let schedule = requests::endpoint(service, "schedule", subject::OPS_SCHEDULE).await?;
    let run = requests::endpoint(service, "run", subject::OPS_RUN).await?;
    life.spawn_critical("ops/schedule", requests::answer(schedule, Arc::new(lister), limit, life.clone()));
    life.spawn_critical("ops/run", requests::answer(run, Arc::new(starter), limit, life.clone()));

    let mut watched = Vec::with_capacity(jobs.len());
    for job in jobs {
        let ring = Arc::new(Notify::new());
        watched.push(Watched { job: Arc::clone(&job), ring: Arc::clone(&ring) });
        let runner = Runner {
            deps: deps.clone(),
            job,
            instance: instance.to_owned(),
            term: Duration::from_millis(config.lease_ms),
            deadline: Duration::from_secs(config.schedule_deadline_s),
            ring,
        };
        life.spawn_critical("a scheduled job", runner.run(life.soft().clone()));
    }
    let watch = Watch { deps, jobs: watched, poll: Duration::from_millis(config.schedule_poll_ms), bell };
    let soft = life.soft().clone();
    life.spawn_critical("schedule", async move {
        let watched = watch.run(hints, soft).await;
        scheduler.shutdown().await?;
        watched
    });
    Ok(())
}

/// A setting as a duration; one that is too large is as good as for ever.
fn seconds(seconds: u64) -> TimeDelta {
    i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds).unwrap_or(TimeDelta::MAX)
}

/// So many seconds before.
fn ago(now: DateTime<Utc>, ago: u64) -> DateTime<Utc> {
    now.checked_sub_signed(seconds(ago)).unwrap_or(DateTime::UNIX_EPOCH)
}
