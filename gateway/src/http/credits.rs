//! `/v1/credits`: the caller's credit account.

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use protocol::credits::CreditsView;

use super::endpoint::Endpoint;
use crate::{auth::Caller, error::Outcome, state::AppState};

pub(super) fn endpoints() -> [Endpoint; 1] {
    [Endpoint::get("/v1/credits", get).operation("getCredits", "Read the caller's credits", |operation| {
        operation.json::<CreditsView>(200, "The account with its latest ledger entries.")
    })]
}

async fn get(State(app): State<AppState>, caller: Caller) -> Outcome<Response> {
    let view = app.credits.view(&caller.owner).await?;
    let mut headers = HeaderMap::new();
    for (name, value) in app.credits.rate_limit(view.balance) {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    Ok((headers, Json(view)).into_response())
}
