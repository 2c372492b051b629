//! `/v1/exports/estimate`: what an export would be, before anybody asks for it.

use axum::{Json, extract::State, http::header};
use protocol::{
    estimate::{Estimate, EstimateQuestion, EstimateReply},
    export::ExportRequest,
    problem::Slug,
    subject,
};
use tracing::warn;

use super::extract::Body;
use crate::{
    app::App,
    auth::Caller,
    error::{Outcome, Refusal},
    validate,
};

/// Seconds after which it is worth asking again.
const RETRY_AFTER: u32 = 2;

/// `POST /v1/exports/estimate`
pub(super) async fn estimate(
    State(app): State<App>,
    caller: Caller,
    Body(request): Body<ExportRequest>,
) -> Outcome<Json<Estimate>> {
    let (offer, checked) = validate::admit(&app.catalog, &caller, &request)?;
    let request = ExportRequest {
        dataset: request.dataset,
        template: Some(checked.template),
        format: Some(checked.format),
        compression: Some(checked.compression),
        filter: Some(checked.filter),
        columns: Some(checked.columns),
        params: Some(checked.params),
    };
    let question = EstimateQuestion { request, claims: caller.claims };
    match app.bus.request(&subject::delivery_estimate(&offer.pool), &question).await {
        Ok(EstimateReply::Estimated { estimate }) => Ok(Json(estimate)),
        Ok(EstimateReply::Refused { problem }) => Err(problem.into()),
        Err(e) => {
            warn!(dataset.name = %offer.dataset.info.name, error = %e, "no exporter estimates");
            let refusal = Refusal::new(Slug::Unavailable, "No exporter answers just now.");
            Err(refusal.with_header(header::RETRY_AFTER, RETRY_AFTER))
        }
    }
}
