//! `POST /v1/tickets`.

use axum::{Json, extract::State, http::StatusCode};

use crate::{
    app::App,
    auth::{Caller, tickets::Ticket},
    error::Outcome,
};

pub(super) async fn create(State(app): State<App>, caller: Caller) -> Outcome<(StatusCode, Json<Ticket>)> {
    Ok((StatusCode::CREATED, Json(app.tickets.issue(&caller).await?)))
}
