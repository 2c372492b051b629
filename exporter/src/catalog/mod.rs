//! The catalog: loads the file that declares datasets and templates, and advertises the datasets to gateways.

mod advertise;
mod advertisement;
mod checks;
mod dataset;
mod entries;
mod estimates;
mod fault;
pub mod init;
mod load;
mod loaded;
mod reload;
pub(crate) mod rules;
mod sizes;
mod source;
mod spec;
mod templates;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::watch;

pub(crate) use self::{
    advertise::Advertiser,
    reload::{Reloader, fingerprint, report_unavailable},
};
pub use self::{
    advertisement::{Advertisement, NotAdvertised},
    fault::{CatalogFault, CatalogFaults},
    load::load,
    loaded::Loaded,
    source::LoadContext,
    spec::json_schema,
};
use crate::Registry;

/// The current registry, which has the datasets, templates and formats that the exporter offers. A reload of the
/// catalog file replaces the registry; a running export keeps the registry with which it started.
#[derive(Clone)]
pub(crate) struct Current(watch::Receiver<Arc<Registry>>);

/// The sender of the current registry. Each sent registry replaces the current one.
pub(crate) type Replace = watch::Sender<Arc<Registry>>;

impl Current {
    /// Makes `registry` the current registry. Returns a sender for later registries, and a [`Current`] that gives the
    /// newest one.
    pub(crate) fn starting_with(registry: Registry) -> (Replace, Self) {
        let (replace, current) = watch::channel(Arc::new(registry));
        (replace, Self(current))
    }

    /// Returns the current registry.
    pub(crate) fn current(&self) -> Arc<Registry> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits until a new registry replaces the current one. Never returns if the [`Replace`] sender is dropped.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
