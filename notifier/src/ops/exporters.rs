//! Lists the running exporters. Reads the exporters from their heartbeats in the catalog, a NATS key-value bucket.

use platform::catalog::Catalog;
use protocol::{
    envelope::Envelope,
    ops::{ExporterInfo, ExportersReply, ExportersRequest, MAX_LISTED_DATASETS},
    problem::Problem,
};

use crate::{
    error::NotifierError,
    requests::{Handler, enveloped},
};

/// Answers each [`ExportersRequest`] with the exporters in the catalog.
pub(super) struct ExportersHandler {
    pub(super) catalog: Catalog,
}

impl Handler for ExportersHandler {
    type Request = ExportersRequest;
    type Reply = Envelope<ExportersReply>;

    async fn handle(&self, _: ExportersRequest) -> Result<Self::Reply, NotifierError> {
        Ok(enveloped(ExportersReply::Exporters { items: list(&self.catalog, MAX_LISTED_DATASETS) }))
    }

    fn refuse(problem: Problem) -> Self::Reply {
        enveloped(ExportersReply::Refused { problem })
    }
}

/// Lists the running exporters, each with at most `max_datasets` names of datasets.
pub(super) fn list(catalog: &Catalog, max_datasets: usize) -> Vec<ExporterInfo> {
    let exporters = catalog.exporters();
    let items = exporters.iter().map(|heartbeat| ExporterInfo {
        instance: heartbeat.instance.clone(),
        pool: heartbeat.pool.clone(),
        slots: heartbeat.slots,
        bulk_slots: heartbeat.bulk_slots,
        draining: heartbeat.draining,
        datasets: heartbeat.datasets.iter().take(max_datasets).map(|one| one.name.clone()).collect(),
        dataset_count: u32::try_from(heartbeat.datasets.len()).unwrap_or(u32::MAX),
        at: heartbeat.at,
    });
    items.collect()
}
