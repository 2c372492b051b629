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

/// The timeout of the readiness check of each dependency.
const READINESS_TIMEOUT: Duration = Duration::from_secs(2);
/// The path of the object that the readiness check requests from the file store. The object never exists, so a working
/// file store answers "not found".
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
    /// The initial balance, the daily grant and the accrual cap of all accounts.
    pub credit_policy: CreditPolicy,
    /// The settings of the backup job; `None` if this notifier makes no backups.
    pub backup: Option<Arc<BackupSetup>>,
    /// The Prometheus recorder that `/metrics` renders; `None` if the internal port does not serve `/metrics`.
    pub metrics: Option<PrometheusHandle>,
}

/// The settings of the backup job.
#[derive(Clone, Debug)]
pub struct BackupSetup {
    /// The settings of the `[backup]` table.
    pub config: BackupConfig,
    /// The address and credentials of the database, for `pg_dump`.
    pub database: DatabaseConfig,
    /// The effective settings of Sluice, which each backup contains.
    pub settings: SettingsText,
}

impl Deps {
    /// Checks the database, NATS and the file store concurrently, each with a timeout of 2 s.
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
        let nats = Dependency::from_result("nats", self.bus.ping());
        let clock = Dependency::from_result("clock", self.clock.check()).optional();
        vec![database, nats, files, clock].into()
    }
}

fn flatten<T, E: std::fmt::Display>(result: Result<Result<T, E>, tokio::time::error::Elapsed>) -> Result<T, String> {
    match result {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {} s", READINESS_TIMEOUT.as_secs())),
    }
}
