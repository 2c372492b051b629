//! Gives what became of a dead letter another chance.
//!
//! An outcome that died is put back into the queue: settling it again is harmless. A job that died left an export that
//! has failed and whose credit went back; failed is an end, and its owner was told. So the same request is taken anew, as
//! another export of the same owner with a hold of its own, in one transaction with a key that stands for it: whoever asks
//! again gets the same export.

use async_nats::{HeaderMap, header::NATS_MESSAGE_ID, jetstream::message::StreamMessage};
use entity::{StoreError, export, ledger, submit_key};
use protocol::{
    envelope::{Envelope, TraceContext},
    export::Status,
    id::ExportId,
    ops::{RequeueReply, RequeueRequest},
    problem::{FieldError, Problem, Slug},
    subject,
};
use sea_orm::TransactionTrait;
use tracing::{info, warn};

use super::{count, enveloped, letters::Letters, no_such, summary};
use crate::{app::Deps, delivery::requests::Handler, error::NotifierError, settle::events};

/// Stands in the place of a request's hash, which no hash is equal to.
const BY_OPERATOR: &str = "requeued by an operator";

/// Answers [`RequeueRequest`]s.
pub(super) struct Requeuer {
    pub(super) deps: Deps,
}

/// What became of the wish to take a failed export anew.
enum Anew {
    /// This one stands for it, and did not before.
    Taken(Box<export::Model>),
    /// This one stands for it.
    Known(Box<export::Model>),
    /// Its owner can't pay.
    Unpaid(Problem),
}

impl Handler for Requeuer {
    type Question = RequeueRequest;
    type Answer = Envelope<RequeueReply>;

    async fn answer(&self, RequeueRequest { export_id }: RequeueRequest) -> Result<Self::Answer, NotifierError> {
        let letters = Letters::open(&self.deps.bus).await?;
        let Some(row) = export::find(&self.deps.db, export_id).await? else {
            return Ok(Self::refuse(no_such(export_id)));
        };
        if let Some(letter) = letters.outcome(export_id).await? {
            self.replay(export_id, &letter).await?;
            letters.forget(&letter).await?;
            info!(export.id = %export_id, dead.sequence = letter.sequence, "an operator has an outcome settled again");
            count("requeue", true);
            return Ok(enveloped(RequeueReply::Replayed { export: Box::new(summary::of(&row)?) }));
        }
        match row.status()? {
            Status::Failed => self.failed(&letters, &row).await,
            Status::Queued | Status::Dispatched | Status::Running => {
                Ok(Self::refuse(Problem::new(Slug::NotReady, "It has not ended: there is nothing to requeue.")))
            }
            ended @ (Status::Completed | Status::Canceled | Status::Expired) => {
                let fault = FieldError::new("/export_id", format!("It ended as {ended}: there is nothing to requeue."));
                Ok(Self::refuse(Problem::invalid(Slug::InvalidRequest, vec![fault])))
            }
        }
    }

    fn refuse(problem: Problem) -> Self::Answer {
        count("requeue", false);
        enveloped(RequeueReply::Refused { problem })
    }
}

impl Requeuer {
    /// Puts an outcome back into the queue as it was.
    async fn replay(&self, id: ExportId, letter: &StreamMessage) -> Result<(), NotifierError> {
        let mut headers = HeaderMap::new();
        // a second operator in the same moment does no second work
        headers.insert(NATS_MESSAGE_ID, format!("{id}:requeued:{}", letter.sequence));
        let jetstream = self.deps.bus.jetstream();
        let sent = jetstream.publish_with_headers(subject::outcome(id), headers, letter.payload.clone()).await;
        let stored = match sent {
            Ok(ack) => ack.await,
            Err(e) => Err(e),
        };
        stored.map(drop).map_err(NotifierError::jetstream("put an outcome back"))
    }

    async fn failed(&self, letters: &Letters, row: &export::Model) -> Result<Envelope<RequeueReply>, NotifierError> {
        let of = row.export_id();
        let known = self.known(&self.deps.db, row).await?;
        let new = match known {
            Some(new) => new,
            None if !letters.has_any(of).await? => {
                let detail = "It failed, and its dead letter is gone: those are kept for 30 days.";
                return Ok(Self::refuse(Problem::new(Slug::NotFound, detail)));
            }
            None => match self.anew(row).await? {
                Anew::Taken(new) => {
                    metrics::counter!("sluice_credit_events_total", "kind" => "hold").increment(1);
                    info!(export.id = %of, export.new = %new.id, "an operator has a failed export made anew");
                    events::wake_dispatcher(&self.deps.bus, &new).await;
                    new
                }
                Anew::Known(new) => new,
                Anew::Unpaid(problem) => return Ok(Self::refuse(problem)),
            },
        };
        if let Err(e) = letters.forget_all(of).await {
            // whoever asks again gets the same answer
            warn!(export.id = %of, error = %e, "dead letters of an export that was requeued can't be deleted");
        }
        count("requeue", true);
        Ok(enveloped(RequeueReply::Requeued { export: Box::new(summary::of(&new)?), of }))
    }

    /// What was taken for this one before.
    async fn known(
        &self,
        db: &impl sea_orm::ConnectionTrait,
        row: &export::Model,
    ) -> Result<Option<Box<export::Model>>, NotifierError> {
        let Some(known) = submit_key::find(db, &row.owner(), &key(row)).await? else { return Ok(None) };
        let new = export::find(db, ExportId(known.export_id)).await?;
        let lost = || StoreError::Damaged { row: format!("submit_key {}", known.key), detail: "no export".into() };
        Ok(Some(Box::new(new.ok_or_else(lost)?)))
    }

    /// The same request, now: the row, its hold and the key in one transaction.
    async fn anew(&self, failed: &export::Model) -> Result<Anew, NotifierError> {
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
            retention_s: failed.retention_s,
            join_key: failed.join_key.clone(),
            traceparent: TraceContext::generate().traceparent(),
            ..export::Model::queued(ExportId::generate(), &owner, now)
        };
        let tx = self.deps.db.begin().await?;
        // the account is locked from here on, so that of two operators one sees what the other did
        ledger::reckon(&tx, &owner, &self.deps.terms, now).await?;
        if let Some(known) = self.known(&tx, failed).await? {
            return Ok(Anew::Known(known));
        }
        let twin = match &failed.join_key {
            Some(join_key) => export::find_twin(&tx, &owner, join_key).await?,
            None => None,
        };
        if let Some(twin) = twin {
            // they asked again themselves
            submit_key::insert(&tx, &owner, &key(failed), BY_OPERATOR, twin.export_id(), now).await?;
            tx.commit().await?;
            return Ok(Anew::Known(Box::new(twin)));
        }
        if !ledger::hold(&tx, &owner, new.export_id(), new.credits, now).await? {
            // what the nights have brought stays written down
            tx.commit().await?;
            let detail = format!("It costs {}, and its owner has less to spend.", new.credits);
            return Ok(Anew::Unpaid(Problem::new(Slug::CreditsExhausted, detail)));
        }
        export::insert(&tx, new.clone()).await?;
        submit_key::insert(&tx, &owner, &key(failed), BY_OPERATOR, new.export_id(), now).await?;
        tx.commit().await?;
        Ok(Anew::Taken(Box::new(new)))
    }
}

/// Longer than any key that a client may send, so that none of theirs can be in its place.
fn key(failed: &export::Model) -> String {
    format!("requeued:{}:{}", failed.id, "-".repeat(256))
}
