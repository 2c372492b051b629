//! Builds the OpenAPI description of one operation.

use schemars::JsonSchema;
use serde_json::{Value, json};

use super::schemas::Schemas;

/// A function that adds the parameters, body and responses to an OpenAPI operation. Each endpoint declares such a
/// function beside its handler.
pub(crate) type Describe = for<'a> fn(Operation<'a>) -> Operation<'a>;

/// An OpenAPI operation that requires a bearer token, unless [`Operation::public`] is called.
pub(crate) struct Operation<'a> {
    schemas: &'a mut Schemas,
    operation: Value,
}

impl<'a> Operation<'a> {
    pub(super) fn new(id: &str, summary: &str, schemas: &'a mut Schemas) -> Self {
        let problem = problem();
        let responses = json!({"401": problem, "default": problem});
        Self { schemas, operation: json!({"operationId": id, "summary": summary, "responses": responses}) }
    }

    pub(super) fn into_value(self) -> Value {
        self.operation
    }

    /// Declares that the operation requires no token and never responds with a problem document (RFC 9457).
    pub(crate) fn public(mut self) -> Self {
        self.operation["security"] = json!([]);
        self.operation["responses"] = json!({});
        self
    }

    /// Adds an optional request header to the parameters of the operation.
    pub(crate) fn header(self, name: &str, description: &str) -> Self {
        self.parameter(json!({"name": name, "in": "header", "description": description, "schema": {"type": "string"}}))
    }

    /// Adds the request header `If-None-Match` and the response `304` to the operation.
    pub(crate) fn conditional(self) -> Self {
        self.header("If-None-Match", "Answer 304 if the current `ETag` is one of these.")
            .empty(304, "What the client has is current.")
    }

    /// Adds an optional query parameter with this JSON schema to the parameters of the operation.
    pub(crate) fn query(self, name: &str, schema: Value) -> Self {
        self.parameter(json!({"name": name, "in": "query", "schema": schema}))
    }

    /// Adds an optional query parameter with the JSON schema of the Rust type `T`.
    pub(crate) fn query_of<T: JsonSchema>(self, name: &str) -> Self {
        let schema = self.schemas.reference::<T>();
        self.query(name, schema)
    }

    /// Declares that the request requires a JSON body with the schema of the Rust type `T`. The document shows
    /// `example` as an example of the body.
    pub(crate) fn body<T: JsonSchema>(self, example: &Value) -> Self {
        let schema = self.schemas.reference::<T>();
        self.body_of("application/json", schema, example)
    }

    /// Declares that the request requires a body of this media type with this JSON schema. The document shows `example`
    /// as an example of the body.
    pub(crate) fn body_of(mut self, media_type: &str, schema: Value, example: &Value) -> Self {
        let content = json!({media_type: {"schema": schema, "example": example}});
        self.operation["requestBody"] = json!({"required": true, "content": content});
        self
    }

    /// Adds a JSON response with the schema of the Rust type `T`.
    pub(crate) fn json<T: JsonSchema>(self, status: u16, description: &str) -> Self {
        let schema = self.schemas.reference::<T>();
        self.content(status, description, "application/json", json!({"schema": schema}))
    }

    /// Adds a response with a body. `media` is the OpenAPI media type object that describes a body of `media_type`.
    pub(crate) fn content(self, status: u16, description: &str, media_type: &str, media: Value) -> Self {
        self.response(status, json!({"description": description, "content": {media_type: media}}))
    }

    /// Adds a response without a body.
    pub(crate) fn empty(self, status: u16, description: &str) -> Self {
        self.response(status, json!({"description": description}))
    }

    /// Adds a response with a problem document (RFC 9457) for each of these statuses. [`Operation::new`] has already
    /// added such a response for 401, and as the default.
    pub(crate) fn problems(mut self, statuses: &[u16]) -> Self {
        for status in statuses {
            self = self.response(*status, problem());
        }
        self
    }

    fn response(mut self, status: u16, response: Value) -> Self {
        self.operation["responses"][status.to_string()] = response;
        self
    }

    fn parameter(mut self, parameter: Value) -> Self {
        match self.operation["parameters"].as_array_mut() {
            Some(parameters) => parameters.push(parameter),
            None => self.operation["parameters"] = json!([parameter]),
        }
        self
    }
}

fn problem() -> Value {
    json!({"$ref": "#/components/responses/Problem"})
}
