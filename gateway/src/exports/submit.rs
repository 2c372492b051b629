//! Submits an export. One transaction stores the export's row and holds the credits that the export costs. Then a
//! message notifies the dispatcher, the task of the notifier that passes waiting exports to exporters.
//!
//! A committed export runs even if the notification is lost or a process crashes, because the dispatcher also polls the
//! export table.

use axum::http::header;
use chrono::{DateTime, Utc};
use entity::{export, idempotency_key, ledger, saved_export_run};
use platform::{
    bus::Bus,
    catalog::{Catalog, Offer},
    clock::SharedClock,
    telemetry::traces,
};
use protocol::{
    envelope::TraceContext,
    export::{Export, ExportRequest},
    id::ExportId,
    problem::{FieldError, Problem, Slug},
    saved_export::SavedExportId,
    subject::{self, Lane},
};
use sea_orm::{DatabaseConnection, DbErr, SqlErr, TransactionTrait};
use serde_json::json;
use tracing::{Span, debug, field::Empty, info, info_span};

use super::{
    join_key::{hash, join_key},
    presenter::Presenter,
    validate::{ValidRequest, authorize_and_validate},
};
use crate::{
    auth::Caller,
    credits::{Credits, count_grants},
    error::{Outcome, Refusal},
};

/// The pointer of a fault in the idempotency key.
pub(crate) const IDEMPOTENCY_KEY_POINTER: &str = "/idempotency_key";
/// The maximum length of an idempotency key, in bytes.
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// Validates export requests. Stores each request as a new export, or returns an existing export.
#[derive(Clone, Debug)]
pub(crate) struct Submit {
    pub(crate) db: DatabaseConnection,
    pub(crate) bus: Bus,
    pub(crate) catalog: Catalog,
    pub(crate) credits: Credits,
    pub(crate) presenter: Presenter,
    pub(crate) clock: SharedClock,
    /// The maximum number of unfinished exports of one user.
    pub(crate) max_unfinished: u64,
    /// Exports of datasets with at most this many rows take the interactive lane, the queue for small exports.
    pub(crate) interactive_max_dataset_rows: u64,
}

/// A submission of an export.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Submission<'a> {
    pub(crate) request: &'a ExportRequest,
    /// The idempotency key of the client.
    pub(crate) key: Option<&'a str>,
    /// The saved export whose run this is. The caller of [`Submit::submit`] checks that the user may see it.
    pub(crate) saved_export: Option<SavedExportId>,
}

impl Submit {
    /// Creates the tracing span around one call of [`Submit::submit`]. `kind` is the OpenTelemetry span kind:
    /// `internal` for an HTTP request, which already has a span, and `server` for a message on a WebSocket. The span
    /// names neither the user nor the filter.
    #[must_use]
    pub(crate) fn span(kind: &str) -> Span {
        info_span!(
            "export.submit",
            otel.kind = kind,
            otel.status_code = Empty,
            trace_id = Empty,
            export.id = Empty,
            export.dataset = Empty,
            export.format = Empty,
            export.lane = Empty,
            export.tenant = Empty,
            export.joined = Empty,
            error.type = Empty,
        )
    }

    /// Submits an export. `trace` becomes the trace of a new export. Returns an existing export instead, at no cost, in
    /// two cases: the user has sent the same request with the same key before, or the user has an unfinished export that
    /// produces the same file.
    ///
    /// # Errors
    /// The problem for the caller, such as `credits-exhausted`. After a refusal the database has no new export and no
    /// new hold on credits.
    pub(crate) async fn submit(
        &self,
        caller: &Caller,
        submission: Submission<'_>,
        trace: TraceContext,
    ) -> Outcome<Export> {
        let submitted = self.try_submit(caller, submission, trace).await;
        if let Err(refusal) = &submitted {
            let span = Span::current();
            span.record("error.type", refusal.problem.slug().as_str());
            if refusal.problem.status >= 500 {
                span.record("otel.status_code", "ERROR");
            }
        }
        submitted
    }

