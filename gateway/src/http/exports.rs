//! `/v1/exports`: submit, list, read, cancel and delete exports.

use std::time::Duration;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use entity::export::ListQuery;
use platform::telemetry::traces;
use protocol::{
    export::{Export, ExportPage, ExportRequest, Status},
    id::ExportId,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::Instrument;

use super::{
    conditional,
    endpoint::Endpoint,
    extract::{Body, ExportPath, PreferWait, Trace, invalid},
};
use crate::{
    auth::{AuthError, Caller},
    error::Outcome,
    exports::{Submission, Submit, require_readable},
    state::AppState,
};

/// The value of `Retry-After` in the response for an unfinished export, in seconds.
const RETRY_AFTER_SECONDS: &str = "1";
/// The default number of exports per page.
const DEFAULT_LIMIT: u64 = 50;
/// The maximum number of exports per page.
const MAX_LIMIT: u64 = 200;

/// The description of `Idempotency-Key` in the OpenAPI document.
pub(super) const IDEMPOTENCY_KEY_DESCRIPTION: &str =
    "A repeated request with the same key and body returns the same export.";
/// The description of `Prefer: wait` in the OpenAPI document.
pub(super) const PREFER_DESCRIPTION: &str = "`wait=N`: answer when the export has ended, or after N seconds.";

pub(super) fn endpoints() -> [Endpoint; 4] {
    [
        Endpoint::post("/v1/exports", create).operation("createExport", "Submit an export", |operation| {
            operation
                .header("Idempotency-Key", IDEMPOTENCY_KEY_DESCRIPTION)
                .header("Prefer", PREFER_DESCRIPTION)
                .body::<ExportRequest>(&example_request())
                .json::<Export>(200, "The export, which has ended.")
                .json::<Export>(202, "The accepted export.")
                .problems(&[409, 413, 422, 429])
        }),
        Endpoint::get("/v1/exports", list).operation(
            "listExports",
            "List the caller's exports, newest first",
            |operation| {
                let limit = json!({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT});
                operation
                    .query_of::<Status>("status")
                    .query("dataset", json!({"type": "string"}))
                    .query("limit", limit)
                    .query("cursor", json!({"type": "string"}))
                    .conditional()
                    .json::<ExportPage>(200, "One page of exports.")
                    .problems(&[422])
            },
        ),
        Endpoint::get("/v1/exports/{id}", get).operation("getExport", "Read one export", |operation| {
            operation
                .header("Prefer", PREFER_DESCRIPTION)
                .conditional()
                .json::<Export>(200, "The export.")
                .problems(&[403, 404])
        }),
        Endpoint::delete("/v1/exports/{id}", delete).operation(
            "deleteExport",
            "Cancel an unfinished export or delete a finished export's file",
            |operation| operation.json::<Export>(202, "The export.").problems(&[404]),
        ),
    ]
}

/// Returns the example of a request body for the OpenAPI document. The example names a dataset of the demo catalog in
/// `ops/demo`.
pub(super) fn example_request() -> Value {
    json!({"dataset": "flights", "columns": ["date", "delay"], "filter": {"origin": {"eq": "SEA"}}})
}

async fn create(
    State(app): State<AppState>,
    caller: Caller,
    Trace(trace): Trace,
    PreferWait(wait): PreferWait,
    headers: HeaderMap,
    Body(request): Body<ExportRequest>,
) -> Outcome<Response> {
    let key = idempotency_key(&headers)?;
    let span = Submit::span("internal");
    let trace = traces::context(&span).unwrap_or(trace);
    let submission = Submission { request: &request, key, saved_export: None };
    let export = app.submit.submit(&caller, submission, trace).instrument(span).await?;
    Ok(accepted(&app, &caller, export, wait).await)
}

/// Reads the header `Idempotency-Key`.
///
/// # Errors
/// `invalid-request` when the header is no text.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Outcome<Option<&str>> {
    let key = headers.get("idempotency-key").map(HeaderValue::to_str).transpose();
    key.map_err(|_| invalid("/idempotency_key", "must have visible ASCII characters only"))
}

