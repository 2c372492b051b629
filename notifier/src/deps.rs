//! The shared dependencies of a notifier, and their readiness checks.

use std::sync::Arc;

use backup::{BackupConfig, SettingsText};
use entity::credit_policy::CreditPolicy;
use platform::{
    bus::Bus,
    clock::SharedClock,
    config::DatabaseConfig,
    health::{self, Dependency, Readiness},
    store::FileStore,
    telemetry::PrometheusHandle,
};
use sea_orm::DatabaseConnection;

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
    /// Checks the database and the file store concurrently, then NATS, JetStream and the clock. A failed check of
    /// JetStream or of the clock does not make the notifier unready.
    pub(crate) async fn readiness(&self) -> Readiness {
        let (database, files) = tokio::join!(health::database(&self.db), health::file_store(&self.store));
        let nats = Dependency::from_result("nats", self.bus.ping());
        let clock = Dependency::from_result("clock", self.clock.check()).optional();
        vec![database, nats, health::jetstream(&self.bus), files, clock].into()
    }
}
