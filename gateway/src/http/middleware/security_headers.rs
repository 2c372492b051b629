//! Sets the security headers of every response.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

/// The default Content-Security-Policy, for responses whose handler sets none. A page with this policy can load nothing
/// and cannot be embedded by another page. The policy permits inline styles, because the pages that explain problems
/// use them.
const DEFAULT_CSP: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The request header in which a proxy sends the scheme of the client's connection.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The value of the response header `Strict-Transport-Security` (RFC 6797). With None, the gateway never sends the
/// header.
#[derive(Clone, Debug)]
pub(crate) struct Hsts(Option<HeaderValue>);

impl Hsts {
    /// Creates the value of the header with this `max-age`. If `max_age` is below one second, the gateway never sends
    /// the header.
    pub(crate) fn new(max_age: Duration) -> Self {
        let seconds = max_age.as_secs();
        Self((seconds > 0).then(|| HeaderValue::try_from(format!("max-age={seconds}")).ok()).flatten())
    }
}

/// Middleware that sets each security header that the handler has not set. The middleware sends
/// `Strict-Transport-Security` only if a proxy reports an HTTPS connection of the client.
pub(crate) async fn set(State(Hsts(hsts)): State<Hsts>, request: Request, next: Next) -> Response {
    // a client that forges `X-Forwarded-Proto` changes only its own response
    let https =
        request.headers().get(FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, DEFAULT_CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    // RFC 6797, section 7.2: a server must not send the header over plain HTTP
    if let Some(hsts) = hsts.filter(|_| https) {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    }
    response
}
