//! `/local`: sign-in without a password as a configured user, for a trial on one machine. While the setting
//! `gateway.identity.local.sign_in` is off, these endpoints answer `404`. With `sign_in = "link"`, a browser must first
//! exchange the code of a one-time link for a browser key.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, header},
    response::IntoResponse,
};
use protocol::{operate::OPERATE_SCOPE, problem::Slug, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    endpoint::Endpoint,
    extract::{Body, invalid},
    no_store::NO_STORE,
};
use crate::{
    auth::{local, origin},
    config::{LocalSignIn, LocalUser},
    error::{Outcome, Refusal},
    state::AppState,
};

/// The request header in which the web page sends the browser key: the secret that the browser got for the code of a
/// sign-in link.
const BROWSER_KEY: HeaderName = HeaderName::from_static("sluice-browser-key");

/// The lifetime of a token of a local user.
const TOKEN_TTL: Duration = Duration::from_secs(60 * 60);
/// The scopes of every local user.
const SCOPE: &str = "export:* keys:manage";

pub(super) fn endpoints() -> [Endpoint; 3] {
    [
        Endpoint::get("/local/people", people),
        Endpoint::post("/local/browser-key", browser_key),
        Endpoint::post("/local/sign-in", sign_in),
    ]
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
struct Link {
    /// The code of a one-time sign-in link.
    code: String,
}

#[derive(Serialize)]
struct BrowserKey {
    key: String,
}

async fn browser_key(
    State(app): State<AppState>,
    headers: HeaderMap,
    Body(link): Body<Link>,
) -> Outcome<impl IntoResponse> {
    check_enabled(&app, &headers)?;
    check_origin(&app, &headers)?;
    let key = app.sign_in_links.redeem(&link.code);
    let key = key.ok_or_else(|| link_required("The sign-in link was used or has expired."))?;
    Ok((NO_STORE, Json(BrowserKey { key })))
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
    check_origin(&app, &headers)?;
    let local = &app.config.identity.local;
    let key = headers.get(BROWSER_KEY).and_then(|key| key.to_str().ok());
    if local.sign_in == LocalSignIn::Link && !key.is_some_and(|key| app.sign_in_links.is_browser_key(key)) {
        return Err(link_required("This browser has not opened a sign-in link."));
    }
    let person = local.sign_in_users.iter().find(|p| p.id == request.person);
    let person = person.ok_or_else(|| invalid("/person", "no user has this id"))?;
    let (tenant, sub) = (person.tenant.clone(), person.sub.clone());
    let scope = if person.operator { format!("{SCOPE} {OPERATE_SCOPE}") } else { SCOPE.to_owned() };
    let (token, expires_at) = local::sign(&app.config.identity, &tenant, &sub, &scope, TOKEN_TTL, app.clock.now())
        .map_err(|e| Refusal::new(Slug::Internal, e.to_string()))?;
    Ok((NO_STORE, Json(SignedIn { token, expires_at: expires_at.into(), sub, tenant })))
}

/// Refuses a request with `404` if local sign-in is off, or if the `Host` header does not name a loopback address. Only
/// browsers on this machine may use local sign-in, because local sign-in requires no password.
fn check_enabled(app: &AppState, headers: &HeaderMap) -> Outcome<()> {
    let local = &app.config.identity.local;
    if local.has_sign_in() && origin::is_loopback_request(headers) {
        return Ok(());
    }
    Err(Refusal::new(Slug::NotFound, "This gateway has no local sign-in."))
}

fn check_origin(app: &AppState, headers: &HeaderMap) -> Outcome<()> {
    if origin::is_allowed(headers, &app.config.allowed_origins) {
        return Ok(());
    }
    Err(Refusal::new(Slug::Forbidden, "Pages of this origin may not sign in."))
}

/// Creates the refusal of a browser that has no valid browser key, or that sent a link code that is not valid. `reason`
/// is the first sentence of the refusal's text.
fn link_required(reason: &str) -> Refusal {
    let detail = format!("{reason} `sluice sign-in-link` prints a new one.");
    Refusal::new(Slug::Unauthorized, detail).with_header(header::WWW_AUTHENTICATE, "Sluice-Sign-In-Link")
}
