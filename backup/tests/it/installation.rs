//! An installation to back up or to restore into.

use std::{sync::Arc, time::Duration};

use backup::{BackupConfig, KeyFiles, Report, RestorePlan, Restored, SettingsText, Source, Target, create, list};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    credit_policy::{CreditPolicy, CreditsConfig},
    export, ledger, segment,
    transition::{self, Claim},
};
use platform::{
    bus::Bus,
    clock::{Clock, ManualClock},
    store::FileStore,
};
use protocol::{
    delivery,
    export::FileInfo,
    id::{ExportId, Owner},
};
use sea_orm::DatabaseConnection;
use tempfile::TempDir;
use testkit::{
    db::{Postgres, TestDatabase},
    nats::NatsServer,
    sha256,
    store::Folder,
};

pub(crate) const FILE: &[u8] = b"date,delay\n2026-11-22,3\n";

/// An installation without running services: NATS, a database, a file store and a manual clock.
pub(crate) struct Installation {
    _nats: NatsServer,
    pub(crate) bus: Bus,
    pub(crate) database: TestDatabase,
    pub(crate) folder: Folder,
    pub(crate) clock: Arc<ManualClock>,
}

fn owner() -> Owner {
    Owner::new("acme", "alice")
}

fn credit_policy() -> CreditPolicy {
    CreditPolicy::new(&CreditsConfig { initial_balance: 100, ..CreditsConfig::default() }, "UTC").unwrap()
}

impl Installation {
    pub(crate) async fn new() -> Self {
        Self::with_database(testkit::db::sqlite().await).await
    }

    pub(crate) async fn with_database(database: TestDatabase) -> Self {
        let nats = NatsServer::start().await;
        let bus = nats.bus().await;
        let clock = ManualClock::at("2026-11-16T03:15:00Z".parse().unwrap());
        Self { _nats: nats, bus, database, folder: testkit::store::folder(), clock }
    }

    pub(crate) fn db(&self) -> &DatabaseConnection {
        &self.database.db
    }

    pub(crate) fn store(&self) -> FileStore {
        self.folder.store()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn advance_days(&self, days: i64) {
        self.clock.advance(TimeDelta::days(days));
    }

    pub(crate) async fn queued(&self) -> ExportId {
        let (id, now) = (ExportId::generate(), self.now());
        let credit_policy = credit_policy();
        ledger::open_and_accrue(self.db(), &owner(), &credit_policy, now).await.unwrap();
        ledger::hold(self.db(), &owner(), id, 1, now).await.unwrap();
        export::insert(self.db(), export::Model::queued(id, &owner(), now)).await.unwrap();
        id
    }

    pub(crate) async fn running(&self) -> ExportId {
        let id = self.queued().await;
        self.claim(id).await;
        id
    }

    pub(crate) async fn claim(&self, id: ExportId) {
        let now = self.now();
        assert!(transition::dispatched(self.db(), id, now).await.unwrap());
        let lease = Duration::from_secs(8);
        let claimant = transition::Claimant { worker: "worker", job_number: 0, lease };
        let claim = transition::claim(self.db(), id, claimant, now).await.unwrap();
        assert!(matches!(claim, Claim::Won(_)));
    }

    /// Inserts a completed export with a file of two segments and a manifest, kept for a year.
    pub(crate) async fn completed(&self) -> ExportId {
        let id = self.running().await;
        self.complete(id, FILE).await;
        id
    }

    pub(crate) async fn complete(&self, id: ExportId, whole: &[u8]) {
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
        assert!(transition::completed(self.db(), id, 1, &file_info_of(whole), now, expires, now).await.unwrap());
        ledger::capture(self.db(), &owner(), id, 1, now).await.unwrap();
    }

    /// Restores into this installation and reopens its database, because a restore replaces the file of SQLite.
    pub(crate) async fn restore_and_reopen(&mut self, plan: &RestorePlan) -> Restored {
        self.db().clone().close().await.unwrap();
        let restored = backup::restore(plan, &self.target()).await.unwrap();
        self.database.db = platform::db::connect(&self.database.config).await.unwrap();
        restored
    }

    /// Deletes the file of an export as the sweep does.
    pub(crate) async fn expire(&self, id: ExportId) {
        self.store().delete_where(&delivery::export_prefix(id), |_| true).await.unwrap();
        assert!(transition::expired(self.db(), id, self.now()).await.unwrap());
    }

    pub(crate) fn source(&self, config: &BackupConfig) -> Source {
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

    pub(crate) async fn create(&self, config: &BackupConfig) -> Report {
        create(&self.source(config)).await.unwrap()
    }

    pub(crate) fn target(&self) -> Target {
        Target { database: self.database.config.clone(), bus: self.bus.clone(), store: self.store() }
    }

    pub(crate) async fn restore(&self, config: &BackupConfig) -> Restored {
        backup::restore(&plan(config, self.now()), &self.target()).await.unwrap()
    }

    pub(crate) async fn row(&self, id: ExportId) -> export::Model {
        // a restore replaces the file of SQLite under an open connection
        let db = platform::db::connect(&self.database.config).await.unwrap();
        let row = export::find(&db, id).await.unwrap().unwrap();
        db.close().await.unwrap();
        row
    }

    pub(crate) async fn messages(&self, stream: &str) -> u64 {
        let stream = self.bus.jetstream().get_stream(stream).await.unwrap();
        stream.get_info().await.unwrap().state.messages
    }
}

pub(crate) fn file_info() -> FileInfo {
    file_info_of(FILE)
}

fn file_info_of(whole: &[u8]) -> FileInfo {
    FileInfo {
        name: "flights.csv".into(),
        size: whole.len() as u64,
        rows: 1,
        sha256: sha256(whole),
        media_type: "text/csv".into(),
    }
}

pub(crate) fn plan(config: &BackupConfig, now: DateTime<Utc>) -> RestorePlan {
    let (config, id) = (config.clone(), "latest".to_owned());
    RestorePlan { config, id, key_files: KeyFiles::default(), restart: false, now }
}

/// Returns a new destination folder and the settings for it.
pub(crate) fn destination() -> (TempDir, BackupConfig) {
    let dir = tempfile::tempdir().unwrap();
    let destination = dir.path().display().to_string();
    (
        dir,
        BackupConfig { destination, pg_bin_dir: Postgres::programs().display().to_string(), ..BackupConfig::default() },
    )
}

/// Lists the days of all backups, from their ids.
pub(crate) async fn backup_days(config: &BackupConfig) -> Vec<String> {
    list(&config.open_destination().unwrap())
        .await
        .unwrap()
        .into_iter()
        .map(|listed| listed.id[..8].to_owned())
        .collect()
}

/// Returns the number of objects in the pool.
pub(crate) async fn pool_size(config: &BackupConfig) -> usize {
    config.open_destination().unwrap().list("files").await.unwrap().len()
}
