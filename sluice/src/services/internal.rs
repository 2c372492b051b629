//! The internal port of an exporter, which has no other: health and metrics, for operators only.

use std::future::IntoFuture;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use platform::{lifecycle::Lifecycle, telemetry::PrometheusHandle};
use tokio::net::TcpListener;

/// Serves until the soft stop.
pub(super) fn serve(deps: exporter::Deps, metrics: PrometheusHandle, listener: TcpListener, life: &Lifecycle) {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(move || std::future::ready(metrics.render())))
        .with_state(deps);
    let serving = axum::serve(listener, router).with_graceful_shutdown(life.soft().clone().cancelled_owned());
    life.spawn_critical("exporter: internal", serving.into_future());
}

async fn ready(State(deps): State<exporter::Deps>) -> Response {
    let readiness = deps.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}
