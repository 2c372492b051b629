//! The scheduled job `backup`, and backups by command, with a real nats-server.

use std::{sync::Arc, time::Duration};

use backup::{BackupConfig, SettingsText, Source};
use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    credit_policy::{CreditPolicy, CreditsConfig},
    export,
    lease::Acquisition,
    ledger, scheduled_job,
    transition::{self, Claim},
};
use notifier::{BackupRunError, BackupSetup, Deps, NotifierConfig, NotifierTuning, run_ad_hoc_backup, run_backup_job};
use platform::{
    bus::Bus,
    clock::{Clock, ManualClock},
    lifecycle::Lifecycle,
    store::FileStore,
    units::HumanDuration,
};
use protocol::{
    delivery,
    export::FileInfo,
    id::{ExportId, Owner},
};
use tempfile::TempDir;
use testkit::{db::TestDatabase, eventually, nats::NatsServer, sha256, store::Folder};
use tokio::net::TcpListener;

struct Installation {
    _nats: NatsServer,
    bus: Bus,
    database: TestDatabase,
    folder: Folder,
    clock: Arc<ManualClock>,
}

fn credit_policy() -> CreditPolicy {
    CreditPolicy::new(&CreditsConfig::default(), "UTC").unwrap()
}

impl Installation {
    async fn new() -> Self {
        let nats = NatsServer::start().await;
        let bus = nats.bus().await;
        let clock = ManualClock::at("2026-11-16T03:15:00Z".parse().unwrap());
        Self { _nats: nats, bus, database: testkit::db::sqlite().await, folder: testkit::store::folder(), clock }
    }

    fn store(&self) -> FileStore {
        self.folder.store()
    }

    /// Inserts a completed export whose file is one manifest.
    async fn insert_completed_export(&self) -> ExportId {
        let (db, now, owner) = (&self.database.db, self.clock.now(), Owner::new("acme", "alice"));
        let id = ExportId::generate();
        ledger::open_and_accrue(db, &owner, &credit_policy(), now).await.unwrap();
        assert!(ledger::hold(db, &owner, id, 1, now).await.unwrap());
        export::insert(db, export::Model::queued(id, &owner, now)).await.unwrap();
        assert!(transition::dispatched(db, id, now).await.unwrap());
        let lease = Duration::from_secs(8);
        let claimant = transition::Claimant { worker: "worker", job_number: 0, lease };
        let claim = transition::claim(db, id, claimant, now).await.unwrap();
        assert!(matches!(claim, Claim::Won(_)));
        self.store().put(&delivery::manifest_path(id, 1), "{}").await.unwrap();
        let file =
            FileInfo { name: "a.csv".into(), size: 0, rows: 0, sha256: sha256(b""), media_type: "text/csv".into() };
        let expires = now + TimeDelta::days(365);
        assert!(transition::completed(db, id, 1, &file, now, expires, now).await.unwrap());
        ledger::capture(db, &owner, id, 1, now).await.unwrap();
        id
    }

    fn source(&self, config: &BackupConfig) -> Source {
        Source {
            config: config.clone(),
            db: self.database.db.clone(),
            database: self.database.config.clone(),
            bus: self.bus.clone(),
            store: self.store(),
            clock: self.clock.clone(),
            settings: SettingsText::default(),
        }
    }

    async fn row(&self) -> Option<scheduled_job::Model> {
        scheduled_job::find(&self.database.db, "backup").await.unwrap()
    }
}

fn destination() -> (TempDir, BackupConfig) {
    let dir = tempfile::tempdir().unwrap();
    let destination = dir.path().display().to_string();
    (dir, BackupConfig { destination, ..BackupConfig::default() })
}

async fn days(config: &BackupConfig) -> Vec<String> {
    let listed = backup::list(&config.open_destination().unwrap()).await.unwrap();
    listed.into_iter().map(|listed| listed.id[..8].to_owned()).collect()
}

