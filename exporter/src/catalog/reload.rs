//! Looks at the catalog file from time to time, and puts what it says in the place of what it said before.
//!
//! The file is polled, as what watches folders misses what happens on mounts and through links. A file that is wrong
//! changes nothing: the last good one goes on, and log and metric say so. Datasets whose source could not be reached are
//! tried again at each look.

use std::{path::PathBuf, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Loaded, Means, Replace, load};
use crate::Registry;

/// While sources are away, they are tried again after so many looks.
const AWAY_LOOKS: u32 = 5;

/// Keeps the registry as the file says.
pub(crate) struct Reloader {
    pub(crate) path: PathBuf,
    pub(crate) means: Means,
    /// What is offered whatever the file says.
    pub(crate) base: Registry,
    pub(crate) replace: Replace,
    pub(crate) every: Duration,
    /// Of the file that is in force.
    pub(crate) seen: Option<Vec<u8>>,
    /// Whether some of its sources could not be reached.
    pub(crate) away: bool,
}

/// What a file's bytes are known by; None when it can't be read.
pub(crate) async fn fingerprint(path: &std::path::Path) -> Option<Vec<u8>> {
    let bytes = tokio::fs::read(path).await.ok()?;
    Some(digest(&SHA256, &bytes).as_ref().to_vec())
}

impl Reloader {
    /// Looks until the stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), std::convert::Infallible> {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks: u32 = 0;
        let mut refused = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            looks = looks.wrapping_add(1);
            let now = fingerprint(&self.path).await;
            let changed = now != self.seen;
            let again = self.away && looks.is_multiple_of(AWAY_LOOKS);
            if !changed && !again {
                continue;
            }
            // a wrong file is told once, not at each look
            self.seen = now;
            // a file that was refused when it was new is not let in later by who bears more
            refused = !self.reload(changed, changed || refused).await;
        }
    }

    /// Whether what the file says is in force now; `strictly` also where a source is not what it says.
    async fn reload(&mut self, changed: bool, strictly: bool) -> bool {
        let loaded = load(&self.path, &self.means, &self.base).await;
        let loaded = match loaded.and_then(|loaded| if strictly { loaded.as_written(&self.path) } else { Ok(loaded) }) {
            Ok(loaded) => loaded,
            Err(faults) => return refuse(&faults.to_string()),
        };
        tell(&loaded, changed);
        self.away = !loaded.unavailable.is_empty();
        let registry = self.base.with(loaded);
        if let Err(e) = registry.validate() {
            return refuse(&e.to_string());
        }
        metrics::counter!("sluice_exporter_catalog_reloads_total", "result" => "accepted").increment(1);
        metrics::gauge!("sluice_exporter_catalog_reload_failed").set(0.0);
        if changed {
            info!(catalog.path = %self.path.display(), catalog.datasets = registry.datasets.len(), "the catalog is new");
        }
        self.replace.send_replace(registry.into());
        true
    }
}

/// Says why the file is not taken: it is not.
fn refuse(why: &str) -> bool {
    metrics::counter!("sluice_exporter_catalog_reloads_total", "result" => "rejected").increment(1);
    metrics::gauge!("sluice_exporter_catalog_reload_failed").set(1.0);
    warn!(error = why, "the catalog file is wrong; the last good one goes on");
    false
}

/// Says which datasets are missing, and why.
pub(crate) fn tell(loaded: &Loaded, changed: bool) {
    metrics::gauge!("sluice_exporter_datasets_unavailable").set(loaded.unavailable.len() as f64);
    if !changed {
        return;
    }
    for (name, why) in &loaded.unavailable {
        warn!(dataset.name = name, error = why, "a dataset is not offered for now, because of its source");
    }
}
