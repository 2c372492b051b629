//! Where spans are sent.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Traces over OTLP.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// The base address of a collector that takes OTLP over HTTP, such as `http://collector:4318`; empty for none.
    pub endpoint: String,
    /// Headers for it, `name=value,name=value`. They may hold a token, so they are a secret.
    pub headers: Secret,
    /// The part of all traces that is recorded, from 0 to 1. The gateway's counts: the others follow it.
    pub sample_ratio: f64,
    /// The name under which spans are sent; empty for `sluice-gateway` and so on.
    pub service_name: String,
    /// Names this process; empty for a name made at the start.
    pub service_instance: String,
    /// Spans that wait to be sent; further ones are dropped.
    pub queue_spans: usize,
    /// The most spans of one request.
    pub batch_spans: usize,
    /// How long spans wait for a full batch, milliseconds.
    pub interval_ms: u64,
    /// How long a request may take, milliseconds.
    pub timeout_ms: u64,
    /// How long sending the last spans may hold up the end of the process, milliseconds.
    pub shutdown_ms: u64,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            headers: Secret::default(),
            sample_ratio: 1.0,
            service_name: String::new(),
            service_instance: String::new(),
            queue_spans: 4_096,
            batch_spans: 512,
            interval_ms: 2_000,
            timeout_ms: 5_000,
            shutdown_ms: 3_000,
        }
    }
}
