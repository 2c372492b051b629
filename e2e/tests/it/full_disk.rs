//! Full disks: of the file store, and of temporary files.
//!
//! Each test of a failure runs with a limit on the file size of the process, which needs no privilege, and again on a file
//! system of a few MiB.

use std::path::Path;

use e2e::{Fleet, Plan};
use platform::{config::StoreConfig, store::FileStore};
use protocol::{
    credits::CreditsView,
    delivery,
    export::{Export, ExportRequest, Status, WaitingFor},
    problem::Slug,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{
    eventually,
    fault::{Launch, Process},
    small_disk::{SmallDisk, permits_mounts},
};

/// The free space in KiB: enough for a first segment, but not for a second one.
const FREE_KIB: u64 = 2 << 10;
/// The size of a disk that has room for the temporary files of a test, in MiB.
const SPOOL_MIB: u32 = 128;

/// The cause of the full disk.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FullDisk {
    /// A file system with [`FREE_KIB`] KiB.
    Mount,
    /// A limit of [`FREE_KIB`] KiB on the size of each file.
    Limit,
}

impl FullDisk {
    /// The causes that this machine permits.
    fn all() -> Vec<Self> {
        if permits_mounts() { vec![Self::Limit, Self::Mount] } else { vec![Self::Limit] }
    }

    /// The command with a folder that is soon full.
    fn apply(self, launch: Launch, folder: &Path) -> Launch {
        let folder = folder.display();
        match self {
            // `ulimit -f` counts blocks of 512 bytes. Without the trap, the signal XFSZ would kill the process.
            Self::Limit => launch.after_script(&format!("trap '' XFSZ\nulimit -f {}", FREE_KIB * 2)),
            Self::Mount => {
                let mounted = launch.after_script(&format!("mount -t tmpfs -o size={FREE_KIB}k none '{folder}'"));
                mounted.wrapped_by("unshare", &["-rm"])
            }
        }
    }
}

struct Fixture {
    fleet: Fleet,
    exporter: Process,
    full_disk: FullDisk,
}

impl Fixture {
    /// Starts a fleet whose exporter has a full disk at this folder: the file store or the folder of temporary files.
    async fn start(full_disk: FullDisk, folder: impl Fn(&Fleet) -> std::path::PathBuf, spool: &Path) -> Self {
        // PostgreSQL, because the limit would apply to an SQLite file too.
        let settings = vec![
            // an export waits for a full disk, and then fails
            ("SLUICE_EXPORTER__EXPORT_OUTAGE_TIMEOUT", "1s".to_owned()),
            ("SLUICE_EXPORTER__SPOOL_DIR", spool.display().to_string()),
            // larger than the free space
            ("SLUICE_EXPORTER__SEGMENT_SIZE", "4 MiB".to_owned()),
        ];
        let mut fleet = Fleet::start(Plan { postgres: true, settings, ..Plan::default() }).await;
        // The gateway becomes ready only with an exporter, so the fleet starts with one that has free space.
        fleet.exporters.clear();
        let folder = folder(&fleet);
        let exporter = full_disk.apply(fleet.sluice(&["exporter"]), &folder).spawn();
        let fixture = Self { fleet, exporter, full_disk };
        let rest = fixture.fleet.rest();
        eventually("the exporter offers its datasets", async || {
            rest.get("/v1/datasets/flights").await.status.is_success().then_some(())
        })
        .await;
        fixture
    }

    /// The file store as the exporter sees it, in its own mount namespace.
    fn store(&self) -> FileStore {
        let path = self.fleet.store.path().display();
        let seen = match self.full_disk {
            FullDisk::Limit => path.to_string(),
            FullDisk::Mount => format!("/proc/{}/root{path}", self.exporter.pid()),
        };
        let config = StoreConfig { url: format!("file://{seen}"), ..StoreConfig::default() };
        FileStore::open(&config).expect("the folder exists")
    }

    /// Creates an export and returns it after its end.
    async fn export(&self, body: Value) -> Export {
        let rest = self.fleet.rest();
        let request: ExportRequest = serde_json::from_value(body).expect("a request");
        rest.ended(rest.create(&request).await.id).await
    }

