//! Backups and restores on a real nats-server, PostgreSQL or SQLite, and folders: what is kept, what is found again, and
//! what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::{Future, poll_fn},
    path::Path,
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    export, job,
    lease::Taken,
    ledger, segment,
    terms::{CreditsConfig, Terms},
    transition::{self, Claim},
};
use notifier::{
    Deps, NotifierConfig,
    backup::{
        self, BackupConfig, BackupError, Report, RestorePlan, Restored, SettingsText, Setup, Source, Target, Unlock,
        list, make,
    },
};
use platform::{
    bus::Bus,
    clock::{Clock, ManualClock},
    lifecycle::Lifecycle,
    store::FileStore,
};
use protocol::{
    delivery,
    envelope::{Envelope, Outcome, OutcomeResult},
    export::{FileInfo, Status},
    id::{ExportId, Owner},
    subject,
};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use tempfile::TempDir;
use testkit::{
    db::{Postgres, TestDatabase},
    eventually,
    nats::NatsServer,
    sha256,
    store::Folder,
};
use tokio::{net::TcpListener, time::timeout};

const FILE: &[u8] = b"date,delay\n2026-11-22,3\n";

struct Installation {
    _nats: NatsServer,
    bus: Bus,
    database: TestDatabase,
    folder: Folder,
    clock: Arc<ManualClock>,
}

fn owner() -> Owner {
    Owner::new("acme", "alice")
}

fn terms() -> Terms {
    Terms::try_from(&CreditsConfig { opening: 100, ..CreditsConfig::default() }).unwrap()
}

impl Installation {
    async fn new() -> Self {
        Self::on(testkit::db::sqlite().await).await
    }

    async fn on(database: TestDatabase) -> Self {
        let nats = NatsServer::start().await;
        let bus = nats.bus().await;
        let clock = ManualClock::at("2026-11-16T03:15:00Z".parse().unwrap());
        Self { _nats: nats, bus, database, folder: testkit::store::folder(), clock }
    }

    fn db(&self) -> &DatabaseConnection {
        &self.database.db
    }

