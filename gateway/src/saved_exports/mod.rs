//! Saved exports: create, read, list, change, delete and run them.
//!
//! - `schedules` stores the schedule of a saved export and the rights of its owner.
//! - `validate` checks the members that a user may write.
//! - `view` converts rows to the objects of the API.
//!
//! A user sees their own saved exports, and those that other users of the tenant share, if the user may export the
//! dataset. Only the owner may change or delete a saved export. A run is an export of the user who starts it.

mod schedules;
mod validate;
mod view;

use std::collections::HashMap;

use axum::http::header;
use entity::{
    saved_export::{self, Model, Reader, VisibleDatasets},
    saved_export_run, schedule,
};
use platform::{catalog::Catalog, clock::SharedClock};
use protocol::{
    envelope::TraceContext,
    export::Export,
    problem::{Problem, Slug},
    saved_export::{
        SavedExport, SavedExportId, SavedExportPage, SavedExportRequest, SavedExportRun, SavedExportRunPage,
    },
};
use sea_orm::{DatabaseConnection, TransactionTrait};
use serde_json::Value;
use tracing::info;
use uuid::Uuid;

use self::validate::{check_request, check_settings, merge_patch, nest_request_faults};
use crate::{
    auth::Caller,
    credits::Credits,
    error::{Outcome, Refusal},
    exports::{Presenter, Submission, Submit},
};

/// The maximum number of saved exports of one user.
const MAX_PER_USER: u64 = 200;

/// The maximum number of missed moments that a list of runs shows.
const MAX_MISSED: u64 = 100;

/// The use cases of saved exports.
#[derive(Clone, Debug)]
pub(crate) struct SavedExports {
    pub(crate) db: DatabaseConnection,
    pub(crate) catalog: Catalog,
    pub(crate) clock: SharedClock,
    pub(crate) presenter: Presenter,
    pub(crate) submit: Submit,
    pub(crate) credits: Credits,
}

/// The version that a client expects, from the header `If-Match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The client accepts every version.
    Any,
    /// The client has read this version.
    Version(u64),
    /// The header names no version, so no version matches.
    Nothing,
}

impl SavedExports {
    /// Creates a saved export of the caller.
    ///
    /// # Errors
    /// The refusal of the export request, with pointers below `/request`. `invalid-request` with each other fault.
    /// `rate-limited` when the caller has too many saved exports.
    pub(crate) async fn create(&self, caller: &Caller, request: SavedExportRequest) -> Outcome<SavedExport> {
        let now = self.clock.now();
        check_settings(&request)?;
        check_request(&self.catalog, caller, &request.request, now)?;
        let row = Model {
            id: SavedExportId::generate().0,
            tenant: caller.owner.tenant.clone(),
            user_id: caller.owner.user.clone(),
            name: request.name.clone(),
            dataset: request.request.dataset.clone(),
            request: view::json(&request.request)?,
            visibility: request.visibility.as_str().into(),
            version: 1,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        };
        let tx = self.db.begin().await?;
        if !saved_export::insert(&tx, row.clone(), MAX_PER_USER).await? {
            let detail = format!("You have {MAX_PER_USER} saved exports, the most allowed; delete one first.");
            return Err(Refusal::new(Slug::RateLimited, detail));
        }
        let schedule = self.put_schedule(&tx, caller, row.saved_export_id(), request.schedule.as_ref(), now).await?;
        tx.commit().await?;
        info!(saved_export.id = %row.id, "saved export created");
        view::saved_export(&row, schedule.as_ref(), None)
    }

    /// Reads one saved export that the caller may see.
    ///
    /// # Errors
    /// `not-found` for an unknown one and for one that the caller may not see.
    pub(crate) async fn get(&self, caller: &Caller, id: SavedExportId) -> Outcome<SavedExport> {
        let row = self.row(caller, id).await?;
        self.view(caller, &row).await
    }

