//! Axum extractors, which validate callers, export ids, bodies and preferences before a handler runs.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request, rejection::BytesRejection},
    http::{HeaderMap, header, request::Parts},
};
use platform::units::ByteSize;
use protocol::{
    envelope::TraceContext,
    id::ExportId,
    json,
    problem::{FieldError, Problem, Slug},
};
use serde::de::DeserializeOwned;

use crate::{
    auth::{AuthError, Caller},
    error::Refusal,
    state::AppState,
};

/// The maximum size of a request body: 1 MiB.
pub(crate) const MAX_BODY_SIZE: ByteSize = ByteSize::mib(1);
/// The longest wait of `Prefer: wait`, in seconds. The gateway shortens a longer wait to this limit.
const MAX_WAIT_SECONDS: u64 = 60;

/// Reads the bearer token of a request (RFC 6750, section 2.1).
///
/// # Errors
/// When the `Authorization` header is missing or has another scheme.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, AuthError> {
    let value = headers.get(header::AUTHORIZATION).ok_or(AuthError::Missing)?;
    let (scheme, token) = value.to_str().ok().and_then(|v| v.split_once(' ')).ok_or(AuthError::Scheme)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(AuthError::Scheme);
    }
    Ok(token.trim())
}

/// Reads the client's trace context from the `traceparent` header (W3C Trace Context). Returns None if the header is
/// missing or invalid.
#[must_use]
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<TraceContext> {
    headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(TraceContext::parse)
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Self::Rejection> {
        Ok(app.authenticator.verify(bearer(&parts.headers)?).await?)
    }
}

/// Extracts the export id from the path. The gateway refuses a malformed id as `not-found`, like an unknown id.
#[derive(Debug)]
pub(super) struct ExportPath(pub(super) ExportId);

impl FromRequestParts<AppState> for ExportPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Self::Rejection> {
        let not_found = || Refusal::new(Slug::NotFound, "You have no such export.");
        let Path(id) = Path::<String>::from_request_parts(parts, app).await.map_err(|_| not_found())?;
        id.parse().map(Self).map_err(|_| not_found())
    }
}

/// Extracts a JSON body. Refuses a body with an unknown or invalid member. The problem names the member by its JSON
/// pointer.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<AppState> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, Self::Rejection> {
        let bytes = Bytes::from_request(request, app).await.map_err(|e| match e {
            BytesRejection::FailedToBufferBody(e) if e.status() == 413 => {
                let detail = format!("A request body must not exceed {} bytes.", MAX_BODY_SIZE.bytes());
                Refusal::new(Slug::TooLarge, detail)
            }
            _ => invalid("", "the body cannot be read"),
        })?;
        let value = json::parse(&bytes).map_err(|e| {
            let detail = if e.is_data() { e.to_string() } else { format!("not JSON: {e}") };
            invalid("", &detail)
        })?;
        if !value.is_object() {
            return Err(invalid("", "expected a JSON object"));
        }
        json::decode(value).map(Self).map_err(|e| Problem::invalid(Slug::InvalidRequest, vec![e]).into())
    }
}

/// Creates the refusal `invalid-request` of a request with one invalid member. `pointer` is the JSON pointer of the
/// member, and `detail` says what is wrong with it.
#[must_use]
pub(super) fn invalid(pointer: &str, detail: &str) -> Refusal {
    Problem::invalid(Slug::InvalidRequest, vec![FieldError::new(pointer, detail)]).into()
}

/// Extracts the wait of `Prefer: wait=N`, where `N` is in seconds (RFC 7240, section 4.3). The wait is at most
/// [`MAX_WAIT_SECONDS`]. None if the request has no valid preference of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PreferWait(pub(super) Option<Duration>);

impl FromRequestParts<AppState> for PreferWait {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Self::Rejection> {
        let lists = parts.headers.get_all("prefer").into_iter().filter_map(|v| v.to_str().ok());
        let seconds = lists.flat_map(|list| list.split([',', ';'])).find_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"').parse::<u64>().ok())?
        });
        Ok(Self(seconds.map(|seconds| Duration::from_secs(seconds.min(MAX_WAIT_SECONDS)))))
    }
}

/// Extracts the trace context that [`super::problems::finish`] has added to the request. Creates a new trace context if
/// the request has none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace(pub(super) TraceContext);

impl FromRequestParts<AppState> for Trace {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Self::Rejection> {
        let trace = parts.extensions.get::<TraceContext>().copied();
        Ok(Self(trace.unwrap_or_else(TraceContext::generate)))
    }
}
