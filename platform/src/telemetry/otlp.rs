//! Sends spans to an OpenTelemetry collector (OTLP over HTTP, as protobuf).
//!
//! A thread of its own sends them in batches out of a bounded queue. When the collector is slow or gone, spans are
//! dropped, and nothing else happens: no work waits for it, and none fails.

use std::{
    collections::HashMap,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use axum::http::{HeaderName, HeaderValue};
use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceId, TracerProvider},
};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingResult, SdkTracer, SdkTracerProvider, ShouldSample,
        SpanData, SpanExporter,
    },
};
use tracing::{Subscriber, info, warn};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{Layer, registry::LookupSpan};
use url::Url;
use uuid::Uuid;

use super::{OtlpConfig, TelemetryError, our_spans};

/// Attributes of one span.
const ATTRIBUTES: u32 = 48;
/// Links of one span.
const LINKS: u32 = 8;
/// The attribute that a span of a request over HTTP has from its begin.
const HTTP: &str = "http.request.method";
/// What a shutdown may take longer than was said, for threads to come and go.
const SLACK: Duration = Duration::from_millis(500);

/// Follows spans. Keep it until the end, and then let it send what is left. Clones share it.
#[must_use = "spans that were not sent yet are lost without `shut_down`"]
#[derive(Clone, Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    farewell: Duration,
}

impl Traces {
    /// Gets ready to send; nothing is sent yet, so that the collector need not be there.
    pub(super) fn open(config: &OtlpConfig, service: &str) -> Result<Self, TelemetryError> {
        let builder = SdkTracerProvider::builder()
            .with_max_attributes_per_span(ATTRIBUTES)
            .with_max_links_per_span(LINKS)
            .with_max_events_per_span(0);
        let farewell = Duration::from_millis(config.shutdown_ms);
        if config.endpoint.is_empty() {
            return Ok(Self { provider: builder.with_sampler(Sampler::AlwaysOff).build(), farewell });
        }
        check(config)?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(config.queue_spans)
            .with_max_export_batch_size(config.batch_spans)
            .with_scheduled_delay(Duration::from_millis(config.interval_ms))
            .build();
        let processor = BatchSpanProcessor::builder(Watched::new(exporter(config)?)).with_batch_config(batches).build();
        let provider = builder
            .with_sampler(AtTheDoor::new(config.sample_ratio))
            .with_resource(resource(config, service))
            .with_span_processor(processor)
            .build();
        Ok(Self { provider, farewell })
    }

    /// Hands our spans over to be sent.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        // no threads and no source lines: they say little about asynchronous work, and cost on each span
        let layer: OpenTelemetryLayer<S, SdkTracer> = OpenTelemetryLayer::new(self.provider.tracer("sluice"));
        layer
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(our_spans())
    }

    /// Sends what is left, for as long as the settings allow.
    pub async fn shut_down(&self) {
        let Self { provider, farewell } = self.clone();
        // it waits for its thread
        let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(farewell));
        match tokio::time::timeout(farewell + SLACK, sent).await {
            Ok(Ok(Ok(()) | Err(OTelSdkError::AlreadyShutdown))) => {}
            Ok(Ok(Err(e))) => warn!(error = %e, "the last spans were not sent"),
            Ok(Err(e)) => warn!(error = %e, "the last spans were not sent"),
            Err(_) => warn!(otlp.shutdown_ms = farewell.as_millis() as u64, "the last spans were not sent in time"),
        }
    }
}

fn wrong(key: &'static str, detail: impl fmt::Display) -> TelemetryError {
    TelemetryError::Otlp { key, detail: detail.to_string() }
}

fn check(config: &OtlpConfig) -> Result<(), TelemetryError> {
    if !(0.0..=1.0).contains(&config.sample_ratio) {
        return Err(wrong("sample_ratio", "from 0 to 1, please"));
    }
    if config.batch_spans == 0 {
        return Err(wrong("batch_spans", "1 or more, please"));
    }
    if config.queue_spans < config.batch_spans {
        return Err(wrong("queue_spans", "must hold a batch (otlp.batch_spans)"));
    }
    for (key, ms) in [("interval_ms", config.interval_ms), ("timeout_ms", config.timeout_ms)] {
        if ms == 0 {
            return Err(wrong(key, "1 or more, please"));
        }
    }
    Ok(())
}

/// Where traces go: below the base address, as every collector has it.
fn endpoint(config: &OtlpConfig) -> Result<String, TelemetryError> {
    let url: Url = config.endpoint.parse().map_err(|e| wrong("endpoint", e))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("endpoint", "http or https, please"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("endpoint", "secrets belong into otlp.headers"));
    }
    Ok(format!("{}/v1/traces", url.as_str().trim_end_matches('/')))
}

/// `name=value,name=value`. What is wrong is told by its place alone.
fn headers(config: &OtlpConfig) -> Result<HashMap<String, String>, TelemetryError> {
    let pairs = config.headers.expose().split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let header = |(place, pair): (usize, &str)| {
        let bad = || wrong("headers", format!("header {} isn't `name=value`", place + 1));
        let (name, value) = pair.split_once('=').ok_or_else(bad)?;
        let (name, value) = (name.trim(), value.trim());
        let fine = HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value).is_ok();
        if fine { Ok((name.to_owned(), value.to_owned())) } else { Err(bad()) }
    };
    pairs.enumerate().map(header).collect()
}

