//! Taking an export: the row and the credit hold in one transaction, then a hint to the dispatcher.
//!
//! Once the transaction is committed the export will run, whatever dies next: the dispatcher looks for such rows by
//! itself. So the hint may be lost.

use axum::http::header;
use entity::{export, ledger, submit_key, view};
use platform::{bus::Bus, clock::SharedClock, telemetry::traces};
use protocol::{
    envelope::TraceContext,
    export::{Export, ExportRequest, Status},
    id::ExportId,
    problem::{FieldError, Problem, Slug},
    subject::{self, Lane},
};
use sea_orm::{DatabaseConnection, DbErr, SqlErr, TransactionTrait};
use serde_json::json;
use tracing::{Span, debug, field::Empty, info, info_span};

use crate::{
    auth::Caller,
    catalog::{Catalog, Offer},
    credits::Credits,
    error::{Outcome, Refusal},
    join,
    queue::Queue,
    validate::{self, Checked},
};

/// The longest idempotency key, bytes.
const MAX_KEY_BYTES: usize = 255;

/// Takes exports.
#[derive(Clone, Debug)]
pub struct Submit {
    /// Where rows go.
    pub db: DatabaseConnection,
    /// Where the hint goes.
    pub bus: Bus,
    /// What is on offer.
    pub catalog: Catalog,
    /// Who can pay.
    pub credits: Credits,
    /// What waits before whom.
    pub queue: Queue,
    /// For the request time.
    pub clock: SharedClock,
    /// Unfinished exports of one person at once.
    pub max_unfinished: u64,
    /// Datasets up to this size are interactive.
    pub interactive_rows: u64,
}

impl Submit {
    /// The span of one request for an export, to be put around [`Submit::submit`]. `kind` is `internal` where a request
    /// over HTTP is around it, and `server` for a message on a socket. Who asks, and for which rows, is not in it.
    #[must_use]
    pub fn span(kind: &str) -> Span {
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

    /// Takes an export. Gives the one that the same key stands for instead, or an unfinished one of the same person that
    /// will make the same file: that costs nothing.
    ///
    /// # Errors
    /// A refusal after which nothing was done.
    pub async fn submit(
        &self,
        caller: &Caller,
        request: &ExportRequest,
        key: Option<&str>,
        trace: TraceContext,
    ) -> Outcome<Export> {
        let taken = self.take(caller, request, key, trace).await;
        if let Err(refusal) = &taken {
            let span = Span::current();
            span.record("error.type", refusal.problem.slug().as_str());
            if refusal.problem.status >= 500 {
                span.record("otel.status_code", "ERROR");
            }
        }
        taken
    }

    async fn take(
        &self,
        caller: &Caller,
        request: &ExportRequest,
        key: Option<&str>,
        trace: TraceContext,
    ) -> Outcome<Export> {
        if key.is_some_and(|key| key.is_empty() || key.len() > MAX_KEY_BYTES) {
            let fault = FieldError::new("/idempotency_key", format!("1 to {MAX_KEY_BYTES} bytes, please"));
            return Err(Problem::invalid(Slug::InvalidRequest, vec![fault]).into());
        }
        // a repeat gets its export even when the dataset is no longer on offer
        let hash = join::hash(request)?;
        let key = key.map(|key| (key, hash.as_str()));
        if let Some(earlier) = self.earlier(caller, key).await? {
            return Ok(earlier);
        }
        let (offer, checked) = self.check(caller, request)?;
        let row = self.row(caller, request, &offer, &checked, trace)?;
        let span = Span::current();
        span.record("export.dataset", &row.dataset).record("export.tenant", &row.tenant);
        match self.commit(caller, row.clone(), key).await {
            Ok(None) => {}
            Ok(Some(twin)) => {
                span.record("export.id", tracing::field::display(twin.id)).record("export.joined", true);
                if let Some(other) = TraceContext::parse(&twin.traceparent) {
                    traces::link(&span, other);
                }
                metrics::counter!("sluice_gateway_exports_joined_total").increment(1);
                info!(export.id = %twin.id, export.dataset = %twin.dataset, "an identical export is joined");
                return self.show(&twin).await;
            }
            // two requests with one key met; the other was first
            Err(CommitError::KeyTaken) => {
                let earlier = self.earlier(caller, key).await?;
                return earlier.ok_or_else(|| {
                    let detail = "The first request with this key is still being taken; retry shortly.";
                    Problem::new(Slug::IdempotencyConflict, detail).with_status(409).into()
                });
            }
            Err(CommitError::Refused(refusal)) => {
                // the twin of this request may have taken the last credit or place
                return match self.earlier(caller, key).await? {
                    Some(earlier) => Ok(earlier),
                    None => Err(*refusal),
                };
            }
        }
        span.record("export.id", tracing::field::display(row.id)).record("export.lane", &row.lane);
        span.record("export.format", &row.format);
        metrics::counter!("sluice_credit_events_total", "kind" => "hold").increment(1);
        metrics::counter!("sluice_gateway_exports_taken_total", "lane" => row.lane.clone()).increment(1);
        info!(export.id = %row.id, export.dataset = %row.dataset, export.lane = %row.lane, "export taken");
        let hint = json!({"export_id": row.id});
        if let Err(e) = self.bus.publish_lossy(subject::DELIVERY_SUBMITTED.to_owned(), &row.traceparent, &hint).await {
            debug!(error = %e, "the dispatcher got no hint; it will find the export by itself");
        }
        // it is committed and paid for: whatever fails now, the answer is yes
        match self.show(&row).await {
            Ok(export) => Ok(export),
            Err(_) => Ok(view::export(&row, None)?),
        }
    }

    /// The export as its owner sees it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn show(&self, row: &export::Model) -> Outcome<Export> {
        let waits = matches!(row.status()?, Status::Queued | Status::Dispatched);
        let outlook = if waits { Some(self.queue.outlook(row).await?) } else { None };
        Ok(view::export(row, outlook)?)
    }

