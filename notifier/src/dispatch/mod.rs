//! Turns committed exports into jobs: the reading half of the outbox, and fair turns.
//!
//! Of all notifiers one leads, by a lease. It takes those that wait in the order of [`entity::turns`] and hands over as
//! many as the exporters have room for; all others wait in the table, where their order can still change. A gateway
//! commits a row and then gives a hint; when the hint is lost, or the gateway dies in between, the next look at the
//! table finds the row all the same. Publishing a job twice is harmless, as the stream knows its id and a worker's claim
//! is conditional.

mod admit;
mod news;
mod notes;

use std::{sync::Arc, time::Duration};

use async_nats::Subscriber;
use entity::{
    export, transition,
    turns::{self, Survey, Waiting},
};
use futures::{FutureExt, StreamExt};
use platform::{catalog::Catalog, telemetry::traces};
use protocol::{
    envelope::{Envelope, Job},
    subject::{self, Lane},
};
use sea_orm::TransactionTrait;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, field::Empty, info, info_span};

use self::{
    admit::{Limits, Room},
    news::Outage,
    notes::Notes,
};
use crate::{
    app::Deps,
    config::NotifierConfig,
    error::NotifierError,
    lease::{Candidate, Held},
    waiting::waits,
};

/// The lease of who leads.
const LEASE: &str = "dispatch";
/// How long one look at the table and all it leads to may take.
const DEADLINE: Duration = Duration::from_secs(120);
/// Waiting exports of one look; those behind them are looked at when these have gone.
const FAR: u64 = 10_000;

/// Publishes jobs.
pub(crate) struct Dispatcher {
    deps: Deps,
    config: Arc<NotifierConfig>,
    catalog: Catalog,
    instance: String,
}

impl Dispatcher {
    pub(crate) fn new(deps: Deps, config: Arc<NotifierConfig>, catalog: Catalog, instance: &str) -> Self {
        Self { deps, config, catalog, instance: instance.to_owned() }
    }

    /// Competes for the lead, and leads, until the soft stop.
    ///
    /// # Errors
    /// When the hints end, which only a closed client does.
    pub(crate) async fn run(
        self: Arc<Self>,
        mut hints: Subscriber,
        soft: CancellationToken,
    ) -> Result<(), NotifierError> {
        let term = Duration::from_millis(self.config.lease_ms);
        let mut candidate = Candidate::new(&self.deps, LEASE, &self.instance, term);
        let mut outage = Outage::default();
        loop {
            let stood = candidate.stand().await;
            let (held, stood) = stood.map_or_else(|e| (None, Err(e)), |held| (held, Ok(())));
            outage.note("competing for the lead of dispatching", stood);
            if let Some(held) = held {
                info!(lease.token = held.token(), "leads the dispatching");
                match held.keep(self.lead(&held, &mut hints, &soft)).await {
                    Ok(led) => {
                        held.give_back().await;
                        return led;
                    }
                    Err(e) => debug!(error = %e, "leads no more"),
                }
            }
            tokio::select! {
                biased;
                () = soft.cancelled() => return Ok(()),
                // those of others' time
                hint = hints.next() => if hint.is_none() { return Err(NotifierError::Unsubscribed("submitted exports")) },
                () = tokio::time::sleep(term / 4) => {}
            }
        }
    }

