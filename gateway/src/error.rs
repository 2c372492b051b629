//! Maps internal errors to the problem document (RFC 9457) that the caller receives.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use entity::StoreError;
use platform::bus::BusError;
use protocol::problem::{Problem, Slug};
use tracing::error;

/// A refused request: the problem document (RFC 9457) for the caller, and response headers such as `Retry-After`.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) problem: Problem,
    pub(crate) headers: Vec<(HeaderName, String)>,
}

/// The result of a use case, such as the submission of an export. The error becomes an HTTP response, or an `error`
/// message of a session. This type is not the NATS message [`protocol::envelope::Outcome`].
pub(crate) type Outcome<T> = Result<T, Refusal>;

impl Refusal {
    pub(crate) fn new(slug: Slug, detail: impl Into<String>) -> Self {
        Problem::new(slug, detail).into()
    }

    #[must_use]
    pub(crate) fn with_header(mut self, name: HeaderName, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    fn unavailable(detail: &str) -> Self {
        Self::new(Slug::Unavailable, detail).with_header(header::RETRY_AFTER, 2)
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem, headers: Vec::new() }
    }
}

impl From<StoreError> for Refusal {
    fn from(e: StoreError) -> Self {
        error!(error = %e, "database query failed");
        match e {
            StoreError::Db(_) => Self::unavailable("The database does not answer. Retry shortly."),
            StoreError::Damaged { .. } => Self::new(Slug::Internal, "A stored row cannot be read."),
        }
    }
}

impl From<sea_orm::DbErr> for Refusal {
    fn from(e: sea_orm::DbErr) -> Self {
        StoreError::from(e).into()
    }
}

impl From<BusError> for Refusal {
    fn from(e: BusError) -> Self {
        error!(error = %e, "NATS request failed");
        Self::unavailable("An internal service does not answer. Retry shortly.")
    }
}

impl IntoResponse for Refusal {
    /// Puts the problem into the response's extensions and leaves the body empty. The middleware
    /// [`crate::http::problems::finish`] adds the path and the trace id to the problem and writes the body.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response.extensions_mut().insert(self.problem);
        response
    }
}
