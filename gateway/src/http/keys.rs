//! `/v1/keys`: create, list and delete the API keys of the caller's tenant.

use axum::{
    Json,
    extract::{FromRequestParts, Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use protocol::api_key::{ApiKeyId, ApiKeyPage, ApiKeyRequest, CreatedApiKey};
use serde::Deserialize;
use serde_json::json;

use super::{
    conditional,
    endpoint::Endpoint,
    extract::{Body, invalid},
    no_store::NO_STORE,
};
use crate::{
    auth::{
        Caller,
        api_keys::{self, ListQuery},
    },
    error::{Outcome, Refusal},
    state::AppState,
};

/// The default number of keys per page.
const DEFAULT_LIMIT: u64 = 50;
/// The maximum number of keys per page.
const MAX_LIMIT: u64 = 200;

pub(super) fn endpoints() -> [Endpoint; 3] {
    [
        Endpoint::post("/v1/keys", create).operation("createKey", "Create an API key", |operation| {
            operation
                .body::<ApiKeyRequest>(&json!({"name": "nightly report", "scopes": ["export:flights"]}))
                .json::<CreatedApiKey>(201, "The key. No later answer contains its secret.")
                .problems(&[403, 413, 422, 429])
        }),
        Endpoint::get("/v1/keys", list).operation(
            "listKeys",
            "List the API keys of the caller's tenant, newest first",
            |operation| {
                let limit = json!({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT});
                operation
                    .query("limit", limit)
                    .query("cursor", json!({"type": "string"}))
                    .conditional()
                    .json::<ApiKeyPage>(200, "One page of keys, without their secrets.")
                    .problems(&[403, 422])
            },
        ),
        Endpoint::delete("/v1/keys/{id}", delete).operation(
            "deleteKey",
            "Delete an API key and the keys that it created",
            |operation| {
                operation.empty(204, "The key is refused from now on, and its sessions end.").problems(&[403, 404])
            },
        ),
    ]
}

async fn create(
    State(app): State<AppState>,
    caller: Caller,
    Body(request): Body<ApiKeyRequest>,
) -> Outcome<impl IntoResponse> {
    Ok((StatusCode::CREATED, NO_STORE, Json(app.api_keys.create(&caller, request).await?)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    limit: Option<u64>,
    cursor: Option<String>,
}

async fn list(
    State(app): State<AppState>,
    caller: Caller,
    params: Result<Query<ListParams>, QueryRejection>,
    headers: HeaderMap,
) -> Outcome<Response> {
    let Query(params) = params.map_err(|e| invalid("", &e.body_text()))?;
    let before = params.cursor.map(|cursor| cursor.parse()).transpose();
    let before = before.map_err(|_| invalid("/cursor", "must be the `next_cursor` of an earlier page"))?;
    let limit = params.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(invalid("/limit", &format!("must be between 1 and {MAX_LIMIT}")));
    }
    let page = app.api_keys.list(&caller, ListQuery { before, limit }).await?;
    conditional::json(&headers, &page)
}

async fn delete(State(app): State<AppState>, caller: Caller, KeyPath(id): KeyPath) -> Outcome<StatusCode> {
    app.api_keys.delete(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Extracts the id of an API key from the path. The gateway refuses a malformed id as `not-found`, like an unknown id.
struct KeyPath(ApiKeyId);

impl FromRequestParts<AppState> for KeyPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Self::Rejection> {
        let path = Path::<String>::from_request_parts(parts, app).await.map_err(|_| api_keys::not_found())?;
        path.0.parse().map(Self).map_err(|_| api_keys::not_found())
    }
}
