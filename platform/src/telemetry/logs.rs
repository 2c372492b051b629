//! Writes log lines to standard error, as text for a terminal or as JSON for a log collector.

use std::io::IsTerminal;

use tracing::{
    Event, Metadata, Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{
    EnvFilter, Layer,
    fmt::{MakeWriter, format::JsonFields, layer},
    layer::{Context, Filter},
    registry::LookupSpan,
};

use super::{TelemetryError, is_our_span, json::FlatJson, shown_fields::TextFields};
use crate::config::{LogConfig, LogFormat};

/// Creates the tracing layer that writes log lines in the configured format.
pub(super) fn log_layer<S, W>(config: &LogConfig, writer: W) -> Result<Box<dyn Layer<S> + Send + Sync>, TelemetryError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = LineFilter(EnvFilter::try_new(&config.filter)?);
    // only a terminal shows colors
    let lines = layer().with_writer(writer).with_ansi(std::io::stderr().is_terminal());
    Ok(match config.format {
        LogFormat::Text => lines.with_target(false).fmt_fields(TextFields).with_filter(filter).boxed(),
        LogFormat::Json => lines.fmt_fields(JsonFields::new()).event_format(FlatJson).with_filter(filter).boxed(),
    })
}

/// Applies the configured filter to log lines, but never to spans of Sluice's crates. Otherwise a filter for warnings
/// would remove the fields of the spans around a warning, such as the trace id.
struct LineFilter(EnvFilter);

impl<S> Filter<S> for LineFilter {
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

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use protocol::envelope::TraceContext;
    use tracing::{debug, field::Empty, info, info_span, warn};
    use tracing_subscriber::{Registry, layer::SubscriberExt};

    use super::*;
    use crate::telemetry::{our_spans, traces};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Logs a job whose trace began in another process. Returns the log, the trace context of the caller, and the trace
    /// context of the job.
    fn logged(format: LogFormat, filter: &str) -> (String, TraceContext, TraceContext) {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let config = LogConfig { filter: filter.into(), format };
        let lines = log_layer(&config, move || writer.clone()).unwrap();
        let provider = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).build();
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("test")).with_filter(our_spans());
        let caller = TraceContext::generate();
        let passed_on = tracing::subscriber::with_default(Registry::default().with(lines).with(spans), || {
            let span = info_span!(parent: None, "job.process", otel.kind = "consumer", trace_id = Empty, export.id = 7);
            let here = traces::follow(&span, caller);
            span.in_scope(|| {
                let part = info_span!("encode", export.attempt = 2);
                part.in_scope(|| {
                    debug!("below the level of the filter");
                    info!(file.rows = 3, "done");
                    warn!(error = %"a \"quoted\" error", "failed");
                    assert_eq!(
                        TraceContext::parse(&traces::current_traceparent_or("")).unwrap().trace_id,
                        caller.trace_id
                    );
                });
            });
            here
        });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        (text, caller, passed_on)
    }

    #[test]
    fn a_json_line_is_flat_and_carries_the_fields_of_its_spans() {
        let (text, caller, here) = logged(LogFormat::Json, "info");
        assert_eq!((here.trace_id, here.sampled), (caller.trace_id, false));
        assert_ne!(here.span_id, caller.span_id, "the job has its own span");
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        for line in &lines {
            assert_eq!(line["trace_id"], caller.trace_id_hex());
            assert_eq!((&line["export.id"], &line["export.attempt"]), (&7.into(), &2.into()));
            assert!(line.get("otel.kind").is_none(), "{line}");
        }
        assert_eq!((&lines[0]["message"], &lines[0]["file.rows"]), (&"done".into(), &3.into()));
        assert_eq!(lines[1]["error"], "a \"quoted\" error");
    }

    #[test]
    fn a_line_that_passes_the_filter_keeps_the_fields_of_its_spans() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let (text, caller, _) = logged(format, "warn");
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(text.contains(&caller.trace_id_hex()) && text.contains("export.id"), "{text}");
            assert!(!text.contains("otel.kind"), "{text}");
        }
    }
}
