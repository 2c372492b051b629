//! Requeues a dead letter (a job or an outcome that failed for the last time) at the request of an operator.
//!
//! A dead-lettered outcome returns to the outcomes stream unchanged; settling an outcome twice is harmless. The dead
//! letter of a job belongs to a failed export, whose credits are already released and whose owner is already notified.
//! The status `failed` is final, so a requeue creates a new export with the same request, owner and price. One
//! transaction inserts the new export, its hold and an idempotency key that names the failed export. A repeated requeue
//! finds this key and returns the same new export.

use async_nats::{HeaderMap, header::NATS_MESSAGE_ID, jetstream::message::StreamMessage};
use entity::{StoreError, export, idempotency_key, ledger};
use protocol::{
    envelope::{Envelope, TraceContext},
    export::Status,
    id::ExportId,
    ops::{RequeueReply, RequeueRequest},
    problem::{FieldError, Problem, Slug},
    subject,
};
use sea_orm::{ConnectionTrait, TransactionTrait};
use tracing::{info, warn};

use super::{
    acts,
    replies::{count_request, unknown_export},
    summary,
};
use crate::{
    credit_counters::count_grants,
    dead_letters::DeadLetterStream,
    deps::Deps,
    error::NotifierError,
    requests::{Handler, enveloped},
    settle::events,
};

/// The request hash that a requeue stores with its idempotency key. This text never equals the hash of a client's
/// request, which is a SHA-256 in hex.
const REQUEUE_HASH: &str = "requeued by an operator";

/// Answers each [`RequeueRequest`] by requeuing the dead letter of an export.
pub(super) struct RequeueHandler {
    pub(super) deps: Deps,
}

/// The result of [`RequeueHandler::create`], which creates a new export with the request of a failed export.
enum RetryResult {
    /// The requeue created the new export.
    Created(Box<export::Model>),
    /// The export existed before this requeue. An earlier requeue created it, or the owner submitted the same request
    /// again.
    Existing(Box<export::Model>),
    /// The owner has too few credits for a new export. The value is the problem (RFC 9457) that the operator receives.
    InsufficientCredits(Problem),
}

impl Handler for RequeueHandler {
    type Request = RequeueRequest;
    type Reply = Envelope<RequeueReply>;

    async fn handle(&self, request: RequeueRequest) -> Result<Self::Reply, NotifierError> {
        let RequeueRequest { export_id, operator, reason } = request;
        let reason = match acts::checked_reason(reason.as_deref()) {
            Ok(reason) => reason,
            Err(fault) => return Ok(Self::refuse(Problem::invalid(Slug::InvalidRequest, vec![fault]))),
        };
        let stream = DeadLetterStream::open(&self.deps.bus).await?;
        let Some(row) = export::find(&self.deps.db, export_id).await? else {
            return Ok(Self::refuse(unknown_export(export_id)));
        };
        if let Some(dead_letter) = stream.latest_outcome(export_id).await? {
            self.republish_outcome(export_id, &dead_letter).await?;
            stream.delete(&dead_letter).await?;
            info!(export.id = %export_id, dead.sequence = dead_letter.sequence, operator, "operator requeued the outcome of a dead letter");
            acts::record_for_export(&self.deps, "requeue", &row, operator, reason).await?;
            count_request("requeue", true);
            return Ok(enveloped(RequeueReply::OutcomeRequeued { export: Box::new(summary::summarize(&row)?) }));
        }
        match row.status()? {
            Status::Failed => self.retry_failed(&stream, &row, operator, reason).await,
            Status::Queued | Status::Dispatched | Status::Running => Ok(Self::refuse(Problem::new(
                Slug::NotReady,
                "The export has not ended, so there is nothing to requeue.",
            ))),
            ended @ (Status::Completed | Status::Unchanged | Status::Canceled | Status::Expired) => {
                let fault =
                    FieldError::new("/export_id", format!("The export is {ended}, so there is nothing to requeue."));
                Ok(Self::refuse(Problem::invalid(Slug::InvalidRequest, vec![fault])))
            }
        }
    }

    fn refuse(problem: Problem) -> Self::Reply {
        count_request("requeue", false);
        enveloped(RequeueReply::Refused { problem })
    }
}

impl RequeueHandler {
    /// Publishes a dead-lettered outcome to the outcomes stream again, unchanged.
    async fn republish_outcome(&self, id: ExportId, dead_letter: &StreamMessage) -> Result<(), NotifierError> {
        let mut headers = HeaderMap::new();
        // the stream deduplicates the requests of two operators
        headers.insert(NATS_MESSAGE_ID, format!("{id}:requeued:{}", dead_letter.sequence));
        let jetstream = self.deps.bus.jetstream();
        let sent = jetstream.publish_with_headers(subject::outcome(id), headers, dead_letter.payload.clone()).await;
        let stored = match sent {
            Ok(ack) => ack.await,
            Err(e) => Err(e),
        };
        stored.map(drop).map_err(NotifierError::jetstream("requeue an outcome"))
    }

