//! Polls the catalog file. When the file changes, replaces the [`Registry`], which has the datasets, templates and
//! formats that the exporter offers.
//!
//! The exporter polls the file because file system notifications miss changes on mounts and behind symbolic links. If
//! the file is invalid, the exporter keeps the last valid registry, and reports the fault in a log line and a metric.
//!
//! The exporter also reloads an unchanged file. It does so at every fifth poll if a dataset is unavailable, and at the
//! next poll if an export has found that a dataset's files have changed since the last load.

use std::{path::PathBuf, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{LoadContext, Replace, load};
use crate::Registry;

/// The number of polls of the catalog file between two retries of unavailable datasets.
const RETRY_POLLS: u32 = 5;

/// Reloads the catalog file when it changes, and replaces the registry by the result.
pub(crate) struct Reloader {
    pub(crate) path: PathBuf,
    pub(crate) context: LoadContext,
    /// The built-in templates and formats, and the datasets and templates in Rust code. A load adds the datasets and
    /// templates of the catalog file to a copy.
    pub(crate) base: Registry,
    pub(crate) replace: Replace,
    pub(crate) interval: Duration,
    /// The SHA-256 digest of the catalog file at the last load, even if the file was invalid; None if the file could
    /// not be read.
    pub(crate) fingerprint: Option<Vec<u8>>,
    /// Whether some datasets of the last valid catalog file are unavailable, because their source can't be read or
    /// differs from the file.
    pub(crate) has_unavailable: bool,
}

/// Returns the SHA-256 digest of a file; None if the file can't be read.
pub(crate) async fn fingerprint(path: &std::path::Path) -> Option<Vec<u8>> {
    let bytes = tokio::fs::read(path).await.ok()?;
    Some(digest(&SHA256, &bytes).as_ref().to_vec())
}

impl Reloader {
    /// Polls the catalog file at each interval until `stop` is canceled.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), std::convert::Infallible> {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut polls: u32 = 0;
        let mut refused = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            polls = polls.wrapping_add(1);
            let current = fingerprint(&self.path).await;
            let changed = current != self.fingerprint;
            let is_outdated = self.replace.borrow().datasets.iter().any(|dataset| dataset.is_outdated());
            let retry = is_outdated || (self.has_unavailable && polls.is_multiple_of(RETRY_POLLS));
            if !changed && !retry {
                continue;
            }
            // an invalid file is reported once, not at every poll
            self.fingerprint = current;
            // a file that was refused after a change stays refused, because a retry must be as strict as that load
            refused = !self.reload(changed, changed || refused).await;
        }
    }

    /// Loads the catalog file, and returns whether the exporter accepted it. `changed` is true if the file has changed
    /// since the last load.
    ///
    /// `strict` decides what happens if the declaration of a dataset differs from its source, or its catalog entry is
    /// too large. If `strict` is true, the whole file is refused. If it is false, only the dataset becomes unavailable.
    pub(super) async fn reload(&mut self, changed: bool, strict: bool) -> bool {
        let loaded = load(&self.path, &self.context, &self.base).await;
        let loaded = match loaded.and_then(|loaded| if strict { loaded.as_written(&self.path) } else { Ok(loaded) }) {
            Ok(loaded) => loaded,
            Err(faults) => return refuse(&faults.to_string()),
        };
        let unavailable = loaded.unavailable.clone();
        let registry = self.base.with(loaded);
        if let Err(e) = registry.validate() {
            return refuse(&e.to_string());
        }
        // a refused file leaves the state of the last valid one
        report_unavailable(&unavailable, changed);
        self.has_unavailable = !unavailable.is_empty();
        metrics::counter!("sluice_exporter_catalog_reloads_total", "result" => "accepted").increment(1);
        metrics::gauge!("sluice_exporter_catalog_reload_failed").set(0.0);
        if changed {
            info!(catalog.path = %self.path.display(), catalog.datasets = registry.datasets.len(), "loaded the catalog file");
        }
        self.replace.send_replace(registry.into());
        true
    }
}

/// Reports a refused catalog file in a metric and a log line. Always returns false, so that the caller can return this
/// value.
fn refuse(reason: &str) -> bool {
    metrics::counter!("sluice_exporter_catalog_reloads_total", "result" => "rejected").increment(1);
    metrics::gauge!("sluice_exporter_catalog_reload_failed").set(1.0);
    warn!(error = reason, "failed to reload the catalog file; the last valid one stays in force");
    false
}

/// Reports the number of unavailable datasets in a metric. `unavailable` has the name of each, and the reason.
/// `changed` is true if the catalog file has changed since the last load; then each of these datasets is also logged.
pub(crate) fn report_unavailable(unavailable: &[(String, String)], changed: bool) {
    metrics::gauge!("sluice_exporter_datasets_unavailable").set(unavailable.len() as f64);
    if !changed {
        return;
    }
    for (name, reason) in unavailable {
        warn!(dataset.name = name, error = reason, "a dataset is unavailable until its source can be read");
    }
}
