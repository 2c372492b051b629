//! Pauses exports after their first segments, so that a test can act on an export while it runs, on machines of any speed.

use sea_orm::{ConnectionTrait, DatabaseTransaction, TransactionTrait};

use crate::{Fleet, Setting};

/// Makes the insertion of a fifth segment wait for an advisory lock. The exporter holds the export's row meanwhile.
const TRIGGER: &str = "
    CREATE OR REPLACE FUNCTION pause_export() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.index > 3 THEN
            PERFORM pg_advisory_xact_lock_shared(42);
        END IF;
        RETURN NEW;
    END $$;
    CREATE OR REPLACE TRIGGER pause_export BEFORE INSERT ON segment FOR EACH ROW EXECUTE FUNCTION pause_export()";

/// A pause of all exports of a fleet. Dropping the value ends the pause.
pub struct ExportPause {
    lock: DatabaseTransaction,
}

impl ExportPause {
    /// Pauses each export after its fourth segment. The fleet's database must be PostgreSQL. An exporter keeps its leases
    /// during a long pause only with [`ExportPause::settings`].
    ///
    /// # Panics
    /// When the database refuses a statement.
    pub async fn begin(fleet: &Fleet) -> Self {
        let db = &fleet.database.db;
        db.execute_unprepared(TRIGGER).await.expect("a valid statement");
        let lock = db.begin().await.expect("a transaction");
        lock.execute_unprepared("SELECT pg_advisory_xact_lock(42)").await.expect("the lock is free");
        Self { lock }
    }

    /// Ends the pause.
    ///
    /// # Panics
    /// When the database is unavailable.
    pub async fn end(self) {
        self.lock.commit().await.expect("the database is available");
    }

    /// Settings of exporters that keep their leases during a pause.
    #[must_use]
    pub fn settings() -> Vec<Setting> {
        vec![("SLUICE_EXPORTER__LEASE_DURATION", "50s".to_owned())]
    }
}
