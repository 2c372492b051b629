//! The CORS layer (Fetch standard), which lets web pages of the origins in the setting `gateway.allowed_origins` call
//! the API.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may cache the response of a preflight request.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Builds the CORS layer for these origins. The layer permits no cookies, because requests carry bearer tokens instead.
pub(crate) fn layer(origins: &[String]) -> CorsLayer {
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let name = HeaderName::from_static;
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::RANGE,
            header::IF_RANGE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            name("idempotency-key"),
            name("last-event-id"),
            name("prefer"),
            name("traceparent"),
        ])
        .expose_headers([
            header::LOCATION,
            header::CONTENT_LOCATION,
            header::CONTENT_DISPOSITION,
            header::CONTENT_RANGE,
            header::ACCEPT_RANGES,
            header::ETAG,
            header::LINK,
            header::RETRY_AFTER,
            name("repr-digest"),
            name("preference-applied"),
            name("ratelimit"),
            name("ratelimit-policy"),
            name("sluice-completed-at"),
            name("sluice-requested-at"),
            name("x-progress"),
        ])
        .max_age(MAX_AGE)
}
