//! `/v1/datasets`: what the caller may export.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use protocol::{
    catalog::{DatasetInfo, DatasetList},
    problem::Slug,
};

use crate::{
    app::App,
    auth::Caller,
    error::{Outcome, Refusal},
};

/// `GET /v1/datasets`
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Json<DatasetList> {
    let offers = app.catalog.offers().into_values();
    let theirs = offers.filter(|offer| caller.may_export(&offer.dataset.info.name));
    let items = theirs.filter_map(|offer| offer.dataset.seen_by(&caller.scopes)).map(|seen| seen.info).collect();
    Json(DatasetList { items })
}

/// `GET /v1/datasets/{name}`
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    name: Result<Path<String>, PathRejection>,
) -> Outcome<Json<DatasetInfo>> {
    let Path(name) = name.map_err(|_| Refusal::new(Slug::NotFound, "There is no such dataset."))?;
    if !caller.may_export(&name) {
        return Err(Refusal::new(Slug::Forbidden, format!("Your token's scope does not allow exports of `{name}`.")));
    }
    let offer = app.catalog.find(&name);
    let missing = || Refusal::new(Slug::NotFound, format!("No running exporter offers a dataset called `{name}`."));
    let wanted =
        || Refusal::new(Slug::Forbidden, format!("Exports of `{name}` ask for more scopes than your token has."));
    let seen = offer.ok_or_else(missing)?.dataset.seen_by(&caller.scopes);
    Ok(Json(seen.ok_or_else(wanted)?.info))
}
