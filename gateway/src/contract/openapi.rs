//! OpenAPI 3.1.

use protocol::{
    catalog::{DatasetInfo, DatasetList},
    credits::CreditsView,
    estimate::Estimate,
    export::{Export, ExportPage, ExportRequest, Status},
    problem::Problem,
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::info;
use crate::auth::tickets::Ticket;

/// The document.
#[must_use]
pub fn openapi() -> Value {
    let mut schemas = Schemas::new();
    let export = schemas.json::<Export>("The export.");
    let id = json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string", "format": "uuid"}});
    let wait = header("Prefer", "`wait=N`: answer when the export ended, or after N seconds.");
    let range = [
        header("Range", "One byte range; several are ignored."),
        header("If-Range", "Only if the file's `ETag` is still this."),
        header("If-None-Match", "Only if the file's `ETag` is another."),
    ];
    let file = json!({"description": "The bytes. `ETag` is the file's SHA-256.", "content": {"*/*": {}}});
    let query = [
        json!({"name": "status", "in": "query", "schema": schemas.reference::<Status>()}),
        json!({"name": "dataset", "in": "query", "schema": {"type": "string"}}),
        json!({"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}}),
        json!({"name": "cursor", "in": "query", "schema": {"type": "string"}}),
    ];
    let key = header("Idempotency-Key", "The same key and body give the same export.");
    let body =
        json!({"required": true, "content": {"application/json": {"schema": schemas.reference::<ExportRequest>()}}});

    let mut create =
        operation("createExport", "Ask for an export", json!({"200": export, "202": export}), &[422, 429, 409, 413]);
    create["requestBody"] = body.clone();
    let estimated = json!({"200": schemas.json::<Estimate>("The estimate; it costs nothing.")});
    let mut estimate = operation("estimateExport", "What an export would be", estimated, &[403, 413, 422, 503]);
    estimate["requestBody"] = body;
    create["parameters"] = json!([key, wait]);
    let mut list = operation(
        "listExports",
        "One's exports, newest first",
        json!({"200": schemas.json::<ExportPage>("A page.")}),
        &[422],
    );
    list["parameters"] = json!(query);
    let mut get =
        operation("getExport", "One export", json!({"200": export, "304": {"description": "Not changed."}}), &[404]);
    get["parameters"] = json!([wait, header("If-None-Match", "Only if its `ETag` is another.")]);
    let delete = operation("deleteExport", "Cancel it, or delete its file", json!({"202": export}), &[404]);
    let answers = json!({"200": file, "206": file, "304": {"description": "Not changed."}});
    let mut download = operation("downloadFile", "The file", answers, &[404, 409, 410, 416]);
    download["parameters"] = json!(range);
    let mut head = operation("headFile", "About the file", json!({"200": {"description": "Its headers."}}), &[]);
    head["parameters"] = json!([]);
    for status in [404, 409, 410] {
        head["responses"][status.to_string()] = json!({"description": "A problem, without its body."});
    }
    let csvw = json!({"description": "CSVW.", "content": {"application/csvm+json": {"schema": {"type": "object"}}}});
    let metadata = operation("getMetadata", "What the file holds", json!({"200": csvw}), &[404, 409, 410]);
    let datasets =
        operation("listDatasets", "What one may export", json!({"200": schemas.json::<DatasetList>("By name.")}), &[]);
    let dataset = operation(
        "getDataset",
        "One dataset",
        json!({"200": schemas.json::<DatasetInfo>("The dataset.")}),
        &[403, 404],
    );
    let credits =
        operation("getCredits", "One's credits", json!({"200": schemas.json::<CreditsView>("The account.")}), &[]);
    let stream = json!({
        "description": "Server-Sent Events: `event` is the `type` of a message of the socket, `data` the message (see asyncapi.json, \
                        channel `events`), `id` the place of a numbered one.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    });
    let mut events = operation("followEvents", "What the socket pushes", json!({"200": stream}), &[406, 429]);
    events["parameters"] = json!([header("Last-Event-ID", "The `id` after which to go on.")]);
    let ticket = operation(
        "createTicket",
        "A ticket for one socket",
        json!({"201": schemas.json::<Ticket>("Works once, for 30 seconds.")}),
        &[],
    );
    let ready = json!({"description": "Each dependency by name.", "content": {"application/json": {"schema": {"type": "object"}}}});
    let readyz = public("readyz", "Readiness", json!({"200": ready, "503": ready}));
    let text = json!({"description": "It lives.", "content": {"text/plain": {"schema": {"type": "string"}}}});

    let problem = schemas.reference::<Problem>();
    let name = json!({"name": "name", "in": "path", "required": true, "schema": {"type": "string"}});
    json!({
        "openapi": "3.1.0",
        "info": info(),
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": {
            "/v1/exports": {"post": create, "get": list},
            "/v1/exports/estimate": {"post": estimate},
            "/v1/exports/{id}": {"parameters": [id], "get": get, "delete": delete},
            "/v1/exports/{id}/file": {"parameters": [id], "get": download, "head": head},
            "/v1/exports/{id}/metadata": {"parameters": [id], "get": metadata},
            "/v1/datasets": {"get": datasets},
            "/v1/datasets/{name}": {"parameters": [name], "get": dataset},
            "/v1/credits": {"get": credits},
            "/v1/events": {"get": events},
            "/v1/tickets": {"post": ticket},
            "/healthz": {"get": public("healthz", "Liveness", json!({"200": text}))},
            "/readyz": {"get": readyz},
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "responses": {"Problem": {
                "description": "A problem (RFC 9457).",
                "content": {"application/problem+json": {"schema": problem}},
            }},
            "schemas": schemas.definitions(),
        },
    })
}

/// Collects schemas below `#/components/schemas`.
pub(super) struct Schemas(SchemaGenerator);

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|s| {
            s.definitions_path = "/components/schemas".into();
            s.meta_schema = None;
        });
        Self(settings.into_generator())
    }

    /// A reference to the type's schema.
    pub(super) fn reference<T: JsonSchema>(&mut self) -> Value {
        self.0.subschema_for::<T>().to_value()
    }

    fn json<T: JsonSchema>(&mut self, description: &str) -> Value {
        json!({"description": description, "content": {"application/json": {"schema": self.reference::<T>()}}})
    }

    pub(super) fn definitions(mut self) -> Map<String, Value> {
        self.0.take_definitions(true)
    }
}

fn header(name: &str, description: &str) -> Value {
    json!({"name": name, "in": "header", "description": description, "schema": {"type": "string"}})
}

/// An operation that needs a caller: besides its own answers it may answer 401, and each problem status given.
fn operation(id: &str, summary: &str, mut responses: Value, problems: &[u16]) -> Value {
    for status in [&[401], problems].concat() {
        responses[status.to_string()] = json!({"$ref": "#/components/responses/Problem"});
    }
    responses["default"] = json!({"$ref": "#/components/responses/Problem"});
    json!({"operationId": id, "summary": summary, "responses": responses})
}

fn public(id: &str, summary: &str, responses: Value) -> Value {
    json!({"operationId": id, "summary": summary, "security": [], "responses": responses})
}
