//! Metrics of all services.
//!
//! - [`TABLE`] lists every metric with its kind, unit, labels and description. [`register`] describes the metrics of a
//!   service and creates them with the value 0, so that alerts work before the first event.
//! - [`observe`] polls the process, the database pools, the connection to NATS and the disk.
//!
//! **Labels are bounded.** Each label lists its values, or gives the reason why it has few values. No label value is a
//! tenant, a user, an export, a dataset or a path. Only the logs and the database contain these.

mod observe;
mod store;
mod table;

use std::{borrow::Cow, sync::OnceLock};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

pub(crate) use self::store::MeteredStore;
pub use self::{
    observe::{Pool, observe},
    table::TABLE,
};

/// The definition of one metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The Prometheus name, such as `sluice_gateway_http_response_header_seconds`. The name ends with the unit.
    pub name: &'static str,
    /// The Prometheus type of the metric.
    pub kind: Kind,
    /// The unit of the values.
    pub unit: Unit,
    /// The services that export the metric.
    pub scope: Scope,
    /// The labels of the metric, each with its values.
    pub labels: &'static [Label],
    /// The description for operators: one sentence with the unit.
    pub help: &'static str,
}

/// The Prometheus type of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A value that only grows.
    Counter,
    /// A value that rises and falls.
    Gauge,
    /// A distribution of values over buckets with these upper bounds.
    Histogram(&'static [f64]),
}

/// The unit of the values of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A count without a unit. The metric of a condition has the value 1 for true and 0 for false.
    Count,
    /// A number of bytes.
    Bytes,
    /// A number of seconds.
    Seconds,
    /// A ratio from 0 to 1.
    Ratio,
}

/// The services that export a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All services export the metric.
    All,
    /// Services with a file store export the metric: exporters and notifiers.
    Files,
    /// Services that change credits export the metric: gateways and notifiers.
    Credits,
    /// Only gateways export the metric.
    Gateway,
    /// Only exporters export the metric.
    Exporter,
    /// Only notifiers export the metric.
    Notifier,
}

/// The name of a label and its possible values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(pub &'static str, pub Values);

/// The possible values of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// The label has one of these values.
    Known(&'static [&'static str]),
    /// The label has few values, which the code does not list. The text describes the values.
    Bounded(&'static str),
}

/// A service that registers its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The gateway, which serves clients.
    Gateway,
    /// The exporter, which writes files.
    Exporter,
    /// The notifier, which dispatches and settles exports.
    Notifier,
}

impl Service {
    /// Whether the service exports the metrics of this scope.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        match scope {
            Scope::All => true,
            Scope::Files => matches!(self, Self::Exporter | Self::Notifier),
            Scope::Credits => matches!(self, Self::Gateway | Self::Notifier),
            Scope::Gateway => matches!(self, Self::Gateway),
            Scope::Exporter => matches!(self, Self::Exporter),
            Scope::Notifier => matches!(self, Self::Notifier),
        }
    }
}

/// Installs the process's metrics recorder. The returned handle renders the metrics for Prometheus.
///
/// # Errors
/// When the process already has a recorder.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in TABLE {
        if let Kind::Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    let handle = builder.install_recorder()?;
    HANDLE.get_or_init(|| handle.clone());
    Ok(handle)
}

/// The handle that renders the metrics of the process. A process has at most one handle.
static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Aggregates the samples of histograms. Without this call, samples accumulate in memory until a scraper requests
/// `/metrics`.
fn aggregate_histograms() {
    if let Some(handle) = HANDLE.get() {
        handle.run_upkeep();
    }
}

/// Describes the metrics of a service. If all values of a metric's labels are known, also creates the metric with the
/// value 0.
pub fn register(service: Service) {
    for metric in TABLE.iter().filter(|metric| service.has(metric.scope)) {
        describe(metric);
        if let Some(sets) = known_labels(metric.labels) {
            for labels in sets {
                create(metric, labels);
            }
        }
    }
    metrics::gauge!("sluice_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

fn describe(metric: &Metric) {
    let unit = match metric.unit {
        Unit::Count => metrics::Unit::Count,
        Unit::Bytes => metrics::Unit::Bytes,
        Unit::Seconds => metrics::Unit::Seconds,
        Unit::Ratio => metrics::Unit::Percent,
    };
    let help = Cow::Borrowed(metric.help);
    match metric.kind {
        Kind::Counter => metrics::describe_counter!(metric.name, unit, help),
        Kind::Gauge => metrics::describe_gauge!(metric.name, unit, help),
        Kind::Histogram(_) => metrics::describe_histogram!(metric.name, unit, help),
    }
}

fn create(metric: &Metric, labels: Vec<metrics::Label>) {
    match metric.kind {
        Kind::Counter => metrics::counter!(metric.name, labels).increment(0),
        // an increment by 0 keeps a value that another service of the process has set
        Kind::Gauge => metrics::gauge!(metric.name, labels).increment(0.0),
        Kind::Histogram(_) => drop(metrics::histogram!(metric.name, labels)),
    }
}

/// Returns all combinations of the values of these labels; None if the values of a label are not listed.
fn known_labels(labels: &[Label]) -> Option<Vec<Vec<metrics::Label>>> {
    let mut sets = vec![Vec::new()];
    for Label(name, values) in labels {
        let Values::Known(values) = values else { return None };
        let with = |set: &Vec<metrics::Label>| {
            let set = set.clone();
            values.iter().map(move |value| {
                let mut set = set.clone();
                set.push(metrics::Label::from_static_parts(name, value));
                set
            })
        };
        sets = sets.iter().flat_map(with).collect();
    }
    Some(sets)
}

#[cfg(test)]
mod tests;