    async fn retry_failed(
        &self,
        stream: &DeadLetterStream,
        row: &export::Model,
        operator: Option<String>,
        reason: Option<String>,
    ) -> Result<Envelope<RequeueReply>, NotifierError> {
        let of = row.export_id();
        let existing = find_existing(&self.deps.db, row).await?;
        let new = match existing {
            Some(new) => new,
            None if !stream.has_any(of).await? => {
                let detail = "The export failed more than 30 days ago, and its dead letter was deleted.";
                return Ok(Self::refuse(Problem::new(Slug::NotFound, detail)));
            }
            None => match self.create(row).await? {
                RetryResult::Created(new) => {
                    metrics::counter!("sluice_credit_events_total", "kind" => "hold").increment(1);
                    info!(export.id = %of, export.new = %new.id, operator, "operator requeued a failed export");
                    acts::record_for_export(&self.deps, "requeue", row, operator, reason).await?;
                    events::wake_dispatcher(&self.deps.bus, &new).await;
                    new
                }
                RetryResult::Existing(new) => new,
                RetryResult::InsufficientCredits(problem) => return Ok(Self::refuse(problem)),
            },
        };
        if let Err(e) = stream.delete_all(of).await {
            // a repeated request deletes the remaining dead letters and returns the same export
            warn!(export.id = %of, error = %e, "failed to delete the dead letters of a requeued export");
        }
        count_request("requeue", true);
        Ok(enveloped(RequeueReply::Requeued { export: Box::new(summary::summarize(&new)?), failed_export_id: of }))
    }

    /// Inserts a new export with the request of the failed export, holds the credits, and stores the idempotency key of
    /// the requeue, all in one transaction. If a concurrent requeue has already created an export, returns that export
    /// instead. If the owner has submitted the same request again, returns the unfinished export of that request
    /// instead.
    async fn create(&self, failed: &export::Model) -> Result<RetryResult, NotifierError> {
        let (owner, now) = (failed.owner(), self.deps.clock.now());
        let new = export::Model {
            dataset: failed.dataset.clone(),
            template: failed.template.clone(),
            format: failed.format.clone(),
            compression: failed.compression.clone(),
            filter: failed.filter.clone(),
            columns: failed.columns.clone(),
            params: failed.params.clone(),
            claims: failed.claims.clone(),
            pool: failed.pool.clone(),
            lane: failed.lane.clone(),
            credits: failed.credits,
            retention_seconds: failed.retention_seconds,
            join_key: failed.join_key.clone(),
            traceparent: TraceContext::generate().traceparent(),
            ..export::Model::queued(ExportId::generate(), &owner, now)
        };
        let tx = self.deps.db.begin().await?;
        // this call locks the account, so the second of two concurrent requeues finds the export that the first one
        // created
        let accrued = ledger::open_and_accrue(&tx, &owner, &self.deps.credit_policy, now).await?;
        if let Some(existing) = find_existing(&tx, failed).await? {
            return Ok(RetryResult::Existing(existing));
        }
        let joinable = match &failed.join_key {
            Some(join_key) => export::find_joinable(&tx, &owner, join_key).await?,
            None => None,
        };
        if let Some(joinable) = joinable {
            // the owner has submitted the same request again
            idempotency_key::insert(&tx, &owner, &requeue_key(failed), REQUEUE_HASH, joinable.export_id(), now).await?;
            tx.commit().await?;
            count_grants(accrued.granted);
            return Ok(RetryResult::Existing(Box::new(joinable)));
        }
        if !ledger::hold(&tx, &owner, new.export_id(), new.credits, now).await? {
            // the commit keeps the accrued daily grants
            tx.commit().await?;
            count_grants(accrued.granted);
            let detail = format!("The export costs {} credits, and its owner has fewer.", new.credits);
            return Ok(RetryResult::InsufficientCredits(Problem::new(Slug::CreditsExhausted, detail)));
        }
        export::insert(&tx, new.clone()).await?;
        idempotency_key::insert(&tx, &owner, &requeue_key(failed), REQUEUE_HASH, new.export_id(), now).await?;
        tx.commit().await?;
        count_grants(accrued.granted);
        Ok(RetryResult::Created(Box::new(new)))
    }
}

/// Returns the export that an earlier requeue of the failed export created or found; `None` if there was no earlier
/// requeue.
pub(super) async fn find_existing(
    db: &impl ConnectionTrait,
    failed: &export::Model,
) -> Result<Option<Box<export::Model>>, NotifierError> {
    let Some(known) = idempotency_key::find(db, &failed.owner(), &requeue_key(failed)).await? else {
        return Ok(None);
    };
    let new = export::find(db, ExportId(known.export_id)).await?;
    let lost = || StoreError::Damaged { row: format!("idempotency_key {}", known.key), detail: "no export".into() };
    Ok(Some(Box::new(new.ok_or_else(lost)?)))
}

/// Returns the idempotency key of a requeue. This key is longer than any key that a client may send, so it never equals
/// a client's key.
fn requeue_key(failed: &export::Model) -> String {
    format!("requeued:{}:{}", failed.id, "-".repeat(256))
}
