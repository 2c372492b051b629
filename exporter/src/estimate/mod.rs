//! What an export would be, before anybody asks for it: rows, bytes, time, cost, and its first rows.
//!
//! Nothing is read whole. The first rows ([`sample`]) are encoded as the export would encode them; how many there are in
//! all comes from the source's statistics ([`crate::dataset::Dataset::guess`]); how large and how fast a row is comes
//! from exports that were made before ([`history`]), or else from the sample.

mod history;
mod sample;
mod serve;

use std::time::Duration;

use platform::clock::SharedClock;
use protocol::estimate::{Estimate, EstimateQuestion};
use sea_orm::DatabaseConnection;
use tracing::warn;

pub(crate) use self::serve::serve;
use self::{history::History, sample::Sample};
use crate::{
    catalog::Current,
    error::JobError,
    worker::plan::{self, Ask, Plan},
};

/// A source may take this long to give the first rows, …
const SAMPLE_TIME: Duration = Duration::from_millis(2_000);
/// … and this long to say how many there are.
const GUESS_TIME: Duration = Duration::from_millis(1_200);
/// What an encoder makes of an export that nobody has timed yet, bytes a second.
const BYTES_PER_SECOND: f64 = 40e6;
/// Before the first row: a free slot, a claim, an open source.
const OVERHEAD_S: f64 = 0.1;

/// Answers questions about exports that nobody has asked for yet.
pub(crate) struct Estimator {
    catalog: Current,
    history: History,
    clock: SharedClock,
}

impl Estimator {
    pub(crate) fn new(catalog: Current, db: DatabaseConnection, clock: SharedClock) -> Self {
        Self { catalog, history: History::new(db), clock }
    }

    /// What the export would be.
    pub(crate) async fn estimate(&self, question: EstimateQuestion) -> Result<Estimate, JobError> {
        let EstimateQuestion { request, claims } = question;
        let ask = Ask {
            dataset: request.dataset,
            template: request.template.unwrap_or_else(|| "default".into()),
            format: request.format.unwrap_or_else(|| "csv".into()),
            compression: request.compression.unwrap_or_else(|| "none".into()),
            filter: request.filter.unwrap_or_else(|| serde_json::json!({})),
            columns: request.columns.unwrap_or_default(),
            params: request.params.unwrap_or_default(),
            claims,
        };
        let key = history::Key::of(&ask);
        let plan = plan::plan(&self.catalog.current(), ask)?;
        let sample = Sample::take(&plan, SAMPLE_TIME).await?;
        let (rows, exact) = rows(&plan, &sample).await;
        let pace = self.history.pace(&key).await;
        let measured = sample.measure(&plan, &self.clock).await?;
        let bytes = rows.map(|rows| match pace {
            Some(pace) if rows > sample.rows() => (pace.bytes_per_row * rows as f64) as u64,
            _ => measured.bytes_of(rows),
        });
        let seconds = rows.zip(bytes).map(|(rows, bytes)| {
            let work = pace.map_or(bytes as f64 / BYTES_PER_SECOND, |pace| rows as f64 / pace.rows_per_second);
            ((OVERHEAD_S + work) * 10.0).ceil() / 10.0
        });
        Ok(Estimate { rows, exact, bytes, seconds, credits: plan.dataset.credits(), preview: measured.preview })
    }
}

/// How many rows there will be: as many as were seen when that was all of them, else what the statistics say.
async fn rows(plan: &Plan, sample: &Sample) -> (Option<u64>, bool) {
    if sample.is_whole() {
        return (Some(sample.rows()), true);
    }
    match tokio::time::timeout(GUESS_TIME, plan.dataset.guess(&plan.query)).await {
        Ok(Ok(Some(guess))) => (Some(guess.rows.max(sample.rows())), guess.exact),
        Ok(Ok(None)) | Err(_) => (None, false),
        Ok(Err(e)) => {
            warn!(dataset.name = plan.dataset.name(), error = %e, "a source can't say how many rows it has");
            (None, false)
        }
    }
}
