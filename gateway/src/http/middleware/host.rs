//! Refuses requests without the `Host` header that HTTP/1.1 requires.

use axum::{
    extract::Request,
    http::{Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use protocol::problem::{Problem, Slug};

use crate::error::Refusal;

/// Middleware that answers `400` to a request of HTTP/1.1 without a `Host` header (RFC 9112, section 3.2).
pub(crate) async fn require(request: Request, next: Next) -> Response {
    if request.version() == Version::HTTP_11 && !request.headers().contains_key(header::HOST) {
        let problem = Problem::new(Slug::InvalidRequest, "Send the `Host` header.").with_status(400);
        return Refusal::from(problem).into_response();
    }
    next.run(request).await
}
