//! `/v1/exports`.

use aws_lc_rs::digest;
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use entity::export::ListQuery;
use platform::telemetry::traces;
use protocol::{
    export::{Export, ExportRequest},
    id::ExportId,
};
use serde::Deserialize;
use tracing::Instrument;

use super::extract::{Body, ExportPath, Trace, Wait, invalid};
use crate::{app::App, auth::Caller, error::Outcome, submit::Submit};

/// Seconds after which an unfinished export is worth another look.
const RETRY_AFTER: &str = "1";
/// Exports on a page when the caller doesn't say.
const PAGE: u64 = 50;
/// The most on a page.
const MAX_PAGE: u64 = 200;

/// `POST /v1/exports`
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Trace(trace): Trace,
    Wait(wait): Wait,
    headers: HeaderMap,
    Body(request): Body<ExportRequest>,
) -> Outcome<Response> {
    let key = match headers.get("idempotency-key").map(HeaderValue::to_str) {
        None => None,
        Some(Ok(key)) => Some(key),
        Some(Err(_)) => return Err(invalid("/idempotency_key", "`Idempotency-Key` must be visible ASCII")),
    };
    let span = Submit::span("internal");
    let trace = traces::context(&span).unwrap_or(trace);
    let mut export = app.submit.submit(&caller, &request, key, trace).instrument(span).await?;
    // from here on it is taken and paid for: what can't be looked up is left out, and the answer stays yes
    if let Some(wait) = wait
        && let Ok(later) = app.exports.wait(&caller.owner, export.id, wait).await
    {
        export = later;
    }
    let ended = wait.is_some() && !export.status.is_unfinished();
    let mut response = (if ended { StatusCode::OK } else { StatusCode::ACCEPTED }, Json(&export)).into_response();
    let headers = response.headers_mut();
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        insert(headers, name, &export.links.this);
    }
    if !ended {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    }
    applied(headers, wait.is_some());
    if let Ok(account) = app.credits.balance(&caller.owner).await {
        for (name, value) in app.credits.rate_limit(account.balance) {
            insert(headers, name, &value);
        }
    }
    Ok(response)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    status: Option<String>,
    dataset: Option<String>,
    limit: Option<u64>,
    cursor: Option<String>,
}

/// `GET /v1/exports`
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Result<Query<ListParams>, QueryRejection>,
) -> Outcome<Response> {
    let Query(params) = params.map_err(|e| invalid("", &e.body_text()))?;
    let status = params.status.map(|s| s.parse()).transpose().map_err(|_| invalid("/status", "no such status"))?;
    let before: Option<ExportId> =
        params.cursor.map(|c| c.parse()).transpose().map_err(|_| invalid("/cursor", "not a cursor of ours"))?;
    let limit = params.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(invalid("/limit", &format!("from 1 to {MAX_PAGE}, please")));
    }
    let query = ListQuery { status, dataset: params.dataset, before, limit };
    Ok(Json(app.exports.list(&caller.owner, query).await?).into_response())
}

/// `GET /v1/exports/{id}`
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    ExportPath(id): ExportPath,
    Wait(wait): Wait,
    headers: HeaderMap,
) -> Outcome<Response> {
    let export = match wait {
        Some(wait) => app.exports.wait(&caller.owner, id, wait).await?,
        None => app.exports.get(&caller.owner, id).await?,
    };
    let tag = etag(&export);
    let known = headers.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|v| v.to_str().ok());
    if known.flat_map(|list| list.split(',')).any(|t| t.trim().trim_start_matches("W/") == tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let mut response = Json(&export).into_response();
    let headers = response.headers_mut();
    insert(headers, header::ETAG, &tag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if export.status.is_unfinished() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        insert(headers, HeaderName::from_static("x-progress"), &progress(&export));
    }
    applied(headers, wait.is_some());
    Ok(response)
}

/// `DELETE /v1/exports/{id}`
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    ExportPath(id): ExportPath,
) -> Outcome<(StatusCode, Json<Export>)> {
    Ok((StatusCode::ACCEPTED, Json(app.exports.delete(&caller.owner, id).await?)))
}

/// A strong tag of the export as it is shown.
fn etag(export: &Export) -> String {
    let shown = serde_json::to_vec(export).unwrap_or_default();
    format!("\"{}\"", hex::encode(&digest::digest(&digest::SHA256, &shown).as_ref()[..16]))
}

/// For people with curl: `running 120000/3000000 rows`.
fn progress(export: &Export) -> String {
    let progress = &export.progress;
    match (progress.queue_position, progress.rows_total) {
        (Some(position), _) => format!("{} position {position}", export.status),
        (None, Some(total)) => format!("{} {}/{total} rows", export.status, progress.rows),
        (None, None) => format!("{} {} rows", export.status, progress.rows),
    }
}

fn applied(headers: &mut HeaderMap, wait: bool) {
    if wait {
        headers.insert(HeaderName::from_static("preference-applied"), HeaderValue::from_static("wait"));
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
