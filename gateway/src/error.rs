//! From what went wrong to what the caller is told.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use entity::StoreError;
use platform::bus::BusError;
use protocol::problem::{Problem, Slug};
use tracing::error;

/// A refused request: the problem, and headers that belong to it.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What the caller is told.
    pub problem: Problem,
    /// Such as `Retry-After`.
    pub headers: Vec<(HeaderName, String)>,
}

/// The answer of a use case.
pub type Outcome<T> = Result<T, Refusal>;

impl Refusal {
    /// A refusal of this kind.
    pub fn new(slug: Slug, detail: impl Into<String>) -> Self {
        Problem::new(slug, detail).into()
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem, headers: Vec::new() }
    }
}

impl From<StoreError> for Refusal {
    fn from(e: StoreError) -> Self {
        error!(error = %e, "the database failed");
        match e {
            StoreError::Db(_) => Self::unavailable("The database does not answer just now."),
            StoreError::Damaged { .. } => Self::new(Slug::Internal, "A stored row can't be read."),
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
        error!(error = %e, "the bus failed");
        Self::unavailable("An internal service does not answer just now.")
    }
}

impl Refusal {
    fn unavailable(detail: &str) -> Self {
        Self::new(Slug::Unavailable, detail).with_header(header::RETRY_AFTER, 2)
    }
}

impl IntoResponse for Refusal {
    /// An empty body with the problem beside it: the outermost layer adds trace and path and writes it
    /// (see [`crate::http::problems`]), so that each problem is complete wherever it came from.
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
