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
        let exporters = self.catalog.exporters();
        let items = exporters.iter().map(|heartbeat| ExporterInfo {
            instance: heartbeat.instance.clone(),
            pool: heartbeat.pool.clone(),
            slots: heartbeat.slots,
            bulk_slots: heartbeat.bulk_slots,
            draining: heartbeat.draining,
            datasets: heartbeat.datasets.iter().take(MAX_LISTED_DATASETS).map(|one| one.name.clone()).collect(),
            dataset_count: u32::try_from(heartbeat.datasets.len()).unwrap_or(u32::MAX),
            at: heartbeat.at,
        });
        Ok(enveloped(ExportersReply::Exporters { items: items.collect() }))
    }

    fn refuse(problem: Problem) -> Self::Reply {
        enveloped(ExportersReply::Refused { problem })
    }
}
