//! Problem details (RFC 9457): the one shape of every error that a client sees.

use std::{borrow::Cow, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of a problem. `type` on the wire is `/problems/<slug>`, where the gateway serves a page about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each slug is explained, for people, by `Slug::explanation`")]
pub enum Slug {
    Unauthorized,
    Forbidden,
    NotFound,
    InvalidRequest,
    UnknownDataset,
    UnknownTemplate,
    InvalidFilter,
    CreditsExhausted,
    TooManyExports,
    IdempotencyConflict,
    Restarted,
    NotReady,
    Expired,
    Canceled,
    ExportFailed,
    TooLarge,
    RateLimited,
    Unavailable,
    Internal,
}

impl Slug {
    /// Every slug, in the order of the contract.
    pub const ALL: [Self; 19] = [
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::InvalidRequest,
        Self::UnknownDataset,
        Self::UnknownTemplate,
        Self::InvalidFilter,
        Self::CreditsExhausted,
        Self::TooManyExports,
        Self::IdempotencyConflict,
        Self::Restarted,
        Self::NotReady,
        Self::Expired,
        Self::Canceled,
        Self::ExportFailed,
        Self::TooLarge,
        Self::RateLimited,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The slug as it stands in `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::InvalidRequest => "invalid-request",
            Self::UnknownDataset => "unknown-dataset",
            Self::UnknownTemplate => "unknown-template",
            Self::InvalidFilter => "invalid-filter",
            Self::CreditsExhausted => "credits-exhausted",
            Self::TooManyExports => "too-many-exports",
            Self::IdempotencyConflict => "idempotency-conflict",
            Self::Restarted => "restarted",
            Self::NotReady => "not-ready",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
            Self::ExportFailed => "export-failed",
            Self::TooLarge => "too-large",
            Self::RateLimited => "rate-limited",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The slug of a `type` member, whole (`/problems/x`) or bare (`x`).
    #[must_use]
    pub fn from_type(kind: &str) -> Option<Self> {
        let slug = kind.strip_prefix("/problems/").unwrap_or(kind);
        Self::ALL.into_iter().find(|s| s.as_str() == slug)
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::InvalidRequest
            | Self::UnknownDataset
            | Self::UnknownTemplate
            | Self::InvalidFilter
            | Self::IdempotencyConflict => 422,
            Self::CreditsExhausted | Self::TooManyExports | Self::RateLimited => 429,
            Self::Restarted | Self::NotReady | Self::Canceled | Self::ExportFailed => 409,
            Self::Expired => 410,
            Self::TooLarge => 413,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }

    /// A short title for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Unauthorized => "Sign in first",
            Self::Forbidden => "Not allowed",
            Self::NotFound => "Not found",
            Self::InvalidRequest => "The request is not valid",
            Self::UnknownDataset => "No such dataset",
            Self::UnknownTemplate => "No such template",
            Self::InvalidFilter => "The filter is not valid",
            Self::CreditsExhausted => "No credits left",
            Self::TooManyExports => "Too many exports at once",
            Self::IdempotencyConflict => "The idempotency key was used for something else",
            Self::Restarted => "The file was made anew",
            Self::NotReady => "Not finished yet",
            Self::Expired => "The file is gone",
            Self::Canceled => "The export was canceled",
            Self::ExportFailed => "The export failed",
            Self::TooLarge => "Too large",
            Self::RateLimited => "Too fast",
            Self::Unavailable => "Not available just now",
            Self::Internal => "Something failed on our side",
        }
    }

    /// What it means and what to do, for the page at `/problems/<slug>`.
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Unauthorized => {
                "The request carried no token, or one that is expired, not yet valid, badly signed, or meant for \
                 somebody else. Sign in again and retry with the new token. A ticket works once, for 30 seconds."
            }
            Self::Forbidden => {
                "Your token is good, but its scope does not allow this. Ask for a token with the scope \
                 `export:<dataset>` or `export:*`."
            }
            Self::NotFound => "There is nothing here, or nothing that is yours.",
            Self::InvalidRequest => {
                "A member of the request is missing, unknown, or of the wrong type. `errors` names each one by its \
                 JSON pointer."
            }
            Self::UnknownDataset => "No running exporter offers this dataset. `GET /v1/datasets` lists those on offer.",
            Self::UnknownTemplate => "The dataset has no such template. `GET /v1/datasets/<name>` lists its templates.",
            Self::InvalidFilter => {
                "The filter names an unknown column or operator, or compares with a value of the wrong type. `errors` \
                 points at each place."
            }
            Self::CreditsExhausted => {
                "Each export holds one credit, and none is left. A credit comes back when an export fails or is \
                 canceled. `Retry-After` says when the next one is granted."
            }
            Self::TooManyExports => "Wait until one of your unfinished exports ends, or cancel one.",
            Self::IdempotencyConflict => {
                "The same `Idempotency-Key` came with another body before. Use a fresh key for a new request. While \
                 the first request is still being taken, the status is 409: retry shortly."
            }
            Self::Restarted => {
                "The exporter that made the file died, and the new attempt made other bytes than those you already \
                 have. Throw them away and open the file again from offset 0."
            }
            Self::NotReady => "The export has not finished. Wait for `export.completed`, or open it over the socket.",
            Self::Expired => "The file was kept for its time and then deleted. Export again to get a fresh one.",
            Self::Canceled => "The export was canceled, so there is no file. Its credit was given back.",
            Self::ExportFailed => {
                "The export could not be made. `detail` says why; the credit was given back. Trying again helps only \
                 when the cause has gone."
            }
            Self::TooLarge => {
                "The request is larger than this server accepts. `session.ready` and the docs name the limits."
            }
            Self::RateLimited => "Too many requests in too little time. Wait as long as `Retry-After` says.",
            Self::Unavailable => "A part that this needs is not reachable just now. Retry with growing pauses.",
            Self::Internal => "This is a fault of the server. `trace_id` finds it in the logs.",
        }
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One fault in the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the request body.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

impl FieldError {
    /// A fault at a pointer.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// A problem document. Over HTTP its media type is `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `/problems/<slug>`.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// A short title, the same for each slug.
    pub title: Cow<'static, str>,
    /// The HTTP status, also when the problem travels over a socket.
    pub status: u16,
    /// What happened this time, for people.
    pub detail: String,
    /// The path of the request or of the thing concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Finds the request in logs and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Each fault in the input, for bad input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// A problem of this kind with this detail.
    pub fn new(slug: Slug, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{slug}").into(),
            title: slug.title().into(),
            status: slug.status(),
            detail: detail.into(),
            instance: None,
            trace_id: None,
            errors: Vec::new(),
        }
    }

    /// Bad input: one problem that lists each fault.
    #[must_use]
    pub fn invalid(slug: Slug, errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [] => slug.title().to_owned(),
            [one] => one.detail.clone(),
            [first, rest @ ..] => format!("{} (and {} more)", first.detail, rest.len()),
        };
        Self { errors, ..Self::new(slug, detail) }
    }

    /// The same with another status, for the few slugs that the contract gives two.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same with the path and trace of the request that it answers, where it doesn't say them already.
    #[must_use]
    pub fn with_request(mut self, instance: &str, trace_id: &str) -> Self {
        self.instance.get_or_insert_with(|| instance.to_owned());
        self.trace_id.get_or_insert_with(|| trace_id.to_owned());
        self
    }

    /// The slug in `type`; [`Slug::Internal`] for one that this version does not know.
    #[must_use]
    pub fn slug(&self) -> Slug {
        Slug::from_type(&self.kind).unwrap_or(Slug::Internal)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)?;
        for error in &self.errors {
            write!(f, "\n  {}: {}", error.pointer, error.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_and_as_str_agree_on_every_slug() {
        for slug in Slug::ALL {
            assert_eq!(serde_json::to_value(slug).unwrap(), slug.as_str());
            assert_eq!(Problem::new(slug, "x").slug(), slug);
        }
    }

    #[test]
    fn empty_members_are_left_out() {
        let json = serde_json::to_value(Problem::new(Slug::NotFound, "no such export")).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"type": "/problems/not-found", "title": "Not found", "status": 404, "detail": "no such export"})
        );
    }
}
