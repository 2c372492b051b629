//! The bodies of the REST endpoints for operators, below `/v1/operate`. The state and the stories are the types of
//! [`crate::ops`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    id::ExportId,
    ops::{DeadLetter, ExportSummary, Pause},
};

/// The scope of operators. It covers the exports of all tenants, but no row data.
pub const OPERATE_SCOPE: &str = "sluice:operate";

/// A request to change something, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActRequest {
    /// The reason, which other operators read: 1 to 500 characters.
    pub reason: String,
}

/// The request to pause or resume a tenant or a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnerActRequest {
    /// The tenant, or the tenant of the user.
    pub tenant: String,
    /// The user; the whole tenant when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The reason, which other operators read: 1 to 500 characters.
    pub reason: String,
}

/// A page of exports of all owners, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExportSummaryPage {
    /// The exports of this page, at most `limit`.
    pub items: Vec<ExportSummary>,
    /// The `cursor` of the next page; null on the last page.
    pub next_cursor: Option<String>,
}

/// A page of dead letters, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetterPage {
    /// The dead letters of this page, at most `limit`.
    pub items: Vec<DeadLetter>,
    /// The `cursor` of the next page; null on the last page.
    pub next_cursor: Option<String>,
}

/// The result of a retry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetryResult {
    /// The new export of the owner. If only the outcome of the export is settled again, the export itself.
    pub export: ExportSummary,
    /// The failed export that runs again as a new one; null if only the outcome is settled again.
    pub failed_export_id: Option<ExportId>,
}

/// The result of a pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PauseResult {
    /// The pause. If the tenant or user was paused before, the earlier reason stays.
    pub pause: Pause,
    /// Whether this request paused the tenant or user.
    pub changed: bool,
}

/// The result of a resume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResumeResult {
    /// Whether this request ended a pause.
    pub changed: bool,
    /// The pause of the whole tenant, if the exports of the user still wait because of it.
    pub still_paused: Option<Pause>,
}

/// The state of an exporter after its drain began or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrainResult {
    /// The name of the exporter.
    pub instance: String,
    /// Whether the exporter accepts no new jobs.
    pub draining: bool,
    /// The number of running jobs.
    pub running: u32,
}
