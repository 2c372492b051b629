//! Requests to pause and resume a tenant or a user. The exports of a paused owner wait until an operator resumes them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{problem::Problem, time::Timestamp};

/// The maximum length of a reason, in characters.
pub const MAX_REASON_CHARS: usize = 500;

/// A paused tenant or user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pause {
    /// The paused tenant, or the tenant of the paused user.
    pub tenant: String,
    /// The paused user; null if the whole tenant is paused.
    pub user: Option<String>,
    /// The reason that the operator gave.
    pub reason: String,
    /// The operator who paused the tenant or user.
    pub paused_by: String,
    /// The time since which the exports wait.
    pub paused_at: Timestamp,
}

/// The request to pause a tenant or a user, on [`crate::subject::OPS_PAUSE`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PauseRequest {
    /// The tenant to pause, or the tenant of the user.
    pub tenant: String,
    /// The user to pause; None for the whole tenant.
    pub user: Option<String>,
    /// The reason: 1 to [`MAX_REASON_CHARS`] characters.
    pub reason: String,
    /// The name of the operator; None for a request without a name.
    pub operator: Option<String>,
}

/// The answer to a [`PauseRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum PauseReply {
    /// The tenant or user is paused.
    Paused {
        /// The pause. If an earlier request paused the same tenant or user, its reason stays.
        pause: Pause,
        /// Whether this request paused the tenant or user.
        changed: bool,
    },
    /// The notifier refused the request and changed nothing.
    Refused {
        /// The problem: `invalid-request` or `unavailable`.
        problem: Problem,
    },
}

/// The request to resume a tenant or a user, on [`crate::subject::OPS_RESUME`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResumeRequest {
    /// The tenant to resume, or the tenant of the user.
    pub tenant: String,
    /// The user to resume; None for the whole tenant.
    pub user: Option<String>,
    /// The reason: at most [`MAX_REASON_CHARS`] characters.
    pub reason: Option<String>,
    /// The name of the operator; None for a request without a name.
    pub operator: Option<String>,
}

/// The answer to a [`ResumeRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ResumeReply {
    /// The tenant or user has no pause of its own.
    Resumed {
        /// The tenant of the request.
        tenant: String,
        /// The user of the request; null for the whole tenant.
        user: Option<String>,
        /// Whether this request ended a pause.
        changed: bool,
        /// The pause of the whole tenant, if the exports of the user still wait because of it.
        still_paused: Option<Pause>,
    },
    /// The notifier refused the request and changed nothing.
    Refused {
        /// The problem: `invalid-request` or `unavailable`.
        problem: Problem,
    },
}

/// The request for the paused tenants and users, on [`crate::subject::OPS_PAUSES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PausesRequest {}

/// The answer to a [`PausesRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum PausesReply {
    /// The paused tenants and users.
    Pauses {
        /// The pauses, newest first, at most 1000.
        items: Vec<Pause>,
    },
    /// The notifier refused the request.
    Refused {
        /// The problem: `invalid-request` or `unavailable`.
        problem: Problem,
    },
}

/// What an operator did, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorAct {
    /// The time of the act.
    pub at: Timestamp,
    /// The name of the operator.
    pub operator: String,
    /// The action: `pause`, `resume`, `cancel`, `requeue`, `drain` or `undrain`.
    pub action: String,
    /// The tenant that the act is about.
    pub tenant: Option<String>,
    /// The user that the act is about.
    pub user: Option<String>,
    /// The export that the act is about.
    pub export_id: Option<crate::id::ExportId>,
    /// The exporter that the act is about.
    pub exporter: Option<String>,
    /// The reason that the operator gave.
    pub reason: Option<String>,
}
