//! `sluice schedule`: shows and starts scheduled jobs. The command reads and writes the database directly, so that it
//! can show the jobs while no notifier runs.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use entity::scheduled_job;
use platform::{bus::Bus, clock};
use protocol::{
    envelope::TraceContext,
    ops::{RunRequest, ScheduledJob},
    subject,
    time::Timestamp,
};
use sea_orm::DatabaseConnection;
use tokio::time::Instant;

use super::CommandError;
use crate::{
    cli::{RunOptions, ScheduleCommand, ScheduleOptions},
    output, schema,
    settings::Settings,
};

/// The interval at which the command polls for the end of a run.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The time limit for sending a message to the notifiers over NATS.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(3);

/// Shows the scheduled jobs, or requests a run of one job.
///
/// # Errors
/// When the database can't be reached or isn't up to date, the job does not exist, or the awaited run failed.
pub async fn run(options: &ScheduleOptions, settings: &Settings) -> Result<(), CommandError> {
    let db = platform::db::connect(&settings.database).await?;
    schema::check(&db).await?;
    match &options.command {
        None => show(&db, options.json).await,
        Some(ScheduleCommand::Run(run)) => run_now(run, options.json, &db, settings).await,
    }
}

async fn show(db: &DatabaseConnection, json: bool) -> Result<(), CommandError> {
    let jobs: Vec<_> = scheduled_job::all(db).await?.into_iter().map(ScheduledJob::from).collect();
    if json {
        output::print_json(&jobs)?;
    } else if jobs.is_empty() {
        output::print("no scheduled jobs: no notifier has run on this database yet")?;
    } else {
        output::print(&table(&jobs))?;
    }
    Ok(())
}

/// Records a request for a run in the database, and notifies the notifiers. If the notification fails, a notifier finds
/// the request at its next poll.
async fn run_now(
    options: &RunOptions,
    json: bool,
    db: &DatabaseConnection,
    settings: &Settings,
) -> Result<(), CommandError> {
    let name = &options.name;
    // truncate to milliseconds, which every database stores exactly, because the wait compares this time with the
    // stored time
    let requested_at = clock::read_database(db).await?.trunc_subsecs(3);
    let before = scheduled_job::find(db, name).await?;
    let Some(before) = before else {
        let names: Vec<_> = scheduled_job::all(db).await?.into_iter().map(|row| row.name).collect();
        return Err(CommandError::NoJob { name: name.clone(), names: names.join(", ") });
    };
    scheduled_job::request(db, name, requested_at).await?;
    match tokio::time::timeout(NOTIFY_TIMEOUT, notify(name, settings)).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => {
            output::note(&format!("failed to notify the notifiers ({e}); they find the request at their next poll"))
        }
        Err(_) => output::note(
            "failed to notify the notifiers (NATS does not answer); they find the request at their next poll",
        ),
    }
    if !options.wait {
        return Ok(output::print(&format!("{name} will run"))?);
    }
    let row = wait_for_run(db, name, requested_at, before.runs, options.timeout).await?;
    let ok = row.result.as_deref() == Some("ok");
    let row = ScheduledJob::from(row);
    if json {
        output::print_json(&row)?;
    } else if ok {
        let took = row.duration_ms.unwrap_or_default();
        output::print(&format!("{name} ran in {took} ms: {}", row.detail.as_deref().unwrap_or("done")))?;
    }
    if ok { Ok(()) } else { Err(CommandError::JobFailed { name: row.name, detail: row.detail.unwrap_or_default() }) }
}

async fn notify(name: &str, settings: &Settings) -> Result<(), platform::bus::BusError> {
    let bus = Bus::join(&settings.nats, "sluice-schedule", &[]).await?;
    let trace = TraceContext::generate().traceparent();
    bus.publish_lossy(subject::OPS_DUE.into(), &trace, &RunRequest { name: name.to_owned() }).await?;
    bus.flush().await
}