#[tokio::test]
async fn the_scheduled_job_creates_a_backup_each_day_and_a_busy_lease_refuses_another() {
    let installation = Installation::new().await;
    let (_dir, config) = destination();
    installation.insert_completed_export().await;
    let setup = BackupSetup {
        config: config.clone(),
        database: installation.database.config.clone(),
        settings: SettingsText::default(),
    };
    let life = Lifecycle::new();
    let deps = Deps {
        bus: installation.bus.clone(),
        db: installation.database.db.clone(),
        store: installation.store(),
        clock: installation.clock.clone(),
        credit_policy: credit_policy(),
        backup: Some(Arc::new(setup)),
        metrics: None,
    };
    // a slow machine must not lose a lease
    let settings = NotifierConfig {
        lease_duration: HumanDuration::from_secs(30),
        tuning: NotifierTuning { schedule_poll_interval: HumanDuration::from_millis(20), ..NotifierTuning::default() },
        ..NotifierConfig::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    notifier::start(settings, deps, listener, &life).await.unwrap();
    assert_eq!(days(&config).await, [""; 0], "the next 03:15 is tomorrow");
    for runs in 1..=2 {
        installation.clock.advance(TimeDelta::days(1));
        let row = eventually("the job ran", async || installation.row().await.filter(|row| row.runs >= runs)).await;
        assert_eq!((row.result.as_deref(), row.failures), (Some("ok"), 0), "{:?}", row.detail);
        assert!(row.detail.unwrap().contains("1 exports"));
    }
    assert_eq!(days(&config).await, ["20261117", "20261118"]);
    let report = run_backup_job(&installation.source(&config)).await.unwrap();
    assert_eq!((report.new_objects, report.contents.counts.objects), (0, 1));

    let (db, now) = (&installation.database.db, installation.clock.now());
    let expires_at = now + TimeDelta::hours(1);
    let acquired = entity::lease::acquire(db, "job:backup", "another", now, expires_at, None).await.unwrap();
    let Acquisition::Acquired(token) = acquired else { panic!("{acquired:?}") };
    let renewing = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        loop {
            ticks.tick().await;
            assert!(entity::lease::renew(db, "job:backup", token, expires_at).await.unwrap());
        }
    };
    let source = installation.source(&config);
    tokio::select! {
        never = renewing => never,
        refused = run_backup_job(&source) => assert!(matches!(refused, Err(BackupRunError::Busy))),
    }
    life.soft().cancel();
    life.shut_down(testkit::DEADLINE).await;
}

#[tokio::test]
async fn a_backup_by_command_is_a_run_of_the_job_and_an_ad_hoc_backup_is_not() {
    let installation = Installation::new().await;
    let (_dir, config) = destination();
    let (_other_dir, other) = destination();
    let due = |time: &str| time.parse::<DateTime<Utc>>().unwrap();
    installation.insert_completed_export().await;

    run_ad_hoc_backup(&installation.source(&other)).await.unwrap();
    assert_eq!(installation.row().await, None, "an ad hoc backup is not recorded");

    run_backup_job(&installation.source(&config)).await.unwrap();
    let first = installation.row().await.unwrap();
    assert_eq!((first.runs, first.failures, first.result.as_deref()), (1, 0, Some("ok")));
    assert_eq!((first.due_at, first.schedule.as_str()), (due("2026-11-17T03:15:00Z"), "15 3 * * * UTC"));
    assert!(first.runner.unwrap().starts_with("command") && first.detail.unwrap().contains("1 exports"));

    // a failed run stays due and records its error
    installation.clock.advance(TimeDelta::days(2));
    let file = tempfile::NamedTempFile::new().unwrap();
    let broken = BackupConfig { destination: format!("{}/below", file.path().display()), ..config.clone() };
    let failed = run_backup_job(&installation.source(&broken)).await.unwrap_err().to_string();
    let second = installation.row().await.unwrap();
    assert_eq!((second.runs, second.failures, second.result.as_deref()), (2, 1, Some("failed")));
    assert_eq!((second.due_at, second.detail), (first.due_at, Some(failed)));

    // an ad hoc backup does not change the due time
    run_ad_hoc_backup(&installation.source(&other)).await.unwrap();
    assert_eq!(installation.row().await.unwrap().due_at, first.due_at);

    // any successful run answers a request of an operator
    let now = installation.clock.now();
    assert!(scheduled_job::request(&installation.database.db, "backup", now).await.unwrap());
    run_backup_job(&installation.source(&config)).await.unwrap();
    let third = installation.row().await.unwrap();
    assert_eq!((third.runs, third.requested_at, third.ended_at), (3, None, Some(now)));
    assert_eq!(third.due_at, due("2026-11-19T03:15:00Z"));
}
