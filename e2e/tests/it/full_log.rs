//! The disk of the logs is full.

use e2e::Fleet;
use protocol::export::{ExportRequest, Status};
use serde_json::json;
use testkit::{eventually, fault::Launch, sha256, small_disk::SmallDisk};

/// Redirects both outputs to a device that refuses each write as a full disk does.
const LOGS_ON_A_FULL_DISK: &str = "exec >/dev/full 2>&1";
/// The size of a disk that has room for the logs of a test, in MiB.
const LOGS_MIB: u32 = 32;

#[tokio::test]
async fn exports_complete_while_the_disk_of_the_logs_is_full() {
    let mut fleet = Fleet::small().await;
    let launch = |service: &str| {
        let launch = Launch::sluice([service]).envs(fleet.settings_of(service));
        launch.env("SLUICE_LOG__FILTER", "debug").after_script(LOGS_ON_A_FULL_DISK)
    };
    let (notifier, exporter) = (launch("notifier").spawn(), launch("exporter").spawn());
    let url = fleet.url().to_owned();
    let gateway = launch("gateway").env("SLUICE_GATEWAY__LISTEN", url.trim_start_matches("http://"));
    fleet.notifiers = vec![notifier];
    fleet.exporters = vec![exporter];
    fleet.gateways.clear();
    let mut gateway = gateway.spawn();
    gateway.ready(&format!("{url}/readyz")).await;
    let rest = fleet.rest();
    for format in ["csv", "parquet"] {
        let request: ExportRequest =
            serde_json::from_value(json!({"dataset": "menus", "format": format})).expect("a request");
        let export = rest.ended(rest.create(&request).await.id).await;
        assert_eq!(export.status, Status::Completed, "{:?}", export.problem);
        let file = export.file.expect("a completed export has a file");
        assert_eq!(sha256(&rest.get(&export.links.file).await.body), file.sha256);
    }
    for process in [&mut gateway, &mut fleet.exporters[0], &mut fleet.notifiers[0]] {
        assert_eq!(process.exit_status(), None, "a service that can't log continues");
    }
}

#[tokio::test]
async fn logs_are_written_again_when_their_disk_has_space() {
    let Some(disk) = SmallDisk::mount(LOGS_MIB) else { return };
    let mut fleet = Fleet::small().await;
    let services = ["notifier", "exporter"];
    let log = |service: &str| disk.folder().join(service);
    let mut processes: Vec<_> = services
        .iter()
        .map(|service| {
            let launch = Launch::sluice([service]).envs(fleet.settings_of(service));
            let launch = launch.env("SLUICE_LOG__FILTER", "debug");
            launch.after_script(&format!("exec >>'{}' 2>&1", log(service).display())).spawn()
        })
        .collect();
    (fleet.exporters, fleet.notifiers) = (vec![], vec![]);
    let written = |service: &str| std::fs::read_to_string(log(service)).expect("a log is text");
    let rest = fleet.rest();
    let export = async || {
        let request = serde_json::from_value(json!({"dataset": "menus"})).expect("a request");
        let export = rest.ended(rest.create(&request).await.id).await;
        assert_eq!(export.status, Status::Completed, "{:?}", export.problem);
        export.id.to_string()
    };
    let first = export().await;
    for service in services {
        eventually("the log names the export", async || written(service).contains(&first).then_some(())).await;
    }
    let filler = disk.fill();
    export().await;
    assert!(std::fs::write(disk.folder().join("probe"), "x").is_err(), "the disk is full all the time");
    drop(filler);
    let last = export().await;
    for service in services {
        eventually("the log is written again", async || written(service).contains(&last).then_some(())).await;
    }
    for process in &mut processes {
        assert_eq!(process.exit_status(), None, "a service that can't log continues");
    }
}
