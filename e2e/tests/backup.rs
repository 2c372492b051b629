//! Backups under load: everything is destroyed, restored into an empty installation, and there.

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

/// A pair of keys for tests alone.
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];

fn settings() -> Vec<(&'static str, String)> {
    vec![
        ("SLUICE_CREDITS__OPENING", "1000".to_owned()),
        // what was lost is found soon
        ("SLUICE_NOTIFIER__RECONCILE_INTERVAL", "1s".to_owned()),
    ]
}

/// Some of the flights.
fn flights(filter: Value) -> ExportRequest {
    request(json!({"dataset": "flights", "filter": filter}))
}

/// A small file. No two of a person are the same, as identical ones would be joined.
fn counts(turn: usize) -> ExportRequest {
    let muscles = ["muscle1".to_owned(), format!("muscle{turn}")];
    request(json!({"dataset": "menu_category_counts", "params": {"muscles": muscles}}))
}

fn request(body: Value) -> ExportRequest {
    serde_json::from_value(body).unwrap()
}

/// What clients were told.
#[derive(Clone, Debug, Default)]
struct Told {
    /// Exports that were accepted, and by whom.
    accepted: BTreeMap<ExportId, &'static str>,
    /// Those that were completed.
    completed: BTreeMap<ExportId, Export>,
}

/// People who export one file after the other, until they are told to stop or nobody answers any more.
struct Load {
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
    people: JoinSet<()>,
}

impl Load {
    fn start(fleet: &Fleet) -> Self {
        let (told, stop) = (Arc::new(Mutex::new(Told::default())), Arc::new(AtomicBool::new(false)));
        let mut people = JoinSet::new();
        for person in PEOPLE {
            let (rest, told, stop) = (rest(fleet, person), Arc::clone(&told), Arc::clone(&stop));
            people.spawn(async move {
                for turn in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let id = rest.create(&counts(turn + 2)).await.id;
                    told.lock().unwrap().accepted.insert(id, person);
                    let ended = rest.ended(id).await;
                    assert_eq!(ended.status, Status::Completed, "{:?}", ended.problem);
                    told.lock().unwrap().completed.insert(id, ended);
                }
            });
        }
        Self { told, stop, people }
    }

    fn told(&self) -> Told {
        self.told.lock().unwrap().clone()
    }

    async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(person) = self.people.join_next().await {
            person.expect("the load met no surprise");
        }
    }
}

fn rest(fleet: &Fleet, person: &str) -> Rest {
    Rest::new(fleet.url(), Some(&fleet.token(person, "acme")))
}

