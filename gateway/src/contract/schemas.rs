//! Collects the JSON schemas of an API description below `#/components/schemas`.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

/// The JSON schemas of one API description.
pub(super) struct Schemas(SchemaGenerator);

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|s| {
            s.definitions_path = "/components/schemas".into();
            s.meta_schema = None;
        });
        Self(settings.into_generator())
    }

    /// Adds the JSON schema of the type `T`, and returns a `$ref` object that refers to the schema.
    pub(super) fn reference<T: JsonSchema>(&mut self) -> Value {
        self.0.subschema_for::<T>().to_value()
    }

    /// Returns all schemas added so far, by name.
    pub(super) fn into_definitions(mut self) -> Map<String, Value> {
        self.0.take_definitions(true)
    }
}
