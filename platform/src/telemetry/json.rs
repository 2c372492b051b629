//! Formats log lines as flat JSON objects. Each object contains the fields of the line and of all spans around it,
//! under their dotted names.

use std::fmt;

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::{JsonFields, Writer},
    },
    registry::LookupSpan,
};

use super::shown_fields::is_shown;

/// The log format with one flat JSON object per line.
pub(super) struct FlatJson;

impl<S> FormatEvent<S, JsonFields> for FlatJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    JsonFields: for<'w> FormatFields<'w>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Line(Map::new());
        line.put("timestamp", now().into());
        line.put("level", metadata.level().as_str().into());
        line.put("target", metadata.target().into());
        if let Some(scope) = context.event_scope() {
            // a field of an inner span overrides the field of the same name of an outer span
            for span in scope.from_root() {
                line.put("span", span.name().into());
                let extensions = span.extensions();
                let fields = extensions.get::<FormattedFields<JsonFields>>();
                // a span without recorded fields has an empty text, which is no JSON
                let fields = fields.and_then(|fields| serde_json::from_str(fields).ok());
                if let Some(Value::Object(fields)) = fields {
                    line.0.extend(fields.into_iter().filter(|(name, _)| is_shown(name)));
                }
            }
        }
        event.record(&mut line);
        let text = serde_json::to_string(&line.0).map_err(|_| fmt::Error)?;
        writeln!(writer, "{text}")
    }
}

/// Returns the timestamp of a log line, from the system clock even in tests.
#[expect(clippy::disallowed_methods, reason = "log lines carry the time of the system clock")]
fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true)
}

struct Line(Map<String, Value>);

impl Line {
    fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.into());
    }
}
