//! Answers gateways that want the CSVW document of a file.

use entity::export;
use protocol::{
    delivery::{self, MetadataReply, MetadataRequest},
    export::Status,
    problem::{Problem, Slug},
};

use super::{
    grant::{not_found, nothing_to_read},
    requests::Handler,
};
use crate::{app::Deps, error::NotifierError};

/// Answers [`MetadataRequest`]s.
pub(crate) struct Documents {
    deps: Deps,
}

impl Documents {
    pub(crate) fn new(deps: Deps) -> Self {
        Self { deps }
    }
}

impl Handler for Documents {
    const SPAN: &'static str = "metadata";
    type Question = MetadataRequest;
    type Answer = MetadataReply;

    async fn answer(&self, request: MetadataRequest) -> Result<MetadataReply, NotifierError> {
        let Some(row) = export::find_owned(&self.deps.db, &request.owner, request.export_id).await? else {
            return Ok(Self::refuse(not_found()));
        };
        if let Some(problem) = nothing_to_read(&row, self.deps.clock.now())? {
            return Ok(Self::refuse(problem));
        }
        if row.status()? != Status::Completed {
            return Ok(Self::refuse(Problem::new(Slug::NotReady, "The export has not finished.")));
        }
        let path = delivery::metadata_path(row.export_id(), row.attempt.unsigned_abs());
        let bytes = match self.deps.store.get(&path).await {
            Ok(bytes) => bytes,
            // not every format has one
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