fn exporter(config: &OtlpConfig) -> Result<opentelemetry_otlp::SpanExporter, TelemetryError> {
    opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint(config)?)
        .with_timeout(Duration::from_millis(config.timeout_ms))
        .with_headers(headers(config)?)
        .build()
        .map_err(|e| wrong("endpoint", e))
}

/// Who sends the spans. `OTEL_RESOURCE_ATTRIBUTES` adds to it, as operators of collectors are used to.
fn resource(config: &OtlpConfig, service: &str) -> Resource {
    let or = |set: &str, default: String| if set.is_empty() { default } else { set.to_owned() };
    Resource::builder()
        .with_service_name(or(&config.service_name, service.to_owned()))
        .with_attributes([
            KeyValue::new("service.namespace", "sluice"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", or(&config.service_instance, Uuid::new_v4().to_string())),
        ])
        .build()
}

/// Decides at the door which traces are recorded, by their ids; further in everybody keeps to it, so that a trace is
/// recorded as a whole or not at all. What a caller from outside says about it is not heard: it could make us record
/// everything.
#[derive(Clone, Debug)]
struct AtTheDoor {
    door: Sampler,
    inside: Sampler,
}

impl AtTheDoor {
    fn new(ratio: f64) -> Self {
        let door = Sampler::TraceIdRatioBased(ratio);
        Self { inside: Sampler::ParentBased(Box::new(door.clone())), door }
    }
}

impl ShouldSample for AtTheDoor {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let from_outside = *kind == SpanKind::Server && attributes.iter().any(|one| one.key.as_str() == HTTP);
        let sampler = if from_outside { &self.door } else { &self.inside };
        sampler.should_sample(parent, trace, name, kind, attributes, links)
    }
}

/// Counts what can't be sent, and says so once, not with each batch.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    failing: AtomicBool,
}

impl<E> Watched<E> {
    fn new(exporter: E) -> Self {
        Self { exporter, failing: AtomicBool::new(false) }
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.exporter.export(batch).await;
        let outcome = if result.is_ok() { "sent" } else { "failed" };
        metrics::counter!("sluice_otlp_spans_total", "result" => outcome).increment(spans);
        match &result {
            Ok(()) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    info!("spans are sent again");
                }
            }
            Err(e) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    warn!(error = %e, "spans can't be sent and are dropped; everything else goes on");
                }
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::SamplingDecision;

    use super::*;
    use crate::secret::Secret;

    fn opened(change: impl FnOnce(&mut OtlpConfig)) -> Result<Traces, String> {
        let mut config = OtlpConfig { endpoint: "http://127.0.0.1:9".into(), ..OtlpConfig::default() };
        change(&mut config);
        Traces::open(&config, "test").map_err(|e| e.to_string())
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_name_and_secrets_not_shown() {
        assert!(opened(|_| {}).is_ok());
        assert!(opened(|c| c.headers = Secret::new("authorization=Bearer abc, x-tenant=7")).is_ok());
        type Change = fn(&mut OtlpConfig);
        let wrong: [(&str, Change); 8] = [
            ("otlp.sample_ratio", |c| c.sample_ratio = 1.5),
            ("otlp.sample_ratio", |c| c.sample_ratio = f64::NAN),
            ("otlp.batch_spans", |c| c.batch_spans = 0),
            ("otlp.queue_spans", |c| c.queue_spans = 1),
            ("otlp.timeout_ms", |c| c.timeout_ms = 0),
            ("otlp.endpoint", |c| c.endpoint = "collector:4318".into()),
            ("otlp.endpoint", |c| c.endpoint = "http://me:hidden@collector:4318".into()),
            ("otlp.headers", |c| c.headers = Secret::new("x-fine=1,hidden")),
        ];
        for (key, change) in wrong {
            let refused = opened(change).unwrap_err();
            assert!(refused.starts_with(key) && !refused.contains("hidden"), "{key}: {refused}");
        }
    }

    #[test]
    fn callers_from_outside_do_not_say_what_is_recorded_and_our_own_services_do() {
        let decide = |ratio: f64, kind: SpanKind, door: bool, sampled: bool| {
            let flags = TraceFlags::default().with_sampled(sampled);
            let caller = SpanContext::new(TraceId::from(7), SpanId::from(7), flags, true, TraceState::NONE);
            let parent = Context::new().with_remote_span_context(caller);
            let attributes = if door { vec![KeyValue::new(HTTP, "POST")] } else { vec![] };
            let sampler = AtTheDoor::new(ratio);
            sampler.should_sample(Some(&parent), TraceId::from(7), "x", &kind, &attributes, &[]).decision
        };
        for sampled in [true, false] {
            assert_eq!(decide(0.0, SpanKind::Server, true, sampled), SamplingDecision::Drop);
            assert_eq!(decide(1.0, SpanKind::Server, true, sampled), SamplingDecision::RecordAndSample);
            let follows = if sampled { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop };
            for ratio in [0.0, 1.0] {
                assert_eq!(decide(ratio, SpanKind::Consumer, false, sampled), follows);
                assert_eq!(decide(ratio, SpanKind::Server, false, sampled), follows);
            }
        }
    }
}
