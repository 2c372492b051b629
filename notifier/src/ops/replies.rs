//! Helpers for the replies to operators: metrics, problems and page limits.

use protocol::{
    id::ExportId,
    problem::{FieldError, Problem, Slug},
};

/// Counts a request of an operator in the metrics. The label `result` is `done` if `done` is true, and `refused`
/// otherwise.
pub(super) fn count_request(endpoint: &'static str, done: bool) {
    let result = if done { "done" } else { "refused" };
    metrics::counter!("sluice_ops_export_requests_total", "endpoint" => endpoint, "result" => result).increment(1);
}

/// Whether a text has the character U+0000, which PostgreSQL refuses.
pub(super) fn has_nul(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.contains('\0'))
}

pub(super) fn unknown_export(id: ExportId) -> Problem {
    let errors = vec![FieldError::new("/export_id", "unknown")];
    Problem { errors, ..Problem::new(Slug::NotFound, format!("There is no export {id}.")) }
}

/// Returns the largest number of items in the page of a reply: the requested number, or `default` if the request
/// contains no number.
///
/// # Errors
/// A problem when the requested number is 0 or exceeds `max`.
pub(super) fn page_limit(requested: Option<u32>, default: u32, max: u32) -> Result<u64, Problem> {
    let limit = requested.unwrap_or(default);
    if (1..=max).contains(&limit) {
        return Ok(limit.into());
    }
    let fault = FieldError::new("/limit", format!("The limit is from 1 to {max}."));
    Err(Problem::invalid(Slug::InvalidRequest, vec![fault]))
}
