//! Entity tags of JSON answers (RFC 9110, section 8.8.3).

use aws_lc_rs::digest;
use axum::{
    Json,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// Answers with a list and its weak entity tag, or with `304` when the client has this list already. The tag is weak,
/// because a proxy may compress the answer.
pub(super) fn tagged_list(request: &HeaderMap, list: &impl Serialize) -> Response {
    let opaque = opaque_tag(list);
    let headers = [(header::ETAG, format!("W/{opaque}")), (header::CACHE_CONTROL, "private, no-cache".to_owned())];
    if is_known(request, &opaque) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, Json(list)).into_response()
}

/// A hash of a value's JSON in quotes: a strong entity tag.
pub(super) fn opaque_tag(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).unwrap_or_default();
    format!("\"{}\"", hex::encode(&digest::digest(&digest::SHA256, &json).as_ref()[..16]))
}

/// Whether `If-None-Match` names this tag, by weak comparison, or every tag by `*`.
pub(super) fn is_known(request: &HeaderMap, opaque_tag: &str) -> bool {
    let known = request.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    known
        .flat_map(|list| list.split(','))
        .any(|tag| tag.trim() == "*" || tag.trim().trim_start_matches("W/") == opaque_tag)
}
