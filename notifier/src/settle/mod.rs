//! Settles outcomes: one transaction moves the export and its credits together, then its owner is told.
//!
//! An outcome may come twice, late, or from an attempt that was overtaken. The conditional update says whether it
//! still counts. One that had counted before is told again, because the process may have died between the commit
//! and the telling; every other is dropped.
//!
//! Only an outcome moves an export to its end, as it comes again until everybody was told. Whoever else finds that an
//! export is to end, such as the sweep, says so in an outcome of its own.

mod counts;
pub(crate) mod events;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{StoreError, export, ledger, transition};
use platform::telemetry::traces;
use protocol::{
    delivery,
    envelope::{Envelope, Outcome, OutcomeResult, TraceContext},
    export::{FileInfo, Status},
    id::ExportId,
    problem::{Problem, Slug},
    subject,
};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use tracing::{Span, info, warn};

use self::events::CreditStep;
use crate::{app::Deps, error::NotifierError, waiting::waits};

/// Objects that nobody needs any more once an outcome is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leftovers {
    /// None.
    Nothing,
    /// What other attempts than this one wrote.
    OtherAttempts(u32),
    /// Everything.
    Everything,
}

/// Moves exports to their end.
pub(crate) struct Settler {
    deps: Deps,
}

impl Settler {
    pub(crate) fn new(deps: Deps) -> Self {
        Self { deps }
    }

    /// Settles an outcome, and tells its owner. Doing it again is harmless.
    ///
    /// # Errors
    /// When the database, the bus or the file store fails: settle it again later.
    pub(crate) async fn settle(&self, outcome: &Outcome) -> Result<Leftovers, NotifierError> {
        let Some(row) = export::find(&self.deps.db, outcome.export_id).await? else {
            warn!(export.id = %outcome.export_id, "an outcome of an unknown export is dropped");
            return Ok(Leftovers::Nothing);
        };
        let (name, settled) = match &outcome.result {
            OutcomeResult::Completed { attempt, file, completed_at } => {
                ("completed", self.complete(&row, *attempt, file, (*completed_at).into()).await?)
            }
            OutcomeResult::Failed { attempt, problem } => ("failed", self.fail(&row, *attempt, problem).await?),
            OutcomeResult::CancelRequested => ("cancel_requested", self.cancel(&row).await?),
            OutcomeResult::DeleteRequested => ("delete_requested", self.expire(&row).await?),
        };
        let counted = settled.is_some();
        metrics::counter!("sluice_notifier_outcomes_total", "result" => name, "counted" => counted.to_string())
            .increment(1);
        Span::current().record("outcome.result", name).record("outcome.counted", counted);
        info!(export.id = %outcome.export_id, outcome.result = name, outcome.counted = counted, "outcome settled");
        events::wake_dispatcher(&self.deps.bus, &row).await;
        Ok(settled.unwrap_or(Leftovers::Nothing))
    }

    /// None: another attempt holds, or the export ended before.
    async fn complete(
        &self,
        row: &export::Model,
        attempt: u32,
        file: &FileInfo,
        completed_at: DateTime<Utc>,
    ) -> Result<Option<Leftovers>, NotifierError> {
        let (id, now) = (row.export_id(), self.deps.clock.now());
        let expires_at = TimeDelta::try_seconds(row.retention_s)
            .and_then(|kept| completed_at.checked_add_signed(kept))
            .ok_or_else(|| StoreError::Damaged { row: format!("export {id}"), detail: "retention_s".into() })?;
        // the first statement is a write, as SQLite wants it
        let tx = self.deps.db.begin().await?;
        let moved = transition::completed(&tx, id, attempt, file, completed_at, expires_at, now).await?;
        if moved {
            ledger::capture(&tx, &row.owner(), id, row.credits, now).await?;
        }
        tx.commit().await?;
        if moved {
            counts::completed(row, file.size, now);
        }
        let mut told = self.tell(id, Status::Completed, Some(attempt), CreditStep::Capture).await?;
        if !told {
            // the file may be gone again by the time that this is heard once more; the capture is still news
            told = self.tell(id, Status::Expired, Some(attempt), CreditStep::Capture).await?;
        }
        Ok(told.then_some(Leftovers::OtherAttempts(attempt)))
    }

    async fn fail(
        &self,
        row: &export::Model,
        attempt: u32,
        problem: &Problem,
    ) -> Result<Option<Leftovers>, NotifierError> {
        let (id, now) = (row.export_id(), self.deps.clock.now());
        let tx = self.deps.db.begin().await?;
        let moved = transition::failed(&tx, id, attempt, problem, now).await?;
        if moved {
            self.release(&tx, row, "export failed", now).await?;
        }
        tx.commit().await?;
        if moved {
            counts::failed(row, problem.slug(), now);
        }
        let told = self.tell(id, Status::Failed, Some(attempt), CreditStep::Release).await?;
        Ok(told.then_some(Leftovers::Everything))
    }

