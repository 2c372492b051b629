//! Estimates of exports: the answer of `POST /v1/exports/estimate`, and the NATS request of a gateway to an exporter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{export::ExportRequest, problem::Problem};

/// The maximum number of rows of a preview.
pub const PREVIEW_ROWS: usize = 10;

/// The estimated size, duration and price of an export. The exporter calculates it from statistics and from a few rows
/// that it reads. An estimate costs no credits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The approximate number of rows; null when unknown.
    pub rows: Option<u64>,
    /// Whether `rows` is an exact count.
    pub exact: bool,
    /// The approximate size of the file, in bytes; null when unknown.
    pub bytes: Option<u64>,
    /// The approximate run time in seconds, without the waiting time in the queue; null when unknown.
    pub seconds: Option<f64>,
    /// The price of the export, in credits.
    pub credits: u32,
    /// The first rows as objects, at most ten. A text that the exporter truncated ends in `…`.
    pub preview: Vec<Map<String, Value>>,
}

/// The request on [`crate::subject::delivery_estimate`], gateway → any exporter of the pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EstimateRequest {
    /// The export request, with every default filled in.
    #[serde(flatten)]
    pub request: ExportRequest,
    /// The claims of the caller, for row policies and column rules.
    pub claims: Map<String, Value>,
}

/// The answer to an [`EstimateRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum EstimateReply {
    /// The exporter estimated the export.
    Estimated {
        /// The estimate that the gateway returns to the client.
        estimate: Estimate,
    },
    /// The exporter could not estimate the export.
    Refused {
        /// The problem that the gateway returns to the client.
        problem: Problem,
    },
}
