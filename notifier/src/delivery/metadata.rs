//! Answers metadata requests of gateways with the metadata document of a file (CSVW, CSV on the Web), or with a
//! problem.

use entity::export;
use protocol::{
    delivery::{self, MetadataReply, MetadataRequest},
    export::Status,
    problem::{Problem, Slug},
};

use super::refusal;
use crate::{deps::Deps, error::NotifierError, requests::Handler};

/// Answers each [`MetadataRequest`] with the CSVW document that the exporter stored beside the segments.
pub(crate) struct MetadataHandler {
    deps: Deps,
}

impl MetadataHandler {
    pub(crate) fn new(deps: Deps) -> Self {
        Self { deps }
    }
}

impl Handler for MetadataHandler {
    const SPAN: &'static str = "metadata";
    type Request = MetadataRequest;
    type Reply = MetadataReply;

    async fn handle(&self, request: MetadataRequest) -> Result<MetadataReply, NotifierError> {
        let Some(row) = export::find_owned(&self.deps.db, &request.owner, request.export_id).await? else {
            return Ok(Self::refuse(refusal::not_found()));
        };
        if let Some(problem) = refusal::permanent(&row, self.deps.clock.now())? {
            return Ok(Self::refuse(problem));
        }
        if row.status()? != Status::Completed {
            return Ok(Self::refuse(Problem::new(Slug::NotReady, "The export has not finished.")));
        }
        let path = delivery::metadata_path(row.export_id(), row.attempt.unsigned_abs());
        let bytes = match self.deps.store.get(&path).await {
            Ok(bytes) => bytes,
            // some formats have no metadata document
            Err(e) if e.is_not_found() => {
                let problem = Problem::new(Slug::NotFound, "This file has no metadata document.");
                return Ok(Self::refuse(problem));
            }
            Err(e) => return Err(e.into()),
        };
        let document = serde_json::from_slice(&bytes).map_err(|source| NotifierError::Document { path, source })?;
        Ok(MetadataReply::Document { document })
    }

    fn refuse(problem: Problem) -> MetadataReply {
        MetadataReply::Refused { problem }
    }
}
