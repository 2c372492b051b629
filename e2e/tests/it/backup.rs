//! Backups under load: an empty installation is restored from them and has every confirmed export.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use e2e::{Fleet, Plan};
use entity::{entry, export, ledger};
use protocol::{
    export::{Export, ExportRequest, Status},
    id::ExportId,
};
use reqwest::StatusCode;
use sea_orm::{DatabaseConnection, EntityTrait, PaginatorTrait};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{db::Postgres, eventually, fault::Process, rest::Rest, s3::S3Server, sha256};
use tokio::task::JoinSet;

/// A key pair that only tests use.
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

const USERS: [&str; 3] = ["alice", "bob", "carol"];

fn settings() -> Vec<(&'static str, String)> {
    vec![
        ("SLUICE_CREDITS__INITIAL_BALANCE", "1000".to_owned()),
        // Lost messages are reconciled soon.
        ("SLUICE_NOTIFIER__COMMAND_RECONCILE_INTERVAL", "1s".to_owned()),
    ]
}

/// A request for the flights that match a filter.
fn flights(filter: Value) -> ExportRequest {
    request(json!({"dataset": "flights", "filter": filter}))
}

/// A request for a small file. Each number gives a different request, because identical ones would be joined.
fn counts(number: usize) -> ExportRequest {
    let muscles = ["muscle1".to_owned(), format!("muscle{number}")];
    request(json!({"dataset": "menu_category_counts", "params": {"muscles": muscles}}))
}

fn request(body: Value) -> ExportRequest {
    serde_json::from_value(body).unwrap()
}

/// The exports that clients know of.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Accepted exports, and the user of each.
    accepted: BTreeMap<ExportId, &'static str>,
    /// Completed exports, as the gateway describes them.
    completed: BTreeMap<ExportId, Export>,
}

/// Users who export one file after the other until the load ends.
struct Load {
    known: Arc<Mutex<Known>>,
    stop: Arc<AtomicBool>,
    users: JoinSet<()>,
}

impl Load {
    fn start(fleet: &Fleet) -> Self {
        let (known, stop) = (Arc::new(Mutex::new(Known::default())), Arc::new(AtomicBool::new(false)));
        let mut users = JoinSet::new();
        for user in USERS {
            let (rest, known, stop) = (rest(fleet, user), Arc::clone(&known), Arc::clone(&stop));
            users.spawn(async move {
                for number in 2.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let id = rest.create(&counts(number)).await.id;
                    known.lock().unwrap().accepted.insert(id, user);
                    let ended = rest.ended(id).await;
                    assert_eq!(ended.status, Status::Completed, "{:?}", ended.problem);
                    known.lock().unwrap().completed.insert(id, ended);
                }
            });
        }
        Self { known, stop, users }
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap().clone()
    }

    async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(user) = self.users.join_next().await {
            user.expect("every export of the load completed");
        }
    }
}

fn rest(fleet: &Fleet, user: &str) -> Rest {
    Rest::new(fleet.url(), Some(&fleet.token(user, "acme")))
}

