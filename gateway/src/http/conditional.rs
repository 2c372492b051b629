//! Conditional requests (RFC 9110, section 13): entity tags, and `304` for a client that has the current representation.

use aws_lc_rs::digest;
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use protocol::problem::Slug;
use serde::Serialize;

use crate::error::{Outcome, Refusal};

/// Whether the request header `If-None-Match` contains this entity tag. The comparison ignores the prefix `W/` of weak
/// tags, as RFC 9110 requires for this header.
pub(crate) fn is_known(request: &HeaderMap, etag: &str) -> bool {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let wanted = strong(etag);
    let lists = request.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|tag| tag.trim() == "*" || strong(tag) == wanted)
}

/// Returns a strong entity tag for these bytes: a hash of the bytes in quotes.
pub(crate) fn strong_etag(bytes: &[u8]) -> String {
    format!("\"{}\"", hex::encode(&digest::digest(&digest::SHA256, bytes).as_ref()[..16]))
}

/// Answers with `value` as JSON and with a weak entity tag of this JSON. Answers `304` if the client already has the
/// same JSON.
///
/// # Errors
/// When `value` can't be written as JSON.
pub(super) fn json<T: Serialize>(request: &HeaderMap, value: &T) -> Outcome<Response> {
    let body = serde_json::to_vec(value)
        .map_err(|e| Refusal::new(Slug::Internal, format!("The server failed to write its answer: {e}.")))?;
    let etag = format!("W/{}", strong_etag(&body));
    let mut response = if is_known(request, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_tags_is_compared_weakly() {
        let tag = strong_etag(b"body");
        for (header, known) in [
            (tag.clone(), true),
            (format!("W/{tag}"), true),
            (format!("\"other\", W/{tag}"), true),
            ("*".into(), true),
            ("\"other\"".into(), false),
            (tag.trim_matches('"').to_owned(), false),
        ] {
            let request = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(&header).unwrap())]);
            assert_eq!(is_known(&request, &tag), known, "{header}");
            assert_eq!(is_known(&request, &format!("W/{tag}")), known, "{header}");
        }
        assert!(!is_known(&HeaderMap::new(), &tag));
    }

    #[test]
    fn the_same_value_is_not_sent_twice() {
        let first = json(&HeaderMap::new(), &["a"]).unwrap();
        assert_eq!(first.status(), 200);
        let tag = first.headers()[header::ETAG].clone();
        let request = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]);
        assert_eq!(json(&request, &["a"]).unwrap().status(), 304);
        assert_eq!(json(&request, &["b"]).unwrap().status(), 200);
    }
}
