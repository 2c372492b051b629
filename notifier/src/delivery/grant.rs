//! Answers grant requests of gateways. A reply contains grants, which are short-lived URLs of segments. For a completed
//! export, the reply also contains the seal: the size, the number of rows and the digest of the file. If a newer
//! attempt wrote other bytes than the client has received, the reply says that the file stream restarts. The reply to a
//! refused request is a problem (RFC 9457).

use std::sync::Arc;

use entity::{export, segment, view};
use protocol::{
    delivery::{GrantReply, GrantRequest, Seal},
    export::Status,
    problem::{Problem, Slug},
};

use super::{
    continuation::{self, Continuation},
    minter::Minter,
    refusal,
};
use crate::{deps::Deps, error::NotifierError, requests::Handler};

/// Answers each [`GrantRequest`]. A reply contains at most `max` grants, or fewer if the request has a lower limit.
pub(crate) struct GrantHandler {
    deps: Deps,
    minter: Arc<Minter>,
    max: u32,
}

impl GrantHandler {
    pub(crate) fn new(deps: Deps, minter: Arc<Minter>, max: u32) -> Self {
        Self { deps, minter, max }
    }

    async fn grants(&self, row: &export::Model, request: &GrantRequest) -> Result<GrantReply, NotifierError> {
        let (db, id, attempt, status) = (&self.deps.db, row.export_id(), row.attempt.unsigned_abs(), row.status()?);
        if let Some(old) = request.attempt.filter(|old| *old != attempt && request.offset > 0) {
            let sent = segment::before(db, id, old, request.offset).await?;
            let written = segment::before(db, id, attempt, request.offset).await?;
            match continuation::compare(&sent, &written, request.offset) {
                Continuation::Same => {}
                // a completed file that is shorter than the sent bytes differs from them
                Continuation::Behind if status != Status::Completed => {
                    return Ok(GrantReply::Granted { attempt: old, status, grants: Vec::new(), seal: None });
                }
                Continuation::Behind | Continuation::Differs => return Ok(GrantReply::Restarted),
            }
        }
        let max = u64::from(request.max.min(self.max));
        let segments = segment::from_offset(db, id, attempt, request.offset, max).await?;
        let mut grants = Vec::with_capacity(segments.len());
        for segment in segments {
            grants.push(self.minter.mint(id, attempt, segment).await?);
        }
        let file = view::file(row).filter(|_| status == Status::Completed);
        let seal = file.map(|file| Seal { size: file.size, rows: file.rows, sha256: file.sha256 });
        Ok(GrantReply::Granted { attempt, status, grants, seal })
    }
}

impl Handler for GrantHandler {
    const SPAN: &'static str = "grant";
    type Request = GrantRequest;
    type Reply = GrantReply;

    async fn handle(&self, request: GrantRequest) -> Result<GrantReply, NotifierError> {
        if i64::try_from(request.offset).is_err() {
            return Ok(Self::refuse(Problem::new(Slug::InvalidRequest, "No file has a byte at that offset.")));
        }
        let Some(row) = export::find_owned(&self.deps.db, &request.owner, request.export_id).await? else {
            return Ok(Self::refuse(refusal::not_found()));
        };
        if let Some(problem) = refusal::permanent(&row, self.deps.clock.now())? {
            return Ok(Self::refuse(problem));
        }
        let status = row.status()?;
        if matches!(status, Status::Queued | Status::Dispatched) {
            let attempt = row.attempt.unsigned_abs();
            return Ok(GrantReply::Granted { attempt, status, grants: Vec::new(), seal: None });
        }
        self.grants(&row, &request).await
    }

    fn refuse(problem: Problem) -> GrantReply {
        GrantReply::Refused { problem }
    }
}
