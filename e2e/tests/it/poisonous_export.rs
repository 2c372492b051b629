//! An export that kills its process: it kills one exporter, runs alone from then on, and fails; its neighbours complete.

use e2e::{ExportPause, Fleet, Plan};
use entity::export;
use protocol::{client::ExportCreate, credits::CreditsView, export::Status, id::ExportId, problem::Slug, subject};
use sea_orm::ConnectionTrait;
use testkit::{eventually, fault::kill_9};

/// The log line of an exporter that starts a process for one export.
const STARTED: &str = "running an export in a process of its own";

/// Waits until an attempt has stored rows, and is then held by the pause.
async fn held(fleet: &Fleet, id: ExportId, attempt: i32) {
    eventually("the attempt has stored rows", async || {
        let row = export::find(&fleet.database.db, id).await.expect("a database").expect("a row");
        (row.attempt == attempt && row.rows > 0).then_some(())
    })
    .await;
}

/// Ends the database sessions of killed processes, as the server does when it notices the end of a connection.
async fn end_sessions(fleet: &Fleet) {
    let waiting = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    fleet.database.db.execute_unprepared(waiting).await.expect("a valid statement");
}

/// Waits until the exporter has started this number of processes, and returns the pid of the last one.
async fn own_process(fleet: &Fleet, exporter: usize, count: usize) -> u32 {
    eventually("the exporter starts a process", || {
        let log = fleet.exporters[exporter].stderr();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(STARTED)).collect();
        let pid = lines.get(count - 1).and_then(|line| {
            let (_, after) = line.split_once("process.pid")?;
            let digits = after.trim_start_matches(|c: char| !c.is_ascii_digit());
            digits.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()
        });
        std::future::ready(pid)
    })
    .await
}

/// Whether a process that is no child of the test has ended. Its new parent may not have read its exit status yet.
fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // the state follows the name, which is in parentheses
    stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z'))
}

#[tokio::test]
async fn an_export_that_kills_its_process_fails_alone() {
    let mut fleet = Fleet::start(Plan { postgres: true, ..Plan::default() }).await;
    let pause = ExportPause::begin(&fleet).await;
    let mut client = fleet.client().await;
    let poisonous = client.create(ExportCreate { dataset: "flights".into(), ..ExportCreate::default() }).await;
    held(&fleet, poisonous.id, 1).await;
    fleet.exporters[0].kill();
    end_sessions(&fleet).await;
    fleet.add_exporter();

    for crash in 1..=2 {
        let pid = own_process(&fleet, 1, crash).await;
        held(&fleet, poisonous.id, crash as i32 + 1).await;
        if crash == 1 {
            // a small export beside the process completes
            let other = client.create(ExportCreate { dataset: "menus".into(), ..ExportCreate::default() }).await;
            let done = client.ended(other.id).await;
            assert_eq!((done.status, done.attempt), (Status::Completed, 1), "{}", fleet.logs());
        }
        kill_9(pid);
        end_sessions(&fleet).await;
    }
    let done = client.ended(poisonous.id).await;
    assert_eq!(done.status, Status::Failed, "{}", fleet.logs());
    let problem = done.problem.expect("a failed export has a problem");
    assert_eq!(problem.slug(), Slug::ExportFailed);
    assert!(problem.detail.contains("stopped 3 times while it worked on this export"), "{problem}");
    pause.end().await;

    let credits: CreditsView = fleet.rest().get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (4, 0), "only the other export costs a credit");
    let bus = fleet.nats.bus().await;
    let dead = bus.jetstream().get_stream(subject::STREAM_DEAD).await.expect("the stream exists");
    assert_eq!(dead.get_info().await.expect("an answer").state.messages, 1);
    // the same exporter takes further exports
    let last = client.create(ExportCreate { dataset: "menus".into(), ..ExportCreate::default() }).await;
    assert_eq!(client.ended(last.id).await.status, Status::Completed);
    assert!(fleet.exporters[1].memory().current > 0, "the exporter still runs");
}

#[tokio::test]
async fn slow_an_export_survives_the_death_of_every_exporter_that_runs_it() {
    let mut fleet = Fleet::start(Plan { postgres: true, ..Plan::default() }).await;
    let pause = ExportPause::begin(&fleet).await;
    let mut client = fleet.client().await;
    let innocent = client.create(ExportCreate { dataset: "flights".into(), ..ExportCreate::default() }).await;
    held(&fleet, innocent.id, 1).await;
    fleet.exporters[0].kill();
    end_sessions(&fleet).await;
    for exporter in 1..=3 {
        fleet.add_exporter();
        let pid = own_process(&fleet, exporter, 1).await;
        held(&fleet, innocent.id, exporter as i32 + 1).await;
        fleet.exporters[exporter].kill();
        // the process of the export ends with its exporter
        end_sessions(&fleet).await;
        eventually("the process has ended", || std::future::ready(has_ended(pid).then_some(()))).await;
    }
    pause.end().await;
    fleet.add_exporter();
    let done = client.ended(innocent.id).await;
    assert_eq!((done.status, done.problem), (Status::Completed, None), "{}", fleet.logs());
    let row = export::find(&fleet.database.db, innocent.id).await.expect("a database").expect("a row");
    assert_eq!((row.abandoned_attempts, row.crashed_attempts), (1, 0), "only the first attempt was abandoned");
}
