//! What waits before an export, as the dispatcher sees it too. One look at the tables serves everybody who asks within a
//! moment: under a flood of requests the queue is long, and each look costs more.

use std::{sync::Arc, time::Duration};

use entity::{
    export,
    turns::{Outlook, Survey},
};
use protocol::subject::Lane;
use sea_orm::DatabaseConnection;
use tokio::{sync::Mutex, time::Instant};

use crate::{catalog::Catalog, error::Outcome};

/// Waiting exports of one look; those behind them are only known to be behind.
const FAR: u64 = 10_000;

/// The queue. Clones share it.
#[derive(Clone, Debug)]
pub struct Queue {
    db: DatabaseConnection,
    catalog: Catalog,
    fresh: Duration,
    last: Arc<Mutex<Option<Look>>>,
}

/// What was seen, and when.
type Look = (Instant, Arc<Survey>);

impl Queue {
    /// The queue in this database, looked at again when the last look is older than `fresh`.
    #[must_use]
    pub fn new(db: DatabaseConnection, catalog: Catalog, fresh: Duration) -> Self {
        Self { db, catalog, fresh, last: Arc::default() }
    }

    /// What is ahead of a waiting export.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outlook(&self, row: &export::Model) -> Outcome<Outlook> {
        let survey = self.survey().await?;
        let slots = self.catalog.slots(&row.pool, Lane::of(&row.lane));
        Ok(survey.outlook(row.export_id(), &row.pool, &row.lane, slots))
    }

    async fn survey(&self) -> Outcome<Arc<Survey>> {
        // whoever comes while somebody looks waits for the same picture
        let mut last = self.last.lock().await;
        if let Some((at, survey)) = &*last
            && at.elapsed() < self.fresh
        {
            return Ok(Arc::clone(survey));
        }
        let survey = Arc::new(Survey::take(&self.db, FAR).await?);
        *last = Some((Instant::now(), Arc::clone(&survey)));
        Ok(survey)
    }
}