    /// Dispatches and tells of credits at each hint and at each tick until the soft stop.
    async fn lead(&self, held: &Held, hints: &mut Subscriber, soft: &CancellationToken) -> Result<(), NotifierError> {
        // each keeps one ring for whoever is busy
        let (exports, credits) = (Notify::new(), Notify::new());
        let stop = soft.child_token();
        let ringing = async {
            let poll = Duration::from_millis(self.config.dispatch_poll_ms);
            loop {
                exports.notify_one();
                credits.notify_one();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(()),
                    hint = hints.next() => if hint.is_none() { return Err(NotifierError::Unsubscribed("submitted exports")) },
                    () = tokio::time::sleep(poll) => {}
                }
                // one look answers all hints that have come so far
                while let Some(Some(_)) = hints.next().now_or_never() {}
            }
        };
        // the credits of a whole night must not hold up exports
        let dispatching = async {
            let (mut outage, mut notes) = (Outage::default(), Notes::new(&self.config));
            loop {
                exports.notified().await;
                let looked = tokio::time::timeout(DEADLINE, self.dispatch(held, &mut notes, &stop)).await;
                outage.note("dispatching", looked.unwrap_or(Err(NotifierError::Timeout("dispatching"))));
            }
        };
        let telling = async {
            let mut outage = Outage::default();
            loop {
                credits.notified().await;
                outage.note("telling of credits", news::tell_all(&self.deps).await);
            }
        };
        tokio::select! {
            biased;
            ended = ringing => ended,
            never = dispatching => never,
            never = telling => never,
        }
    }

    /// All whose turn it is. An export that can't be dispatched does not hold up those behind it, unless it is the bus
    /// that fails for all: then they would only wait for it in turn. One that is to be canceled is passed over: its end
    /// comes as an outcome.
    async fn dispatch(&self, held: &Held, notes: &mut Notes, soft: &CancellationToken) -> Result<(), NotifierError> {
        let survey = Survey::take(&self.deps.db, FAR).await?;
        let (mut failure, mut handed_over) = (None, false);
        let mut room = Room::of(&survey, Limits::from(&*self.config), |pool, lane| self.catalog.slots(pool, lane));
        for row in &survey.waiting {
            if soft.is_cancelled() {
                break;
            }
            if !room.fits(row) {
                continue;
            }
            let Err(e) = self.dispatch_one(held, row).await else {
                room.take(row);
                handed_over = true;
                continue;
            };
            if matches!(e, NotifierError::Fenced)
                || (matches!(e, NotifierError::Bus(_)) && !self.has_jobs_stream().await)
            {
                return Err(e);
            }
            debug!(export.id = %row.id, error = %e, "an export can't be dispatched");
            failure = Some(e);
        }
        if notes.are_due() {
            let survey = if handed_over { Survey::take(&self.deps.db, FAR).await? } else { survey };
            notes.tell(&survey, &self.catalog, &self.deps.bus).await;
        }
        failure.map_or(Ok(()), Err)
    }

    /// Whether the stream of jobs answers: what can't be published then can't be for a reason of its own.
    async fn has_jobs_stream(&self) -> bool {
        self.deps.bus.jetstream().get_stream(subject::STREAM_JOBS).await.is_ok()
    }

    async fn dispatch_one(&self, held: &Held, waiting: &Waiting) -> Result<(), NotifierError> {
        let id = waiting.export_id();
        let Some(row) = export::find(&self.deps.db, id).await? else { return Ok(()) };
        // before the row moves on, so that a crash in between repeats it instead of losing it
        self.publish_job(&row, id.to_string()).await?;
        // long before anything can be told of its rows
        notes::tell_next(&self.deps.bus, &row.owner(), id).await;
        let now = self.deps.clock.now();
        let tx = self.deps.db.begin().await?;
        held.fence(&tx).await?;
        let moved = transition::dispatched(&tx, id, now).await?;
        // also when an exporter was quicker and runs it already
        turns::served(&tx, &row.pool, &row.lane, &row.owner(), now).await?;
        tx.commit().await?;
        metrics::counter!("sluice_notifier_dispatched_total").increment(u64::from(moved));
        let waited = (now - row.requested_at).to_std().unwrap_or_default();
        metrics::histogram!("sluice_queue_wait_seconds", "lane" => row.lane).record(waited.as_secs_f64());
        debug!(export.id = %id, export.moved = moved, "dispatched");
        Ok(())
    }

    /// Publishes the job of an export anew if it has none although it should. True when it had none.
    ///
    /// # Errors
    /// When the stream doesn't answer.
    pub(crate) async fn revive(&self, row: &export::Model) -> Result<bool, NotifierError> {
        if waits(&self.deps.bus, subject::STREAM_JOBS, &job_subject(row)).await? {
            return Ok(false);
        }
        // the stream may still know the first id
        let id = format!("{}:{}:{}", row.id, row.attempt, row.updated_at.timestamp_micros());
        self.publish_job(row, id).await?;
        Ok(true)
    }

    async fn publish_job(&self, row: &export::Model, message_id: String) -> Result<(), NotifierError> {
        let span = info_span!(
            parent: None,
            "dispatch",
            otel.kind = "producer",
            otel.status_code = Empty,
            trace_id = Empty,
            export.id = %row.id,
            export.lane = row.lane,
            export.tenant = row.tenant,
            messaging.system = "nats",
            messaging.operation.type = "send",
            messaging.destination.name = subject::STREAM_JOBS,
            messaging.message.id = message_id,
        );
        let here = traces::follow_text(&span, &row.traceparent);
        let job = Job { export_id: row.export_id(), owner: row.owner() };
        let message = Envelope::new(message_id, here.traceparent(), job);
        let sending = self.deps.bus.publish_durable(job_subject(row), &message.id, &message);
        let sent = sending.instrument(span.clone()).await;
        if sent.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        Ok(sent?)
    }
}

fn job_subject(row: &export::Model) -> String {
    subject::job(&row.pool, Lane::of(&row.lane), row.export_id())
}
