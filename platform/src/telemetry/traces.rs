//! Trace propagation (W3C Trace Context). A message contains the ids of the sender's span, which becomes the parent of
//! the receiver's span.
//!
//! The first span of a request, job or message declares an empty field `trace_id`. The functions here fill the field,
//! so that log lines within the span contain the id. Without telemetry, as in tests, messages keep the parent's trace
//! id.

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use protocol::envelope::TraceContext;
use tracing::{Span, debug};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Returns the trace context of a span; None if the process records no spans, as in tests.
#[must_use]
pub fn context(span: &Span) -> Option<TraceContext> {
    let context = span.context();
    let span = context.span();
    let ids = span.span_context();
    ids.is_valid().then(|| TraceContext {
        trace_id: u128::from_be_bytes(ids.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(ids.span_id().to_bytes()),
        sampled: ids.is_sampled(),
    })
}

/// Makes `span` the child of `parent`, a span in another process, and returns the trace context of `span`. Call this
/// function before `span` is entered.
pub fn follow(span: &Span, parent: TraceContext) -> TraceContext {
    if let Err(e) = span.set_parent(Context::new().with_remote_span_context(remote_span_context(parent))) {
        debug!(error = %e, "span is not recorded");
    }
    let here = context(span).unwrap_or_else(|| parent.child());
    record_trace_id(span, here)
}

/// Calls [`follow`] with a received `traceparent`. If the text is invalid, the span begins a new trace.
pub fn follow_text(span: &Span, traceparent: &str) -> TraceContext {
    match TraceContext::parse(traceparent) {
        Some(parent) => follow(span, parent),
        None => begin(span),
    }
}

/// Returns the trace context of a span that has no parent in another process. The span belongs to the trace of its
/// parent in this process. Without a parent, the span begins a new trace.
pub fn begin(span: &Span) -> TraceContext {
    record_trace_id(span, context(span).unwrap_or_else(TraceContext::generate))
}

/// Links a span to a span of another trace.
pub fn link(span: &Span, other: TraceContext) {
    span.add_link(remote_span_context(other));
}

/// Returns the `traceparent` of the current span. Without telemetry, returns `otherwise`.
#[must_use]
pub fn current_traceparent_or(otherwise: &str) -> String {
    context(&Span::current()).map_or_else(|| otherwise.to_owned(), TraceContext::traceparent)
}

fn record_trace_id(span: &Span, here: TraceContext) -> TraceContext {
    span.record("trace_id", here.trace_id_hex());
    here
}

fn remote_span_context(context: TraceContext) -> SpanContext {
    let flags = TraceFlags::default().with_sampled(context.sampled);
    let (trace, span) = (TraceId::from(context.trace_id), SpanId::from(context.span_id));
    SpanContext::new(trace, span, flags, true, TraceState::NONE)
}
