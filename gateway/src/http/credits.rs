//! `GET /v1/credits`.

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};

use crate::{app::App, auth::Caller, error::Outcome};

pub(super) async fn get(State(app): State<App>, caller: Caller) -> Outcome<Response> {
    let view = app.credits.view(&caller.owner).await?;
    let mut headers = HeaderMap::new();
    for (name, value) in app.credits.rate_limit(view.balance) {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    Ok((headers, Json(view)).into_response())
}
