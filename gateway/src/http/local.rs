//! `/local`: signing in as one of the people of a trial installation. Answers 404 anywhere else.

use std::time::Duration;

use axum::{Json, extract::State, http::HeaderMap};
use protocol::{problem::Slug, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    extract::{Body, invalid},
    origin,
};
use crate::{
    app::App,
    auth::local,
    config::Person,
    error::{Outcome, Refusal},
};

const HOUR_S: u64 = 3600;

#[derive(Serialize)]
pub(super) struct People {
    people: Vec<Person>,
}

/// `GET /local/people`
pub(super) async fn people(State(app): State<App>, headers: HeaderMap) -> Outcome<Json<People>> {
    enabled(&app, &headers)?;
    Ok(Json(People { people: app.config.identity.local.people.clone() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    person: String,
}

#[derive(Serialize)]
pub(super) struct SignedIn {
    token: String,
    expires_at: Timestamp,
    sub: String,
    tenant: String,
}

/// `POST /local/sign-in`
pub(super) async fn sign_in(
    State(app): State<App>,
    headers: HeaderMap,
    Body(request): Body<SignIn>,
) -> Outcome<Json<SignedIn>> {
    enabled(&app, &headers)?;
    if !origin::is_allowed(&headers, &app.config.allowed_origins) {
        return Err(Refusal::new(Slug::Forbidden, "Pages of this origin may not sign in here."));
    }
    let local = &app.config.identity.local;
    let person = local.people.iter().find(|p| p.id == request.person);
    let person = person.ok_or_else(|| invalid("/person", "nobody here has this id"))?;
    let ttl = Duration::from_secs(if local.token_ttl_s == 0 { HOUR_S } else { local.token_ttl_s });
    let (tenant, sub) = (person.tenant.clone(), person.sub.clone());
    let (token, expires_at) = local::sign(&app.config.identity, &tenant, &sub, "export:*", ttl, app.clock.now())
        .map_err(|e| Refusal::new(Slug::Internal, e.to_string()))?;
    Ok(Json(SignedIn { token, expires_at: expires_at.into(), sub, tenant }))
}

/// Signing in needs no password, so it is for this machine alone.
fn enabled(app: &App, headers: &HeaderMap) -> Outcome<()> {
    let local = &app.config.identity.local;
    if local.sign_in && !local.secret.is_empty() && origin::is_loopback(headers) {
        return Ok(());
    }
    Err(Refusal::new(Slug::NotFound, "There is no local sign-in here."))
}
