//! Sends spans to an OpenTelemetry collector with OTLP over HTTP, encoded as protobuf.
//!
//! A thread sends batches of spans from a bounded queue. When the collector is slow or unavailable, the queue drops
//! spans, and the process continues undisturbed.

mod config;
mod observed;
mod sampler;

use std::time::Duration;

use opentelemetry::{Key, KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider},
};
use tracing::{Subscriber, warn};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{Layer, registry::LookupSpan};
use url::Url;
use uuid::Uuid;

use self::{config::OtlpConfig, observed::ObservedExporter, sampler::IngressSampler};
use super::{TelemetryError, our_spans};

/// The maximum number of attributes of one span.
const MAX_ATTRIBUTES: u32 = 48;
/// The maximum number of links of one span.
const MAX_LINKS: u32 = 8;
/// The maximum time for which a stopping process waits until the last spans are sent.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
/// The extra time, after [`FLUSH_TIMEOUT`], for starting and joining the thread that sends the last spans.
const THREAD_TIMEOUT: Duration = Duration::from_millis(500);

/// Records the spans of a process and sends them to the collector. Clones share the queue.
#[must_use = "unsent spans are lost without `shut_down`"]
#[derive(Clone, Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Creates the sender from the environment variables. The sender connects to the collector only when it sends
    /// spans.
    pub(super) fn from_env(service: &str) -> Result<Self, TelemetryError> {
        Self::open(&OtlpConfig::from_env()?, service)
    }

    fn open(config: &OtlpConfig, service: &str) -> Result<Self, TelemetryError> {
        let builder = SdkTracerProvider::builder()
            .with_max_attributes_per_span(MAX_ATTRIBUTES)
            .with_max_links_per_span(MAX_LINKS)
            .with_max_events_per_span(0);
        let Some(endpoint) = &config.endpoint else {
            return Ok(Self { provider: builder.with_sampler(Sampler::AlwaysOff).build() });
        };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(config.max_queue_size)
            .with_max_export_batch_size(config.max_export_batch_size)
            .with_scheduled_delay(config.schedule_delay)
            .build();
        let exporter = ObservedExporter::new(exporter(config, endpoint)?);
        let provider = builder
            .with_sampler(IngressSampler::new(config.sample_ratio))
            .with_resource(resource(service))
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            .build();
        Ok(Self { provider })
    }

    /// Creates the tracing layer that records the spans of Sluice's crates.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        // thread ids and source lines cost time on each span and explain little about asynchronous work
        let layer: OpenTelemetryLayer<S, SdkTracer> = OpenTelemetryLayer::new(self.provider.tracer("sluice"));
        layer
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(our_spans())
    }

    /// Sends the last spans, and waits at most three seconds.
    pub async fn shut_down(&self) {
        let provider = self.provider.clone();
        // the call blocks until the sending thread has ended
        let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        match tokio::time::timeout(FLUSH_TIMEOUT + THREAD_TIMEOUT, sent).await {
            Ok(Ok(Ok(()) | Err(OTelSdkError::AlreadyShutdown))) => {}
            Ok(Ok(Err(e))) => warn!(error = %e, "failed to send the last spans"),
            Ok(Err(e)) => warn!(error = %e, "failed to send the last spans"),
            Err(_) => warn!("failed to send the last spans in time"),
        }
    }
}

fn exporter(config: &OtlpConfig, endpoint: &Url) -> Result<opentelemetry_otlp::SpanExporter, TelemetryError> {
    opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint.as_str())
        .with_timeout(config.timeout)
        .with_headers(config.headers()?)
        .build()
        .map_err(|e| TelemetryError::Exporter(e.to_string()))
}

/// Describes the process that sends the spans. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` override the
/// defaults.
fn resource(service: &str) -> Resource {
    let given = Resource::builder().build();
    let is_given = |key: &Key| {
        // the SDK's default name of a service
        given.get(key).is_some_and(|value| !value.as_str().starts_with("unknown_service"))
    };
    let defaults = [
        KeyValue::new("service.name", service.to_owned()),
        KeyValue::new("service.namespace", "sluice"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
    ];
    let defaults = defaults.into_iter().filter(|default| !is_given(&default.key));
    Resource::builder().with_attributes(defaults).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_open_with_and_without_a_collector() {
        for variables in [&[][..], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")]] {
            assert!(Traces::open(&OtlpConfig::of(variables).unwrap(), "test").is_ok());
        }
    }

    #[test]
    fn the_resource_names_the_service_and_this_process() {
        let resource = resource("sluice-gateway");
        let get = |key: &'static str| resource.get(&Key::from_static_str(key)).unwrap().to_string();
        assert_eq!((get("service.name").as_str(), get("service.namespace").as_str()), ("sluice-gateway", "sluice"));
        assert!(!get("service.instance.id").is_empty());
    }
}
