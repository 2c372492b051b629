//! A gate at which exports stand still in their middle, so that what a test does to one is done while it runs, however fast
//! the machine is and however late the test.

use sea_orm::{ConnectionTrait, DatabaseTransaction, TransactionTrait};

use crate::Fleet;

/// An exporter that wants to make a later segment than these visible waits as long as somebody holds the lock. It holds the
/// export's row meanwhile.
const TRIGGER: &str = "
    CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.index > 3 THEN
            PERFORM pg_advisory_xact_lock_shared(42);
        END IF;
        RETURN NEW;
    END $$;
    CREATE OR REPLACE TRIGGER gate BEFORE INSERT ON segment FOR EACH ROW EXECUTE FUNCTION gate()";

/// A gate that is shut. It opens when this is dropped, at the latest.
pub struct Gate {
    held: DatabaseTransaction,
}

impl Gate {
    /// Lets each export make its first four segments, and no more, while this is held: the fleet's database must be
    /// PostgreSQL. An exporter keeps its lease for that long only with [`Gate::patience`].
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn shut(fleet: &Fleet) -> Self {
        let db = &fleet.database.db;
        db.execute_unprepared(TRIGGER).await.expect("a good statement");
        let held = db.begin().await.expect("a transaction");
        held.execute_unprepared("SELECT pg_advisory_xact_lock(42)").await.expect("nobody else has it");
        Self { held }
    }

    /// Lets everything pass.
    ///
    /// # Panics
    /// When the database is away.
    pub async fn open(self) {
        self.held.commit().await.expect("the database is there");
    }

    /// Settings of exporters that keep what they have begun while they stand still.
    #[must_use]
    pub fn patience() -> Vec<(&'static str, String)> {
        let settings = [("SLUICE_EXPORTER__LEASE_MS", "50000"), ("SLUICE_EXPORTER__ACK_WAIT_MS", "60000")];
        settings.map(|(name, value)| (name, value.to_owned())).to_vec()
    }
}
