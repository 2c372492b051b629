//! The `info` object that the OpenAPI and the AsyncAPI document share.

use serde_json::{Value, json};

/// Builds the `info` object: title, version, description and licence of the API.
pub(super) fn info() -> Value {
    json!({
        "title": "Sluice",
        "version": "1.0.0",
        "description": "Asynchronous exports: submit an export, follow its progress, and download its file from any byte.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    })
}