    async fn try_submit(
        &self,
        caller: &Caller,
        Submission { request, key, saved_export }: Submission<'_>,
        trace: TraceContext,
    ) -> Outcome<Export> {
        if key.is_some_and(|key| !is_valid_key(key)) {
            let detail = format!("must have 1 to {MAX_IDEMPOTENCY_KEY_BYTES} visible ASCII characters, without spaces");
            let fault = FieldError::new(IDEMPOTENCY_KEY_POINTER, detail);
            return Err(Problem::invalid(Slug::InvalidRequest, vec![fault]).into());
        }
        // search before validation, so that a repeated request gets its export even when no exporter offers the dataset
        let hash = hash(request)?;
        let key = key.map(|key| (key, hash.as_str()));
        if let Some(earlier) = self.find_by_key(caller, key).await? {
            return Ok(earlier);
        }
        // relative times, such as `now-1d`, count from the time of the request
        let now = self.clock.now();
        let (offer, valid) = authorize_and_validate(&self.catalog, caller, request, now)?;
        let row = self.row(caller, request, &offer, &valid, trace, now)?;
        let span = Span::current();
        span.record("export.dataset", &row.dataset).record("export.tenant", &row.tenant);
        match self.commit(caller, row.clone(), key, saved_export).await {
            Ok(None) => {}
            Ok(Some(joined)) => {
                span.record("export.id", tracing::field::display(joined.id)).record("export.joined", true);
                if let Some(other) = TraceContext::parse(&joined.traceparent) {
                    traces::link(&span, other);
                }
                metrics::counter!("sluice_gateway_exports_joined_total").increment(1);
                info!(export.id = %joined.id, export.dataset = %joined.dataset, "joined an identical export");
                return self.presenter.export(&joined).await;
            }
            // a concurrent request with the same key was committed first
            Err(CommitError::KeyInUse) => {
                let earlier = self.find_by_key(caller, key).await?;
                return earlier.ok_or_else(|| {
                    let detail = "The first request with this idempotency key is still being processed. Retry shortly.";
                    Problem::new(Slug::IdempotencyConflict, detail).with_status(409).into()
                });
            }
            Err(CommitError::Refused(refusal)) => {
                // a concurrent request with the same key may have used the last credit or reached the limit of
                // unfinished exports, so return its export
                return match self.find_by_key(caller, key).await? {
                    Some(earlier) => Ok(earlier),
                    None => Err(*refusal),
                };
            }
        }
        span.record("export.id", tracing::field::display(row.id)).record("export.lane", &row.lane);
        span.record("export.format", &row.format);
        metrics::counter!("sluice_credit_events_total", "kind" => "hold").increment(1);
        metrics::counter!("sluice_gateway_exports_accepted_total", "lane" => row.lane.clone()).increment(1);
        info!(export.id = %row.id, export.dataset = %row.dataset, export.lane = %row.lane, "export accepted");
        let submitted = json!({"export_id": row.id});
        let subject = subject::DELIVERY_SUBMITTED.to_owned();
        if let Err(e) = self.bus.publish_lossy(subject, &row.traceparent, &submitted).await {
            debug!(error = %e, "failed to notify the dispatcher; its next poll will find the export");
        }
        // the export is committed and its credit held, so a failed read must not turn the response into an error
        match self.presenter.export(&row).await {
            Ok(export) => Ok(export),
            Err(_) => Presenter::export_without_position(&row),
        }
    }

    /// Finds the export of the caller's earlier request with the same idempotency key. `key` is a pair: the idempotency
    /// key and the hash of the current request. Returns None if `key` is None, or if no earlier request used the
    /// idempotency key.
    ///
    /// # Errors
    /// `idempotency-conflict` when the earlier request had another hash. `unavailable` when the database fails.
    async fn find_by_key(&self, caller: &Caller, key: Option<(&str, &str)>) -> Outcome<Option<Export>> {
        let Some((key, hash)) = key else { return Ok(None) };
        let Some(stored) = idempotency_key::find(&self.db, &caller.owner, key).await? else { return Ok(None) };
        if stored.request_hash != hash {
            let detail = "This idempotency key was used with another request.";
            return Err(Refusal::new(Slug::IdempotencyConflict, detail));
        }
        let Some(row) = export::find_owned(&self.db, &caller.owner, ExportId(stored.export_id)).await? else {
            return Ok(None);
        };
        self.presenter.export(&row).await.map(Some)
    }