/// An empty installation without running services.
async fn empty_installation(postgres: bool, settings: Vec<(&'static str, String)>) -> Fleet {
    Fleet::start(Plan { gateways: 0, exporters: 0, notifiers: 0, postgres, settings, ..Plan::default() }).await
}

async fn run(fleet: &Fleet, args: &[&str]) -> Process {
    fleet.sluice(args).run().await
}

/// Runs a command that must succeed. Returns its stdout as JSON.
async fn json(fleet: &Fleet, args: &[&str]) -> Value {
    let mut process = run(fleet, args).await;
    assert!(process.ended().await.success(), "{args:?}: {}", process.stderr());
    serde_json::from_str(&process.stdout()).unwrap_or_else(|e| panic!("{e}: {}", process.stdout()))
}

/// Runs a command that must fail. Returns its stderr.
async fn refused(fleet: &Fleet, args: &[&str]) -> String {
    let mut process = run(fleet, args).await;
    assert!(!process.ended().await.success(), "{args:?}: {}", process.stdout());
    process.stderr()
}

/// The state of the scheduled job `backup`.
async fn backup_job(fleet: &Fleet) -> Option<Value> {
    let jobs = json(fleet, &["schedule", "--json"]).await;
    jobs.as_array().unwrap().iter().find(|job| job["name"] == "backup").cloned()
}

fn count(report: &Value, name: &str) -> u64 {
    report["contents"]["counts"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"))
}

/// Creates a backup during exports. Returns the exports that clients knew before the backup, and its report.
async fn back_up_under_load(fleet: &Fleet, args: &[&str]) -> (Known, Value) {
    let load = Load::start(fleet);
    let dave = rest(fleet, "dave");
    let seattle = dave.create(&flights(json!({"origin": {"eq": "SEA"}}))).await.id;
    let seattle = dave.ended(seattle).await;
    assert_eq!(seattle.status, Status::Completed, "{:?}", seattle.problem);
    eventually("some exports are completed", async || (load.known().completed.len() >= 6).then_some(())).await;
    // Large exports that run and wait during the backup.
    let mut large = vec![];
    for n in 0..3 {
        large.push(dave.create(&flights(json!({"delay": {"gte": n}}))).await.id);
    }
    let mut before = load.known();
    before.accepted.extend(large.into_iter().chain([seattle.id]).map(|id| (id, "dave")));
    before.completed.insert(seattle.id, seattle);
    // A user who does not wait for the end of each export.
    let submitting = async {
        let erin = rest(fleet, "erin");
        for number in 2..22 {
            erin.create(&counts(number)).await;
        }
        std::future::pending().await
    };
    let report = tokio::select! {
        report = json(fleet, args) => report,
        never = submitting => never,
    };
    let accepted = export::Entity::find().count(&fleet.database.db).await.unwrap();
    assert!(accepted > before.accepted.len() as u64, "no export was accepted during the backup");
    load.end().await;
    (before, report)
}

/// Connects again: a restore replaces the SQLite file that the fleet's pool has opened.
async fn reconnect(fleet: &Fleet) -> DatabaseConnection {
    platform::db::connect(&fleet.database.config).await.unwrap()
}

/// Asserts that the restored tables have the row counts of the backup.
async fn assert_counts_match(fleet: &Fleet, report: &Value) {
    let db = &reconnect(fleet).await;
    assert_eq!(export::Entity::find().count(db).await.unwrap(), count(report, "exports"));
    assert_eq!(entry::Entity::find().count(db).await.unwrap(), count(report, "ledger_entries"));
    assert_eq!(ledger::audit(db).await.unwrap(), []);
}

/// Asserts that every known export exists with its bytes, and that unfinished exports complete after a restart.
async fn assert_everything_restored(fleet: &mut Fleet, before: &Known) {
    fleet.add_notifier();
    fleet.add_exporter();
    fleet.add_gateway();
    let url = fleet.url().to_owned();
    fleet.gateways[0].ready(&format!("{url}/readyz")).await;
    for (id, user) in &before.accepted {
        let rest = rest(fleet, user);
        let export = rest.ended(*id).await;
        assert_eq!(export.status, Status::Completed, "{:?}\n{}", export.problem, fleet.logs());
        let file = export.file.expect("a completed export has a file");
        if let Some(confirmed) = before.completed.get(id) {
            assert_eq!(Some(&file), confirmed.file.as_ref(), "the file differs from the confirmed one");
        }
        let answer = rest.get(&export.links.file).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!((answer.body.len() as u64, sha256(&answer.body)), (file.size, file.sha256));
    }
    let db = &reconnect(fleet).await;
    eventually("all exports are completed, and every account matches its ledger", async || {
        let rows = export::Entity::find().all(db).await.unwrap();
        let ended = rows.iter().all(|row| row.status == Status::Completed.as_str());
        (ended && ledger::audit(db).await.unwrap().is_empty()).then_some(())
    })
    .await;
}

/// Flips one bit in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// Finds a file below a folder whose path contains all of these parts.
fn find(folder: &Path, parts: &[&str]) -> std::path::PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if parts.iter().all(|part| path.to_string_lossy().contains(part)) {
                return path;
            }
        }
    }
    panic!("no {parts:?} in {}", folder.display())
}

