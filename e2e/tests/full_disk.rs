//! Disks that are full: of the file store, and of temporary files.
//!
//! Every case runs with a limit of the process on the size of its files, which needs no privilege and works on any machine;
//! and again on a file system of a few MiB, for which the test has to be allowed to mount one in a namespace of its own.
//! Where that is refused, it says so.

#![expect(clippy::print_stdout, reason = "what could not be tried is told")]

use std::{path::Path, process::Command};

use e2e::{Fleet, Plan};
use platform::{config::StoreConfig, store::FileStore};
use protocol::{
    credits::CreditsView,
    delivery,
    export::{Export, ExportRequest, Status},
    problem::Slug,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{
    eventually,
    fault::{Launch, Process},
};

/// Room for a first segment, and not for what comes after it.
const ROOM_KIB: u64 = 2 << 10;

/// How the exporter comes to have no room.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Means {
    /// A file system of [`ROOM_KIB`].
    Mount,
    /// No file may be larger than [`ROOM_KIB`].
    Limit,
}

impl Means {
    /// The means that this machine allows.
    fn all() -> Vec<Self> {
        let mount = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/tmp"]).output();
        match mount {
            Ok(tried) if tried.status.success() => vec![Self::Limit, Self::Mount],
            refused => {
                println!("this machine lets nobody mount ({refused:?}): full by a limit on the size of files alone");
                vec![Self::Limit]
            }
        }
    }

    /// The command with a folder in which there is no room.
    fn fill(self, launch: Launch, folder: &Path) -> Launch {
        let folder = folder.display();
        match self {
            // the shell counts in blocks of 512 bytes; a signal would end the process instead of an error
            Self::Limit => launch.after_script(&format!("trap '' XFSZ\nulimit -f {}", ROOM_KIB * 2)),
            Self::Mount => {
                let mounted = launch.after_script(&format!("mount -t tmpfs -o size={ROOM_KIB}k none '{folder}'"));
                mounted.wrapped_by("unshare", &["-rm"])
            }
        }
    }
}

struct House {
    fleet: Fleet,
    exporter: Process,
    means: Means,
}

impl House {
    /// A fleet whose exporter has no room in this folder, be it the file store's or that of temporary files.
    async fn start(means: Means, folder: impl Fn(&Fleet) -> std::path::PathBuf, spool: &Path) -> Self {
        // on PostgreSQL, as the limit would hold for a database in a file too
        let settings = vec![
            ("SLUICE_EXPORTER__MAX_ATTEMPTS", "2".to_owned()),
            ("SLUICE_EXPORTER__SPOOL_DIR", spool.display().to_string()),
            // larger than the room
            ("SLUICE_EXPORTER__SEGMENT_SIZE", "4 MiB".to_owned()),
        ];
        let mut fleet = Fleet::start(Plan { postgres: true, settings, ..Plan::default() }).await;
        // a gateway is only ready once it has seen an exporter; this one has room, and goes
        fleet.exporters.clear();
        let folder = folder(&fleet);
        let exporter = means.fill(fleet.sluice(&["exporter"]), &folder).spawn();
        let house = Self { fleet, exporter, means };
        let rest = house.fleet.rest();
        eventually("the exporter offers its datasets", async || {
            rest.get("/v1/datasets/flights").await.status.is_success().then_some(())
        })
        .await;
        house
    }

    /// The file store as the exporter sees it.
    fn store(&self) -> FileStore {
        let path = self.fleet.store.path().display();
        let seen = match self.means {
            Means::Limit => path.to_string(),
            Means::Mount => format!("/proc/{}/root{path}", self.exporter.pid()),
        };
        let config = StoreConfig { url: format!("file://{seen}"), ..StoreConfig::default() };
        FileStore::open(&config).expect("the folder is there")
    }

    /// Exports, and gives what came of it.
    async fn ended(&self, body: Value) -> Export {
        let rest = self.fleet.rest();
        let request: ExportRequest = serde_json::from_value(body).expect("a request");
        rest.ended(rest.create(&request).await.id).await
    }

    /// The export failed for want of room, left nothing, and cost nothing.
    async fn failed(&self, export: Export, why: &str) {
        let rest = self.fleet.rest();
        let log = || self.exporter.stderr();
        assert_eq!((export.status, export.file.as_ref()), (Status::Failed, None), "{export:?}\n{}", log());
        let problem = export.problem.clone().expect("a failed export says why");
        assert_eq!(problem.slug(), Slug::ExportFailed, "{problem}");
        assert!(problem.detail.contains(why), "{problem}\n{}", log());
        let file = rest.get(&export.links.file).await;
        assert_eq!(file.status, StatusCode::CONFLICT, "no file looks whole: {}", file.text());
        let metadata = rest.get(&export.links.metadata).await;
        assert!(!metadata.status.is_success(), "{}", metadata.text());
        eventually("nothing of it is left in the store", async || {
            let left = self.store().list(&delivery::export_prefix(export.id)).await;
            left.expect("the store can be listed").is_empty().then_some(())
        })
        .await;
        let credits: CreditsView = rest.get("/v1/credits").await.json();
        assert_eq!((credits.balance, credits.held), (5, 0), "the credit is back");
    }

    /// What fits is still exported afterwards.
    async fn goes_on(&self) {
        let small = self.ended(json!({"dataset": "menus"})).await;
        assert_eq!(small.status, Status::Completed, "{:?}\n{}", small.problem, self.exporter.stderr());
    }
}

#[tokio::test]
async fn a_full_file_store_fails_the_export_and_says_so() {
    for means in Means::all() {
        let spool = tempfile::tempdir().expect("the folder for temporary files is writable");
        let store = |fleet: &Fleet| fleet.store.path().to_owned();
        let house = House::start(means, store, spool.path()).await;
        let done = house.ended(json!({"dataset": "flights"})).await;
        house.failed(done, "the file store is full").await;
        house.goes_on().await;
    }
}

#[tokio::test]
async fn a_full_disk_for_temporary_files_fails_the_export_and_says_so() {
    for means in Means::all() {
        let spool = tempfile::tempdir().expect("the folder for temporary files is writable");
        let house = House::start(means, |_| spool.path().to_owned(), spool.path()).await;
        // two passes, workbooks, and archives of workbooks
        for body in [
            json!({"dataset": "flights", "template": "spreadsheet"}),
            json!({"dataset": "flights", "format": "xlsx"}),
            json!({"dataset": "flights", "format": "xlsx-zip"}),
        ] {
            let done = house.ended(body).await;
            house.failed(done, "disk for temporary files is full").await;
        }
        house.goes_on().await;
    }
}
