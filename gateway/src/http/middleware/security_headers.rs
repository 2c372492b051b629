//! Sets the security headers of every response: pages, problems, files and refusals.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

/// The Content-Security-Policy of responses without their own: load nothing, and allow no frames. Inline styles are
/// allowed for the pages that explain problems.
const DEFAULT_CSP: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The scheme of the client's connection, set by the proxy.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The value of `Strict-Transport-Security`; None: the header is not sent.
#[derive(Clone, Debug)]
pub(crate) struct Hsts(Option<HeaderValue>);

impl Hsts {
    /// Sends the header with this `max-age`; less than a second: never.
    pub(crate) fn new(max_age: Duration) -> Self {
        let seconds = max_age.as_secs();
        Self((seconds > 0).then(|| HeaderValue::try_from(format!("max-age={seconds}")).ok()).flatten())
    }
}

/// Middleware: sets each header that the handler has not set.
pub(crate) async fn set(State(Hsts(hsts)): State<Hsts>, request: Request, next: Next) -> Response {
    // a client that forges the header changes only its own response
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