    /// Asserts that the export failed with this cause, left no objects, and cost nothing.
    async fn assert_failed(&self, export: Export, cause: &str) {
        let rest = self.fleet.rest();
        let log = || self.exporter.stderr();
        assert_eq!((export.status, export.file.as_ref()), (Status::Failed, None), "{export:?}\n{}", log());
        let problem = export.problem.clone().expect("a failed export has a problem");
        assert_eq!(problem.slug(), Slug::ExportFailed, "{problem}");
        assert!(problem.detail.contains(cause), "{problem}\n{}", log());
        let file = rest.get(&export.links.file).await;
        assert_eq!(file.status, StatusCode::CONFLICT, "there must be no file: {}", file.text());
        let metadata = rest.get(&export.links.metadata).await;
        assert!(!metadata.status.is_success(), "{}", metadata.text());
        eventually("its objects are deleted from the store", async || {
            let left = self.store().list(&delivery::export_prefix(export.id)).await;
            left.expect("the store can be listed").is_empty().then_some(())
        })
        .await;
        let credits: CreditsView = rest.get("/v1/credits").await.json();
        assert_eq!((credits.balance, credits.held), (5, 0), "the credit is released");
    }

    /// Asserts that an export that fits still completes.
    async fn assert_small_export_completes(&self) {
        let small = self.export(json!({"dataset": "menus"})).await;
        assert_eq!(small.status, Status::Completed, "{:?}\n{}", small.problem, self.exporter.stderr());
    }
}

#[tokio::test]
async fn an_export_fails_with_a_clear_cause_when_the_file_store_is_full() {
    for full_disk in FullDisk::all() {
        let spool = tempfile::tempdir().expect("the folder for temporary files is writable");
        let store = |fleet: &Fleet| fleet.store.path().to_owned();
        let fixture = Fixture::start(full_disk, store, spool.path()).await;
        let done = fixture.export(json!({"dataset": "flights"})).await;
        fixture.assert_failed(done, "the file store is full").await;
        fixture.assert_small_export_completes().await;
    }
}

#[tokio::test]
async fn slow_an_export_fails_with_a_clear_cause_when_the_disk_of_temporary_files_is_full() {
    for full_disk in FullDisk::all() {
        let spool = tempfile::tempdir().expect("the folder for temporary files is writable");
        let fixture = Fixture::start(full_disk, |_| spool.path().to_owned(), spool.path()).await;
        // A template with two passes, a workbook, and an archive of workbooks.
        for body in [
            json!({"dataset": "flights", "template": "spreadsheet"}),
            json!({"dataset": "flights", "format": "xlsx"}),
            json!({"dataset": "flights", "format": "xlsx-zip"}),
        ] {
            let done = fixture.export(body).await;
            fixture.assert_failed(done, "disk for temporary files is full").await;
        }
        fixture.assert_small_export_completes().await;
    }
}

#[tokio::test]
async fn slow_exports_wait_while_the_disk_of_temporary_files_is_full_and_complete_when_it_has_space() {
    let Some(disk) = SmallDisk::mount(SPOOL_MIB) else { return };
    let settings = vec![
        ("SLUICE_EXPORTER__SPOOL_DIR", disk.folder().display().to_string()),
        ("SLUICE_CREDITS__INITIAL_BALANCE", "20".to_owned()),
        // all exports run at once
        ("SLUICE_EXPORTER__SLOTS", "8".to_owned()),
    ];
    let fleet = Fleet::start(Plan { settings, ..Plan::default() }).await;
    let rest = fleet.rest();
    let filler = disk.fill();
    let mut waiting = vec![];
    // the kinds of files that need temporary ones: two passes over the rows, a workbook, and an archive of workbooks
    for kind in [
        json!({"template": "spreadsheet"}),
        json!({"template": "spreadsheet", "compression": "gzip"}),
        json!({"format": "xlsx"}),
        json!({"format": "xlsx-zip"}),
    ] {
        let mut body = json!({"dataset": "flights", "filter": {"origin": {"eq": "SEA"}, "delay": {"gte": 30}}});
        for (name, value) in kind.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let request: ExportRequest = serde_json::from_value(body).expect("a request");
        waiting.push(rest.create(&request).await.id);
    }
    for id in &waiting {
        eventually("the export waits for storage", async || {
            let export = rest.export(*id).await;
            assert!(export.status.is_unfinished(), "{:?}\n{}", export.problem, fleet.logs());
            (export.progress.waiting_for == Some(WaitingFor::Storage)).then_some(())
        })
        .await;
    }
    drop(filler);
    for id in waiting {
        let done = rest.ended(id).await;
        assert_eq!(done.status, Status::Completed, "{:?}\n{}", done.problem, fleet.logs());
        let file = rest.get(&done.links.file).await;
        assert_eq!(Some(testkit::sha256(&file.body)), done.file.map(|file| file.sha256));
    }
}
