//! Cancels an export at the request of an operator.

use entity::{export, transition};
use protocol::{
    envelope::Envelope,
    ops::{CancelReply, CancelRequest},
    problem::{Problem, Slug},
};
use tracing::{info, warn};

use super::{
    acts,
    replies::{count_request, unknown_export},
    summary,
};
use crate::{
    deps::Deps,
    error::NotifierError,
    requests::{Handler, enveloped},
    settle::commands,
};

/// Answers each [`CancelRequest`]: records the request in the row of the export, and publishes the command that makes a
/// notifier cancel the export.
pub(super) struct CancelHandler {
    pub(super) deps: Deps,
}

impl Handler for CancelHandler {
    type Request = CancelRequest;
    type Reply = Envelope<CancelReply>;

    async fn handle(&self, request: CancelRequest) -> Result<Self::Reply, NotifierError> {
        let CancelRequest { export_id, operator, reason } = request;
        let reason = match acts::checked_reason(reason.as_deref()) {
            Ok(reason) => reason,
            Err(fault) => return Ok(Self::refuse(Problem::invalid(Slug::InvalidRequest, vec![fault]))),
        };
        let (db, now) = (&self.deps.db, self.deps.clock.now());
        let Some(row) = export::find(db, export_id).await? else { return Ok(Self::refuse(unknown_export(export_id))) };
        if row.status()?.is_unfinished() && row.cancel_requested_at.is_none() {
            // once the row records the request, the reconciler publishes the command if this process dies
            if transition::request_cancel(db, &row.owner(), export_id, now).await? {
                info!(export.id = %export_id, operator, "operator canceled an export");
                acts::record_for_export(&self.deps, "cancel", &row, operator, reason).await?;
            }
        }
        let Some(row) = export::find(db, export_id).await? else { return Ok(Self::refuse(unknown_export(export_id))) };
        let export = summary::summarize(&row)?;
        if !export.status.is_unfinished() {
            count_request("cancel", false);
            return Ok(enveloped(CancelReply::Ended { export }));
        }
        if let Err(e) = commands::publish_cancel(&self.deps.bus, &row, now).await {
            warn!(export.id = %export_id, error = %e, "failed to publish a cancel command; the reconciler retries");
        }
        count_request("cancel", true);
        Ok(enveloped(CancelReply::Requested { export }))
    }

    fn refuse(problem: Problem) -> Self::Reply {
        count_request("cancel", false);
        enveloped(CancelReply::Refused { problem })
    }
}