#[tokio::test]
async fn slow_sqlite_and_a_folder_are_restored_from_a_folder_and_a_damaged_backup_is_refused() {
    let folder = TempDir::new().unwrap();
    let to = folder.path().to_str().unwrap();
    let fleet = Fleet::start(Plan { exporters: 2, settings: settings(), ..Plan::default() }).await;
    let (before, report) = back_up_under_load(&fleet, &["backup", "--to", to, "--json"]).await;
    assert!(count(&report, "files") >= before.completed.len() as u64 && count(&report, "unfinished") > 0, "{report}");
    assert_eq!(report["manifest"]["encrypted"], false);
    assert_eq!(backup_job(&fleet).await, None, "a backup to another destination does not count as the scheduled one");
    let omitted = report["contents"]["omitted_secrets"].to_string();
    assert!(omitted.contains("nats.password") && omitted.contains("database.url"), "{omitted}");

    let id = report["manifest"]["id"].as_str().unwrap().to_owned();
    let listed = json(&fleet, &["backup", "list", "--to", to, "--json"]).await;
    assert_eq!(listed[0]["id"].as_str(), Some(id.as_str()), "{listed}");

    // A restore refuses an installation in use. Then everything is destroyed.
    let occupied = refused(&fleet, &["restore", to, "--yes"]).await;
    assert!(occupied.contains("the table export has rows") && occupied.contains("the file store has"), "{occupied}");
    drop(fleet);

    let mut fleet = empty_installation(false, settings()).await;
    for parts in [["/files/", ".zst"], ["/backups/", "database."], ["/backups/", "contents."]] {
        let tampered = find(folder.path(), &parts);
        flip(&tampered);
        let error = refused(&fleet, &["restore", to, "--yes"]).await;
        assert!(error.contains("damaged") || error.contains("bytes with SHA-256"), "{error}");
        assert!(refused(&fleet, &["backup", "verify", &id, "--to", to]).await.contains("damaged"));
        flip(&tampered);
    }
    assert_eq!(std::fs::read_dir(fleet.store.path()).unwrap().count(), 0, "a refused restore changed the file store");

    let verified = json(&fleet, &["backup", "verify", &id, "--to", to, "--json"]).await;
    assert_eq!(verified["objects"].as_u64(), Some(count(&report, "objects")));
    let restored = json(&fleet, &["restore", to, "--yes", "--json"]).await;
    assert_eq!(restored["contents"], report["contents"]);
    assert_eq!(restored["objects_verified"].as_u64(), Some(count(&report, "objects")));
    assert_counts_match(&fleet, &report).await;
    assert_everything_restored(&mut fleet, &before).await;
}

#[tokio::test]
async fn slow_postgres_is_restored_from_an_encrypted_backup_in_a_bucket() {
    let bucket = S3Server::start().await.bucket().await;
    let keys = TempDir::new().unwrap();
    let identity = keys.path().join("identity.txt");
    std::fs::write(&identity, format!("# for tests\n{IDENTITY}\n")).unwrap();
    let identity = identity.to_str().unwrap();
    let destination = bucket.config("nightly");
    let mut settings = settings();
    settings.extend([
        ("SLUICE_BACKUP__DESTINATION", destination.url.clone()),
        ("SLUICE_BACKUP__S3_ENDPOINT", destination.s3_endpoint.clone()),
        ("SLUICE_BACKUP__S3_ACCESS_KEY_ID", destination.s3_access_key_id.clone()),
        ("SLUICE_BACKUP__S3_SECRET_ACCESS_KEY", destination.s3_secret_access_key.expose().to_owned()),
        ("SLUICE_BACKUP__RECIPIENTS", format!("[\"{RECIPIENT}\"]")),
        ("SLUICE_BACKUP__PG_BIN_DIR", Postgres::programs().display().to_string()),
    ]);
    let plan = Plan { exporters: 2, postgres: true, settings: settings.clone(), ..Plan::default() };
    let fleet = Fleet::start(plan).await;
    let (before, report) = back_up_under_load(&fleet, &["backup", "--json"]).await;
    assert!(count(&report, "files") >= before.completed.len() as u64 && count(&report, "unfinished") > 0, "{report}");
    assert_eq!(report["manifest"]["encrypted"], true);
    assert_eq!(report["contents"]["omitted_secrets"], json!([]));
    let job = backup_job(&fleet).await.unwrap();
    assert_eq!((&job["result"], &job["runs"]), (&json!("ok"), &json!(1)), "{job}");
    assert!(job["runner"].as_str().unwrap().starts_with("command"), "{job}");
    drop(fleet);

    // The bucket reveals neither ids nor contents of exports.
    let store = bucket.store("nightly");
    for path in store.list("").await.unwrap() {
        assert!(before.accepted.keys().all(|id| !path.contains(&id.to_string())), "{path} names an export");
        if path.ends_with(".age") {
            assert!(store.get(&path).await.unwrap().starts_with(b"age-encryption.org/v1\n"), "{path}");
        } else {
            assert!(path.ends_with("manifest.json") || path.contains("/pool.ndjson"), "{path} is not encrypted");
        }
    }

    let mut fleet = empty_installation(true, settings).await;
    let locked = refused(&fleet, &["restore", &destination.url, "--yes"]).await;
    assert!(locked.contains("--identity"), "{locked}");
    let restored = json(&fleet, &["restore", &destination.url, "--identity", identity, "--yes", "--json"]).await;
    assert_eq!(restored["contents"], report["contents"]);
    assert_counts_match(&fleet, &report).await;
    assert_everything_restored(&mut fleet, &before).await;
}