    /// Lists the saved exports that the caller may see, newest first: at most `limit`, only those before `before`.
    ///
    /// # Errors
    /// `unavailable` when the database fails.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        before: Option<SavedExportId>,
        limit: u64,
    ) -> Outcome<SavedExportPage> {
        // one extra row shows whether there is a next page
        let rows = saved_export::list(&self.db, &self.reader(caller), before, limit + 1).await?;
        let (rows, has_more) = page(rows, limit);
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let newest = saved_export_run::newest(&self.db, &ids, &caller.owner).await?;
        let schedules = schedule::find_all(&self.db, &ids).await?;
        let schedules: HashMap<Uuid, _> = schedules.into_iter().map(|row| (row.saved_export_id, row)).collect();
        let next_cursor = rows.last().filter(|_| has_more).map(|row| row.id.to_string());
        let items = rows.iter().map(|row| view::saved_export(row, schedules.get(&row.id), newest.get(&row.id)));
        Ok(SavedExportPage { items: items.collect::<Outcome<_>>()?, next_cursor })
    }

    /// Changes a saved export of the caller by a merge patch (RFC 7396). A patch that changes nothing keeps the version.
    ///
    /// # Errors
    /// `not-found`; `forbidden` for one of another user; status 412 when the version is not the expected one; and the
    /// errors of [`Self::create`].
    pub(crate) async fn change(
        &self,
        caller: &Caller,
        id: SavedExportId,
        patch: Value,
        expected: Expected,
    ) -> Outcome<SavedExport> {
        let row = self.own_row(caller, id, expected).await?;
        let current = schedule::find(&self.db, id).await?;
        let before = view::saved_export(&row, current.as_ref(), None)?.editable();
        let request = merge_patch(&before, patch)?;
        if request == before {
            return self.view(caller, &row).await;
        }
        let now = self.clock.now();
        check_settings(&request)?;
        // an unchanged request is not checked, so that its owner can rename it while no exporter runs
        if request.request != before.request {
            check_request(&self.catalog, caller, &request.request, now)?;
        }
        let changed = Model {
            name: request.name.clone(),
            dataset: request.request.dataset.clone(),
            request: view::json(&request.request)?,
            visibility: request.visibility.as_str().into(),
            ..row
        };
        let tx = self.db.begin().await?;
        if !saved_export::update(&tx, &changed, now).await? {
            tx.rollback().await?;
            return Err(self.conflict(caller, id).await);
        }
        // a schedule that stays keeps its next moment and its count of failures; so does one whose request changes,
        // except for the digest of the last content
        if request.schedule != before.schedule {
            self.put_schedule(&tx, caller, id, request.schedule.as_ref(), now).await?;
        } else if request.request != before.request
            && let Some(current) = current
        {
            schedule::put(&tx, schedule::Model { last_content_sha256: None, ..current }).await?;
        }
        tx.commit().await?;
        info!(saved_export.id = %id, "saved export changed");
        self.get(caller, id).await
    }

    /// Deletes a saved export of the caller. Its runs stay.
    ///
    /// # Errors
    /// `not-found`; `forbidden` for one of another user; status 412 when the version is not the expected one.
    pub(crate) async fn delete(&self, caller: &Caller, id: SavedExportId, expected: Expected) -> Outcome<()> {
        let row = self.own_row(caller, id, expected).await?;
        let tx = self.db.begin().await?;
        if !saved_export::delete(&tx, &row, self.clock.now()).await? {
            tx.rollback().await?;
            return Err(self.conflict(caller, id).await);
        }
        schedule::delete(&tx, id).await?;
        tx.commit().await?;
        info!(saved_export.id = %id, "saved export deleted");
        Ok(())
    }

    /// Runs a saved export that the caller may see, as an export of the caller. `key` is the idempotency key.
    ///
    /// # Errors
    /// `not-found`, and the errors of [`Submit::submit`] with pointers below `/request`.
    pub(crate) async fn run(
        &self,
        caller: &Caller,
        id: SavedExportId,
        key: Option<&str>,
        trace: TraceContext,
    ) -> Outcome<Export> {
        let request = self.row(caller, id).await?.export_request()?;
        let submission = Submission { request: &request, key, saved_export: Some(id) };
        let submitted = self.submit.submit(caller, submission, trace).await;
        submitted.map_err(nest_request_faults)
    }

    /// Lists the caller's runs of a saved export, newest first: at most `limit`, only those before the run `before`.
    ///
    /// # Errors
    /// `not-found` for an unknown saved export and for one that the caller may not see.
    pub(crate) async fn runs(
        &self,
        caller: &Caller,
        id: SavedExportId,
        before: Option<Uuid>,
        limit: u64,
    ) -> Outcome<SavedExportRunPage> {
        self.row(caller, id).await?;
        let rows = saved_export_run::list(&self.db, id, &caller.owner, before, limit + 1).await?;
        let (rows, has_more) = page(rows, limit);
        let next_cursor = rows.last().filter(|_| has_more).map(|row| row.run.id.to_string());
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let export = self.presenter.export(&row.export).await?;
            items.push(SavedExportRun { export, scheduled_for: row.run.scheduled_for.map(Into::into) });
        }
        let missed = match before {
            None => saved_export_run::missed(&self.db, id, &caller.owner, MAX_MISSED).await?,
            Some(_) => Vec::new(),
        };
        Ok(SavedExportRunPage { items, missed: missed.into_iter().map(Into::into).collect(), next_cursor })
    }

    async fn view(&self, caller: &Caller, row: &Model) -> Outcome<SavedExport> {
        let newest = saved_export_run::newest(&self.db, &[row.id], &caller.owner).await?;
        let schedule = schedule::find(&self.db, row.saved_export_id()).await?;
        view::saved_export(row, schedule.as_ref(), newest.get(&row.id))
    }

    async fn row(&self, caller: &Caller, id: SavedExportId) -> Outcome<Model> {
        let row = saved_export::find(&self.db, &self.reader(caller), id).await?;
        row.ok_or_else(not_found)
    }

    /// Reads a saved export that the caller owns, in the expected version.
    async fn own_row(&self, caller: &Caller, id: SavedExportId, expected: Expected) -> Outcome<Model> {
        let row = self.row(caller, id).await?;
        if row.user_id != caller.owner.user {
            let detail = "Only the owner of a saved export may change or delete it. You may run it, and save a copy.";
            return Err(Refusal::new(Slug::Forbidden, detail));
        }
        let matches = match expected {
            Expected::Any => true,
            Expected::Version(version) => i64::try_from(version) == Ok(row.version),
            Expected::Nothing => false,
        };
        if matches { Ok(row) } else { Err(changed_meanwhile(row.version)) }
    }

    /// The refusal of a change whose conditional update found no row, because another change came first.
    async fn conflict(&self, caller: &Caller, id: SavedExportId) -> Refusal {
        match self.row(caller, id).await {
            Ok(row) => changed_meanwhile(row.version),
            Err(refusal) => refusal,
        }
    }

    /// The saved exports that the caller may see. Those of other users need the scopes of their dataset.
    fn reader(&self, caller: &Caller) -> Reader {
        let names = caller.scopes.iter().filter_map(|scope| scope.strip_prefix("export:"));
        let closed = self.catalog.offers(|name| caller.may_export(name));
        let closed = closed.into_iter().filter(|(_, offer)| !offer.dataset.access.admits(&caller.scopes));
        let closed: Vec<String> = closed.map(|(name, _)| name).collect();
        let datasets = if caller.scopes.iter().any(|scope| scope == "export:*") {
            VisibleDatasets::AllExcept(closed)
        } else {
            VisibleDatasets::Only(
                names.filter(|name| !closed.iter().any(|one| one == name)).map(str::to_owned).collect(),
            )
        };
        Reader { owner: caller.owner.clone(), datasets }
    }
}

/// The refusal of a saved export that does not exist or that the caller may not see.
pub(crate) fn not_found() -> Refusal {
    Refusal::new(Slug::NotFound, "You have no such saved export.")
}

fn changed_meanwhile(version: i64) -> Refusal {
    let detail = format!("The saved export has the version {version}; read it again before you change it.");
    let refusal = Refusal::from(Problem::new(Slug::InvalidRequest, detail).with_status(412));
    refusal.with_header(header::ETAG, format!("\"{version}\""))
}

/// Cuts the extra row of a page, and returns whether there was one.
fn page<T>(mut rows: Vec<T>, limit: u64) -> (Vec<T>, bool) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    (rows, has_more)
}
