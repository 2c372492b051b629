//! `/v1/saved-exports`: create, list, read, change, delete and run saved exports.

use axum::{
    Json,
    extract::{FromRequestParts, Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use platform::telemetry::traces;
use protocol::{
    export::Export,
    saved_export::{
        SavedExport, SavedExportId, SavedExportPage, SavedExportRequest, SavedExportRunPage, SchedulePreview,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    conditional,
    endpoint::Endpoint,
    exports::{self, IDEMPOTENCY_KEY_DESCRIPTION, PREFER_DESCRIPTION, example_request},
    extract::{Body, PreferWait, Trace, invalid},
};
use crate::{
    auth::Caller,
    error::{Outcome, Refusal},
    exports::Submit,
    saved_exports::{self, Expected},
    state::AppState,
};

/// The default number of items per page.
const DEFAULT_LIMIT: u64 = 50;
/// The maximum number of items per page.
const MAX_LIMIT: u64 = 100;

/// The description of `If-Match` in the OpenAPI document.
const IF_MATCH_DESCRIPTION: &str =
    "The `ETag` that the client has read, or the `version` in double quotes. Answer 412 if the version has changed.";

pub(super) fn endpoints() -> [Endpoint; 8] {
    [
        Endpoint::post("/v1/saved-exports", create).operation(
            "createSavedExport",
            "Save an export request under a name",
            |operation| {
                operation
                    .body::<SavedExportRequest>(
                        &json!({"name": "departures from Seattle", "request": example_request()}),
                    )
                    .json::<SavedExport>(201, "The saved export.")
                    .problems(&[403, 413, 422, 429])
            },
        ),
        Endpoint::get("/v1/saved-exports", list).operation(
            "listSavedExports",
            "List the saved exports that the caller may see, newest first",
            |operation| {
                operation
                    .query("limit", limit_schema())
                    .query("cursor", json!({"type": "string"}))
                    .conditional()
                    .json::<SavedExportPage>(200, "One page of saved exports.")
                    .problems(&[422])
            },
        ),
        Endpoint::get("/v1/saved-exports/{id}", get).operation(
            "getSavedExport",
            "Read one saved export",
            |operation| operation.conditional().json::<SavedExport>(200, "The saved export.").problems(&[404]),
        ),
        Endpoint::patch("/v1/saved-exports/{id}", change).operation(
            "changeSavedExport",
            "Change a saved export by a merge patch (RFC 7396)",
            |operation| {
                operation
                    .header("If-Match", IF_MATCH_DESCRIPTION)
                    .body_of(
                        "application/merge-patch+json",
                        json!({"type": "object"}),
                        &json!({"name": "departures from Seattle, in full", "request": {"columns": null}}),
                    )
                    .json::<SavedExport>(200, "The saved export in its next version.")
                    .problems(&[403, 404, 412, 413, 422])
            },
        ),
        Endpoint::delete("/v1/saved-exports/{id}", delete).operation(
            "deleteSavedExport",
            "Delete a saved export; its runs stay",
            |operation| {
                operation
                    .header("If-Match", IF_MATCH_DESCRIPTION)
                    .empty(204, "The saved export is deleted.")
                    .problems(&[403, 404, 412])
            },
        ),
        Endpoint::post("/v1/saved-exports/{id}/runs", run).operation(
            "runSavedExport",
            "Submit the request of a saved export",
            |operation| {
                operation
                    .header("Idempotency-Key", IDEMPOTENCY_KEY_DESCRIPTION)
                    .header("Prefer", PREFER_DESCRIPTION)
                    .json::<Export>(200, "The export, which has ended.")
                    .json::<Export>(202, "The accepted export.")
                    .problems(&[403, 404, 409, 422, 429])
            },
        ),
        Endpoint::get("/v1/saved-exports/{id}/runs", runs).operation(
            "listSavedExportRuns",
            "List the caller's runs of a saved export, newest first",
            |operation| {
                operation
                    .query("limit", limit_schema())
                    .query("cursor", json!({"type": "string"}))
                    .conditional()
                    .json::<SavedExportRunPage>(200, "One page of exports, each with the moment of the schedule.")
                    .problems(&[404, 422])
            },
        ),
        Endpoint::get("/v1/schedules/preview", preview).operation(
            "previewSchedule",
            "Show the next moments of a schedule before it is saved",
            |operation| {
                operation
                    .query("cron", json!({"type": "string"}))
                    .query("zone", json!({"type": "string"}))
                    .json::<SchedulePreview>(200, "The next five moments, and what the runs of a week cost and gain.")
                    .problems(&[422])
            },
        ),
    ]
}

fn limit_schema() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT})
}

async fn create(
    State(app): State<AppState>,
    caller: Caller,
    Body(request): Body<SavedExportRequest>,
) -> Outcome<Response> {
    let saved = app.saved_exports.create(&caller, request).await?;
    let mut response = with_tag(&HeaderMap::new(), &saved)?;
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::from_str(&saved.links.this) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    limit: Option<u64>,
    cursor: Option<Uuid>,
}

