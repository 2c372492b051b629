//! `/v1/datasets`: the datasets and columns that the caller may export.

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::HeaderMap,
    response::Response,
};
use protocol::{
    catalog::{DatasetInfo, DatasetList},
    problem::Slug,
};

use super::{conditional, endpoint::Endpoint};
use crate::{
    auth::Caller,
    error::{Outcome, Refusal},
    state::AppState,
};

pub(super) fn endpoints() -> [Endpoint; 2] {
    [
        Endpoint::get("/v1/datasets", list).operation(
            "listDatasets",
            "List the datasets that the caller may export",
            |operation| operation.conditional().json::<DatasetList>(200, "The datasets, sorted by name."),
        ),
        Endpoint::get("/v1/datasets/{name}", get).operation("getDataset", "Read one dataset", |operation| {
            operation.conditional().json::<DatasetInfo>(200, "The dataset.").problems(&[403, 404])
        }),
    ]
}

async fn list(State(app): State<AppState>, caller: Caller, headers: HeaderMap) -> Outcome<Response> {
    let offers = app.catalog.offers(|name| caller.may_export(name));
    let visible = offers.into_values().filter_map(|offer| offer.dataset.visible_to(&caller.scopes));
    conditional::json(&headers, &DatasetList { items: visible.map(|dataset| dataset.info).collect() })
}

async fn get(
    State(app): State<AppState>,
    caller: Caller,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Outcome<Response> {
    let Path(name) = name.map_err(|_| Refusal::new(Slug::NotFound, "There is no such dataset."))?;
    if !caller.may_export(&name) {
        return Err(Refusal::new(Slug::Forbidden, format!("Your token's scope does not allow exports of `{name}`.")));
    }
    let not_offered = || Refusal::new(Slug::NotFound, format!("No running exporter offers a dataset called `{name}`."));
    let forbidden =
        || Refusal::new(Slug::Forbidden, format!("Exports of `{name}` require more scopes than your token has."));
    let offer = app.catalog.find(&name).ok_or_else(not_offered)?;
    conditional::json(&headers, &offer.dataset.visible_to(&caller.scopes).ok_or_else(forbidden)?.info)
}
