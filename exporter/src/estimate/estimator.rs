//! Estimates an export from a sample, the statistics of the source and the history of exports.

use std::time::Duration;

use platform::clock::SharedClock;
use protocol::estimate::{Estimate, EstimateRequest};
use sea_orm::DatabaseConnection;
use tracing::warn;

use super::{
    history::{History, Key},
    sample::Sample,
};
use crate::{
    catalog::Current,
    dataset::{Precision, RowCount},
    error::JobError,
    plan::{Plan, PlanRequest},
};

/// The maximum time for reading the sample from the source.
const SAMPLE_TIMEOUT: Duration = Duration::from_millis(2_000);
/// The maximum time that the source may take to estimate the number of rows of a query.
const COUNT_TIMEOUT: Duration = Duration::from_millis(1_200);
/// The assumed speed of an export, in bytes of the file per second. Used if the history has no comparable export.
const DEFAULT_SPEED: f64 = 40e6;
/// The assumed time between the request for an export and its first row, in seconds. In this time the export is
/// dispatched, the attempt starts and the source is opened.
const OVERHEAD_SECONDS: f64 = 0.1;

/// Estimates the size, duration and price of an export before a user requests it.
pub(crate) struct Estimator {
    catalog: Current,
    history: History,
    clock: SharedClock,
}

impl Estimator {
    pub(crate) fn new(catalog: Current, db: DatabaseConnection, clock: SharedClock) -> Self {
        Self { catalog, history: History::new(db), clock }
    }

    /// Returns the rows, size, duration, price and preview of one export.
    ///
    /// # Errors
    /// When the request does not fit the dataset, or the source fails. The export itself would fail with the same
    /// error.
    pub(crate) async fn estimate(&self, request: EstimateRequest) -> Result<Estimate, JobError> {
        let EstimateRequest { request, claims } = request;
        let request = PlanRequest {
            dataset: request.dataset,
            template: request.template.unwrap_or_else(|| "default".into()),
            format: request.format.unwrap_or_else(|| "csv".into()),
            compression: request.compression.unwrap_or_else(|| "none".into()),
            filter: request.filter.unwrap_or_else(|| serde_json::json!({})),
            columns: request.columns.unwrap_or_default(),
            params: request.params.unwrap_or_default(),
            claims,
        };
        let key = Key::of(&request);
        let has_params = !request.params.is_empty();
        let plan = Plan::resolve(&self.catalog.current(), request)?;
        let is_selective = has_params || !plan.query.filter.is_all();
        let sample = Sample::take(&plan, SAMPLE_TIMEOUT).await?;
        let count = count_rows(&plan, &sample).await;
        let throughput = self.history.throughput(&key).await;
        let measured = sample.measure(&plan, &self.clock).await?;
        let rows = count.map(|count| count.rows);
        let bytes = count.and_then(|count| match &throughput {
            Some(throughput) if count.rows > sample.rows() => {
                Some((throughput.bytes_per_row() * count.rows as f64) as u64)
            }
            _ => measured.bytes_of(count),
        });
        let seconds = rows.zip(bytes).map(|(rows, bytes)| {
            let comparable = throughput.as_ref().and_then(|throughput| throughput.seconds(rows, is_selective));
            let work = comparable.unwrap_or(bytes as f64 / DEFAULT_SPEED);
            ((OVERHEAD_SECONDS + work) * 10.0).ceil() / 10.0
        });
        let (exact, credits) = (count.is_some_and(|count| count.exact), plan.dataset.info().credits);
        Ok(Estimate { rows, exact, bytes, seconds, credits, preview: measured.preview })
    }
}

/// Returns the exact number of rows if the sample contains all rows. Otherwise returns the source's estimate. Returns
/// None if the source has no estimate, fails, or does not answer within [`COUNT_TIMEOUT`].
async fn count_rows(plan: &Plan, sample: &Sample) -> Option<RowCount> {
    if sample.is_complete() {
        return Some(RowCount::exact(sample.rows()));
    }
    match tokio::time::timeout(COUNT_TIMEOUT, plan.dataset.count(&plan.query, Precision::Estimate)).await {
        Ok(Ok(count)) => count.map(|count| RowCount { rows: count.rows.max(sample.rows()), ..count }),
        Ok(Err(e)) => {
            warn!(dataset.name = plan.dataset.info().name, error = %e, "failed to estimate the rows of a dataset");
            None
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use futures::{StreamExt, stream};
    use platform::clock::SystemClock;
    use protocol::{
        catalog::{Column, ColumnType},
        export::ExportRequest,
    };
    use serde_json::Map;

    use super::*;
    use crate::{
        Registry,
        dataset::{Dataset, DatasetError, DatasetInfo, OpenedQuery, Query},
    };

    /// A test dataset that returns no row in time, but can estimate its number of rows.
    struct SlowDataset(DatasetInfo);

    #[async_trait]
    impl Dataset for SlowDataset {
        fn info(&self) -> &DatasetInfo {
            &self.0
        }

        async fn open(&self, _: &Query) -> Result<OpenedQuery, DatasetError> {
            Ok(stream::pending().boxed().into())
        }

        async fn count(&self, _: &Query, _: Precision) -> Result<Option<RowCount>, DatasetError> {
            Ok(Some(RowCount::estimate(1_000_000)))
        }
    }

    #[tokio::test]
    async fn the_size_is_unknown_if_no_row_was_read() {
        let info = DatasetInfo::new("slow", vec![Column::new("n", ColumnType::Int)]);
        let mut registry = Registry::built_in();
        registry.datasets.push(Arc::new(SlowDataset(info)));
        let (_replace, catalog) = Current::starting_with(registry);
        let database = testkit::db::sqlite().await;
        let estimator = Estimator::new(catalog, database.db.clone(), SystemClock::shared());
        let request = ExportRequest { dataset: "slow".into(), ..ExportRequest::default() };
        let estimate = estimator.estimate(EstimateRequest { request, claims: Map::new() }).await.unwrap();
        assert_eq!((estimate.rows, estimate.exact), (Some(1_000_000), false));
        assert_eq!((estimate.bytes, estimate.seconds, estimate.preview), (None, None, vec![]));
    }
}
