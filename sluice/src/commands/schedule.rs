//! `sluice schedule`: what runs by the clock, straight from the database, so that it can be seen with no notifier running.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use entity::job;
use platform::{
    bus::Bus,
    clock::{Clock, SystemClock},
};
use protocol::{
    envelope::TraceContext,
    ops::{RunRequest, ScheduledJob},
    subject,
    time::Timestamp,
};
use sea_orm::DatabaseConnection;
use tokio::time::Instant;

use super::{CommandError, migrate};
use crate::{
    cli::{RunOptions, ScheduleCommand, ScheduleOptions},
    output,
    settings::Settings,
};

/// How often to look whether a run has ended.
const LOOK: Duration = Duration::from_millis(100);
/// How long NATS may take to hear a hint.
const HINT: Duration = Duration::from_secs(3);

/// Shows the schedule, or asks for a run.
///
/// # Errors
/// When the database can't be reached or isn't up to date, there is no such job, or the run that was waited for failed.
pub async fn run(options: &ScheduleOptions, settings: &Settings) -> Result<(), CommandError> {
    let db = platform::db::connect(&settings.database).await?;
    migrate::check(&db).await?;
    match &options.command {
        None => show(&db, options.json).await,
        Some(ScheduleCommand::Run(run)) => run_now(run, options.json, &db, settings).await,
    }
}

async fn show(db: &DatabaseConnection, json: bool) -> Result<(), CommandError> {
    let jobs: Vec<_> = job::all(db).await?.into_iter().map(ScheduledJob::from).collect();
    if json {
        output::print_json(&jobs)?;
    } else if jobs.is_empty() {
        output::print("nothing is scheduled: no notifier has run on this database yet")?;
    } else {
        output::print(&table(&jobs))?;
    }
    Ok(())
}

/// Notes the wish, and tells the notifiers of it. They find it without that too, a moment later.
async fn run_now(
    options: &RunOptions,
    json: bool,
    db: &DatabaseConnection,
    settings: &Settings,
) -> Result<(), CommandError> {
    let name = &options.name;
    // as exactly as every database keeps it
    let asked = SystemClock.now().trunc_subsecs(3);
    let before = job::find(db, name).await?;
    let Some(before) = before else {
        let names: Vec<_> = job::all(db).await?.into_iter().map(|row| row.name).collect();
        return Err(CommandError::NoJob { name: name.clone(), names: names.join(", ") });
    };
    job::request(db, name, asked).await?;
    match tokio::time::timeout(HINT, hint(name, settings)).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => output::note(&format!("the notifiers were not told ({e}); they look by themselves")),
        Err(_) => output::note("the notifiers were not told, as NATS does not answer; they look by themselves"),
    }
    if !options.wait {
        return Ok(output::print(&format!("{name} will run"))?);
    }
    let row = ended(db, name, asked, before.runs, options.timeout).await?;
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

async fn hint(name: &str, settings: &Settings) -> Result<(), platform::bus::BusError> {
    let bus = Bus::join(&settings.nats, "sluice-schedule", &[]).await?;
    let trace = TraceContext::generate().traceparent();
    bus.publish_lossy(subject::OPS_DUE.into(), &trace, &RunRequest { name: name.to_owned() }).await?;
    bus.flush().await
}

