//! Hands the trace of a piece of work on: a message carries the span that sent it (W3C Trace Context), and who takes
//! the message makes that span the parent of its own.
//!
//! Spans that begin something declare a field `trace_id`, which is filled in here and so reaches the log lines inside.
//! Where nobody follows spans, as in tests that set no telemetry up, the ids that were given are handed on.

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use protocol::envelope::TraceContext;
use tracing::{Span, debug};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The ids of a span; None where nobody follows it.
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

/// Makes a span that was not entered yet the child of one in another process. Gives what to hand on.
pub fn follow(span: &Span, parent: TraceContext) -> TraceContext {
    if let Err(e) = span.set_parent(Context::new().with_remote_span_context(remote(parent))) {
        debug!(error = %e, "nobody follows this span");
    }
    let here = context(span).unwrap_or_else(|| parent.child());
    note(span, here)
}

/// The same for a `traceparent` as it came; whatever isn't one begins a trace.
pub fn follow_text(span: &Span, traceparent: &str) -> TraceContext {
    match TraceContext::parse(traceparent) {
        Some(parent) => follow(span, parent),
        None => begin(span),
    }
}

/// For a span that has no parent elsewhere. Gives what to hand on.
pub fn begin(span: &Span) -> TraceContext {
    note(span, context(span).unwrap_or_else(TraceContext::generate))
}

/// Points from a span to one of another trace.
pub fn link(span: &Span, other: TraceContext) {
    span.add_link(remote(other));
}

/// The `traceparent` of the span around; `otherwise` where there is none.
#[must_use]
pub fn current_or(otherwise: &str) -> String {
    context(&Span::current()).map_or_else(|| otherwise.to_owned(), TraceContext::traceparent)
}

fn note(span: &Span, here: TraceContext) -> TraceContext {
    span.record("trace_id", here.trace_id_hex());
    here
}

fn remote(context: TraceContext) -> SpanContext {
    let flags = TraceFlags::default().with_sampled(context.sampled);
    let (trace, span) = (TraceId::from(context.trace_id), SpanId::from(context.span_id));
    SpanContext::new(trace, span, flags, true, TraceState::NONE)
}
