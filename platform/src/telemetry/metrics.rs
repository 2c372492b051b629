//! Metrics of a process, for Prometheus.

use metrics_exporter_prometheus::PrometheusHandle;

use super::TelemetryError;

/// Collects metrics from now on; the handle renders them for Prometheus. What there is to collect is in
/// [`crate::metrics::TABLE`].
///
/// # Errors
/// When a recorder was installed before.
pub fn init_metrics() -> Result<PrometheusHandle, TelemetryError> {
    Ok(crate::metrics::install()?)
}