/// Answers the submission of an export. Waits for its end first, for at most `wait`.
pub(super) async fn accepted(app: &AppState, caller: &Caller, mut export: Export, wait: Option<Duration>) -> Response {
    // the export is stored and its credit held, so later failures must not turn the response into an error
    if let Some(wait) = wait
        && let Ok(later) = wait_for(app, caller, export.id, wait).await
    {
        export = later;
    }
    let has_ended = wait.is_some() && !export.status.is_unfinished();
    let mut response = (if has_ended { StatusCode::OK } else { StatusCode::ACCEPTED }, Json(&export)).into_response();
    let headers = response.headers_mut();
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        insert(headers, name, &export.links.this);
    }
    if !has_ended {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
    insert_preference_applied(headers, wait.is_some());
    if let Ok(account) = app.credits.balance(&caller.owner).await {
        for (name, value) in app.credits.rate_limit(account.balance) {
            insert(headers, name, &value);
        }
    }
    response
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    status: Option<String>,
    dataset: Option<String>,
    limit: Option<u64>,
    cursor: Option<String>,
}

async fn list(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    params: Result<Query<ListParams>, QueryRejection>,
) -> Outcome<Response> {
    let Query(params) = params.map_err(|e| invalid("", &e.body_text()))?;
    let status = params.status.map(|s| s.parse()).transpose().map_err(|_| invalid("/status", "unknown status"))?;
    let before: Option<ExportId> = params
        .cursor
        .map(|c| c.parse())
        .transpose()
        .map_err(|_| invalid("/cursor", "must be the `next_cursor` of an earlier page"))?;
    let limit = params.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(invalid("/limit", &format!("must be between 1 and {MAX_LIMIT}")));
    }
    if params.dataset.as_ref().is_some_and(|name| name.contains('\0')) {
        return Err(invalid("/dataset", "expected a text without the character U+0000"));
    }
    let query = ListQuery { status, dataset: params.dataset, before, limit };
    conditional::json(&headers, &app.exports.list(&caller.owner, query).await?)
}

async fn get(
    State(app): State<AppState>,
    caller: Caller,
    ExportPath(id): ExportPath,
    PreferWait(wait): PreferWait,
    headers: HeaderMap,
) -> Outcome<Response> {
    let row = app.exports.row(&caller.owner, id).await?;
    require_readable(&app.catalog, &caller, &row)?;
    let export = match wait {
        Some(wait) => wait_for(&app, &caller, id, wait).await?,
        None => app.presenter.export(&row).await?,
    };
    let tag = etag(&export);
    if conditional::is_known(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let mut response = Json(&export).into_response();
    let headers = response.headers_mut();
    insert(headers, header::ETAG, &tag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if export.status.is_unfinished() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        insert(headers, HeaderName::from_static("x-progress"), &progress(&export));
    }
    insert_preference_applied(headers, wait.is_some());
    Ok(response)
}

/// Waits until the export has ended or the time `wait` has passed. Returns the state of the export at that time.
///
/// # Errors
/// `unauthorized` when the caller's API key is deleted or expires during the wait, and the errors of
/// [`crate::exports::Exports::wait`].
async fn wait_for(app: &AppState, caller: &Caller, id: ExportId, wait: Duration) -> Outcome<Export> {
    let watch = app.api_keys.watch(caller);
    tokio::select! {
        export = app.exports.wait(&caller.owner, id, wait) => export,
        () = watch.revoked() => Err(AuthError::Key.into()),
    }
}

async fn delete(
    State(app): State<AppState>,
    caller: Caller,
    ExportPath(id): ExportPath,
) -> Outcome<(StatusCode, Json<Export>)> {
    Ok((StatusCode::ACCEPTED, Json(app.exports.delete(&caller.owner, id).await?)))
}

/// Returns the strong entity tag of an export: a hash of the export's JSON.
fn etag(export: &Export) -> String {
    conditional::strong_etag(&serde_json::to_vec(export).unwrap_or_default())
}

/// Returns the value of the response header `X-Progress`, such as `running 120000/3000000 rows`, for users of curl.
fn progress(export: &Export) -> String {
    let progress = &export.progress;
    match (progress.queue_position, progress.rows_total) {
        (Some(position), _) => format!("{} position {position}", export.status),
        (None, Some(total)) => format!("{} {}/{total} rows", export.status, progress.rows),
        (None, None) => format!("{} {} rows", export.status, progress.rows),
    }
}

/// Sets the response header `Preference-Applied: wait` if the gateway has applied the request header `Prefer: wait`
/// (RFC 7240, section 3).
fn insert_preference_applied(headers: &mut HeaderMap, has_waited: bool) {
    if has_waited {
        headers.insert(HeaderName::from_static("preference-applied"), HeaderValue::from_static("wait"));
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
