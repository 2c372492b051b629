//! What this exporter offers: the list as it is now, and how gateways hear of it.

mod advertise;
mod estimates;
mod fault;
mod load;
mod refuse;
mod reload;
pub(crate) mod rules;
mod spec;
mod templates;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::watch;

pub(crate) use self::{
    advertise::Advertiser,
    reload::{Reloader, fingerprint, tell},
};
pub use self::{
    fault::{CatalogFault, CatalogFaults},
    load::{Loaded, Means, load},
};
use crate::Registry;

/// The registry as it is now: a reload puts another in its place, and whoever already works with one goes on with it.
#[derive(Clone)]
pub(crate) struct Current(watch::Receiver<Arc<Registry>>);

/// The one place where a registry is replaced.
pub(crate) type Replace = watch::Sender<Arc<Registry>>;

impl Current {
    /// A catalog that begins with this registry.
    pub(crate) fn starting_with(registry: Registry) -> (Replace, Self) {
        let (replace, current) = watch::channel(Arc::new(registry));
        (replace, Self(current))
    }

    /// What is on offer now.
    pub(crate) fn current(&self) -> Arc<Registry> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits until it is replaced; for ever when nobody can.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
