//! Processes whose clocks are wrong, by an hour in both directions and stepped while they run: every export ends with its
//! file, and `/readyz` and a metric tell of the clock.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use e2e::{Fleet, Plan};
use platform::clock::{Clock, SystemClock};
use protocol::{
    client::{Deliver, ExportCreate},
    export::Status,
};
use serde_json::Value;
use tempfile::TempDir;
use testkit::{eventually, fault::free_port, rest::Rest};

const MIB: u64 = 1024 * 1024;
const HOUR: i64 = 3600;

/// The clocks of the processes of a fleet, each in a file that its process reads.
struct Clocks(TempDir);

impl Clocks {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("the folder for temporary files is writable"))
    }

    fn file(&self, service: &str) -> PathBuf {
        self.0.path().join(service)
    }

    /// Moves the clock of a service to this many seconds ahead of the machine's.
    fn set(&self, service: &str, seconds: i64) {
        // a reader must never see half a number
        let new = self.file("new");
        std::fs::write(&new, seconds.to_string()).expect("the file is writable");
        std::fs::rename(new, self.file(service)).expect("the file is writable");
    }
}

/// Streams all flights, and checks the file and the times of its export.
async fn export_flights(fleet: &Fleet) {
    let mut client = fleet.client().await;
    let create = ExportCreate {
        dataset: "flights".into(),
        deliver: Deliver::Stream,
        window: Some(MIB),
        ..ExportCreate::default()
    };
    let export = client.create(create).await;
    let opened = client.opened(export.id, MIB).await;
    let sealed = client.collect(opened, false).await.seal().clone();
    let done = client.ended(export.id).await;
    assert_eq!((done.status, done.attempt), (Status::Completed, 1), "{:?}\n{}", done.problem, fleet.logs());
    let file = fleet.rest().get(&done.links.file).await;
    assert_eq!(testkit::sha256(&file.body), sealed.sha256, "the download differs from the stream");
    // all times are those of the database, whose clock is right
    let now = SystemClock.now();
    let times = [Some(done.requested_at), done.started_at, done.completed_at];
    for time in times.map(|time| DateTime::<Utc>::from(time.expect("a completed export has its times"))) {
        assert!((now - time).abs() < TimeDelta::minutes(10), "{time} is far from {now}");
    }
    let kept = DateTime::<Utc>::from(done.expires_at.expect("a file has a retention")) - now;
    assert!(kept > TimeDelta::minutes(50), "the file is kept for {kept}");
}

/// Waits until a service tells of the difference of its clock; 0 for none.
async fn assert_told(metrics: &Rest, readyz: &Rest, seconds: i64) {
    let line = async || {
        let text = metrics.get("/metrics").await.text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix("sluice_clock_ahead_of_database_seconds "))?
            .parse::<f64>()
            .ok()?;
        ((value - seconds as f64).abs() < 30.0).then_some(())
    };
    eventually("the metric shows the difference", line).await;
    let readiness: Value = readyz.get("/readyz").await.json();
    let dependencies = readiness["dependencies"].as_array().expect("a list").clone();
    let clock = dependencies.iter().find(|dependency| dependency["name"] == "clock").expect("the clock is listed");
    assert_eq!((&clock["ok"], &readiness["ready"]), (&Value::from(seconds == 0), &Value::from(true)), "{readiness}");
    if seconds != 0 {
        let side = if seconds > 0 { "ahead of" } else { "behind" };
        assert!(clock["detail"].as_str().is_some_and(|detail| detail.contains(side)), "{clock}");
    }
}

#[tokio::test]
async fn slow_exports_end_with_their_files_while_each_process_has_another_wrong_clock() {
    let clocks = Clocks::new();
    let [gateway, notifier, exporter] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
    let settings = vec![
        ("SLUICE_GATEWAY__INTERNAL_LISTEN", gateway.clone()),
        ("SLUICE_NOTIFIER__INTERNAL_LISTEN", notifier.clone()),
        ("SLUICE_EXPORTER__INTERNAL_LISTEN", exporter.clone()),
    ];
    for service in ["gateway", "exporter", "notifier"] {
        clocks.set(service, 0);
    }
    let own_settings = |service: &str| vec![("PLATFORM_TEST_CLOCK", clocks.file(service).display().to_string())];
    clocks.set("gateway", HOUR);
    clocks.set("exporter", -HOUR);
    let plan = Plan { settings, postgres: true, ..Plan::default() };
    let fleet = Fleet::start_with(plan, own_settings).await;
    let (metrics, public) = (Rest::new(&format!("http://{gateway}"), None), Rest::new(fleet.url(), None));
    let exporter = Rest::new(&format!("http://{exporter}"), None);
    assert_told(&metrics, &public, HOUR).await;
    assert_told(&exporter, &exporter, -HOUR).await;
    export_flights(&fleet).await;

    // stepped while they run, the other way
    clocks.set("gateway", -HOUR);
    clocks.set("exporter", HOUR);
    clocks.set("notifier", 2 * HOUR);
    assert_told(&metrics, &public, -HOUR).await;
    let internal = Rest::new(&format!("http://{notifier}"), None);
    assert_told(&internal, &internal, 2 * HOUR).await;
    assert_told(&exporter, &exporter, HOUR).await;
    export_flights(&fleet).await;

    for service in ["gateway", "exporter", "notifier"] {
        clocks.set(service, 0);
    }
    assert_told(&metrics, &public, 0).await;
    assert_told(&exporter, &exporter, 0).await;
    let stale = fleet.logs().lines().filter(|line| line.contains("renews its lease")).count();
    assert_eq!(stale, 0, "{}", fleet.logs());
}

#[tokio::test]
async fn a_step_of_a_clock_ends_no_running_export() {
    let clocks = Clocks::new();
    let own_settings = |service: &str| vec![("PLATFORM_TEST_CLOCK", clocks.file(service).display().to_string())];
    // the highest compression level: the export runs longer than all steps together
    let settings = vec![("SLUICE_EXPORTER__ZSTD_LEVEL", "19".to_owned())];
    let fleet = Fleet::start_with(Plan { settings, ..Plan::default() }, own_settings).await;
    let mut client = fleet.client().await;
    let compression = Some("zstd".into());
    let export =
        client.create(ExportCreate { dataset: "flights".into(), compression, ..ExportCreate::default() }).await;
    let row = async || entity::export::find(&fleet.database.db, export.id).await.expect("a database").expect("a row");
    eventually("the export runs", async || row().await.worker.is_some().then_some(())).await;
    for seconds in [HOUR, -HOUR, 0] {
        for service in ["exporter", "notifier"] {
            clocks.set(service, seconds);
        }
        let before = row().await.renewals;
        eventually("the lease is renewed", async || {
            let row = row().await;
            (row.renewals > before + 1 || row.status != Status::Running.as_str()).then_some(())
        })
        .await;
    }
    let row = row().await;
    assert_eq!((row.attempt, row.abandoned_attempts, row.job_number), (1, 0, 0), "{}", fleet.logs());
    client.cancel(export.id).await;
}
