//! Ends an export as if its owner had canceled it.

use std::sync::Arc;

use entity::{export, transition};
use protocol::{
    envelope::Envelope,
    ops::{CancelReply, CancelRequest},
    problem::Problem,
};
use tracing::{info, warn};

use super::{count, enveloped, no_such, summary};
use crate::{app::Deps, delivery::requests::Handler, error::NotifierError, settle::Settler};

/// Answers [`CancelRequest`]s.
pub(super) struct Canceler {
    pub(super) deps: Deps,
    pub(super) settler: Arc<Settler>,
}

impl Handler for Canceler {
    type Question = CancelRequest;
    type Answer = Envelope<CancelReply>;

    async fn answer(&self, CancelRequest { export_id }: CancelRequest) -> Result<Self::Answer, NotifierError> {
        let (db, now) = (&self.deps.db, self.deps.clock.now());
        let Some(row) = export::find(db, export_id).await? else { return Ok(Self::refuse(no_such(export_id))) };
        if row.status()?.is_unfinished() && row.cancel_requested_at.is_none() {
            // the wish stands in the row from here on, and the patrol finds it by itself
            if transition::request_cancel(db, &row.owner(), export_id, now).await? {
                info!(export.id = %export_id, "an operator cancels an export");
            }
        }
        let Some(row) = export::find(db, export_id).await? else { return Ok(Self::refuse(no_such(export_id))) };
        let export = summary::of(&row)?;
        if !export.status.is_unfinished() {
            count("cancel", false);
            return Ok(enveloped(CancelReply::Ended { export }));
        }
        if let Err(e) = self.settler.ask_cancel(&row).await {
            warn!(export.id = %export_id, error = %e, "a cancel can't be told just now; the patrol tells it");
        }
        count("cancel", true);
        Ok(enveloped(CancelReply::Requested { export }))
    }

    fn refuse(problem: Problem) -> Self::Answer {
        count("cancel", false);
        enveloped(CancelReply::Refused { problem })
    }
}