    fn check(&self, caller: &Caller, request: &ExportRequest) -> Outcome<(Offer, Checked)> {
        validate::admit(&self.catalog, caller, request)
    }

    /// What this key stands for, with the hash of the request that it came with.
    async fn earlier(&self, caller: &Caller, key: Option<(&str, &str)>) -> Outcome<Option<Export>> {
        let Some((key, hash)) = key else { return Ok(None) };
        let Some(known) = submit_key::find(&self.db, &caller.owner, key).await? else { return Ok(None) };
        if known.request_hash != hash {
            return Err(Refusal::new(Slug::IdempotencyConflict, "This key came with another request before."));
        }
        let Some(row) = export::find_owned(&self.db, &caller.owner, ExportId(known.export_id)).await? else {
            return Ok(None);
        };
        self.show(&row).await.map(Some)
    }

    /// The row, its hold and its key in one transaction. Some: an unfinished export that will make the same file, which
    /// the key stands for now.
    async fn commit(
        &self,
        caller: &Caller,
        row: export::Model,
        key: Option<(&str, &str)>,
    ) -> Result<Option<export::Model>, CommitError> {
        let (owner, now) = (&caller.owner, self.clock.now());
        let tx = self.db.begin().await.map_err(Refusal::from)?;
        // the account is locked from here on, so that nobody overtakes what is looked at below
        let balance = ledger::reckon(&tx, owner, self.credits.terms(), now).await.map_err(Refusal::from)?;
        let twin = match &row.join_key {
            Some(join_key) => export::find_twin(&tx, owner, join_key).await.map_err(Refusal::from)?,
            None => None,
        };
        let id = twin.as_ref().map_or(row.export_id(), export::Model::export_id);
        if twin.is_none() {
            let held = ledger::hold(&tx, owner, id, row.credits, now).await.map_err(Refusal::from)?;
            if !held {
                // nothing was taken; what the nights have brought stays written down, and the account open
                tx.commit().await.map_err(Refusal::from)?;
                return Err(self.credits.exhausted(balance.balance, row.credits).into());
            }
            let unfinished = export::count_unfinished(&tx, owner).await.map_err(Refusal::from)?;
            if unfinished >= self.max_unfinished {
                let detail =
                    format!("You have {unfinished} unfinished exports, and {} is the most.", self.max_unfinished);
                let mut refusal = Refusal::new(Slug::TooManyExports, detail).with_header(header::RETRY_AFTER, 5);
                refusal.headers.extend(self.credits.rate_limit(balance.balance));
                return Err(refusal.into());
            }
            export::insert(&tx, row).await.map_err(Refusal::from)?;
        }
        if let Some((key, hash)) = key {
            submit_key::insert(&tx, owner, key, hash, id, now).await?;
        }
        tx.commit().await.map_err(Refusal::from)?;
        Ok(twin)
    }

    fn row(
        &self,
        caller: &Caller,
        request: &ExportRequest,
        offer: &Offer,
        checked: &Checked,
        trace: TraceContext,
    ) -> Outcome<export::Model> {
        let now = self.clock.now();
        let rows = offer.dataset.rows_in_all.or(offer.dataset.info.rows_estimate);
        let small = rows.is_some_and(|rows| rows <= self.interactive_rows);
        let lane = if small { Lane::Interactive } else { Lane::Bulk };
        Ok(export::Model {
            dataset: request.dataset.clone(),
            template: checked.template.clone(),
            format: checked.format.clone(),
            compression: checked.compression.clone(),
            filter: checked.filter.clone(),
            columns: json!(checked.columns),
            params: json!(checked.params),
            claims: json!(caller.claims),
            pool: offer.pool.clone(),
            lane: lane.as_str().into(),
            credits: offer.dataset.info.credits.into(),
            retention_s: offer.dataset.retention_s.cast_signed(),
            traceparent: trace.traceparent(),
            join_key: Some(join::key(request, checked, caller)?),
            ..export::Model::queued(ExportId::generate(), &caller.owner, now)
        })
    }
}

enum CommitError {
    KeyTaken,
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
            entity::StoreError::Db(db) if is_unique(db) => Self::KeyTaken,
            _ => Refusal::from(e).into(),
        }
    }
}

fn is_unique(e: &DbErr) -> bool {
    matches!(e.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}
