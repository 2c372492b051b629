//! Trace propagation: a message carries the span that sent it (W3C Trace Context), and the receiver makes that span the
//! parent of the span that handles the message.
//!
//! A span that begins a piece of work declares a field `trace_id`. The functions here fill that field, so that log
//! lines within the span carry the id. Without telemetry, as in tests, the ids of the parent are passed on.

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use protocol::envelope::TraceContext;
use tracing::{Span, debug};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The ids of a span; None without telemetry.
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

/// Makes a span, which must not have been entered yet, the child of a span in another process. Returns the context to
/// pass on.
pub fn follow(span: &Span, parent: TraceContext) -> TraceContext {
    if let Err(e) = span.set_parent(Context::new().with_remote_span_context(remote(parent))) {
        debug!(error = %e, "span is not recorded");
    }
    let here = context(span).unwrap_or_else(|| parent.child());
    record_trace_id(span, here)
}

/// Follows a received `traceparent`; a text that is not valid begins a new trace.
pub fn follow_text(span: &Span, traceparent: &str) -> TraceContext {
    match TraceContext::parse(traceparent) {
        Some(parent) => follow(span, parent),
        None => begin(span),
    }
}

/// Begins a trace with a span that has no parent in another process. Returns the context to pass on.
pub fn begin(span: &Span) -> TraceContext {
    record_trace_id(span, context(span).unwrap_or_else(TraceContext::generate))
}

/// Links a span to a span of another trace.
pub fn link(span: &Span, other: TraceContext) {
    span.add_link(remote(other));
}

/// The `traceparent` of the current span, or `otherwise` without telemetry.
#[must_use]
pub fn current_or(otherwise: &str) -> String {
    context(&Span::current()).map_or_else(|| otherwise.to_owned(), TraceContext::traceparent)
}

fn record_trace_id(span: &Span, here: TraceContext) -> TraceContext {
    span.record("trace_id", here.trace_id_hex());
    here
}

fn remote(context: TraceContext) -> SpanContext {
    let flags = TraceFlags::default().with_sampled(context.sampled);
    let (trace, span) = (TraceId::from(context.trace_id), SpanId::from(context.span_id));
    SpanContext::new(trace, span, flags, true, TraceState::NONE)
}
