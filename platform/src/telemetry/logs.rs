//! Log lines on standard error: for people, or as JSON for machines.

use std::{fmt, io::IsTerminal};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{
    EnvFilter, Layer,
    field::{RecordFields, VisitOutput},
    fmt::{
        FormatFields,
        format::{DefaultVisitor, JsonFields, Writer},
        layer,
    },
    layer::{Context, Filter},
    registry::LookupSpan,
};

use super::{TelemetryError, is_our_span, json::Flat};
use crate::config::{LogConfig, LogFormat};

/// Writes log lines as the settings say.
pub(super) fn layer_of<S>(config: &LogConfig) -> Result<Box<dyn Layer<S> + Send + Sync>, TelemetryError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = Lines(EnvFilter::try_new(&config.filter)?);
    // colours are for people at a terminal, not for files
    let lines = layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    Ok(match config.format {
        LogFormat::Text => lines.with_target(false).fmt_fields(ForPeople).with_filter(filter).boxed(),
        LogFormat::Json => lines.fmt_fields(JsonFields::new()).event_format(Flat).with_filter(filter).boxed(),
    })
}

/// The filter of the settings for lines, and all spans of ours: a filter for warnings alone must not take the ids out of
/// the warnings.
struct Lines(EnvFilter);

impl<S> Filter<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        is_our_span(metadata) || Filter::<S>::enabled(&self.0, metadata, context)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let interest = Filter::<S>::callsite_enabled(&self.0, metadata);
        if is_our_span(metadata) { Interest::always() } else { interest }
    }

    fn event_enabled(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool {
        Filter::<S>::event_enabled(&self.0, event, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::<S>::max_level_hint(&self.0).map(|level| level.max(LevelFilter::INFO))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        Filter::<S>::on_new_span(&self.0, attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        Filter::<S>::on_record(&self.0, id, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        Filter::<S>::on_enter(&self.0, id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        Filter::<S>::on_exit(&self.0, id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        Filter::<S>::on_close(&self.0, id, context);
    }
}

/// `key=value`, without what only collectors want to know.
struct ForPeople;

impl<'w> FormatFields<'w> for ForPeople {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Shown(DefaultVisitor::new(writer, true));
        fields.record(&mut visitor);
        visitor.0.finish()
    }
}

/// Passes fields on that belong into a log.
struct Shown<'a>(DefaultVisitor<'a>);

impl Visit for Shown<'_> {
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

/// Names and kinds of spans, and what they tell of the messages that they stand for, are for collectors.
pub(super) fn is_shown(field: &str) -> bool {
    !field.starts_with("otel.") && !field.starts_with("messaging.")
}
