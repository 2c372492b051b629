//! The shared dependencies of a notifier, and their readiness checks.

use std::{sync::Arc, time::Duration};

use backup::{BackupConfig, SettingsText};
use entity::credit_policy::CreditPolicy;
use platform::{
    bus::Bus,
    clock::SharedClock,
    config::DatabaseConfig,
    health::{Dependency, Readiness},
    store::FileStore,
    telemetry::PrometheusHandle,
};
use sea_orm::DatabaseConnection;

/// The timeout of one dependency's readiness check.
const READINESS_TIMEOUT: Duration = Duration::from_secs(2);
/// An object that never exists: the file store is ready when it answers "not found".
const READINESS_OBJECT: &str = "exports/.ready";

/// The dependencies of a notifier. Clones share the same connections.
#[derive(Clone)]
pub struct Deps {
    /// The connection to the NATS servers.
    pub bus: Bus,
    /// The database that all services share.
    pub db: DatabaseConnection,
    /// The file store into which exporters write segments.
    pub store: FileStore,
    /// The clock for timestamps and due times; tests set a manual one.
    pub clock: SharedClock,
    /// The credit policy of the installation.
    pub credit_policy: CreditPolicy,
    /// The backup settings. None: this notifier makes no backups.
    pub backup: Option<Arc<BackupSetup>>,
    /// The recorder that `/metrics` renders. None: the internal port has no such page.
    pub metrics: Option<PrometheusHandle>,
}

/// The settings of a notifier that makes backups.
#[derive(Clone, Debug)]
pub struct BackupSetup {
    /// The settings of the `[backup]` table.
    pub config: BackupConfig,
    /// The address of the database, for `pg_dump`.
    pub database: DatabaseConfig,
    /// The effective settings, which become a part of each backup.
    pub settings: SettingsText,
}

impl Deps {
    /// Checks each dependency now, within 2 s.
    pub(crate) async fn readiness(&self) -> Readiness {
        let database = async {
            let ping = tokio::time::timeout(READINESS_TIMEOUT, platform::db::ping(&self.db)).await;
            Dependency::from_result("database", flatten(ping))
        };
        let files = async {
            let read = tokio::time::timeout(READINESS_TIMEOUT, self.store.read(READINESS_OBJECT, None)).await;
            let answered = match read {
                Ok(Err(e)) if e.is_not_found() => Ok(()),
                other => flatten(other).map(drop),
            };
            Dependency::from_result("file_store", answered)
        };
        let (database, files) = tokio::join!(database, files);
        vec![database, Dependency::from_result("nats", self.bus.ping()), files].into()
    }
}

fn flatten<T, E: std::fmt::Display>(result: Result<Result<T, E>, tokio::time::error::Elapsed>) -> Result<T, String> {
    match result {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {} s", READINESS_TIMEOUT.as_secs())),
    }
}
