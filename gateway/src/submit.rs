//! Taking an export: the row and the credit hold in one transaction, then a hint to the dispatcher.
//!
//! Once the transaction is committed the export will run, whatever dies next: the dispatcher looks for such rows by
//! itself. So the hint may be lost.

use aws_lc_rs::digest;
use entity::{export, ledger, view};
use platform::{bus::Bus, clock::SharedClock};
use protocol::{
    envelope::TraceContext,
    export::{Export, ExportRequest, Status},
    id::ExportId,
    problem::{FieldError, Problem, Slug},
    subject::{self, Lane},
};
use sea_orm::{DatabaseConnection, DbErr, SqlErr, TransactionTrait};
use serde_json::json;
use tracing::{debug, info};

use crate::{
    auth::Caller,
    catalog::{Catalog, Offer},
    credits::Credits,
    error::{Outcome, Refusal},
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
    /// For the request time.
    pub clock: SharedClock,
    /// Unfinished exports of one person at once.
    pub max_unfinished: u64,
    /// Datasets up to this size are interactive.
    pub interactive_rows: u64,
}

impl Submit {
    /// Takes an export, or gives the one that the same key made before.
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
        if key.is_some_and(|key| key.is_empty() || key.len() > MAX_KEY_BYTES) {
            let fault = FieldError::new("/idempotency_key", format!("1 to {MAX_KEY_BYTES} bytes, please"));
            return Err(Problem::invalid(Slug::InvalidRequest, vec![fault]).into());
        }
        // a repeat gets its export even when the dataset is no longer on offer
        let hash = hash(request)?;
        if let Some(earlier) = self.earlier(caller, key, &hash).await? {
            return Ok(earlier);
        }
        let (offer, checked) = self.check(caller, request)?;
        let row = self.row(caller, request, &offer, &checked, key, hash.clone(), trace);
        match self.commit(caller, row.clone()).await {
            Ok(()) => {}
            // two requests with one key met; the other was first
            Err(CommitError::KeyTaken) => {
                let earlier = self.earlier(caller, key, &hash).await?;
                return earlier.ok_or_else(|| {
                    let detail = "The first request with this key is still being taken; retry shortly.";
                    Problem::new(Slug::IdempotencyConflict, detail).with_status(409).into()
                });
            }
            Err(CommitError::Refused(refusal)) => {
                // the twin of this request may have taken the last credit or place
                return match self.earlier(caller, key, &hash).await? {
                    Some(earlier) => Ok(earlier),
                    None => Err(*refusal),
                };
            }
        }
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
        let position = if waits { Some(export::queue_position(&self.db, row).await?) } else { None };
        Ok(view::export(row, position)?)
    }

    fn check(&self, caller: &Caller, request: &ExportRequest) -> Outcome<(Offer, Checked)> {
        let name = &request.dataset;
        if !caller.may_export(name) {
            let detail = format!("Your token's scope does not allow exports of `{name}`.");
            return Err(Refusal::new(Slug::Forbidden, detail));
        }
        let Some(offer) = self.catalog.find(name) else {
            if self.catalog.is_empty() {
                return Err(Refusal::new(Slug::Unavailable, "No exporter is running just now.")
                    .with_header(axum::http::header::RETRY_AFTER, 5));
            }
            let fault = FieldError::new("/dataset", format!("no dataset is called `{name}`"));
            return Err(Problem::invalid(Slug::UnknownDataset, vec![fault]).into());
        };
        let checked = validate::check(request, &offer.dataset)?;
        Ok((offer, checked))
    }

    async fn earlier(&self, caller: &Caller, key: Option<&str>, hash: &str) -> Outcome<Option<Export>> {
        let Some(key) = key else { return Ok(None) };
        let Some(row) = export::find_by_key(&self.db, &caller.owner, key).await? else { return Ok(None) };
        if row.request_hash != hash {
            return Err(Refusal::new(Slug::IdempotencyConflict, "This key came with another request before."));
        }
        self.show(&row).await.map(Some)
    }

    async fn commit(&self, caller: &Caller, row: export::Model) -> Result<(), CommitError> {
        let owner = &caller.owner;
        let tx = self.db.begin().await.map_err(Refusal::from)?;
        // the account's row is locked from the hold on, so that the count below can't be overtaken
        let now = self.clock.now();
        let balance = ledger::open(&tx, owner, self.credits.opening(), now).await.map_err(Refusal::from)?;
        let held = ledger::hold(&tx, owner, row.export_id(), row.credits, now).await.map_err(Refusal::from)?;
        if !held {
            return Err(self.credits.exhausted(balance.balance, row.credits).into());
        }
        let unfinished = export::count_unfinished(&tx, owner).await.map_err(Refusal::from)?;
        if unfinished >= self.max_unfinished {
            let detail = format!("You have {unfinished} unfinished exports, and {} is the most.", self.max_unfinished);
            let refusal = Refusal::new(Slug::TooManyExports, detail);
            return Err(refusal.with_header(axum::http::header::RETRY_AFTER, 5).into());
        }
        export::insert(&tx, row).await?;
        tx.commit().await.map_err(Refusal::from)?;
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "each is one part of the row")]
    fn row(
        &self,
        caller: &Caller,
        request: &ExportRequest,
        offer: &Offer,
        checked: &Checked,
        key: Option<&str>,
        request_hash: String,
        trace: TraceContext,
    ) -> export::Model {
        let now = self.clock.now();
        let small = offer.dataset.info.rows_estimate.is_some_and(|rows| rows <= self.interactive_rows);
        let lane = if small { Lane::Interactive } else { Lane::Bulk };
        export::Model {
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
            idempotency_key: key.map(str::to_owned),
            request_hash,
            ..export::Model::queued(ExportId::generate(), &caller.owner, now)
        }
    }
}

/// The same members with the same values give the same text: objects are sorted by their keys.
fn hash(request: &ExportRequest) -> Outcome<String> {
    let canonical = serde_json::to_value(request).map(|value| value.to_string());
    let canonical = canonical.map_err(|e| Refusal::new(Slug::Internal, e.to_string()))?;
    Ok(hex::encode(digest::digest(&digest::SHA256, canonical.as_bytes())))
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
