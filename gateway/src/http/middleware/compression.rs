//! Compresses JSON responses with gzip, for clients that accept gzip. Does not compress files, because each export
//! request chooses the compression of its file. Does not compress responses with `Cache-Control: no-store`, because
//! they contain secrets.

use axum::{
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version, header},
    response::Response,
};
use tower_http::compression::{
    CompressionLayer,
    predicate::{And, Predicate, SizeAbove},
};

/// The gateway compresses a JSON response above this size, in bytes. A smaller response fits into one packet without
/// compression.
const MIN_SIZE: u64 = 1_024;

type IsJson = fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool;

/// Builds the layer that compresses JSON responses above [`MIN_SIZE`].
pub(crate) fn layer() -> CompressionLayer<And<SizeAbove, IsJson>> {
    CompressionLayer::new().gzip(true).compress_when(SizeAbove::new(MIN_SIZE).and(is_json as IsJson))
}

fn is_json(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let media_type = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    let is_json = media_type == "application/json" || media_type.ends_with("+json");
    is_json && !text(header::CACHE_CONTROL).contains("no-store")
}

/// Makes the entity tag of a compressed response weak, because the compressed and the plain response have the same tag
/// and different bytes (RFC 9110, section 8.8.1).
pub(crate) async fn weaken_etag(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if headers.contains_key(header::CONTENT_ENCODING)
        && let Some(tag) = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok())
        && !tag.starts_with("W/")
        && let Ok(weak) = HeaderValue::from_str(&format!("W/{tag}"))
    {
        headers.insert(header::ETAG, weak);
    }
    response
}
