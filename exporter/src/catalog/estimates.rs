//! Estimates the row counts of all datasets in the background, so that a slow source does not delay the advertisement
//! of the catalog.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use crate::{
    Registry,
    dataset::{Dataset, estimate_rows},
};

/// The maximum time to wait for the estimate of one dataset's row count.
const TIMEOUT: Duration = Duration::from_millis(1_000);
/// The maximum number of datasets whose row counts are estimated at once.
const CONCURRENCY: usize = 8;

/// The names of datasets, each with its estimated row count. The count is None if the source has no estimate.
type Answers = Vec<(String, Option<u64>)>;

/// The last estimated row count of each dataset, and the task that computes new estimates.
pub(super) struct Estimates {
    known: HashMap<String, u64>,
    running: Option<AbortOnDropHandle<Answers>>,
    /// Whether the running task is the first one that estimates the row counts after a start of the exporter or a
    /// reload of its catalog. False if the task only refreshes the estimates.
    is_first: bool,
}

impl Estimates {
    /// Returns the estimates of the datasets of `registry`, which are empty at first. A task computes them in the
    /// background.
    pub(super) fn of(registry: Arc<Registry>) -> Self {
        let mut estimates = Self { known: HashMap::new(), running: None, is_first: true };
        estimates.start(registry);
        estimates
    }

    /// Starts to estimate the row counts of all datasets of `registry`, which has replaced an earlier registry. Stops
    /// the task that estimates for the earlier registry. Keeps the earlier estimates of datasets that are in both
    /// registries.
    pub(super) fn start(&mut self, registry: Arc<Registry>) {
        self.is_first = true;
        self.known.retain(|name, _| registry.dataset(name).is_some());
        let estimating = stream::iter(registry.datasets.clone()).map(estimate).buffer_unordered(CONCURRENCY);
        let answers = estimating.filter_map(std::future::ready).collect::<Answers>();
        self.running = Some(AbortOnDropHandle::new(tokio::spawn(answers)));
    }

    /// Starts to estimate the row counts of all datasets of `registry` again, unless a task is already running.
    pub(super) fn refresh(&mut self, registry: Arc<Registry>) {
        if self.running.is_none() {
            self.start(registry);
            self.is_first = false;
        }
    }

    /// Waits until the running task ends, and stores its estimates. Never returns if no task is running. Returns true
    /// if the task was the first one after a start of the exporter or a reload of its catalog, and false if the task
    /// refreshed the estimates.
    pub(super) async fn finished(&mut self) -> bool {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let answers = running.await;
        self.running = None;
        match answers {
            Ok(answers) => {
                for (name, rows) in answers {
                    match rows {
                        Some(rows) => self.known.insert(name, rows),
                        None => self.known.remove(&name),
                    };
                }
            }
            Err(e) => warn!(error = %e, "failed to estimate the rows of the datasets"),
        }
        self.is_first
    }

    /// Returns the last estimated row count of a dataset; None if there is no estimate.
    pub(super) fn rows(&self, name: &str) -> Option<u64> {
        self.known.get(name).copied()
    }
}

/// Estimates the row count of one dataset. Returns the name of the dataset and the estimate. The estimate is None if
/// the source can't estimate row counts. Returns None if the source does not answer within [`TIMEOUT`]; the caller then
/// keeps the previous estimate.
async fn estimate(dataset: Arc<dyn Dataset>) -> Option<(String, Option<u64>)> {
    let name = dataset.info().name.clone();
    match tokio::time::timeout(TIMEOUT, estimate_rows(dataset.as_ref())).await {
        Ok(rows) => Some((name, rows)),
        Err(_) => {
            debug!(dataset.name = name, "the estimate of a dataset timed out");
            None
        }
    }
}
