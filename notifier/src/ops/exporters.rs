//! The exporters that are there, as they advertise themselves.

use platform::catalog::Catalog;
use protocol::{
    envelope::Envelope,
    ops::{ExporterInfo, ExportersReply, ExportersRequest},
    problem::Problem,
};

use super::enveloped;
use crate::{delivery::requests::Handler, error::NotifierError};

/// Answers [`ExportersRequest`]s.
pub(super) struct ExporterLister {
    pub(super) catalog: Catalog,
}

impl Handler for ExporterLister {
    type Question = ExportersRequest;
    type Answer = Envelope<ExportersReply>;

    async fn answer(&self, _: ExportersRequest) -> Result<Self::Answer, NotifierError> {
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

    fn refuse(problem: Problem) -> Self::Answer {
        enveloped(ExportersReply::Refused { problem })
    }
}
