//! `/v1/operate`: the requests of operators. Every caller without the scope `sluice:operate` gets `403`, for known and
//! unknown exports alike.

use axum::{
    Json,
    extract::{FromRequestParts, Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, request::Parts},
    response::Response,
};
use protocol::{
    export::Status,
    operate::{
        ActRequest, DeadLetterPage, DrainResult, ExportSummaryPage, OwnerActRequest, PauseResult, ResumeResult,
        RetryResult,
    },
    ops::{DeadLettersRequest, ExportStory, ExportSummary, ExportsRequest, Overview},
    problem::Slug,
};
use serde::Deserialize;
use serde_json::json;

use super::{
    conditional,
    endpoint::Endpoint,
    extract::{Body, ExportPath, invalid},
};
use crate::{
    auth::Caller,
    error::{Outcome, Refusal},
    operate::Operator,
    state::AppState,
};

pub(super) fn endpoints() -> [Endpoint; 10] {
    [
        Endpoint::get("/v1/operate/overview", overview).operation(
            "getOverview",
            "Read the state of the installation",
            |operation| {
                operation.conditional().json::<Overview>(200, "Queue, failures, exporters, jobs.").problems(&[403])
            },
        ),
        Endpoint::get("/v1/operate/exports", exports).operation(
            "findExports",
            "Find exports of all owners, newest first",
            |operation| {
                let limit = json!({"type": "integer", "minimum": 1, "maximum": 200, "default": 50});
                let text = || json!({"type": "string"});
                operation
                    .query("text", json!({"type": "string", "maxLength": 255}))
                    .query_of::<Status>("status")
                    .query("tenant", text())
                    .query("user", text())
                    .query("dataset", text())
                    .query("limit", limit)
                    .query("cursor", text())
                    .conditional()
                    .json::<ExportSummaryPage>(200, "One page of exports.")
                    .problems(&[403, 422])
            },
        ),
        Endpoint::get("/v1/operate/exports/{id}", story).operation(
            "getExportStory",
            "Read the whole story of one export",
            |operation| {
                operation
                    .conditional()
                    .json::<ExportStory>(200, "Events, attempts, segments, acts.")
                    .problems(&[403, 404])
            },
        ),
        Endpoint::post("/v1/operate/exports/{id}/cancel", cancel).operation(
            "cancelAnyExport",
            "Cancel an export of any owner",
            |operation| {
                let example = json!({"reason": "runs since yesterday"});
                operation.body::<ActRequest>(&example).json::<ExportSummary>(200, "The export.").problems(&ACT_PROBLEMS)
            },
        ),
        Endpoint::post("/v1/operate/exports/{id}/retry", retry).operation(
            "retryExport",
            "Run a failed export again as a new export of its owner",
            |operation| {
                let example = json!({"reason": "the source works again"});
                operation
                    .body::<ActRequest>(&example)
                    .json::<RetryResult>(200, "The new export. A repeated request returns the same one.")
                    .problems(&[402, 403, 404, 409, 413, 422])
            },
        ),
        Endpoint::get("/v1/operate/dead-letters", dead_letters).operation(
            "listDeadLetters",
            "List the dead letters, newest first",
            |operation| {
                let limit = json!({"type": "integer", "minimum": 1, "maximum": 100, "default": 20});
                operation
                    .query("limit", limit)
                    .query("cursor", json!({"type": "integer"}))
                    .conditional()
                    .json::<DeadLetterPage>(200, "One page of dead letters.")
                    .problems(&[403, 422])
            },
        ),
        Endpoint::post("/v1/operate/pause", pause).operation(
            "pauseOwner",
            "Let the exports of a tenant or a user wait",
            |operation| {
                let example = json!({"tenant": "acme", "user": "alice", "reason": "floods the queue"});
                operation
                    .body::<OwnerActRequest>(&example)
                    .json::<PauseResult>(200, "The pause.")
                    .problems(&[403, 413, 422])
            },
        ),
        Endpoint::post("/v1/operate/resume", resume).operation(
            "resumeOwner",
            "End the pause of a tenant or a user",
            |operation| {
                let example = json!({"tenant": "acme", "user": "alice", "reason": "agreed with Alice"});
                operation
                    .body::<OwnerActRequest>(&example)
                    .json::<ResumeResult>(200, "The pause has ended.")
                    .problems(&[403, 413, 422])
            },
        ),
        Endpoint::post("/v1/operate/exporters/{instance}/drain", drain).operation(
            "drainExporter",
            "Let an exporter finish its jobs and accept no new ones",
            |operation| {
                let example = json!({"reason": "its machine goes"});
                operation.body::<ActRequest>(&example).json::<DrainResult>(200, "Its state.").problems(&ACT_PROBLEMS)
            },
        ),
        Endpoint::post("/v1/operate/exporters/{instance}/undrain", undrain).operation(
            "undrainExporter",
            "Let a draining exporter accept jobs again",
            |operation| {
                let example = json!({"reason": "its machine stays"});
                operation.body::<ActRequest>(&example).json::<DrainResult>(200, "Its state.").problems(&ACT_PROBLEMS)
            },
        ),
    ]
}

