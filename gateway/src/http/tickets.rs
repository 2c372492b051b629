//! `/v1/tickets`: creates single-use tickets for WebSocket handshakes of browsers.

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};

use super::{endpoint::Endpoint, no_store::NO_STORE};
use crate::{
    auth::{Caller, Ticket},
    error::Outcome,
    state::AppState,
};

pub(super) fn endpoints() -> [Endpoint; 1] {
    [Endpoint::post("/v1/tickets", create).operation(
        "createTicket",
        "Create a ticket for one WebSocket",
        |operation| operation.json::<Ticket>(201, "The ticket; it works once, for 30 seconds."),
    )]
}

async fn create(State(app): State<AppState>, caller: Caller) -> Outcome<impl IntoResponse> {
    Ok((StatusCode::CREATED, NO_STORE, Json(app.tickets.issue(&caller).await?)))
}
