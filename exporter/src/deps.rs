//! The connections and stores that an exporter uses.

use platform::{
    bus::Bus,
    clock::SharedClock,
    health::{self, Dependency, Readiness},
    store::FileStore,
};
use sea_orm::DatabaseConnection;

use crate::catalog::Advertisement;

/// The connections and stores that an exporter uses. Clones share the connections.
#[derive(Clone)]
pub struct Deps {
    /// The connection to NATS.
    pub bus: Bus,
    /// The database that all services share. Datasets must use other connection pools, because each export holds a
    /// connection while it reads rows. Many exports would leave no connection for the transactions that record
    /// segments.
    pub db: DatabaseConnection,
    /// The store of finished files.
    pub store: FileStore,
    /// The clock that supplies all timestamps.
    pub clock: SharedClock,
    /// Whether NATS has stored the last advertisement of the exporter. `/readyz` reports this.
    pub advertisement: Advertisement,
}

impl Deps {
    /// Returns the readiness of each dependency, and whether the datasets are advertised.
    pub async fn readiness(&self) -> Readiness {
        let (database, files) = tokio::join!(health::database(&self.db), health::file_store(&self.store));
        vec![
            database,
            Dependency::from_result("nats", self.bus.ping()),
            health::jetstream(&self.bus),
            files,
            Dependency::from_result("catalog", self.advertisement.check()),
            Dependency::from_result("clock", self.clock.check()).optional(),
        ]
        .into()
    }
}
