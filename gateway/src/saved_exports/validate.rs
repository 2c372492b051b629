//! Checks the members of a saved export that a user may write, and applies a merge patch to them.

use chrono::{DateTime, Utc};
use platform::catalog::Catalog;
use protocol::{
    export::ExportRequest,
    json::{self, child},
    problem::{FieldError, Problem, Slug},
    saved_export::SavedExportRequest,
};
use serde_json::{Map, Value};

use super::view;
use crate::{
    auth::Caller,
    error::{Outcome, Refusal},
    exports::{IDEMPOTENCY_KEY_POINTER, validate::authorize_and_validate},
};

/// The maximum length of a name, in characters.
const MAX_NAME_CHARS: usize = 100;
/// The maximum size of a stored export request as JSON, in bytes. A page of a list has many of them.
const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Checks every member except the export request.
///
/// # Errors
/// `invalid-request` with each fault.
pub(super) fn check_settings(request: &SavedExportRequest) -> Outcome<()> {
    let mut faults = Vec::new();
    let length = request.name.chars().count();
    if !(1..=MAX_NAME_CHARS).contains(&length) || request.name.trim().is_empty() {
        faults.push(FieldError::new("/name", format!("expected 1 to {MAX_NAME_CHARS} characters, not only spaces")));
    } else if request.name.chars().any(char::is_control) {
        faults.push(FieldError::new("/name", "expected a text without control characters"));
    }
    for (index, target) in request.deliver_to.iter().enumerate() {
        let pointer = child(&child("/deliver_to", &index.to_string()), "destination");
        faults.push(FieldError::new(pointer, format!("unknown destination `{}`", target.destination)));
    }
    for (index, way) in request.notify.iter().flatten().enumerate() {
        let detail = format!("this installation does not notify by `{way}`");
        faults.push(FieldError::new(child("/notify", &index.to_string()), detail));
    }
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(Slug::InvalidRequest, faults).into()) }
}

/// Checks an export request as if the caller submitted it.
///
/// # Errors
/// The refusal of the request, with pointers below `/request`; `invalid-request` for a request that is too large.
pub(super) fn check_request(
    catalog: &Catalog,
    caller: &Caller,
    request: &ExportRequest,
    now: DateTime<Utc>,
) -> Outcome<()> {
    if view::json(request)?.to_string().len() > MAX_REQUEST_BYTES {
        let fault = FieldError::new("/request", format!("a saved request has at most {MAX_REQUEST_BYTES} bytes"));
        return Err(Problem::invalid(Slug::InvalidRequest, vec![fault]).into());
    }
    authorize_and_validate(catalog, caller, request, now).map_err(nest_request_faults)?;
    Ok(())
}

/// Adds `/request` to the pointer of each fault of an export request, because the request is a member of the saved
/// export. The idempotency key is no member of it.
pub(super) fn nest_request_faults(mut refusal: Refusal) -> Refusal {
    let faults = refusal.problem.errors.iter_mut();
    for fault in faults.filter(|fault| fault.pointer != IDEMPOTENCY_KEY_POINTER) {
        fault.pointer.insert_str(0, "/request");
    }
    refusal
}

/// Applies a merge patch (RFC 7396) to the members that a user may write.
///
/// # Errors
/// `invalid-request` when the result has an unknown or invalid member.
pub(super) fn merge_patch(before: &SavedExportRequest, patch: Value) -> Outcome<SavedExportRequest> {
    let mut document = view::json(before)?;
    merge(&mut document, patch);
    json::decode(document).map_err(|fault| Problem::invalid(Slug::InvalidRequest, vec![fault]).into())
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(members) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(&name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_follows_the_examples_of_rfc_7396() {
        for (target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = target.clone();
            merge(&mut merged, patch.clone());
            assert_eq!(merged, expected, "{target} {patch}");
        }
    }
}
