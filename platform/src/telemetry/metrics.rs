//! Metrics of a process, for Prometheus.

use metrics_exporter_prometheus::PrometheusHandle;

use super::TelemetryError;

/// Installs the recorder of metrics. The returned handle renders them for Prometheus; [`crate::metrics::TABLE`] lists
/// them.
///
/// # Errors
/// When a recorder was installed before.
pub fn init_metrics() -> Result<PrometheusHandle, TelemetryError> {
    Ok(crate::metrics::install()?)
}