/// The job after a run that began after it was asked for.
async fn ended(
    db: &DatabaseConnection,
    name: &str,
    asked: DateTime<Utc>,
    runs: i64,
    timeout: Duration,
) -> Result<job::Model, CommandError> {
    let began = Instant::now();
    loop {
        if let Some(row) = job::find(db, name).await?
            && row.runs > runs
            && row.requested_at != Some(asked)
        {
            return Ok(row);
        }
        if began.elapsed() >= timeout {
            return Err(CommandError::NotRun { name: name.to_owned(), waited_s: timeout.as_secs() });
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn table(jobs: &[ScheduledJob]) -> String {
    let time = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    let mut rows = vec![["JOB", "SCHEDULE", "LAST RUN", "TOOK", "RESULT", "NEXT RUN", ""].map(str::to_owned)];
    rows.extend(jobs.iter().map(|job| {
        // a runner that died leaves it so until another takes over
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

    use entity::terms::{CreditsConfig, Terms};
    use platform::lifecycle::Lifecycle;
    use testkit::{db::TestDatabase, nats::NatsServer, store::Folder};

    use super::*;

    struct Place {
        settings: Settings,
        database: TestDatabase,
        nats: NatsServer,
        folder: Folder,
        life: Lifecycle,
    }

    impl Place {
        async fn new() -> Self {
            let (database, nats, folder) =
                (testkit::db::sqlite().await, NatsServer::start().await, testkit::store::folder());
            let settings = Settings { database: database.config.clone(), nats: nats.config(), ..Settings::default() };
            Self { settings, database, nats, folder, life: Lifecycle::new() }
        }

        /// A notifier that looks into the table once an hour, so that only a hint wakes it, and sweeps once a year.
        async fn notifier(&self) {
            let bus = self.nats.bus().await;
            let deps = notifier::Deps {
                bus: bus.clone(),
                db: self.database.db.clone(),
                store: self.folder.store(),
                clock: Arc::new(SystemClock),
                terms: Terms::try_from(&CreditsConfig::default()).unwrap(),
                backup: None,
                metrics: None,
            };
            let config = notifier::NotifierConfig {
                schedule_poll_ms: 3_600_000,
                sweep_cron: "0 0 1 1 *".into(),
                ..self.settings.notifier.clone()
            };
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            notifier::start(config, deps, listener, &self.life).await.unwrap();
            // from here on it hears
            bus.flush().await.unwrap();
        }

        async fn run(&self, name: &str, wait: bool, timeout: Duration) -> Result<(), CommandError> {
            let command = Some(ScheduleCommand::Run(RunOptions { name: name.into(), wait, timeout }));
            run(&ScheduleOptions { json: false, command }, &self.settings).await
        }
    }

    #[tokio::test]
    async fn a_run_is_asked_for_and_waited_for_and_its_failure_is_ours() {
        let place = Place::new().await;
        place.notifier().await;
        let minute = Duration::from_secs(60);
        place.run("sweep", true, minute).await.unwrap();
        let row = job::find(&place.database.db, "sweep").await.unwrap().unwrap();
        assert_eq!((row.runs, row.result.as_deref(), row.requested_at), (1, Some("ok"), None));

        let exports = place.folder.path().join("exports");
        std::os::unix::fs::symlink(&exports, &exports).unwrap();
        let failed = place.run("sweep", true, minute).await.unwrap_err().to_string();
        assert_eq!(failed, "sweep failed: orphaned objects: 1 failed");
        let unknown = place.run("nightly", true, minute).await.unwrap_err().to_string();
        assert!(unknown.contains("midnight, patrol, sweep"), "{unknown}");
        assert_eq!(place.life.failure(), None);
    }

    #[tokio::test]
    async fn without_a_notifier_the_schedule_is_shown_and_a_wait_ends() {
        let place = Place::new().await;
        show(&place.database.db, false).await.unwrap();
        let due = "2026-11-22T16:00:00Z".parse().unwrap();
        job::ensure(&place.database.db, "sweep", "0 * * * * UTC", due).await.unwrap();
        let waited = place.run("sweep", true, Duration::from_secs(1)).await.unwrap_err().to_string();
        assert!(waited.contains("within 1 s"), "{waited}");
        let jobs: Vec<_> = job::all(&place.database.db).await.unwrap().into_iter().map(ScheduledJob::from).collect();
        let text = table(&jobs);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "JOB    SCHEDULE       LAST RUN  TOOK  RESULT  NEXT RUN");
        assert_eq!(lines[1], "sweep  0 * * * * UTC  never     -     -       now");
    }
}
