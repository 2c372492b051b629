//! Logs, metrics and traces of a process.
//!
//! - [`init`] sets up logs and traces together, because log lines contain the ids of the spans around them.
//! - [`traces`] passes the trace of an export from service to service.
//! - [`init_metrics`] collects metrics for Prometheus.

mod json;
mod logs;
mod metrics;
mod otlp;
mod shown_fields;
pub mod traces;

pub use metrics_exporter_prometheus::PrometheusHandle;
use tracing::{Metadata, level_filters::LevelFilter};
use tracing_subscriber::{Registry, filter::FilterFn, layer::SubscriberExt, util::SubscriberInitExt};

pub use self::{metrics::init_metrics, otlp::Traces};
use crate::config::LogConfig;

/// An error while logs, metrics or traces are set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter has a syntax error.
    #[error("log.filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The process has already set up logging.
    #[error("logging was set up twice: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
    /// The process already has a metrics recorder.
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// An `OTEL_` variable has an invalid value. The error never contains the value, which may be a secret.
    #[error("{variable}: {detail}")]
    Variable {
        /// The name of the environment variable.
        variable: &'static str,
        /// The reason why the value is invalid.
        detail: String,
    },
    /// The client that sends spans to the collector cannot be created.
    #[error("traces: {0}")]
    Exporter(String),
}

/// Starts logging to standard error and recording spans.
///
/// The standard `OTEL_` environment variables configure the trace collector. Without a collector no span is recorded,
/// but spans still have ids for log lines and messages to other services. `service` is the default of
/// `OTEL_SERVICE_NAME`.
///
/// # Errors
/// When the log filter or an `OTEL_` variable is invalid, or the process has already set up logging.
pub fn init(log: &LogConfig, service: &str) -> Result<Traces, TelemetryError> {
    let lines = logs::log_layer(log, std::io::stderr)?;
    let traces = Traces::from_env(service)?;
    Registry::default().with(lines).with(traces.layer()).try_init()?;
    Ok(traces)
}

/// The crates of Sluice, whose spans the process records. The process records no spans of libraries, because their
/// fields may contain personal data.
const OUR_CRATES: [&str; 5] = ["gateway", "exporter", "notifier", "platform", "sluice"];

/// Whether this is a span of one of Sluice's crates, at level INFO or above.
fn is_our_span(metadata: &Metadata<'_>) -> bool {
    let root = metadata.target().split("::").next().unwrap_or_default();
    metadata.is_span() && *metadata.level() <= tracing::Level::INFO && OUR_CRATES.contains(&root)
}

/// Creates a filter that passes only spans of Sluice's crates.
fn our_spans() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    FilterFn::new(is_our_span as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::INFO)
}
