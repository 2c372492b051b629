//! What handlers take: callers, ids, bodies and preferences, each already checked.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request, rejection::BytesRejection},
    http::{HeaderMap, header, request::Parts},
};
use protocol::{
    envelope::TraceContext,
    id::ExportId,
    json,
    problem::{FieldError, Problem, Slug},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    app::App,
    auth::{AuthError, Caller},
    error::Refusal,
};

/// The bearer token of a request.
///
/// # Errors
/// When there is none, or the header holds something else.
pub fn bearer(headers: &HeaderMap) -> Result<&str, AuthError> {
    let value = headers.get(header::AUTHORIZATION).ok_or(AuthError::Missing)?;
    let (scheme, token) = value.to_str().ok().and_then(|v| v.split_once(' ')).ok_or(AuthError::Scheme)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(AuthError::Scheme);
    }
    Ok(token.trim())
}

/// The span of the caller, where it sent one (W3C Trace Context).
#[must_use]
pub fn traceparent(headers: &HeaderMap) -> Option<TraceContext> {
    headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(TraceContext::parse)
}

impl FromRequestParts<App> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(app.verifier.verify(bearer(&parts.headers)?).await?)
    }
}

/// The export that the path names. What is no id is nobody's export.
#[derive(Debug)]
pub struct ExportPath(pub ExportId);

impl FromRequestParts<App> for ExportPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let missing = || Refusal::new(Slug::NotFound, "You have no such export.");
        let Path(id) = Path::<String>::from_request_parts(parts, app).await.map_err(|_| missing())?;
        id.parse().map(Self).map_err(|_| missing())
    }
}

/// A JSON body, read strictly.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Self::Rejection> {
        let bytes = Bytes::from_request(request, app).await.map_err(|e| match e {
            BytesRejection::FailedToBufferBody(e) if e.status() == 413 => {
                let detail = format!("A request body has at most {} bytes here.", app.config.body_bytes);
                Refusal::new(Slug::TooLarge, detail)
            }
            _ => invalid("", "the body can't be read"),
        })?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|e| invalid("", &format!("not JSON: {e}")))?;
        if !value.is_object() {
            return Err(invalid("", "expected a JSON object"));
        }
        json::decode(value).map(Self).map_err(|e| Problem::invalid(Slug::InvalidRequest, vec![e]).into())
    }
}

/// The refusal of one wrong member.
#[must_use]
pub fn invalid(pointer: &str, detail: &str) -> Refusal {
    Problem::invalid(Slug::InvalidRequest, vec![FieldError::new(pointer, detail)]).into()
}

/// `Prefer: wait=N` (RFC 7240, section 4.3), cut to what the settings allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub Option<Duration>);

impl FromRequestParts<App> for Wait {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let lists = parts.headers.get_all("prefer").into_iter().filter_map(|v| v.to_str().ok());
        let seconds = lists.flat_map(|list| list.split([',', ';'])).find_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"').parse::<u64>().ok())?
        });
        Ok(Self(seconds.map(|s| Duration::from_secs(s.min(app.config.max_wait_s)))))
    }
}

/// The request's trace, put there by [`super::problems::finish`].
#[derive(Clone, Copy, Debug)]
pub struct Trace(pub TraceContext);

impl FromRequestParts<App> for Trace {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Self::Rejection> {
        let trace = parts.extensions.get::<TraceContext>().copied();
        Ok(Self(trace.unwrap_or_else(TraceContext::generate)))
    }
}
