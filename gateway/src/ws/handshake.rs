//! The WebSocket handshake (RFC 6455, section 4.2): authenticates the caller before the upgrade.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use protocol::{
    SUBPROTOCOL, TICKET_SUBPROTOCOL_PREFIX,
    envelope::TraceContext,
    problem::{Problem, Slug},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};
use tracing::debug;

use super::{
    driver,
    requests::{SessionTrace, WS_PATH},
};
use crate::{
    auth::{AuthError, Caller, origin},
    error::{Outcome, Refusal},
    http::{Endpoint, extract},
    state::AppState,
};

/// The size of the decoded `Sec-WebSocket-Key`, in bytes.
const NONCE_BYTES: usize = 16;
/// The maximum size of a session's write buffer, in bytes. The largest message is an event of at most 1 MiB. The rest
/// of the buffer holds the answers to pings of a client that reads slowly.
const WRITE_BUFFER_BYTES: usize = 2 << 20;
/// The size of a session's read buffer, in bytes.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// Declares the WebSocket endpoint. The endpoint is absent from the OpenAPI document, because the AsyncAPI document
/// describes it.
pub(crate) fn endpoint() -> Endpoint {
    Endpoint::get(WS_PATH, upgrade)
}

/// Validates the handshake and upgrades the connection. Answers `401` if the request has no valid token or ticket,
/// `403` if the request comes from a web page of a foreign origin, and `400` or `426` if the handshake is invalid.
async fn upgrade(State(app): State<AppState>, mut request: Request) -> Outcome<Response> {
    let offered = subprotocols(request.headers());
    let caller = authenticate(&app, request.headers(), &offered).await?;
    if !origin::is_allowed(request.headers(), &app.config.allowed_origins) {
        return Err(Refusal::new(Slug::Forbidden, "Pages of this origin may not open sockets."));
    }
    if !offered.is_empty() && !offered.iter().any(|p| p == SUBPROTOCOL) {
        let detail = format!("Offer the subprotocol `{SUBPROTOCOL}`.");
        return Err(Problem::new(Slug::InvalidRequest, detail).with_status(400).into());
    }
    let key = check_handshake(request.headers())?;
    let trace = request.extensions().get().copied().unwrap_or_else(TraceContext::generate);
    let session_trace = SessionTrace { trace, is_client_trace: extract::traceparent(request.headers()).is_some() };
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or_else(|| not_a_handshake("This connection cannot be upgraded."))?;

    let limit = app.config.ws.max_message_size.as_usize();
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit));
    let (life, drain) = (app.life.clone(), app.drain.clone());
    let session = Box::pin(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let io = TokioIo::new(upgraded);
                let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
                driver::run(app, caller, session_trace, socket).await;
            }
            Err(e) => debug!(error = %e, "the client disconnected before the upgrade"),
        }
    });
    life.spawn(drain.track(session));

    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    if !offered.is_empty() {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    Ok(response)
}

async fn authenticate(app: &AppState, headers: &HeaderMap, offered: &[String]) -> Result<Caller, AuthError> {
    if headers.contains_key(header::AUTHORIZATION) {
        return app.authenticator.verify(extract::bearer(headers)?).await;
    }
    let ticket = offered.iter().find_map(|p| p.strip_prefix(TICKET_SUBPROTOCOL_PREFIX));
    app.authenticator.redeem(ticket.ok_or(AuthError::Missing)?).await
}

/// Reads the subprotocols that the client offers.
fn subprotocols(headers: &HeaderMap) -> Vec<String> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|v| v.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect()
}

/// Validates the headers of a WebSocket handshake, and returns the value of the response header `Sec-WebSocket-Accept`.
fn check_handshake(headers: &HeaderMap) -> Outcome<HeaderValue> {
    let has = |name: header::HeaderName, wanted: &str| {
        let mut lists = headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok());
        lists.any(|list| list.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted)))
    };
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        return Err(not_a_handshake("This path accepts WebSocket handshakes only."));
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(
            not_a_handshake("Only WebSocket version 13 is supported.").with_header(header::SEC_WEBSOCKET_VERSION, 13)
        );
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or_else(|| not_a_handshake("`Sec-WebSocket-Key` is missing."))?;
    // RFC 6455, section 4.1: 16 bytes in Base64
    let is_nonce = BASE64_STANDARD.decode(key.as_bytes()).is_ok_and(|nonce| nonce.len() == NONCE_BYTES);
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
    accept
        .ok()
        .filter(|_| is_nonce)
        .ok_or_else(|| Problem::new(Slug::InvalidRequest, "`Sec-WebSocket-Key` is not valid.").with_status(400).into())
}

fn not_a_handshake(detail: &str) -> Refusal {
    Refusal::from(Problem::new(Slug::InvalidRequest, detail).with_status(426)).with_header(header::UPGRADE, "websocket")
}
