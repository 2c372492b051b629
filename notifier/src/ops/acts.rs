//! What operators did: checks their names and reasons, and records their acts.

use chrono::{DateTime, Utc};
use entity::{export, operator_act};
use protocol::{
    ops::{MAX_REASON_CHARS, OperatorAct},
    problem::FieldError,
};

use super::replies::has_nul;
use crate::{deps::Deps, error::NotifierError};

/// The name of an operator whose request has none.
const UNKNOWN: &str = "unknown";
/// The maximum length of an operator's name, in characters. A longer name is cut.
const MAX_NAME_CHARS: usize = 255;

/// Returns the name of the operator as it is stored.
pub(super) fn name(operator: Option<String>) -> String {
    let name: String = operator.unwrap_or_default().chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
    if name.trim().is_empty() { UNKNOWN.to_owned() } else { name }
}

/// Returns the reason without spaces at its ends. `None` if it is missing or empty.
///
/// # Errors
/// The fault of a reason that is too long or has a character that the database refuses.
pub(super) fn checked_reason(reason: Option<&str>) -> Result<Option<String>, FieldError> {
    let reason = reason.unwrap_or_default().trim();
    if reason.chars().count() > MAX_REASON_CHARS || has_nul(Some(reason)) {
        let detail = format!("expected at most {MAX_REASON_CHARS} characters without U+0000");
        return Err(FieldError::new("/reason", detail));
    }
    Ok(Some(reason.to_owned()).filter(|reason| !reason.is_empty()))
}

/// Creates an act without an object and a reason.
pub(super) fn act(action: &str, operator: String, at: DateTime<Utc>) -> OperatorAct {
    OperatorAct {
        at: at.into(),
        operator,
        action: action.to_owned(),
        tenant: None,
        user: None,
        export_id: None,
        exporter: None,
        reason: None,
    }
}

/// Records an act about an export.
///
/// # Errors
/// When the database fails.
pub(super) async fn record_for_export(
    deps: &Deps,
    action: &str,
    row: &export::Model,
    operator: Option<String>,
    reason: Option<String>,
) -> Result<(), NotifierError> {
    let act = OperatorAct {
        tenant: Some(row.tenant.clone()),
        user: Some(row.user_id.clone()),
        export_id: Some(row.export_id()),
        reason,
        ..act(action, name(operator), deps.clock.now())
    };
    Ok(operator_act::record(&deps.db, act).await?)
}
