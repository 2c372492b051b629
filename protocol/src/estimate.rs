//! What an export would be: the answer of `POST /v1/exports/estimate`, and how a gateway asks an exporter for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{export::ExportRequest, problem::Problem};

/// The most rows of a preview.
pub const PREVIEW_ROWS: usize = 10;

/// What an export would be, from statistics and a few rows: nothing is read whole, and nothing is charged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// About how many rows; null where nothing is known.
    pub rows: Option<u64>,
    /// Whether `rows` is no estimate but counted.
    pub exact: bool,
    /// About how many bytes the file would have.
    pub bytes: Option<u64>,
    /// About how many seconds an exporter would need, once it begins.
    pub seconds: Option<f64>,
    /// What it would cost.
    pub credits: u32,
    /// The first rows as objects, at most ten; long texts are cut, which a final `…` shows.
    pub preview: Vec<Map<String, Value>>,
}

/// Request on [`crate::subject::delivery_estimate`], gateway → any exporter of the pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EstimateRequest {
    /// What to export, with every default filled in.
    #[serde(flatten)]
    pub request: ExportRequest,
    /// The caller's claims, for row policies and column rules.
    pub claims: Map<String, Value>,
}

/// The answer to an [`EstimateRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum EstimateReply {
    /// The estimate.
    Estimated {
        /// As it is served.
        estimate: Estimate,
    },
    /// Why there is none.
    Refused {
        /// The problem.
        problem: Problem,
    },
}
