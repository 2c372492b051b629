//! The dependencies of an exporter.

use platform::{
    bus::Bus,
    clock::SharedClock,
    health::{Dependency, Readiness},
    store::FileStore,
};
use sea_orm::DatabaseConnection;

/// The dependencies of an exporter. Clones share them.
#[derive(Clone)]
pub struct Deps {
    /// The connection to NATS.
    pub bus: Bus,
    /// The database that all services share. Datasets must read from pools of their own: an export holds a connection
    /// for as long as it reads, and would starve the transactions that store its rows.
    pub db: DatabaseConnection,
    /// The store of finished files.
    pub store: FileStore,
    /// The clock of all timestamps.
    pub clock: SharedClock,
}

impl Deps {
    /// Returns the readiness of each dependency.
    pub async fn readiness(&self) -> Readiness {
        let database = platform::db::ping(&self.db).await;
        vec![Dependency::from_result("database", database), Dependency::from_result("nats", self.bus.ping())].into()
    }
}
