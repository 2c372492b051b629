//! The fields of spans and log lines that logs show.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::{RecordFields, VisitOutput},
    fmt::{
        FormatFields,
        format::{DefaultVisitor, Writer},
    },
};

/// Formats fields as `key=value`, without the fields that only trace collectors need.
pub(super) struct TextFields;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = ShownFields(DefaultVisitor::new(writer, true));
        fields.record(&mut visitor);
        visitor.0.finish()
    }
}

/// A visitor that passes only the fields that logs show to another visitor.
struct ShownFields<'a>(DefaultVisitor<'a>);

impl Visit for ShownFields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if is_shown(field.name()) {
            self.0.record_debug(field, value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if is_shown(field.name()) {
            self.0.record_str(field, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        if is_shown(field.name()) {
            self.0.record_error(field, value);
        }
    }
}

/// Whether logs show this field. Only trace collectors need the fields with the prefixes `otel.` and `messaging.`.
pub(super) fn is_shown(field: &str) -> bool {
    !field.starts_with("otel.") && !field.starts_with("messaging.")
}
