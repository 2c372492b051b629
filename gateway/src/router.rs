//! Builds the router of the public listener from the endpoints' declarations, and the router of the internal listener.

use std::any::Any;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware,
    response::IntoResponse,
    routing::{MethodRouter, any, get},
};
use metrics_exporter_prometheus::PrometheusHandle;
use protocol::problem::{Problem, Slug};
use serde_json::Value;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    auth::Caller,
    contract, embed,
    error::Refusal,
    http::{
        self,
        extract::MAX_BODY_SIZE,
        middleware::{compression, cors, host, request_metrics, security_headers, unread_body},
        problems,
    },
    state::AppState,
    web, ws,
};

/// The path prefix of all endpoints that require a token.
const API_PREFIX: &str = "/v1";

/// Generates the OpenAPI 3.1 document of all public endpoints.
#[must_use]
pub fn openapi() -> Value {
    contract::openapi(http::endpoints().filter_map(|endpoint| endpoint.operation_info()))
}

/// Builds the router of the public listener.
pub(crate) fn public_router(app: AppState) -> Router {
    let (mut api, mut root) = (Router::new(), Router::new());
    for endpoint in http::endpoints().chain([web::config_endpoint(), ws::endpoint()]) {
        let (path, route) = endpoint.into_route();
        match path.strip_prefix(API_PREFIX) {
            Some(path) => api = api.route(path, route),
            None => root = root.route(path, route),
        }
    }
    let api = api.fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    root.method_not_allowed_fallback(method_not_allowed_outside)
        .nest(API_PREFIX, api)
        .route("/v1/", any(not_found))
        .route("/v1/openapi.json", json_document(&openapi()))
        .route("/v1/asyncapi.json", json_document(&contract::asyncapi()))
        .fallback_service(web::service(&app.config))
        .layer(DefaultBodyLimit::max(MAX_BODY_SIZE.as_usize()))
        .layer(CatchPanicLayer::custom(|_: Box<dyn Any + Send>| {
            Refusal::new(Slug::Internal, "The server failed to process this request.").into_response()
        }))
        .layer(middleware::from_fn(host::require))
        .layer(middleware::from_fn(problems::finish))
        .layer(compression::layer())
        .layer(middleware::map_response(compression::weaken_etag))
        .layer(middleware::from_fn(unread_body::drain))
        .layer(cors::layer(&app.config.allowed_origins))
        .merge(embed_router())
        .layer(middleware::from_fn_with_state(
            security_headers::Hsts::new(app.config.hsts_max_age.get()),
            security_headers::set,
        ))
        .layer(middleware::from_fn(request_metrics::record))
        .with_state(app)
}

/// Builds the route of the export button's script. The CORS layer of the API must not apply to this route, because that
/// layer would replace the response header `Access-Control-Allow-Origin` of the script.
fn embed_router() -> Router<AppState> {
    let script =
        get(async |State(app): State<AppState>, headers: HeaderMap| embed::respond(app.embed.as_ref(), &headers));
    Router::new()
        .route(embed::PATH, script.fallback(method_not_allowed_outside))
        .layer(middleware::from_fn(problems::finish))
}

/// Builds the router of the internal listener: `/metrics` and `/healthz`.
pub(crate) fn internal_router(metrics: PrometheusHandle) -> Router {
    let render = move || {
        let text = metrics.render();
        async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text) }
    };
    Router::new().route("/metrics", get(render)).route("/healthz", get(http::live))
}

/// Builds a handler that serves an API description as JSON.
fn json_document(document: &Value) -> MethodRouter<AppState> {
    let text = Bytes::from(document.to_string());
    get(move || {
        let text = text.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], text) }
    })
}

/// Answers `404` for an unknown path below `/v1`. The extractor [`Caller`] answers `401` to a request without a valid
/// token.
async fn not_found(_caller: Caller) -> Refusal {
    Refusal::new(Slug::NotFound, "There is no such path.")
}

async fn method_not_allowed(_caller: Caller, method: Method) -> Refusal {
    method_not_allowed_outside(method).await
}

/// Answers `405` to a request outside of `/v1` whose path does not support the request's method. Such a request needs
/// no token.
async fn method_not_allowed_outside(method: Method) -> Refusal {
    let detail = format!("This path does not support {method}.");
    Problem::new(Slug::InvalidRequest, detail).with_status(StatusCode::METHOD_NOT_ALLOWED.as_u16()).into()
}
