//! The internal HTTP listener of an exporter: health and metrics, for operators only.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use platform::{http::Server, lifecycle::Lifecycle, telemetry::PrometheusHandle};
use tokio::net::TcpListener;

/// Serves `/healthz`, `/readyz` and `/metrics` until shutdown begins.
pub(super) fn serve(deps: exporter::Deps, metrics: PrometheusHandle, listener: TcpListener, life: &Lifecycle) {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(move || std::future::ready(metrics.render())))
        .with_state(deps);
    Server::new("exporter internal listener", router, listener).spawn(life.soft(), life);
}

async fn readiness(State(deps): State<exporter::Deps>) -> Response {
    let readiness = deps.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}
