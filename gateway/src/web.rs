//! The page: hashed assets that may be kept for a year, and `index.html` for every other path.

use std::path::Path;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, Request, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::any_service,
};
use protocol::problem::Slug;
use tower_http::services::{ServeDir, ServeFile};

use crate::error::Refusal;

/// Only our own scripts; styles may be inline, as component libraries set them.
const CSP: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
     connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'";

/// Serves the built page from this folder; without one, every path is a `not-found` problem.
pub fn service(folder: &str) -> Router {
    if folder.is_empty() || !Path::new(folder).join("index.html").is_file() {
        return Router::new().fallback(|| async { Refusal::new(Slug::NotFound, "There is no such path.") });
    }
    let index = ServeFile::new(Path::new(folder).join("index.html"));
    let files = ServeDir::new(folder).precompressed_gzip().fallback(index);
    Router::new().fallback_service(any_service(files)).layer(middleware::from_fn(headers))
}

async fn headers(request: Request<axum::body::Body>, next: Next) -> Response {
    let hashed = request.uri().path().starts_with("/assets/");
    let mut response = next.run(request).await;
    if hashed && response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/html")) {
        // an asset of an older build must not be answered with the page
        return Refusal::new(Slug::NotFound, "There is no such asset.").into_response();
    }
    let cache = if hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    let set = [
        (header::CACHE_CONTROL, cache),
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
    ];
    for (name, value) in set {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
