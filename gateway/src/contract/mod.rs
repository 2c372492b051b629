//! The machine-readable contract, generated from the types in `protocol`: OpenAPI for REST, AsyncAPI for the socket.
//!
//! `docs/openapi.json` and `docs/asyncapi.json` are what these functions give; a test fails when they differ.

mod asyncapi;
mod openapi;

use std::sync::LazyLock;

use axum::{http::header, response::IntoResponse};
use serde_json::{Value, json};

pub use asyncapi::asyncapi;
pub use openapi::openapi;

static OPENAPI: LazyLock<String> = LazyLock::new(|| openapi().to_string());
static ASYNCAPI: LazyLock<String> = LazyLock::new(|| asyncapi().to_string());

/// `GET /v1/openapi.json`
pub async fn serve_openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI.as_str())
}

/// `GET /v1/asyncapi.json`
pub async fn serve_asyncapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], ASYNCAPI.as_str())
}

/// Who we are, in both documents.
fn info() -> Value {
    json!({
        "title": "Sluice",
        "version": "1.0.0",
        "description": "Exports, pushed: submit, watch, and have the file, resumable from any byte.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    })
}
