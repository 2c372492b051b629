//! Logs, metrics and traces of a process.
//!
//! - [`init`] sets logs and traces up together: log lines carry the ids of the spans that they were written in.
//! - [`traces`] hands the trace of a piece of work on, from service to service.
//! - [`init_metrics`] collects metrics.

mod config;
mod json;
mod logs;
mod metrics;
mod otlp;
pub mod traces;

pub use metrics_exporter_prometheus::PrometheusHandle;
use tracing::{Metadata, level_filters::LevelFilter};
use tracing_subscriber::{Registry, filter::FilterFn, layer::SubscriberExt, util::SubscriberInitExt};

pub use self::{config::OtlpConfig, metrics::init_metrics, otlp::Traces};
use crate::config::LogConfig;

/// Telemetry that can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter isn't one.
    #[error("log.filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody set it up before.
    #[error("logging was set up twice: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
    /// The metrics recorder can't be installed.
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// A setting of `[otlp]` can't be used. Its value is not shown, as it may be a secret.
    #[error("otlp.{key}: {detail}")]
    Otlp {
        /// Which.
        key: &'static str,
        /// What is wrong.
        detail: String,
    },
}

/// Logs to standard error from now on, and follows spans. `service` is the name under which spans are sent, unless the
/// settings say another. Without an endpoint spans are not recorded, but they have ids all the same, which go from
/// service to service and into the logs.
///
/// # Errors
/// When a setting can't be used or logging was set up before.
pub fn init(log: &LogConfig, otlp: &OtlpConfig, service: &str) -> Result<Traces, TelemetryError> {
    let lines = logs::layer_of(log, std::io::stderr)?;
    let traces = Traces::open(otlp, service)?;
    Registry::default().with(lines).with(traces.layer()).try_init()?;
    Ok(traces)
}

/// The crates whose spans are followed. Spans of libraries are theirs: what they record is not ours to vouch for.
const OURS: [&str; 5] = ["gateway", "exporter", "notifier", "platform", "sluice"];

/// Whether this is a span of ours.
fn is_our_span(metadata: &Metadata<'_>) -> bool {
    let root = metadata.target().split("::").next().unwrap_or_default();
    metadata.is_span() && *metadata.level() <= tracing::Level::INFO && OURS.contains(&root)
}

/// Lets spans of ours pass and nothing else.
fn our_spans() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    FilterFn::new(is_our_span as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::INFO)
}
