//! Problem details (RFC 9457): the format of every error that a client receives.

use std::{borrow::Cow, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of a problem. The member `type` is `/problems/<slug>`, the path of the page that explains the problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "`Slug::explanation` documents each slug")]
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
    /// Every slug, in the order of the protocol document.
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

    /// The text of the slug, as in `type`.
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

    /// Finds the slug of a `type` such as `/problems/not-found`, or of a name such as `not-found`; None when unknown.
    #[must_use]
    pub fn from_type(kind: &str) -> Option<Self> {
        let slug = kind.strip_prefix("/problems/").unwrap_or(kind);
        Self::ALL.into_iter().find(|s| s.as_str() == slug)
    }

    /// The HTTP status of the problem.
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

    /// A short title for users.
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
            Self::Restarted => "The file was created again",
            Self::NotReady => "Not finished yet",
            Self::Expired => "The file is gone",
            Self::Canceled => "The export was canceled",
            Self::ExportFailed => "The export failed",
            Self::TooLarge => "Too large",
            Self::RateLimited => "Too fast",
            Self::Unavailable => "Temporarily unavailable",
            Self::Internal => "Something failed on our side",
        }
    }

    /// Explains the problem and how to react, for the page at `/problems/<slug>`.
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Unauthorized => {
                "The request carried no token, or one that is expired, not yet valid, badly signed, or issued for \
                 another audience. Sign in again and retry with the new token. A ticket works once, for 30 seconds. An \
                 API key works until it expires or is deleted."
            }
            Self::Forbidden => {
                "Your token is valid, but its scope does not allow this. Request a token with the scope \
                 `export:<dataset>` or `export:*`, and `keys:manage` for API keys."
            }
            Self::NotFound => "The resource does not exist, or it belongs to another user.",
            Self::InvalidRequest => {
                "A member of the request is missing, unknown, or of the wrong type. `errors` names each one by its \
                 JSON pointer."
            }
            Self::UnknownDataset => {
                "No running exporter offers this dataset. `GET /v1/datasets` lists the offered datasets."
            }
            Self::UnknownTemplate => "The dataset has no such template. `GET /v1/datasets/<name>` lists its templates.",
            Self::InvalidFilter => {
                "The filter names an unknown column or operator, or compares with a value of the wrong type. `errors` \
                 names each one by its JSON pointer."
            }
            Self::CreditsExhausted => {
                "An export holds credits until it ends, and you have too few left. The credits of an export come back \
                 when it fails or is canceled. `Retry-After` says when the next credit is granted."
            }
            Self::TooManyExports => "Wait until one of your unfinished exports ends, or cancel one.",
            Self::IdempotencyConflict => {
                "An earlier request had the same `Idempotency-Key` and another body. Use a new key for a new request. \
                 While the first request is still in progress, the status is 409: retry shortly."
            }
            Self::Restarted => {
                "The exporter that wrote the file stopped, and the new attempt wrote other bytes than those you already \
                 have. Discard them and open the file again from offset 0."
            }
            Self::NotReady => {
                "The export has not completed. Wait for `export.completed`, or open the file over the WebSocket."
            }
            Self::Expired => {
                "The file was deleted at the end of its retention. Request the export again for a new file."
            }
            Self::Canceled => "The export was canceled, so it has no file. Its credits were returned.",
            Self::ExportFailed => {
                "The exporter could not create the file. `detail` states the cause, and the credits were returned. Retry \
                 only after the cause is removed."
            }
            Self::TooLarge => {
                "The request is larger than this server accepts. `session.ready` and the docs name the limits."
            }
            Self::RateLimited => "Your requests exceed the rate limit. Wait for the time in `Retry-After`.",
            Self::Unavailable => "A service that the request needs is not reachable. Retry with increasing pauses.",
            Self::Internal => "The server failed. Report the `trace_id`, which identifies the request in the logs.",
        }
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One error in the input of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldError {
    /// A JSON pointer (RFC 6901) into the request body.
    pub pointer: String,
    /// The error at this pointer.
    pub detail: String,
}

impl FieldError {
    /// An error at a JSON pointer.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// A problem document. The media type over HTTP is `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// The kind of the problem: `/problems/<slug>`.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// A short title that depends on the slug only.
    pub title: Cow<'static, str>,
    /// The HTTP status, also in messages over a WebSocket.
    pub status: u16,
    /// A description of this occurrence, for users.
    pub detail: String,
    /// The path of the request or of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The trace id, which identifies the request in logs and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Every error in the input, when the input is invalid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// A problem with the title and the status of the slug.
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

    /// A problem about invalid input that lists each error.
    #[must_use]
    pub fn invalid(slug: Slug, errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [] => slug.title().to_owned(),
            [one] => one.detail.clone(),
            [first, rest @ ..] => format!("{} (and {} more)", first.detail, rest.len()),
        };
        Self { errors, ..Self::new(slug, detail) }
    }

    /// Replaces the HTTP status of the slug, for example by 405 or 416 for `invalid-request`.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds the path and the trace id of the request, unless the problem has them already.
    #[must_use]
    pub fn with_request(mut self, instance: &str, trace_id: &str) -> Self {
        self.instance.get_or_insert_with(|| instance.to_owned());
        self.trace_id.get_or_insert_with(|| trace_id.to_owned());
        self
    }

    /// Returns the slug in `type`. Returns [`Slug::Internal`] if this version does not know the slug.
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
    fn empty_members_are_omitted() {
        let json = serde_json::to_value(Problem::new(Slug::NotFound, "no such export")).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"type": "/problems/not-found", "title": "Not found", "status": 404, "detail": "no such export"})
        );
    }
}