    fn store(&self) -> FileStore {
        self.folder.store()
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn days(&self, days: i64) {
        self.clock.advance(TimeDelta::days(days));
    }

    async fn queued(&self) -> ExportId {
        let (id, now) = (ExportId::generate(), self.now());
        let terms = terms();
        ledger::reckon(self.db(), &owner(), &terms, now).await.unwrap();
        ledger::hold(self.db(), &owner(), id, 1, now).await.unwrap();
        export::insert(self.db(), export::Model::queued(id, &owner(), now)).await.unwrap();
        id
    }

    async fn running(&self) -> ExportId {
        let id = self.queued().await;
        self.claim(id).await;
        id
    }

    async fn claim(&self, id: ExportId) {
        let now = self.now();
        assert!(transition::dispatched(self.db(), id, now).await.unwrap());
        let claim = transition::claim(self.db(), id, "worker", now, now + TimeDelta::seconds(8)).await.unwrap();
        assert!(matches!(claim, Claim::Won(_)));
    }

    /// With a file of two segments and a manifest, kept for a year.
    async fn completed(&self) -> ExportId {
        let id = self.running().await;
        self.complete(id, FILE).await;
        id
    }

    async fn complete(&self, id: ExportId, whole: &[u8]) {
        let (now, store) = (self.now(), self.store());
        let (first, second) = whole.split_at(11);
        for (index, bytes) in [first, second].into_iter().enumerate() {
            let segment = delivery::Segment {
                index: index as u32,
                offset: (index * 11) as u64,
                size: bytes.len() as u64,
                rows: index as u64,
                sha256: sha256(bytes),
            };
            segment::insert(self.db(), id, 1, &segment).await.unwrap();
            let path = delivery::segment_path(id, 1, index as u32);
            store.put(&path, Bytes::copy_from_slice(bytes)).await.unwrap();
        }
        let manifest = format!("{{\"sha256\":\"{}\"}}", sha256(whole));
        store.put(&delivery::manifest_path(id, 1), manifest).await.unwrap();
        let expires = now + TimeDelta::days(365);
        assert!(transition::completed(self.db(), id, 1, &file_of(whole), now, expires, now).await.unwrap());
        ledger::capture(self.db(), &owner(), id, 1, now).await.unwrap();
    }

    /// Restores into this place, and goes on with it: the pool of before would write to a file that was replaced.
    async fn go_on_from(&mut self, plan: &RestorePlan) -> Restored {
        self.db().clone().close().await.unwrap();
        let restored = backup::restore(plan, &self.target()).await.unwrap();
        self.database.db = platform::db::connect(&self.database.config).await.unwrap();
        restored
    }

    /// Its file is deleted, as the sweep does it.
    async fn expire(&self, id: ExportId) {
        self.store().delete_where(&delivery::export_prefix(id), |_| true).await.unwrap();
        assert!(transition::expired(self.db(), id, self.now()).await.unwrap());
    }

    fn source(&self, config: &BackupConfig) -> Source {
        Source {
            config: config.clone(),
            db: self.db().clone(),
            database: self.database.config.clone(),
            bus: self.bus.clone(),
            store: self.store(),
            clock: self.clock.clone(),
            settings: SettingsText::default(),
        }
    }

    async fn make(&self, config: &BackupConfig) -> Report {
        make(&self.source(config)).await.unwrap()
    }

    fn target(&self) -> Target {
        Target { database: self.database.config.clone(), bus: self.bus.clone(), store: self.store() }
    }

    async fn restore(&self, config: &BackupConfig) -> Restored {
        backup::restore(&plan(config, self.now()), &self.target()).await.unwrap()
    }

    async fn row(&self, id: ExportId) -> export::Model {
        // a pool of its own, as a restore replaces the file under an older one
        let db = platform::db::connect(&self.database.config).await.unwrap();
        let row = export::find(&db, id).await.unwrap().unwrap();
        db.close().await.unwrap();
        row
    }

    async fn messages(&self, stream: &str) -> u64 {
        let stream = self.bus.jetstream().get_stream(stream).await.unwrap();
        stream.get_info().await.unwrap().state.messages
    }
}

fn file() -> FileInfo {
    file_of(FILE)
}

fn file_of(whole: &[u8]) -> FileInfo {
    FileInfo {
        name: "flights.csv".into(),
        size: whole.len() as u64,
        rows: 1,
        sha256: sha256(whole),
        media_type: "text/csv".into(),
    }
}

fn plan(config: &BackupConfig, now: DateTime<Utc>) -> RestorePlan {
    let (config, id) = (config.clone(), "latest".to_owned());
    RestorePlan { config, id, unlock: Unlock::default(), again: false, now }
}

fn place() -> (TempDir, BackupConfig) {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().display().to_string();
    (dir, BackupConfig { to, pg_bin: Postgres::programs().display().to_string(), ..BackupConfig::default() })
}

async fn ids(config: &BackupConfig) -> Vec<String> {
    list(&config.destination().unwrap()).await.unwrap().into_iter().map(|found| found.id[..8].to_owned()).collect()
}

async fn pool(config: &BackupConfig) -> usize {
    config.destination().unwrap().list("files").await.unwrap().len()
}

#[tokio::test]
async fn objects_are_copied_once_and_go_with_the_last_backup_that_needs_them() {
    let house = Installation::new().await;
    let (dir, config) = place();
    let config = BackupConfig { keep_daily: 2, keep_weekly: 0, keep_monthly: 0, ..config };
    let first = house.completed().await;
    let report = house.make(&config).await;
    assert_eq!((report.new_objects, report.contents.counts.objects, report.contents.counts.files), (3, 3, 1));

    // what somebody else put there, and what backups left that did not end
    for name in ["backups/20261116T031501.000Z/database.x", "backups/20261117T031501.000Z/database.x", "files/notes"] {
        config.destination().unwrap().put(name, "x").await.unwrap();
    }
    house.days(1);
    let second = house.completed().await;
    let report = house.make(&config).await;
    assert_eq!((report.new_objects, report.contents.counts.objects), (3, 6), "the first file's are there already");
    house.expire(first).await;
    house.days(1);
    let report = house.make(&config).await;
    assert_eq!((report.new_objects, report.contents.counts.objects), (0, 3));
    assert_eq!(report.pruned.half_made, ["20261116T031501.000Z"], "the younger one may still be at work");
    assert_eq!(ids(&config).await, ["20261117", "20261117", "20261118"]);
    assert_eq!(pool(&config).await, 7, "the backup of the 17th needs both");
    house.days(1);
    let report = house.make(&config).await;
    assert_eq!((report.pruned.objects, report.pruned.half_made.len()), (3, 1));
    assert_eq!((ids(&config).await, pool(&config).await), (vec!["20261118".to_owned(), "20261119".to_owned()], 4));

    // an object that is gone from the pool is copied again, and the other file still restores
    let objects = config.destination().unwrap().list("files").await.unwrap();
    let gone = objects.iter().find(|path| path.ends_with(".zst")).unwrap();
    std::fs::remove_file(dir.path().join(gone)).unwrap();
    house.days(1);
    assert_eq!(house.make(&config).await.new_objects, 1);
    let other = Installation::new().await;
    assert_eq!(other.restore(&config).await.objects_proven, 3);
    assert_eq!(other.row(second).await.status, Status::Completed.as_str());
    let whole = [0, 1].map(|index| delivery::segment_path(second, 1, index));
    let bytes = [other.store().get(&whole[0]).await.unwrap(), other.store().get(&whole[1]).await.unwrap()].concat();
    assert_eq!(bytes, FILE);
}

#[tokio::test]
async fn other_bytes_at_the_same_path_after_a_restore_are_another_object() {
    let house = Installation::new().await;
    let (_dir, config) = place();
    let id = house.queued().await;
    let early = house.make(&config).await.manifest.id;
    house.days(1);
    house.claim(id).await;
    house.complete(id, FILE).await;
    assert_eq!(house.make(&config).await.new_objects, 3);

    let mut other = Installation::new().await;
    other.go_on_from(&RestorePlan { id: early, ..plan(&config, other.now()) }).await;
    other.days(2);
    other.claim(id).await;
    // as many bytes, and the first segment is the same
    let anew = b"date,delay\n2026-11-22,7\n";
    other.complete(id, anew).await;
    assert_eq!(other.row(id).await.attempt, house.row(id).await.attempt);
    let report = other.make(&config).await;
    assert_eq!((report.new_objects, report.contents.counts.objects), (2, 3), "the second segment, and the manifest");
    let latest = backup::verify(&config.destination().unwrap(), &config, "latest", None).await.unwrap();
    assert_eq!(latest.id, report.manifest.id);

    let mut third = Installation::new().await;
    assert_eq!(third.go_on_from(&plan(&config, other.now())).await.objects_proven, 3);
    let [first, second] = [0, 1].map(|index| delivery::segment_path(id, 1, index));
    let bytes = [third.store().get(&first).await.unwrap(), third.store().get(&second).await.unwrap()].concat();
    assert_eq!(bytes, anew);
    let manifest = delivery::manifest_path(id, 1);
    assert_eq!(third.store().get(&manifest).await.unwrap(), other.store().get(&manifest).await.unwrap());
    // and nothing is copied twice from here
    third.days(4);
    assert_eq!(third.make(&config).await.new_objects, 0);
}

#[tokio::test]
async fn accounts_that_did_not_add_up_restore_as_they_were_and_no_others() {
    let house = Installation::new().await;
    let (_dir, config) = place();
    house.completed().await;
    house.db().execute_unprepared("UPDATE credit_account SET balance = balance + 7").await.unwrap();
    let report = house.make(&config).await;
    assert_eq!(report.contents.counts.unbalanced, 1);
    let mut other = Installation::new().await;
    assert_eq!(other.go_on_from(&plan(&config, other.now())).await.unbalanced, 1);
    let found = ledger::audit(other.db()).await.unwrap();
    assert_eq!(found[0].balance, found[0].ledger_balance + 7);

    // the same rows in a backup that says that they added up, as one would that did not count them
    let store = config.destination().unwrap();
    let at = |name: &str| format!("backups/{}/{name}", report.manifest.id);
    let sealed = store.get(&at("contents.json.zst")).await.unwrap();
    let mut contents: serde_json::Value = serde_json::from_slice(&zstd::decode_all(&sealed[..]).unwrap()).unwrap();
    contents["counts"].as_object_mut().unwrap().remove("unbalanced").unwrap();
    let sealed = zstd::encode_all(contents.to_string().as_bytes(), 3).unwrap();
    let mut manifest = serde_json::to_value(&report.manifest).unwrap();
    let parts = manifest["parts"].as_array_mut().unwrap();
    let part = parts.iter_mut().find(|part| part["name"] == "contents.json.zst").unwrap();
    part["size"] = sealed.len().into();
    part["sha256"] = sha256(&sealed).into();
    store.put(&at("contents.json.zst"), sealed).await.unwrap();
    store.put(&at("manifest.json"), manifest.to_string()).await.unwrap();
    let third = Installation::new().await;
    let refused = backup::restore(&plan(&config, third.now()), &third.target()).await;
    assert!(matches!(&refused, Err(BackupError::Unproven(why)) if why.contains("do not add up")), "{refused:?}");
}

#[tokio::test]
async fn work_that_was_going_on_begins_again_and_messages_come_back() {
    for postgres in [false, true] {
        let server = if postgres { Some(Postgres::start().await) } else { None };
        let fresh = async || match &server {
            Some(server) => server.database().await,
            None => testkit::db::sqlite().await,
        };
        let house = Installation::on(fresh().await).await;
        let (_dir, config) = place();
        let (waiting, running, told, done) =
            (house.queued().await, house.running().await, house.running().await, house.completed().await);
        assert!(transition::dispatched(house.db(), waiting, house.now()).await.unwrap());
        let say = async |id: ExportId, result: OutcomeResult| {
            let outcome = Envelope::new(id.to_string(), "", Outcome { export_id: id, result });
            house.bus.publish_durable(subject::outcome(id), &outcome.id, &outcome).await.unwrap();
        };
        // its file is whole, and nobody has settled it
        say(told, OutcomeResult::Completed { attempt: 1, file: file(), completed_at: house.now().into() }).await;
        say(running, OutcomeResult::CancelRequested).await;
        let dead = format!("{}x.{running}", subject::DEAD_ALL.trim_end_matches('>'));
        house.bus.publish_durable(dead.clone(), "dead", &"what could not be handled").await.unwrap();
        let report = house.make(&config).await;
        let counts = &report.contents.counts;
        assert_eq!((counts.exports, counts.unfinished, counts.outcomes, counts.dead), (4, 3, 2, 1));
        assert_eq!(house.messages(subject::STREAM_OUTCOMES).await, 2, "a backup consumes nothing");

        let other = Installation::on(fresh().await).await;
        let restored = other.restore(&config).await;
        assert_eq!((restored.queued, restored.revived, restored.redone, restored.expired), (1, 2, 1, 0));
        assert_eq!(other.row(waiting).await.status, Status::Queued.as_str());
        let row = other.row(told).await;
        assert_eq!((row.status.as_str(), row.attempt, row.worker), (Status::Running.as_str(), 1, None));
        assert!(row.lease_until.unwrap() < other.now() - TimeDelta::days(1), "the patrol finds it at once");
        assert_eq!(other.row(done).await.status, Status::Completed.as_str());
        let outcomes = other.bus.jetstream().get_stream(subject::STREAM_OUTCOMES).await.unwrap();
        let wish = outcomes.get_last_raw_message_by_subject(&subject::outcome(running)).await.unwrap();
        let read: Envelope<Outcome> = platform::bus::open(&wish.payload).unwrap();
        assert_eq!(read.body.result, OutcomeResult::CancelRequested);
        assert_eq!(other.messages(subject::STREAM_OUTCOMES).await, 1, "the one whose file is missing is not restored");
        let letters = other.bus.jetstream().get_stream(subject::STREAM_DEAD).await.unwrap();
        letters.get_last_raw_message_by_subject(&dead).await.unwrap();
    }
}

#[tokio::test]
async fn a_backup_without_files_restores_exports_that_expire() {
    let house = Installation::new().await;
    let (_dir, config) = place();
    let id = house.completed().await;
    house.make(&BackupConfig { files: false, ..config.clone() }).await;
    let other = Installation::new().await;
    let restored = other.restore(&config).await;
    assert_eq!((restored.expired, restored.objects_proven), (1, 0));
    assert!(other.row(id).await.expires_at.unwrap() <= other.now());
}

#[tokio::test]
async fn files_that_end_meanwhile_are_left_out_and_lost_ones_are_named() {
    let house = Installation::new().await;
    let (_dir, config) = place();
    let (lost, damaged, fine) = (house.completed().await, house.completed().await, house.completed().await);
    house.store().delete([delivery::segment_path(lost, 1, 1)]).await.unwrap();
    house.store().put(&delivery::segment_path(damaged, 1, 0), "date,DELAY\n").await.unwrap();
    let report = house.make(&config).await;
    assert_eq!((report.contents.counts.files, report.contents.lost.len()), (1, 2), "{:?}", report.contents.lost);
    assert!(report.contents.lost.iter().any(|what| what.contains(&lost.to_string()) && what.contains("missing")));
    assert!(report.contents.lost.iter().any(|what| what.contains(&damaged.to_string()) && what.contains("SHA-256")));
    let other = Installation::new().await;
    assert_eq!(other.restore(&config).await.expired, 2);
    assert_eq!(other.row(fine).await.expires_at, house.row(fine).await.expires_at);
}

#[tokio::test]
async fn a_passphrase_opens_what_it_closed_and_no_other_does() {
    let house = Installation::new().await;
    let (dir, config) = place();
    house.completed().await;
    let keys = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        let path = keys.path().join(name);
        std::fs::write(&path, format!("{text}\n")).unwrap();
        path
    };
    let (right, wrong) = (secret("right", "correct horse battery staple"), secret("wrong", "incorrect horse"));
    let config = BackupConfig { passphrase_file: right.display().to_string(), ..config };
    house.make(&config).await;
    house.days(1);
    assert_eq!(house.make(&config).await.new_objects, 0, "the second has the same key as the first");
    let names = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    assert_eq!(names(&dir.path().join("keys")), 1);

