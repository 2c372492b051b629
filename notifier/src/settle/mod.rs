//! Settles outcomes. An outcome is the message by which an exporter reports how an attempt ended, and an attempt is one
//! run of an exporter at an export. One transaction updates the export and its credits; user events then notify the
//! owner.
//!
//! An outcome may arrive twice, late, or from a superseded attempt. A conditional update decides whether the outcome
//! still applies. If an earlier delivery has already applied the outcome, the notifier publishes the user events again,
//! because that delivery may have been interrupted between the commit and the events. The notifier drops any other
//! outcome.
//!
//! An export ends only through a message in the outcomes stream. If a notifier stops before it has published the user
//! events, NATS redelivers the message, so that no event is lost. A scheduled job that must end an export publishes a
//! command to the outcomes stream (see [`commands`]), and a notifier settles the command like an outcome.

pub(crate) mod commands;
mod counters;
pub(crate) mod events;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    StoreError, export,
    ledger::{self, GrantTotals},
    schedule, transition,
};
use protocol::{
    delivery,
    envelope::{Outcome, OutcomeResult, TraceContext},
    export::{FileInfo, Status},
    id::ExportId,
    problem::{Problem, Slug},
};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use tracing::{Span, info, warn};

use self::events::CreditStep;
use crate::{credit_counters::count_grants, deps::Deps, error::NotifierError};

/// The objects of an export that a notifier may delete from the file store after it has settled an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leftovers {
    /// Delete no object of the export.
    Nothing,
    /// Delete the objects of all attempts except this one. This attempt wrote the file of the completed export.
    OtherAttempts(u32),
    /// Delete the objects of all attempts.
    Everything,
}

/// The outcome of an attempt that wrote the whole file.
struct Completion<'a> {
    attempt: u32,
    file: &'a FileInfo,
    completed_at: DateTime<Utc>,
    /// The digest of the rows without the timestamps, if the export wants it.
    content_sha256: Option<&'a str>,
}

/// Settles outcomes and commands. One transaction records that an export has ended, and charges or releases the credit
/// that it holds. Then the owner is notified.
pub(crate) struct Settler {
    deps: Deps,
}

impl Settler {
    pub(crate) fn new(deps: Deps) -> Self {
        Self { deps }
    }

    /// Records the result of an attempt in the database, captures (charges) or releases the held credits, notifies the
    /// owner of the export, and returns the objects that the caller may delete. A second call with the same outcome
    /// changes nothing.
    ///
    /// # Errors
    /// When the database, NATS or the file store fails. The caller settles the outcome again later.
    pub(crate) async fn settle(&self, outcome: &Outcome) -> Result<Leftovers, NotifierError> {
        let Some(row) = export::find(&self.deps.db, outcome.export_id).await? else {
            warn!(export.id = %outcome.export_id, "dropped an outcome of an unknown export");
            return Ok(Leftovers::Nothing);
        };
        let (name, settled) = match &outcome.result {
            OutcomeResult::Completed { attempt, file, completed_at, content_sha256 } => {
                let completion = Completion {
                    attempt: *attempt,
                    file,
                    completed_at: (*completed_at).into(),
                    content_sha256: content_sha256.as_deref(),
                };
                ("completed", self.complete(&row, completion).await?)
            }
            OutcomeResult::Failed { attempt, problem } => ("failed", self.fail(&row, *attempt, problem).await?),
            OutcomeResult::CancelRequested => ("cancel_requested", self.cancel(&row).await?),
            OutcomeResult::DeleteRequested => ("delete_requested", self.expire(&row).await?),
        };
        let applied = settled.is_some();
        metrics::counter!("sluice_notifier_settled_messages_total", "result" => name, "applied" => applied.to_string())
            .increment(1);
        Span::current().record("outcome.result", name).record("outcome.applied", applied);
        info!(export.id = %outcome.export_id, outcome.result = name, outcome.applied = applied, "outcome settled");
        events::wake_dispatcher(&self.deps.bus, &row).await;
        Ok(settled.unwrap_or(Leftovers::Nothing))
    }

