//! Sets up the metrics of a process.

use metrics_exporter_prometheus::PrometheusHandle;

use super::TelemetryError;

/// Installs the process's metrics recorder. The returned handle renders the metrics of [`crate::metrics::TABLE`] for
/// Prometheus.
///
/// # Errors
/// When the process already has a recorder.
pub fn init_metrics() -> Result<PrometheusHandle, TelemetryError> {
    Ok(crate::metrics::install()?)
}