    async fn release(
        &self,
        tx: &DatabaseTransaction,
        row: &export::Model,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<(), NotifierError> {
        let owner = row.owner();
        ledger::catch_up(tx, &owner, &self.deps.terms, now).await?;
        ledger::release(tx, &owner, row.export_id(), row.credits, reason, now).await?;
        Ok(())
    }

    /// Ends an unfinished export because its owner wants that. None: it ended before, in another way.
    async fn cancel(&self, row: &export::Model) -> Result<Option<Leftovers>, NotifierError> {
        let (id, now) = (row.export_id(), self.deps.clock.now());
        let trace = TraceContext::parse(&row.traceparent).unwrap_or_else(TraceContext::generate);
        let problem = Problem::new(Slug::Canceled, "It was canceled before it was finished.")
            .of_request(&format!("/v1/exports/{id}"), &trace.trace_id_hex());
        let tx = self.deps.db.begin().await?;
        let moved = transition::canceled(&tx, id, &problem, now).await?;
        if moved {
            self.release(&tx, row, "export canceled", now).await?;
        }
        tx.commit().await?;
        if moved {
            counts::canceled(row, now);
        }
        // before anything else that may fail: work that nobody wants is going on
        events::stop_work(&self.deps.bus, row).await?;
        let told = self.tell(id, Status::Canceled, None, CreditStep::Release).await?;
        Ok(told.then_some(Leftovers::Everything))
    }

    /// Deletes the file of a completed export, objects first: a row that says `completed` with half of its objects
    /// gone is found again by the sweep, while objects without a row would stay for ever. None: there is no file, or
    /// it is to be kept, as its owner did not ask and its time is not over.
    async fn expire(&self, row: &export::Model) -> Result<Option<Leftovers>, NotifierError> {
        let (id, now) = (row.export_id(), self.deps.clock.now());
        if row.status()? == Status::Completed {
            if row.delete_requested_at.is_none() && row.expires_at.is_none_or(|at| at > now) {
                warn!(export.id = %id, "a delete is refused: its owner did not ask, and its time is not over");
                return Ok(None);
            }
            self.deps.store.delete_where(&delivery::export_prefix(id), |_| true).await?;
            transition::expired(&self.deps.db, id, now).await?;
        }
        let Some(row) = self.now(id, Status::Expired, None).await? else { return Ok(None) };
        events::ended(&self.deps.bus, &row).await?;
        events::announce_end(&self.deps.bus, &row).await?;
        Ok(Some(Leftovers::Nothing))
    }

    /// Says durably that the owner of this export wants it to end. False: something about it waits to be settled
    /// already. Once for each wish, as long as the stream knows its id; after that it may have been lost, and is said
    /// again.
    ///
    /// # Errors
    /// When the stream does not confirm it.
    pub(crate) async fn ask_cancel(&self, row: &export::Model) -> Result<bool, NotifierError> {
        let Some(since) = row.cancel_requested_at else { return Ok(false) };
        self.ask(row, OutcomeResult::CancelRequested, "cancel", since).await
    }

    /// Says durably that the file of this export is to be deleted. See [`Settler::ask_cancel`].
    ///
    /// # Errors
    /// When the stream does not confirm it.
    pub(crate) async fn ask_expire(&self, row: &export::Model) -> Result<bool, NotifierError> {
        let Some(since) = row.delete_requested_at.or(row.expires_at) else { return Ok(false) };
        self.ask(row, OutcomeResult::DeleteRequested, "expire", since).await
    }

    async fn ask(
        &self,
        row: &export::Model,
        result: OutcomeResult,
        what: &str,
        since: DateTime<Utc>,
    ) -> Result<bool, NotifierError> {
        let id = row.export_id();
        // it may fail for hours, and would be said again and again
        for subject in [subject::wish(id), subject::outcome(id)] {
            if waits(&self.deps.bus, subject::STREAM_OUTCOMES, &subject).await? {
                return Ok(false);
            }
        }
        let message_id = format!("{id}:{what}:{}", since.timestamp_millis());
        let message =
            Envelope::new(message_id, traces::current_or(&row.traceparent), Outcome { export_id: id, result });
        self.deps.bus.publish_durable(subject::wish(id), &message.id, &message).await?;
        Ok(true)
    }

    /// Deletes what an export that has ended, or its overtaken attempts, left behind: how many objects.
    ///
    /// # Errors
    /// When the file store fails.
    pub(crate) async fn tidy(&self, id: ExportId, leftovers: Leftovers) -> Result<usize, NotifierError> {
        let kept = match leftovers {
            Leftovers::Nothing => return Ok(0),
            Leftovers::OtherAttempts(attempt) => Some(format!("{}/", delivery::attempt_prefix(id, attempt))),
            Leftovers::Everything => None,
        };
        let doomed = |path: &str| !kept.as_deref().is_some_and(|kept| path.starts_with(kept));
        Ok(self.deps.store.delete_where(&delivery::export_prefix(id), doomed).await?)
    }

    /// Tells everybody that the export ended in this way. False, and nothing is told, when it did not: then whoever
    /// came first has told how it did.
    async fn tell(
        &self,
        id: ExportId,
        status: Status,
        attempt: Option<u32>,
        step: CreditStep,
    ) -> Result<bool, NotifierError> {
        let Some(row) = self.now(id, status, attempt).await? else { return Ok(false) };
        events::ended(&self.deps.bus, &row).await?;
        if row.credits != 0 {
            events::credits(&self.deps, &row, step).await?;
        }
        events::announce_end(&self.deps.bus, &row).await?;
        Ok(true)
    }

    /// The row as it is now, if it is in this status (and of this attempt).
    async fn now(
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
