//! `/healthz` and `/readyz`: liveness and readiness probes.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use platform::{
    db,
    health::{Dependency, Readiness},
};
use serde_json::json;

use super::endpoint::Endpoint;
use crate::state::AppState;

pub(super) fn endpoints() -> [Endpoint; 2] {
    [
        Endpoint::get("/healthz", live).operation("healthz", "Liveness", |operation| {
            operation.public().content(
                200,
                "The process is alive.",
                "text/plain",
                json!({"schema": {"type": "string"}}),
            )
        }),
        Endpoint::get("/readyz", ready).operation("readyz", "Readiness", |operation| {
            let dependencies = || json!({"schema": {"type": "object"}});
            operation
                .public()
                .content(200, "Every dependency is available.", "application/json", dependencies())
                .content(
                    503,
                    "A dependency is unavailable, or the gateway is stopping.",
                    "application/json",
                    dependencies(),
                )
        }),
    ]
}

/// Liveness probe: any answer shows that the process accepts requests.
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// Readiness probe: lists each dependency, and answers `503` when one is unavailable or the process is stopping. The
/// dependency `exporters` becomes available when this gateway first receives the catalog of an exporter, and then stays
/// available. Downloads and sessions work without exporters, so a restart of all exporters must not take the gateways
/// out of service.
async fn ready(State(app): State<AppState>) -> Response {
    let is_stopping = app.life.soft().is_cancelled();
    let exporters =
        if app.catalog.was_ever_filled() { Ok(()) } else { Err("no exporter has advertised a dataset yet") };
    let readiness = Readiness::from(vec![
        Dependency::from_result("process", if is_stopping { Err("stopping") } else { Ok(()) }),
        Dependency::from_result("database", db::ping(&app.db).await),
        Dependency::from_result("nats", app.bus.ping()),
        Dependency::from_result("exporters", exporters),
    ]);
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}
