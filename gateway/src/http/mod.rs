//! REST. Handlers extract, call one use case, and map its result; [`problems`] gives every error its one shape.

mod cors;
mod credits;
mod datasets;
mod estimate;
mod events;
mod exports;
pub mod extract;
mod file;
mod health;
mod local;
mod meter;
pub mod origin;
pub mod problems;
mod range;
mod safety;
mod tickets;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, StatusCode, header},
    middleware,
    response::IntoResponse,
    routing::{get, post},
};
use metrics_exporter_prometheus::PrometheusHandle;
use protocol::problem::{Problem, Slug};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{app::App, auth::Caller, contract, error::Refusal, web, ws::handshake};

/// Everything that the outside can reach.
pub fn router(app: App) -> Router {
    let web = web::service(&app.config);
    let api = Router::new()
        .route("/exports", post(exports::create).get(exports::list))
        .route("/exports/estimate", post(estimate::estimate))
        .route("/exports/{id}", get(exports::get).delete(exports::delete))
        .route("/exports/{id}/file", get(file::download))
        .route("/exports/{id}/metadata", get(file::metadata))
        .route("/datasets", get(datasets::list))
        .route("/datasets/{name}", get(datasets::get))
        .route("/credits", get(credits::get))
        .route("/tickets", post(tickets::create))
        .route("/events", get(events::follow))
        .route("/ws", get(handshake::upgrade))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method);
    Router::new()
        .nest("/v1", api)
        .route("/v1/openapi.json", get(contract::serve_openapi))
        .route("/v1/asyncapi.json", get(contract::serve_asyncapi))
        .route("/problems/{slug}", get(problems::page))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/config.json", get(web::page_config))
        .route("/local/people", get(local::people))
        .route("/local/sign-in", post(local::sign_in))
        .fallback_service(web)
        .layer(DefaultBodyLimit::max(app.config.body_bytes))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            Refusal::new(Slug::Internal, "This request made the server stumble.").into_response()
        }))
        .layer(middleware::from_fn(problems::finish))
        .layer(middleware::from_fn_with_state(safety::Hsts::of(app.config.hsts_s), safety::headers))
        .layer(cors::layer(&app.config.allowed_origins))
        .layer(middleware::from_fn(meter::time))
        .with_state(app)
}

/// What operators reach on the internal port.
pub fn internal(metrics: PrometheusHandle) -> Router {
    let render = move || {
        let text = metrics.render();
        async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text) }
    };
    Router::new().route("/metrics", get(render)).route("/healthz", get(health::live))
}

/// Unknown paths below `/v1` tell a stranger nothing but to sign in.
async fn nothing_here(_caller: Caller) -> Refusal {
    Refusal::new(Slug::NotFound, "There is no such path.")
}

async fn wrong_method(_caller: Caller, method: Method) -> Refusal {
    let detail = format!("This path does not take {method}.");
    Problem::new(Slug::InvalidRequest, detail).with_status(StatusCode::METHOD_NOT_ALLOWED.as_u16()).into()
}
