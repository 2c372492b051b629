//! Lists the running exporters, from the catalog entries that they advertise.

use platform::catalog::Catalog;
use protocol::{
    envelope::Envelope,
    ops::{ExporterInfo, ExportersReply, ExportersRequest},
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
        let items = self.catalog.exporters().into_iter().map(|entry| ExporterInfo {
            instance: entry.instance,
            pool: entry.pool,
            slots: entry.slots,
            bulk_slots: entry.bulk_slots,
            draining: entry.draining,
            datasets: entry.datasets.into_iter().map(|dataset| dataset.info.name).collect(),
            at: entry.at,
        });
        Ok(enveloped(ExportersReply::Exporters { items: items.collect() }))
    }

    fn refuse(problem: Problem) -> Self::Reply {
        enveloped(ExportersReply::Refused { problem })
    }
}