    let other = Installation::new().await;
    let with = |file: Option<std::path::PathBuf>| RestorePlan {
        unlock: Unlock { passphrase: file, ..Unlock::default() },
        ..plan(&config, other.now())
    };
    for bad in [None, Some(wrong)] {
        let refused = backup::restore(&with(bad), &other.target()).await;
        assert!(matches!(refused, Err(BackupError::Locked(_))), "{refused:?}");
    }
    assert_eq!(backup::restore(&with(Some(right)), &other.target()).await.unwrap().objects_proven, 3);
}

#[tokio::test]
async fn a_restore_that_died_is_begun_again_only_when_that_is_asked_for() {
    let house = Installation::new().await;
    let (_dir, config) = place();
    for _ in 0..20 {
        house.completed().await;
    }
    house.make(&config).await;
    let other = Installation::new().await;
    let target = other.target();
    let first = plan(&config, other.now());
    // it is dropped in the middle: after the mark, before the end. Who looks before each of its steps is never too late
    let exports = other.folder.path().join("exports");
    let mut restoring = Box::pin(backup::restore(&first, &target));
    let ended = poll_fn(|cx| {
        let some = std::fs::read_dir(&exports).is_ok_and(|exports| exports.count() > 3);
        if some { Poll::Ready(None) } else { restoring.as_mut().poll(cx).map(Some) }
    });
    let ended = timeout(testkit::DEADLINE, ended).await.expect("some files are restored");
    assert!(ended.is_none(), "it ended before it could be stopped: {ended:?}");
    drop(restoring);
    let refused = backup::restore(&first, &target).await;
    assert!(matches!(refused, Err(BackupError::HalfDone(_))), "{refused:?}");
    let again = RestorePlan { again: true, ..first.clone() };
    // somebody else's database or streams, which nobody found empty, aren't emptied for the mark in the file store
    let used = Installation::new().await;
    let theirs = used.completed().await;
    used.bus.publish_durable(format!("{}x", subject::DEAD_ALL.trim_end_matches('>')), "dead", &"theirs").await.unwrap();
    for wrong in [
        Target { database: used.database.config.clone(), ..target.clone() },
        Target { bus: used.bus.clone(), ..target.clone() },
    ] {
        let refused = backup::restore(&again, &wrong).await;
        assert!(matches!(refused, Err(BackupError::Elsewhere { .. })), "{refused:?}");
    }
    assert_eq!(used.row(theirs).await.status, Status::Completed.as_str());
    assert_eq!(used.messages(subject::STREAM_DEAD).await, 1);
    assert_eq!(backup::restore(&again, &target).await.unwrap().objects_proven, 60);
    // whole now: it is an installation in use, also for --force
    for plan in [&first, &again] {
        let refused = backup::restore(plan, &target).await;
        assert!(matches!(refused, Err(BackupError::NotEmpty(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn the_scheduled_job_makes_one_each_night_and_one_by_hand_waits_for_none() {
    let house = Installation::new().await;
    let (_dir, config) = place();
    house.completed().await;
    let setup =
        Setup { config: config.clone(), database: house.database.config.clone(), settings: SettingsText::default() };
    let life = Lifecycle::new();
    let deps = Deps {
        bus: house.bus.clone(),
        db: house.db().clone(),
        store: house.store(),
        clock: house.clock.clone(),
        terms: terms(),
        backup: Some(Arc::new(setup)),
        metrics: None,
    };
    // a machine that stands still for a moment takes no lease from anybody
    let settings = NotifierConfig { schedule_poll_ms: 20, lease_ms: 30_000, ..NotifierConfig::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    notifier::start(settings, deps, listener, &life).await.unwrap();
    assert_eq!(ids(&config).await, [""; 0], "the next 03:15 is tomorrow's");
    for night in 1..=2 {
        house.days(1);
        let row = eventually("the job ran", async || {
            job::find(house.db(), "backup").await.unwrap().filter(|row| row.runs >= night)
        })
        .await;
        assert_eq!((row.result.as_deref(), row.failures), (Some("ok"), 0), "{:?}", row.detail);
        assert!(row.detail.unwrap().contains("1 exports"));
    }
    assert_eq!(ids(&config).await, ["20261117", "20261118"]);
    let by_hand = backup::by_hand(&house.source(&config)).await.unwrap();
    assert_eq!((by_hand.new_objects, by_hand.contents.counts.objects), (0, 3));

    let now = house.now();
    let until = now + TimeDelta::hours(1);
    let held = entity::lease::take(house.db(), "job:backup", "somebody", now, until, None).await.unwrap();
    let Taken::Won(token) = held else { panic!("{held:?}") };
    let beating = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(500));
        loop {
            ticks.tick().await;
            assert!(entity::lease::renew(house.db(), "job:backup", token, until).await.unwrap());
        }
    };
    let source = house.source(&config);
    tokio::select! {
        never = beating => never,
        refused = backup::by_hand(&source) => assert!(matches!(refused, Err(BackupError::Busy))),
    }
    life.soft().cancel();
    life.shut_down(testkit::DEADLINE).await;
}

#[tokio::test]
async fn one_by_hand_is_a_run_of_the_job_and_one_to_another_place_is_none() {
    let house = Installation::new().await;
    let (_dir, config) = place();
    let (_other_dir, other) = place();
    let due = |day: &str| day.parse::<DateTime<Utc>>().unwrap();
    let row = async || job::find(house.db(), "backup").await.unwrap();
    house.completed().await;

    backup::aside(&house.source(&other)).await.unwrap();
    assert_eq!(row().await, None, "the schedule knows nothing of it");

    backup::by_hand(&house.source(&config)).await.unwrap();
    let first = row().await.unwrap();
    assert_eq!((first.runs, first.failures, first.result.as_deref()), (1, 0, Some("ok")));
    assert_eq!((first.due_at, first.schedule.as_str()), (due("2026-11-17T03:15:00Z"), "15 3 * * * UTC"));
    assert!(first.runner.unwrap().starts_with("by hand") && first.detail.unwrap().contains("1 exports"));

    // a night that fails is due still, and says why
    house.days(2);
    let file = tempfile::NamedTempFile::new().unwrap();
    let broken = BackupConfig { to: format!("{}/below", file.path().display()), ..config.clone() };
    let failed = backup::by_hand(&house.source(&broken)).await.unwrap_err().to_string();
    let second = row().await.unwrap();
    assert_eq!((second.runs, second.failures, second.result.as_deref()), (2, 1, Some("failed")));
    assert_eq!((second.due_at, second.detail), (first.due_at, Some(failed)));

    // another place makes nothing good
    backup::aside(&house.source(&other)).await.unwrap();
    assert_eq!(row().await.unwrap().due_at, first.due_at);

    // and a wish is fulfilled by whoever makes one
    assert!(job::request(house.db(), "backup", house.now()).await.unwrap());
    backup::by_hand(&house.source(&config)).await.unwrap();
    let third = row().await.unwrap();
    assert_eq!((third.runs, third.requested_at, third.ended_at), (3, None, Some(house.now())));
    assert_eq!(third.due_at, due("2026-11-19T03:15:00Z"));
}