/// The statuses of refused requests to change an export or an exporter.
const ACT_PROBLEMS: [u16; 4] = [403, 404, 413, 422];

impl FromRequestParts<AppState> for Operator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Self::Rejection> {
        let caller = Caller::from_request_parts(parts, app).await?;
        Ok(Self::from_caller(&caller)?)
    }
}

async fn overview(State(app): State<AppState>, _: Operator, headers: HeaderMap) -> Outcome<Response> {
    conditional::json(&headers, &app.operate.overview().await?)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportsParams {
    text: Option<String>,
    status: Option<String>,
    tenant: Option<String>,
    user: Option<String>,
    dataset: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

async fn exports(
    State(app): State<AppState>,
    _: Operator,
    params: Result<Query<ExportsParams>, QueryRejection>,
    headers: HeaderMap,
) -> Outcome<Response> {
    let Query(params) = params.map_err(|e| invalid("", &e.body_text()))?;
    let status = params.status.map(|status| status.parse()).transpose();
    let cursor = params.cursor.map(|cursor| cursor.parse()).transpose();
    let query = ExportsRequest {
        status: status.map_err(|_| invalid("/status", "must be the name of a status"))?,
        tenant: params.tenant,
        user: params.user,
        dataset: params.dataset,
        text: params.text,
        limit: params.limit,
        cursor: cursor.map_err(|_| invalid("/cursor", "must be the `next_cursor` of an earlier page"))?,
    };
    conditional::json(&headers, &app.operate.exports(&query).await?)
}

async fn story(
    State(app): State<AppState>,
    _: Operator,
    path: Result<ExportPath, Refusal>,
    headers: HeaderMap,
) -> Outcome<Response> {
    conditional::json(&headers, &app.operate.story(id_of(path)?).await?)
}

async fn cancel(
    State(app): State<AppState>,
    operator: Operator,
    path: Result<ExportPath, Refusal>,
    Body(body): Body<ActRequest>,
) -> Outcome<Json<ExportSummary>> {
    Ok(Json(app.operate.cancel(&operator, id_of(path)?, &body.reason).await?))
}

async fn retry(
    State(app): State<AppState>,
    operator: Operator,
    path: Result<ExportPath, Refusal>,
    Body(body): Body<ActRequest>,
) -> Outcome<Json<RetryResult>> {
    Ok(Json(app.operate.retry(&operator, id_of(path)?, &body.reason).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeadLetterParams {
    limit: Option<u32>,
    cursor: Option<u64>,
}

async fn dead_letters(
    State(app): State<AppState>,
    _: Operator,
    params: Result<Query<DeadLetterParams>, QueryRejection>,
    headers: HeaderMap,
) -> Outcome<Response> {
    let Query(DeadLetterParams { limit, cursor }) = params.map_err(|e| invalid("", &e.body_text()))?;
    conditional::json(&headers, &app.operate.dead_letters(&DeadLettersRequest { limit, cursor }).await?)
}

async fn pause(
    State(app): State<AppState>,
    operator: Operator,
    Body(body): Body<OwnerActRequest>,
) -> Outcome<Json<PauseResult>> {
    Ok(Json(app.operate.pause(&operator, body).await?))
}

async fn resume(
    State(app): State<AppState>,
    operator: Operator,
    Body(body): Body<OwnerActRequest>,
) -> Outcome<Json<ResumeResult>> {
    Ok(Json(app.operate.resume(&operator, body).await?))
}

async fn drain(
    State(app): State<AppState>,
    operator: Operator,
    Path(instance): Path<String>,
    Body(body): Body<ActRequest>,
) -> Outcome<Json<DrainResult>> {
    Ok(Json(app.operate.drain(&operator, &instance, true, &body.reason).await?))
}

async fn undrain(
    State(app): State<AppState>,
    operator: Operator,
    Path(instance): Path<String>,
    Body(body): Body<ActRequest>,
) -> Outcome<Json<DrainResult>> {
    Ok(Json(app.operate.drain(&operator, &instance, false, &body.reason).await?))
}

/// Returns the id in the path. An operator sees the exports of all owners, so the refusal differs from that of owners.
fn id_of(path: Result<ExportPath, Refusal>) -> Outcome<protocol::id::ExportId> {
    let ExportPath(id) = path.map_err(|_| Refusal::new(Slug::NotFound, "There is no such export."))?;
    Ok(id)
}
