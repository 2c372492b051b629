//! What every answer tells a browser, whatever it holds: pages, problems, files and refusals alike.

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

/// For answers that say nothing of their own: they load nothing and stand in no frame. Inline styles are those of the
/// pages that explain problems.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a proxy in front says of how the client came.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// `Strict-Transport-Security`, where it is wanted.
#[derive(Clone, Debug)]
pub(super) struct Hsts(Option<HeaderValue>);

impl Hsts {
    /// For this many seconds; 0 for none.
    pub(super) fn of(seconds: u64) -> Self {
        Self((seconds > 0).then(|| HeaderValue::try_from(format!("max-age={seconds}")).ok()).flatten())
    }
}

/// Sets what an answer has not set itself.
pub(super) async fn headers(State(Hsts(hsts)): State<Hsts>, request: Request, next: Next) -> Response {
    // who forges this tells nobody but themselves
    let https =
        request.headers().get(FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    // a browser must not heed it over plain HTTP, and no server may send it there (RFC 6797, section 7.2)
    if let Some(hsts) = hsts.filter(|_| https) {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    }
    response
}