    /// Completes an export and captures its credits, or ends it as unchanged and releases them. Returns the leftover
    /// objects, even if an earlier delivery of the outcome already ended the export. Returns `None` if a later attempt
    /// superseded this one, or if the export failed or was canceled.
    async fn complete(
        &self,
        row: &export::Model,
        completion: Completion<'_>,
    ) -> Result<Option<Leftovers>, NotifierError> {
        let Completion { attempt, file, completed_at, content_sha256 } = completion;
        let (id, now) = (row.export_id(), self.deps.clock.now());
        let schedule = schedule::of_export(&self.deps.db, id).await?;
        let is_unchanged = row.wants_content_digest
            && content_sha256.is_some()
            && schedule.as_ref().is_some_and(|schedule| schedule.last_content_sha256.as_deref() == content_sha256);
        let expires_at = TimeDelta::try_seconds(row.retention_seconds)
            .and_then(|retention| completed_at.checked_add_signed(retention))
            .ok_or_else(|| StoreError::Damaged { row: format!("export {id}"), detail: "retention_seconds".into() })?;
        // the first statement is a write: an SQLite transaction that begins with a read can't be upgraded safely
        let tx = self.deps.db.begin().await?;
        let mut granted = GrantTotals::default();
        let updated = if is_unchanged {
            transition::unchanged(&tx, id, attempt, file, completed_at, now).await?
        } else {
            transition::completed(&tx, id, attempt, file, completed_at, expires_at, now).await?
        };
        if updated && is_unchanged {
            granted = self.release(&tx, row, "rows unchanged", now).await?;
        } else if updated {
            ledger::capture(&tx, &row.owner(), id, row.credits, now).await?;
        }
        if let Some(schedule) = schedule.filter(|_| updated) {
            schedule::record_success(&tx, schedule.id(), content_sha256).await?;
        }
        tx.commit().await?;
        count_grants(granted);
        if updated && is_unchanged {
            counters::unchanged(row, now);
        } else if updated {
            counters::completed(row, file.size, now);
        }
        // this redelivery may find the export ended by an earlier one, or expired; the events of its end may still be
        // unpublished
        for (status, step, leftovers) in [
            (Status::Completed, CreditStep::Capture, Leftovers::OtherAttempts(attempt)),
            (Status::Unchanged, CreditStep::Release, Leftovers::Everything),
            (Status::Expired, CreditStep::Capture, Leftovers::OtherAttempts(attempt)),
        ] {
            if self.publish_end_events(id, status, Some(attempt), step).await? {
                return Ok(Some(leftovers));
            }
        }
        Ok(None)
    }

    /// Sets an export to `failed` and releases its held credits. Returns [`Leftovers::Everything`], even if an earlier
    /// delivery of the outcome already did so. Returns `None` if a later attempt superseded `attempt`, or if the export
    /// ended with another status.
    async fn fail(
        &self,
        row: &export::Model,
        attempt: u32,
        problem: &Problem,
    ) -> Result<Option<Leftovers>, NotifierError> {
        let (id, now) = (row.export_id(), self.deps.clock.now());
        let schedule = schedule::of_export(&self.deps.db, id).await?;
        let tx = self.deps.db.begin().await?;
        let updated = transition::failed(&tx, id, attempt, problem, now).await?;
        let granted =
            if updated { self.release(&tx, row, "export failed", now).await? } else { GrantTotals::default() };
        if let Some(schedule) = schedule.filter(|_| updated) {
            schedule::record_failure(&tx, schedule.id()).await?;
        }
        tx.commit().await?;
        count_grants(granted);
        if updated {
            counters::failed(row, problem.slug(), now);
        }
        let applied = self.publish_end_events(id, Status::Failed, Some(attempt), CreditStep::Release).await?;
        Ok(applied.then_some(Leftovers::Everything))
    }

