//! `/v1/exports/estimate`: the size, duration and cost of an export before the caller submits it.

use axum::{Json, extract::State, http::header};
use protocol::{
    estimate::{Estimate, EstimateReply, EstimateRequest},
    export::ExportRequest,
    problem::Slug,
    subject,
};
use tracing::warn;

use super::{endpoint::Endpoint, exports::example_request, extract::Body};
use crate::{
    auth::Caller,
    error::{Outcome, Refusal},
    exports::validate::authorize_and_validate,
    state::AppState,
};

/// The value of `Retry-After`, in seconds, in the response to a request that the gateway refuses because no exporter
/// answers.
const RETRY_AFTER_SECONDS: u32 = 2;

pub(super) fn endpoints() -> [Endpoint; 1] {
    [Endpoint::post("/v1/exports/estimate", estimate).operation(
        "estimateExport",
        "Estimate an export without submitting it",
        |operation| {
            operation
                .body::<ExportRequest>(&example_request())
                .json::<Estimate>(200, "The estimate; it costs no credits.")
                .problems(&[403, 413, 422, 503])
        },
    )]
}

async fn estimate(
    State(app): State<AppState>,
    caller: Caller,
    Body(request): Body<ExportRequest>,
) -> Outcome<Json<Estimate>> {
    let (offer, valid) = authorize_and_validate(&app.catalog, &caller, &request, app.clock.now())?;
    let request = ExportRequest {
        dataset: request.dataset,
        template: Some(valid.template),
        format: Some(valid.format),
        compression: Some(valid.compression),
        filter: Some(valid.filter),
        columns: Some(valid.columns),
        params: Some(valid.params),
        time_zone: None,
    };
    let request = EstimateRequest { request, claims: caller.claims };
    match app.bus.request(&subject::delivery_estimate(&offer.pool), &request).await {
        Ok(EstimateReply::Estimated { estimate }) => Ok(Json(estimate)),
        Ok(EstimateReply::Refused { problem }) => Err(problem.into()),
        Err(e) => {
            warn!(dataset.name = %offer.dataset.info.name, error = %e, "no exporter answered an estimate request");
            let refusal = Refusal::new(Slug::Unavailable, "No exporter answers. Retry shortly.");
            Err(refusal.with_header(header::RETRY_AFTER, RETRY_AFTER_SECONDS))
        }
    }
}
