//! Validates the export request of a caller, with the headers of a refusal.

use axum::http::header;
use chrono::{DateTime, Utc};
pub(crate) use platform::catalog::ValidRequest;
use platform::catalog::{self, Catalog, Offer};
use protocol::{export::ExportRequest, problem::Slug};

use crate::{
    auth::Caller,
    error::{Outcome, Refusal},
};

/// The value of `Retry-After` while no exporter offers a dataset, in seconds.
const RETRY_AFTER_SECONDS: u32 = 5;

/// Checks that the caller may export the requested dataset, and validates every member of the request, by
/// [`catalog::authorize_and_validate`].
///
/// # Errors
/// The errors of that function.
pub(crate) fn authorize_and_validate(
    catalog: &Catalog,
    caller: &Caller,
    request: &ExportRequest,
    now: DateTime<Utc>,
) -> Outcome<(Offer, ValidRequest)> {
    catalog::authorize_and_validate(catalog, &caller.scopes, request, now).map_err(|problem| {
        let is_outage = problem.slug() == Slug::Unavailable;
        let refusal = Refusal::from(problem);
        if is_outage { refusal.with_header(header::RETRY_AFTER, RETRY_AFTER_SECONDS) } else { refusal }
    })
}