/// An installation whose services do not run.
async fn empty(postgres: bool, settings: Vec<(&'static str, String)>) -> Fleet {
    Fleet::start(Plan { gateways: 0, exporters: 0, notifiers: 0, postgres, settings, ..Plan::default() }).await
}

async fn run(fleet: &Fleet, args: &[&str]) -> Process {
    fleet.sluice(args).run().await
}

/// What a command printed, as JSON.
async fn json(fleet: &Fleet, args: &[&str]) -> Value {
    let mut process = run(fleet, args).await;
    assert!(process.ended().await.success(), "{args:?}: {}", process.stderr());
    serde_json::from_str(&process.stdout()).unwrap_or_else(|e| panic!("{e}: {}", process.stdout()))
}

/// A command fails, and says why.
async fn refused(fleet: &Fleet, args: &[&str]) -> String {
    let mut process = run(fleet, args).await;
    assert!(!process.ended().await.success(), "{args:?}: {}", process.stdout());
    process.stderr()
}

/// What the schedule says of backups.
async fn noted(fleet: &Fleet) -> Option<Value> {
    let jobs = json(fleet, &["schedule", "--json"]).await;
    jobs.as_array().unwrap().iter().find(|job| job["name"] == "backup").cloned()
}

fn count(report: &Value, name: &str) -> u64 {
    report["contents"]["counts"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"))
}

/// A backup in the middle of work: what was confirmed before it began, and its report.
async fn backed_up_under_load(fleet: &Fleet, args: &[&str]) -> (Told, Value) {
    let load = Load::start(fleet);
    let dave = rest(fleet, "dave");
    let seattle = dave.create(&flights(json!({"origin": {"eq": "SEA"}}))).await.id;
    let seattle = dave.ended(seattle).await;
    assert_eq!(seattle.status, Status::Completed, "{:?}", seattle.problem);
    eventually("some exports are completed", async || (load.told().completed.len() >= 6).then_some(())).await;
    // large ones that are at work and waiting while the backup is made
    let mut large = vec![];
    for n in 0..3 {
        large.push(dave.create(&flights(json!({"delay": {"gte": n}}))).await.id);
    }
    let mut before = load.told();
    before.accepted.extend(large.into_iter().chain([seattle.id]).map(|id| (id, "dave")));
    before.completed.insert(seattle.id, seattle);
    // somebody whose requests don't wait for each other
    let submitting = async {
        let erin = rest(fleet, "erin");
        for turn in 0..20 {
            erin.create(&counts(turn + 2)).await;
        }
        std::future::pending().await
    };
    let report = tokio::select! {
        report = json(fleet, args) => report,
        never = submitting => never,
    };
    let accepted = export::Entity::find().count(&fleet.database.db).await.unwrap();
    assert!(accepted > before.accepted.len() as u64, "nobody exported while the backup was made");
    load.end().await;
    (before, report)
}

/// A new pool: a restore puts another file into the place of the one that the fleet's pool has opened.
async fn connected(fleet: &Fleet) -> DatabaseConnection {
    platform::db::connect(&fleet.database.config).await.unwrap()
}

/// The restored tables are what the backup counted.
async fn holds_what_was_counted(fleet: &Fleet, report: &Value) {
    let db = &connected(fleet).await;
    assert_eq!(export::Entity::find().count(db).await.unwrap(), count(report, "exports"));
    assert_eq!(entry::Entity::find().count(db).await.unwrap(), count(report, "ledger_entries"));
    assert_eq!(ledger::audit(db).await.unwrap(), []);
}

/// All that clients were told of is there, every file has the right bytes, and what was unfinished ends by itself.
async fn gives_everything(fleet: &mut Fleet, before: &Told) {
    fleet.add_notifier();
    fleet.add_exporter();
    fleet.add_gateway();
    let url = fleet.url().to_owned();
    fleet.gateways[0].ready(&format!("{url}/readyz")).await;
    for (id, person) in &before.accepted {
        let rest = rest(fleet, person);
        let export = rest.ended(*id).await;
        assert_eq!(export.status, Status::Completed, "{:?}\n{}", export.problem, fleet.logs());
        let file = export.file.expect("a completed export has a file");
        if let Some(confirmed) = before.completed.get(id) {
            assert_eq!(Some(&file), confirmed.file.as_ref(), "the file is another than the one that was confirmed");
        }
        let answer = rest.get(&export.links.file).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!((answer.body.len() as u64, sha256(&answer.body)), (file.size, file.sha256));
    }
    let db = &connected(fleet).await;
    eventually("all that was unfinished has ended, and credits add up", async || {
        let rows = export::Entity::find().all(db).await.unwrap();
        let ended = rows.iter().all(|row| row.status == Status::Completed.as_str());
        (ended && ledger::audit(db).await.unwrap().is_empty()).then_some(())
    })
    .await;
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// A file below a folder whose path has all of these parts.
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
async fn sqlite_and_a_folder_come_back_from_a_folder_and_damage_is_refused() {
    let place = TempDir::new().unwrap();
    let to = place.path().to_str().unwrap();
    let fleet = Fleet::start(Plan { exporters: 2, settings: settings(), ..Plan::default() }).await;
    let (before, report) = backed_up_under_load(&fleet, &["backup", "--to", to, "--json"]).await;
    assert!(count(&report, "files") >= before.completed.len() as u64 && count(&report, "unfinished") > 0, "{report}");
    assert_eq!(report["manifest"]["encrypted"], false);
    assert_eq!(noted(&fleet).await, None, "a copy to another place than that of the settings is no night's backup");
    let left_out = report["contents"]["secrets_left_out"].to_string();
    assert!(left_out.contains("nats.password") && left_out.contains("database.url"), "{left_out}");

    let id = report["manifest"]["id"].as_str().unwrap().to_owned();
    let listed = json(&fleet, &["backup", "list", "--to", to, "--json"]).await;
    assert_eq!(listed[0]["id"].as_str(), Some(id.as_str()), "{listed}");

    // everything is destroyed, and an installation in use is no target
    let occupied = refused(&fleet, &["restore", to, "--yes"]).await;
    assert!(occupied.contains("the table export has rows") && occupied.contains("the file store has"), "{occupied}");
    drop(fleet);

    let mut fleet = empty(false, settings()).await;
    for parts in [["/files/", ".zst"], ["/backups/", "database."], ["/backups/", "contents."]] {
        let tampered = find(place.path(), &parts);
        flip(&tampered);
        let said = refused(&fleet, &["restore", to, "--yes"]).await;
        assert!(said.contains("damaged") || said.contains("bytes with SHA-256"), "{said}");
        assert!(refused(&fleet, &["backup", "verify", &id, "--to", to]).await.contains("damaged"));
        flip(&tampered);
    }
    assert_eq!(std::fs::read_dir(fleet.store.path()).unwrap().count(), 0, "a refused restore touched the target");

    let verified = json(&fleet, &["backup", "verify", &id, "--to", to, "--json"]).await;
    assert_eq!(verified["objects"].as_u64(), Some(count(&report, "objects")));
    let restored = json(&fleet, &["restore", to, "--yes", "--json"]).await;
    assert_eq!(restored["contents"], report["contents"]);
    assert_eq!(restored["objects_proven"].as_u64(), Some(count(&report, "objects")));
    holds_what_was_counted(&fleet, &report).await;
    gives_everything(&mut fleet, &before).await;
}

#[tokio::test]
async fn postgres_comes_back_from_a_bucket_where_it_was_encrypted() {
    let bucket = S3Server::start().await.bucket().await;
    let keys = TempDir::new().unwrap();
    let identity = keys.path().join("identity.txt");
    std::fs::write(&identity, format!("# for tests\n{IDENTITY}\n")).unwrap();
    let identity = identity.to_str().unwrap();
    let place = bucket.config("nightly");
    let mut settings = settings();
    settings.extend([
        ("SLUICE_BACKUP__TO", place.url.clone()),
        ("SLUICE_BACKUP__S3_ENDPOINT", place.s3_endpoint.clone()),
        ("SLUICE_BACKUP__S3_ACCESS_KEY_ID", place.s3_access_key_id.clone()),
        ("SLUICE_BACKUP__S3_SECRET_ACCESS_KEY", place.s3_secret_access_key.expose().to_owned()),
        ("SLUICE_BACKUP__S3_ALLOW_HTTP", "true".to_owned()),
        ("SLUICE_BACKUP__RECIPIENTS", format!("[\"{RECIPIENT}\"]")),
        ("SLUICE_BACKUP__PG_BIN", Postgres::programs().display().to_string()),
    ]);
    let plan = Plan { exporters: 2, postgres: true, settings: settings.clone(), ..Plan::default() };
    let fleet = Fleet::start(plan).await;
    let (before, report) = backed_up_under_load(&fleet, &["backup", "--json"]).await;
    assert!(count(&report, "files") >= before.completed.len() as u64 && count(&report, "unfinished") > 0, "{report}");
    assert_eq!(report["manifest"]["encrypted"], true);
    assert_eq!(report["contents"]["secrets_left_out"], json!([]));
    let night = noted(&fleet).await.unwrap();
    assert_eq!((&night["result"], &night["runs"]), (&json!("ok"), &json!(1)), "{night}");
    assert!(night["runner"].as_str().unwrap().starts_with("by hand"), "{night}");
    drop(fleet);

    // neither names nor contents can be seen by those who have the bucket
    let store = bucket.store("nightly");
    for path in store.list("").await.unwrap() {
        assert!(before.accepted.keys().all(|id| !path.contains(&id.to_string())), "{path} names an export");
        if path.ends_with(".age") {
            assert!(store.get(&path).await.unwrap().starts_with(b"age-encryption.org/v1\n"), "{path}");
        } else {
            assert!(path.ends_with("manifest.json") || path.contains("/pool.ndjson"), "{path} is not encrypted");
        }
    }

    let mut fleet = empty(true, settings).await;
    let locked = refused(&fleet, &["restore", &place.url, "--yes"]).await;
    assert!(locked.contains("--identity"), "{locked}");
    let restored = json(&fleet, &["restore", &place.url, "--identity", identity, "--yes", "--json"]).await;
    assert_eq!(restored["contents"], report["contents"]);
    holds_what_was_counted(&fleet, &report).await;
    gives_everything(&mut fleet, &before).await;
}