    /// Stores the export's row, the hold on its credits and its idempotency key in one transaction, and returns None.
    /// If the owner has an unfinished export that produces the same file, stores only the key and returns that export.
    /// `key` is a pair: the idempotency key and the hash of the request. If `key` is None, the function stores no key. Records
    /// the export as a run of `saved_export`, if that is not None.
    async fn commit(
        &self,
        caller: &Caller,
        row: export::Model,
        key: Option<(&str, &str)>,
        saved_export: Option<SavedExportId>,
    ) -> Result<Option<export::Model>, CommitError> {
        let (owner, now) = (&caller.owner, self.clock.now());
        let tx = self.db.begin().await.map_err(Refusal::from)?;
        // locks the account until the transaction ends, so that the checks below still hold at the commit
        let accrued = ledger::open_and_accrue(&tx, owner, self.credits.policy(), now).await.map_err(Refusal::from)?;
        let balance = accrued.balance.balance;
        let joined = match &row.join_key {
            Some(join_key) => export::find_joinable(&tx, owner, join_key).await.map_err(Refusal::from)?,
            None => None,
        };
        let id = joined.as_ref().map_or(row.export_id(), export::Model::export_id);
        if joined.is_none() {
            let held = ledger::hold(&tx, owner, id, row.credits, now).await.map_err(Refusal::from)?;
            if !held {
                // the export is refused; the commit keeps the opened account and its daily grants
                tx.commit().await.map_err(Refusal::from)?;
                count_grants(accrued.granted);
                return Err(self.credits.exhausted(balance, row.credits).into());
            }
            let unfinished = export::count_unfinished(&tx, owner).await.map_err(Refusal::from)?;
            if unfinished >= self.max_unfinished {
                let detail = format!("You have {unfinished} unfinished exports; the limit is {}.", self.max_unfinished);
                let mut refusal = Refusal::new(Slug::TooManyExports, detail).with_header(header::RETRY_AFTER, 5);
                refusal.headers.extend(self.credits.rate_limit(balance));
                return Err(refusal.into());
            }
            export::insert(&tx, row).await.map_err(Refusal::from)?;
        }
        if let Some((key, hash)) = key {
            idempotency_key::insert(&tx, owner, key, hash, id, now).await?;
        }
        if let Some(saved_export) = saved_export {
            saved_export_run::record(&tx, saved_export, owner, id, now).await?;
        }
        tx.commit().await.map_err(Refusal::from)?;
        count_grants(accrued.granted);
        Ok(joined)
    }

    fn row(
        &self,
        caller: &Caller,
        request: &ExportRequest,
        offer: &Offer,
        valid: &ValidRequest,
        trace: TraceContext,
        now: DateTime<Utc>,
    ) -> Outcome<export::Model> {
        let rows = offer.dataset.total_rows.or(offer.dataset.info.rows_estimate);
        let is_small = rows.is_some_and(|rows| rows <= self.interactive_max_dataset_rows);
        let lane = if is_small { Lane::Interactive } else { Lane::Bulk };
        Ok(export::Model {
            dataset: request.dataset.clone(),
            template: valid.template.clone(),
            format: valid.format.clone(),
            compression: valid.compression.clone(),
            filter: valid.filter.clone(),
            columns: json!(valid.columns),
            params: json!(valid.params),
            claims: json!(caller.claims),
            pool: offer.pool.clone(),
            lane: lane.as_str().into(),
            credits: offer.dataset.info.credits.into(),
            retention_seconds: offer.dataset.retention_seconds.cast_signed(),
            traceparent: trace.traceparent(),
            join_key: Some(join_key(request, valid, caller)?),
            ..export::Model::queued(ExportId::generate(), &caller.owner, now)
        })
    }
}

enum CommitError {
    KeyInUse,
    Refused(Box<Refusal>),
}

impl From<Refusal> for CommitError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<entity::StoreError> for CommitError {
    fn from(e: entity::StoreError) -> Self {
        match &e {
            entity::StoreError::Db(db) if is_unique_violation(db) => Self::KeyInUse,
            _ => Refusal::from(e).into(),
        }
    }
}

fn is_unique_violation(e: &DbErr) -> bool {
    matches!(e.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// Whether a text consists of 1 to [`MAX_IDEMPOTENCY_KEY_BYTES`] visible ASCII characters.
fn is_valid_key(key: &str) -> bool {
    (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}