/// Waits for the end of a run that started after the request, and returns the row of the job.
async fn wait_for_run(
    db: &DatabaseConnection,
    name: &str,
    requested_at: DateTime<Utc>,
    runs: i64,
    timeout: Duration,
) -> Result<scheduled_job::Model, CommandError> {
    let began = Instant::now();
    loop {
        if let Some(row) = scheduled_job::find(db, name).await?
            && row.runs > runs
            && row.requested_at != Some(requested_at)
        {
            return Ok(row);
        }
        if began.elapsed() >= timeout {
            return Err(CommandError::NotRun { name: name.to_owned(), waited_s: timeout.as_secs() });
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn table(jobs: &[ScheduledJob]) -> String {
    let time = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    let mut rows = vec![["JOB", "SCHEDULE", "LAST RUN", "TOOK", "RESULT", "NEXT RUN", ""].map(str::to_owned)];
    rows.extend(jobs.iter().map(|job| {
        // if a notifier dies during a run, the run counts as running until another notifier takes over
        let running = job.started_at > job.ended_at;
        let result = if running { "running" } else { job.result.as_deref().unwrap_or("-") };
        let took = job.duration_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
        let next = if job.requested_at.is_some() { "now".to_owned() } else { job.due_at.to_string() };
        let detail = job.detail.clone().unwrap_or_default().replace('\n', " ");
        [job.name.clone(), job.schedule.clone(), time(job.ended_at), took, result.to_owned(), next, detail]
    }));
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use entity::credit_policy::{CreditPolicy, CreditsConfig};
    use platform::{clock::SystemClock, lifecycle::Lifecycle};
    use testkit::{db::TestDatabase, nats::NatsServer, store::Folder};

    use super::*;

    struct Installation {
        settings: Settings,
        database: TestDatabase,
        nats: NatsServer,
        folder: Folder,
        life: Lifecycle,
    }

    impl Installation {
        async fn new() -> Self {
            let (database, nats, folder) =
                (testkit::db::sqlite().await, NatsServer::start().await, testkit::store::folder());
            let settings = Settings { database: database.config.clone(), nats: nats.config(), ..Settings::default() };
            Self { settings, database, nats, folder, life: Lifecycle::new() }
        }

        /// Starts a notifier that polls the table of jobs only once an hour, so that a job runs earlier only after a
        /// notification. The scheduled job `sweep` runs once a year.
        async fn notifier(&self) {
            let bus = self.nats.bus().await;
            let deps = notifier::Deps {
                bus: bus.clone(),
                db: self.database.db.clone(),
                store: self.folder.store(),
                clock: Arc::new(SystemClock),
                credit_policy: CreditPolicy::new(&CreditsConfig::default(), "UTC").unwrap(),
                backup: None,
                metrics: None,
            };
            let mut config =
                notifier::NotifierConfig { sweep_schedule: "0 0 1 1 *".into(), ..self.settings.notifier.clone() };
            config.tuning.schedule_poll_interval = platform::units::HumanDuration::from_secs(60 * 60);
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            notifier::start(config, deps, listener, &self.life).await.unwrap();
            // the subscriptions of the notifier are active now
            bus.flush().await.unwrap();
        }

        async fn run(&self, name: &str, wait: bool, timeout: Duration) -> Result<(), CommandError> {
            let command = Some(ScheduleCommand::Run(RunOptions { name: name.into(), wait, timeout }));
            run(&ScheduleOptions { json: false, command }, &self.settings).await
        }
    }

    #[tokio::test]
    async fn an_awaited_run_succeeds_or_fails_the_command() {
        let installation = Installation::new().await;
        installation.notifier().await;
        let minute = Duration::from_secs(60);
        installation.run("sweep", true, minute).await.unwrap();
        let row = scheduled_job::find(&installation.database.db, "sweep").await.unwrap().unwrap();
        assert_eq!((row.runs, row.result.as_deref(), row.requested_at), (1, Some("ok"), None));

        let exports = installation.folder.path().join("exports");
        std::os::unix::fs::symlink(&exports, &exports).unwrap();
        let failed = installation.run("sweep", true, minute).await.unwrap_err().to_string();
        assert_eq!(failed, "sweep failed: orphaned objects: 1 failed");
        let unknown = installation.run("nightly", true, minute).await.unwrap_err().to_string();
        assert!(unknown.contains("daily-credits, reconcile, sweep"), "{unknown}");
        assert_eq!(installation.life.failure(), None);
    }

    #[tokio::test]
    async fn without_a_notifier_the_schedule_is_shown_and_a_wait_times_out() {
        let installation = Installation::new().await;
        show(&installation.database.db, false).await.unwrap();
        let due = "2026-11-22T16:00:00Z".parse().unwrap();
        scheduled_job::ensure(&installation.database.db, "sweep", "0 * * * * UTC", due).await.unwrap();
        let waited = installation.run("sweep", true, Duration::from_secs(1)).await.unwrap_err().to_string();
        assert!(waited.contains("within 1 s"), "{waited}");
        let jobs: Vec<_> =
            scheduled_job::all(&installation.database.db).await.unwrap().into_iter().map(ScheduledJob::from).collect();
        let text = table(&jobs);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "JOB    SCHEDULE       LAST RUN  TOOK  RESULT  NEXT RUN");
        assert_eq!(lines[1], "sweep  0 * * * * UTC  never     -     -       now");
    }
}
