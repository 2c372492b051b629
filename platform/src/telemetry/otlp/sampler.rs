//! The sampler that selects the traces to record.

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceId},
};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};

/// The attribute by which the sampler recognises the span of an HTTP request.
const HTTP_METHOD: &str = "http.request.method";

/// Decides by the trace id whether the span of an HTTP request is recorded. Every other span follows its parent, so a
/// trace is recorded completely or not at all.
///
/// The sampler ignores the sampled flag of HTTP clients, so that a client cannot force the recording of its traces.
#[derive(Clone, Debug)]
pub(super) struct IngressSampler {
    ingress: Sampler,
    inner: Sampler,
}

impl IngressSampler {
    /// Creates a sampler that records this ratio of all traces, from 0 to 1.
    pub(super) fn new(ratio: f64) -> Self {
        let ingress = Sampler::TraceIdRatioBased(ratio);
        Self { inner: Sampler::ParentBased(Box::new(ingress.clone())), ingress }
    }
}

impl ShouldSample for IngressSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let is_http = *kind == SpanKind::Server && attributes.iter().any(|one| one.key.as_str() == HTTP_METHOD);
        let sampler = if is_http { &self.ingress } else { &self.inner };
        sampler.should_sample(parent, trace, name, kind, attributes, links)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::SamplingDecision;

    use super::*;

    #[test]
    fn only_http_requests_are_sampled_and_other_spans_follow_their_parent() {
        let decide = |ratio: f64, kind: SpanKind, is_http: bool, sampled: bool| {
            let flags = TraceFlags::default().with_sampled(sampled);
            let caller = SpanContext::new(TraceId::from(7), SpanId::from(7), flags, true, TraceState::NONE);
            let parent = Context::new().with_remote_span_context(caller);
            let attributes = if is_http { vec![KeyValue::new(HTTP_METHOD, "POST")] } else { vec![] };
            let sampler = IngressSampler::new(ratio);
            sampler.should_sample(Some(&parent), TraceId::from(7), "x", &kind, &attributes, &[]).decision
        };
        for sampled in [true, false] {
            assert_eq!(decide(0.0, SpanKind::Server, true, sampled), SamplingDecision::Drop);
            assert_eq!(decide(1.0, SpanKind::Server, true, sampled), SamplingDecision::RecordAndSample);
            let parent = if sampled { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop };
            for ratio in [0.0, 1.0] {
                assert_eq!(decide(ratio, SpanKind::Consumer, false, sampled), parent);
                assert_eq!(decide(ratio, SpanKind::Server, false, sampled), parent);
            }
        }
    }
}