    /// Adds the missing daily grants to the account of the owner, then releases the held credits of the export.
    /// `reason` is the text of the ledger entry. Returns the added grants.
    async fn release(
        &self,
        tx: &DatabaseTransaction,
        row: &export::Model,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<GrantTotals, NotifierError> {
        let owner = row.owner();
        let granted = ledger::accrue(tx, &owner, &self.deps.credit_policy, now).await?;
        ledger::release(tx, &owner, row.export_id(), row.credits, reason, now).await?;
        Ok(granted)
    }

    /// Cancels an unfinished export, releases its held credits, and asks its exporter to stop. Returns
    /// [`Leftovers::Everything`], even if an earlier delivery of the command already canceled the export. Returns
    /// `None` if the export ended with another status than `canceled`.
    async fn cancel(&self, row: &export::Model) -> Result<Option<Leftovers>, NotifierError> {
        let (id, now) = (row.export_id(), self.deps.clock.now());
        let trace = TraceContext::parse(&row.traceparent).unwrap_or_else(TraceContext::generate);
        let problem = Problem::new(Slug::Canceled, "The export was canceled before it finished.")
            .with_request(&format!("/v1/exports/{id}"), &trace.trace_id_hex());
        let tx = self.deps.db.begin().await?;
        let updated = transition::canceled(&tx, id, &problem, now).await?;
        let granted =
            if updated { self.release(&tx, row, "export canceled", now).await? } else { GrantTotals::default() };
        tx.commit().await?;
        count_grants(granted);
        if updated {
            counters::canceled(row, now);
        }
        // stops the exporter before the user events are published, because the exporter may still run the canceled
        // export
        events::stop_exporter(&self.deps.bus, row).await?;
        let applied = self.publish_end_events(id, Status::Canceled, None, CreditStep::Release).await?;
        Ok(applied.then_some(Leftovers::Everything))
    }

    /// Deletes the file of a completed export, sets the status of the export to `expired`, and notifies the owner. If
    /// the export is already expired, only notifies the owner again. In both cases returns [`Leftovers::Nothing`].
    ///
    /// Returns `None` and does nothing if the export is neither completed nor expired. Does the same for a completed
    /// export whose retention has not ended, unless the owner requested the deletion.
    ///
    /// The settler deletes the objects before it changes the row. If the deletion is interrupted, the row keeps the
    /// status `completed`, and the reconciler or the sweep publishes the delete command again.
    async fn expire(&self, row: &export::Model) -> Result<Option<Leftovers>, NotifierError> {
        let (id, now) = (row.export_id(), self.deps.clock.now());
        if row.status()? == Status::Completed {
            if row.delete_requested_at.is_none() && row.expires_at.is_none_or(|at| at > now) {
                warn!(export.id = %id, "refused to delete a file before its retention ended and without a request of its owner");
                return Ok(None);
            }
            self.deps.store.delete_where(&delivery::export_prefix(id), |_| true).await?;
            transition::expired(&self.deps.db, id, now).await?;
        }
        let Some(row) = self.find_ended(id, Status::Expired, None).await? else { return Ok(None) };
        events::export_ended(&self.deps.bus, &row).await?;
        events::announce_end(&self.deps.bus, &row).await?;
        Ok(Some(Leftovers::Nothing))
    }

    /// Deletes the objects of an ended export that `leftovers` names, and returns the number of deleted objects.
    ///
    /// # Errors
    /// When the file store fails.
    pub(crate) async fn delete_leftovers(&self, id: ExportId, leftovers: Leftovers) -> Result<usize, NotifierError> {
        let kept = match leftovers {
            Leftovers::Nothing => return Ok(0),
            Leftovers::OtherAttempts(attempt) => Some(format!("{}/", delivery::attempt_prefix(id, attempt))),
            Leftovers::Everything => None,
        };
        let is_leftover = |path: &str| !kept.as_deref().is_some_and(|kept| path.starts_with(kept));
        Ok(self.deps.store.delete_where(&delivery::export_prefix(id), is_leftover).await?)
    }

    /// Publishes the user events of an ended export, announces the end to gateways, and returns `true`. `step` says
    /// whether the credits of the export were captured or released.
    ///
    /// Returns `false` and publishes nothing if the export does not have the status `status`, or if its attempt number
    /// is not `attempt`. If `attempt` is `None`, any attempt number matches. `false` loses no event: another outcome or
    /// command ends the export, and the notifier publishes the events when it settles that message.
    async fn publish_end_events(
        &self,
        id: ExportId,
        status: Status,
        attempt: Option<u32>,
        step: CreditStep,
    ) -> Result<bool, NotifierError> {
        let Some(row) = self.find_ended(id, status, attempt).await? else { return Ok(false) };
        events::export_ended(&self.deps.bus, &row).await?;
        if row.credits != 0 {
            events::credits_settled(&self.deps, &row, step).await?;
        }
        events::announce_end(&self.deps.bus, &row).await?;
        Ok(true)
    }

    /// Reads the row of an export. Returns `None` if the row does not exist, if its status is not `status`, or if its
    /// attempt number is not `attempt`. If `attempt` is `None`, any attempt number matches.
    async fn find_ended(
        &self,
        id: ExportId,
        status: Status,
        attempt: Option<u32>,
    ) -> Result<Option<export::Model>, NotifierError> {
        let row = export::find(&self.deps.db, id).await?;
        let row = row.filter(|row| row.status == status.as_str());
        Ok(row.filter(|row| attempt.is_none_or(|attempt| row.attempt.unsigned_abs() == attempt)))
    }
}
