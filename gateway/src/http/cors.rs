//! What pages of the allowed origins may do (the Fetch standard, CORS protocol). Others may do nothing.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember the answer to its preflight.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Requests carry bearer tokens, never cookies, so credentials are not allowed.
pub(super) fn layer(origins: &[String]) -> CorsLayer {
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let own = HeaderName::from_static;
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::RANGE,
            header::IF_RANGE,
            header::IF_NONE_MATCH,
            own("idempotency-key"),
            own("last-event-id"),
            own("prefer"),
            own("traceparent"),
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
            own("repr-digest"),
            own("preference-applied"),
            own("ratelimit"),
            own("ratelimit-policy"),
            own("x-progress"),
        ])
        .max_age(MAX_AGE)
}