/// Reads the limit and the cursor of a list.
fn page(params: Result<Query<ListParams>, QueryRejection>) -> Outcome<(u64, Option<Uuid>)> {
    let Query(params) = params.map_err(|e| invalid("", &e.body_text()))?;
    let limit = params.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(invalid("/limit", &format!("must be between 1 and {MAX_LIMIT}")));
    }
    Ok((limit, params.cursor))
}

async fn list(
    State(app): State<AppState>,
    caller: Caller,
    params: Result<Query<ListParams>, QueryRejection>,
    headers: HeaderMap,
) -> Outcome<Response> {
    let (limit, before) = page(params)?;
    let listed = app.saved_exports.list(&caller, before.map(SavedExportId), limit).await?;
    conditional::json(&headers, &listed)
}

async fn get(
    State(app): State<AppState>,
    caller: Caller,
    SavedExportPath(id): SavedExportPath,
    headers: HeaderMap,
) -> Outcome<Response> {
    with_tag(&headers, &app.saved_exports.get(&caller, id).await?)
}

async fn change(
    State(app): State<AppState>,
    caller: Caller,
    SavedExportPath(id): SavedExportPath,
    headers: HeaderMap,
    Body(patch): Body<Value>,
) -> Outcome<Response> {
    let changed = app.saved_exports.change(&caller, id, patch, expected(&headers)).await?;
    with_tag(&HeaderMap::new(), &changed)
}

async fn delete(
    State(app): State<AppState>,
    caller: Caller,
    SavedExportPath(id): SavedExportPath,
    headers: HeaderMap,
) -> Outcome<StatusCode> {
    app.saved_exports.delete(&caller, id, expected(&headers)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn run(
    State(app): State<AppState>,
    caller: Caller,
    SavedExportPath(id): SavedExportPath,
    Trace(trace): Trace,
    PreferWait(wait): PreferWait,
    headers: HeaderMap,
) -> Outcome<Response> {
    let key = exports::idempotency_key(&headers)?;
    let span = Submit::span("internal");
    let trace = traces::context(&span).unwrap_or(trace);
    let export = app.saved_exports.run(&caller, id, key, trace).instrument(span).await?;
    Ok(exports::accepted(&app, &caller, export, wait).await)
}

async fn runs(
    State(app): State<AppState>,
    caller: Caller,
    SavedExportPath(id): SavedExportPath,
    params: Result<Query<ListParams>, QueryRejection>,
    headers: HeaderMap,
) -> Outcome<Response> {
    let (limit, before) = page(params)?;
    conditional::json(&headers, &app.saved_exports.runs(&caller, id, before, limit).await?)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviewParams {
    cron: String,
    zone: String,
}

async fn preview(
    State(app): State<AppState>,
    _caller: Caller,
    params: Result<Query<PreviewParams>, QueryRejection>,
) -> Outcome<Json<SchedulePreview>> {
    let Query(params) = params.map_err(|e| invalid("", &e.body_text()))?;
    app.saved_exports.preview(&params.cron, &params.zone).map(Json)
}

/// Answers with a saved export, or with `304`. The entity tag is `"<version>.<hash>"`: the hash changes with each run,
/// and `If-Match` compares the version alone, so that a run does not prevent a change.
fn with_tag(request: &HeaderMap, saved: &SavedExport) -> Outcome<Response> {
    let body = Json(saved).into_response();
    let hash = conditional::strong_etag(&serde_json::to_vec(saved).unwrap_or_default());
    let tag = format!("\"{}.{}\"", saved.version, hash.trim_matches('"'));
    let mut response =
        if conditional::is_known(request, &tag) { StatusCode::NOT_MODIFIED.into_response() } else { body };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Reads the version of `If-Match`. Accepts a weak tag too, because a compressed answer has one.
fn expected(headers: &HeaderMap) -> Expected {
    let Some(value) = headers.get(header::IF_MATCH) else { return Expected::Any };
    let value = value.to_str().unwrap_or_default().trim();
    if value == "*" {
        return Expected::Any;
    }
    let tag = value.trim_start_matches("W/").strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    let version = tag.and_then(|tag| tag.split('.').next()?.parse().ok());
    version.map_or(Expected::Nothing, Expected::Version)
}

/// Extracts the id of a saved export from the path. A malformed id is refused as `not-found`, like an unknown id.
struct SavedExportPath(SavedExportId);

impl FromRequestParts<AppState> for SavedExportPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Self::Rejection> {
        let path = Path::<String>::from_request_parts(parts, app).await.map_err(|_| saved_exports::not_found())?;
        path.0.parse().map(Self).map_err(|_| saved_exports::not_found())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_names_a_version_with_or_without_the_hash() {
        for (value, version) in [
            (None, Expected::Any),
            (Some("*"), Expected::Any),
            (Some("\"3\""), Expected::Version(3)),
            (Some("\"3.0af1\""), Expected::Version(3)),
            (Some("W/\"12.0af1\""), Expected::Version(12)),
            (Some("3"), Expected::Nothing),
            (Some("\"x\""), Expected::Nothing),
            (Some("\"1\", \"2\""), Expected::Nothing),
        ] {
            let headers = value.map(|value| (header::IF_MATCH, HeaderValue::from_static(value)));
            assert_eq!(expected(&headers.into_iter().collect()), version, "{value:?}");
        }
    }
}
