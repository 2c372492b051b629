//! Answers gateways that want to read a file: grants for its segments, its seal, or why there is nothing to read.

use std::sync::Arc;

use entity::{export, segment, view};
use protocol::{
    delivery::{GrantReply, GrantRequest, Seal},
    export::Status,
    problem::{Problem, Slug},
};

use super::{
    mint::Minter,
    requests::Handler,
    restart::{self, Continuation},
};
use crate::{app::Deps, error::NotifierError};

/// Answers [`GrantRequest`]s.
pub(crate) struct Granter {
    deps: Deps,
    minter: Arc<Minter>,
    max: u32,
}

impl Granter {
    pub(crate) fn new(deps: Deps, minter: Arc<Minter>, max: u32) -> Self {
        Self { deps, minter, max }
    }

    async fn grants(&self, row: &export::Model, request: &GrantRequest) -> Result<GrantReply, NotifierError> {
        let (db, id, attempt, status) = (&self.deps.db, row.export_id(), row.attempt.unsigned_abs(), row.status()?);
        if let Some(old) = request.attempt.filter(|old| *old != attempt && request.offset > 0) {
            let sent = segment::before(db, id, old, request.offset).await?;
            let made = segment::before(db, id, attempt, request.offset).await?;
            match restart::compare(&sent, &made, request.offset) {
                Continuation::Same => {}
                // a finished file that is shorter than what was sent has other bytes
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

impl Handler for Granter {
    const SPAN: &'static str = "grant";
    type Question = GrantRequest;
    type Answer = GrantReply;

    async fn answer(&self, request: GrantRequest) -> Result<GrantReply, NotifierError> {
        if i64::try_from(request.offset).is_err() {
            return Ok(Self::refuse(Problem::new(Slug::InvalidRequest, "No file has a byte at that offset.")));
        }
        let Some(row) = export::find_owned(&self.deps.db, &request.owner, request.export_id).await? else {
            return Ok(Self::refuse(not_found()));
        };
        if let Some(problem) = nothing_to_read(&row, self.deps.clock.now())? {
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

/// The same for what is another's as for what never was.
pub(super) fn not_found() -> Problem {
    Problem::new(Slug::NotFound, "There is no such export, or it is not yours.")
}

/// Why an export has no file and never will have one again, if so.
///
/// # Errors
/// When the row is damaged.
pub(super) fn nothing_to_read(
    row: &export::Model,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Option<Problem>, NotifierError> {
    let id = row.id;
    let recorded = || view::export(row, None).map(|export| export.problem);
    let (slug, detail) = match row.status()? {
        Status::Failed => (Slug::ExportFailed, "The export failed."),
        Status::Canceled => (Slug::Canceled, "The export was canceled."),
        Status::Expired => (Slug::Expired, "The file was kept for its time and then deleted."),
        Status::Completed if row.delete_requested_at.is_some() => (Slug::Expired, "The file was deleted."),
        Status::Completed if row.expires_at.is_some_and(|at| at <= now) => {
            (Slug::Expired, "The file was kept for its time and then deleted.")
        }
        Status::Completed | Status::Queued | Status::Dispatched | Status::Running => return Ok(None),
    };
    let general = || Problem { instance: Some(format!("/v1/exports/{id}")), ..Problem::new(slug, detail) };
    Ok(Some(recorded()?.unwrap_or_else(general)))
}
