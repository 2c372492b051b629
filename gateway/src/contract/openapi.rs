//! Generates the OpenAPI 3.1 document from the declarations of all endpoints.

use protocol::problem::Problem;
use serde_json::{Map, Value, json};

use super::{
    info::info,
    operation::{Describe, Operation},
    schemas::Schemas,
};

/// One operation of the OpenAPI document: one HTTP method of one path.
pub(crate) struct OperationInfo {
    /// The HTTP method in lower case.
    pub(crate) method: String,
    /// The path with its parameters in braces, such as `/v1/exports/{id}`.
    pub(crate) path: &'static str,
    /// The `operationId`, unique in the document.
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) describe: Describe,
}

/// Builds the OpenAPI document that describes these operations.
#[must_use]
pub(crate) fn openapi(operations: impl IntoIterator<Item = OperationInfo>) -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for OperationInfo { method, path, id, summary, describe } in operations {
        let operation = describe(Operation::new(id, summary, &mut schemas)).into_value();
        let item = paths.entry(path).or_insert_with(|| path_item(path));
        item[method] = operation;
    }
    let problem = schemas.reference::<Problem>();
    json!({
        "openapi": "3.1.0",
        "info": info(),
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT or API key"}},
            "responses": {"Problem": {
                "description": "A problem (RFC 9457).",
                "content": {"application/problem+json": {"schema": problem}},
            }},
            "schemas": schemas.into_definitions(),
        },
    })
}

/// Builds the OpenAPI path item of a path, with the parameters that the path contains. The parameter `{id}` is a UUID,
/// and every other path parameter is a string.
fn path_item(path: &str) -> Value {
    let names = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Vec<Value> = names
        .map(|name| {
            let schema =
                if name == "id" { json!({"type": "string", "format": "uuid"}) } else { json!({"type": "string"}) };
            json!({"name": name, "in": "path", "required": true, "schema": schema})
        })
        .collect();
    if parameters.is_empty() { json!({}) } else { json!({"parameters": parameters}) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_becomes_an_operation_with_its_path_parameters() {
        let operation = |method: &str, id| OperationInfo {
            method: method.into(),
            path: "/v1/things/{id}/{name}",
            id,
            summary: "Read a thing",
            describe: |operation| operation.header("Prefer", "How to answer.").empty(200, "Found.").problems(&[404]),
        };
        let document = openapi([operation("get", "getThing"), operation("head", "headThing")]);
        let item = &document["paths"]["/v1/things/{id}/{name}"];
        assert_eq!(item["parameters"][0]["schema"]["format"], "uuid");
        assert_eq!(item["parameters"][1]["name"], "name");
        assert_eq!(
            (&item["get"]["operationId"], &item["head"]["operationId"]),
            (&json!("getThing"), &json!("headThing"))
        );
        assert_eq!(item["get"]["parameters"][0]["in"], "header");
        let statuses: Vec<&String> = item["get"]["responses"].as_object().unwrap().keys().collect();
        assert_eq!(statuses, ["200", "401", "404", "default"]);
    }

    #[test]
    fn a_public_operation_has_no_security_and_no_problems() {
        let operation = OperationInfo {
            method: "get".into(),
            path: "/healthz",
            id: "healthz",
            summary: "Liveness",
            describe: |operation| operation.public().empty(200, "Alive."),
        };
        let document = openapi([operation]);
        let operation = &document["paths"]["/healthz"]["get"];
        assert_eq!((&operation["security"], operation["responses"].as_object().unwrap().len()), (&json!([]), 1));
    }
}
