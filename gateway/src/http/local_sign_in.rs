//! `/local`: sign-in without a password as a configured user, for a trial on one machine. Without
//! `gateway.identity.local.passwordless_sign_in` these endpoints answer `404`.

use axum::{Json, extract::State, http::HeaderMap, response::IntoResponse};
use protocol::{problem::Slug, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    NO_STORE,
    endpoint::Endpoint,
    extract::{Body, invalid},
};
use crate::{
    auth::{local, origin},
    config::LocalUser,
    error::{Outcome, Refusal},
    state::AppState,
};

pub(super) fn endpoints() -> [Endpoint; 2] {
    [Endpoint::get("/local/people", people), Endpoint::post("/local/sign-in", sign_in)]
}

#[derive(Serialize)]
struct People {
    people: Vec<LocalUser>,
}

async fn people(State(app): State<AppState>, headers: HeaderMap) -> Outcome<Json<People>> {
    check_enabled(&app, &headers)?;
    Ok(Json(People { people: app.config.identity.local.sign_in_users.clone() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    person: String,
}

#[derive(Serialize)]
struct SignedIn {
    token: String,
    expires_at: Timestamp,
    sub: String,
    tenant: String,
}

async fn sign_in(
    State(app): State<AppState>,
    headers: HeaderMap,
    Body(request): Body<SignIn>,
) -> Outcome<impl IntoResponse> {
    check_enabled(&app, &headers)?;
    if !origin::is_allowed(&headers, &app.config.allowed_origins) {
        return Err(Refusal::new(Slug::Forbidden, "Pages of this origin may not sign in."));
    }
    let local = &app.config.identity.local;
    let person = local.sign_in_users.iter().find(|p| p.id == request.person);
    let person = person.ok_or_else(|| invalid("/person", "no user has this id"))?;
    let ttl = local.token_ttl.get();
    let (tenant, sub) = (person.tenant.clone(), person.sub.clone());
    let (token, expires_at) = local::sign(&app.config.identity, &tenant, &sub, "export:*", ttl, app.clock.now())
        .map_err(|e| Refusal::new(Slug::Internal, e.to_string()))?;
    Ok((NO_STORE, Json(SignedIn { token, expires_at: expires_at.into(), sub, tenant })))
}

/// Refuses a request if local sign-in is off, or if the `Host` header is not a loopback address. Sign-in requires no
/// password, so only this machine may use it.
fn check_enabled(app: &AppState, headers: &HeaderMap) -> Outcome<()> {
    let local = &app.config.identity.local;
    if local.passwordless_sign_in && !local.secret.is_empty() && origin::is_loopback_request(headers) {
        return Ok(());
    }
    Err(Refusal::new(Slug::NotFound, "This gateway has no local sign-in."))
}
