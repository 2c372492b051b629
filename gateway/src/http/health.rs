//! `/healthz` and `/readyz`.

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

use crate::app::App;

/// The process lives.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Each dependency by name; `503` when one is missing or the process is stopping. Exporters are shown and don't
/// count once some were there: downloads and sockets need none, and a fleet that restarts must not take the
/// gateways out of service.
pub(super) async fn ready(State(app): State<App>) -> Response {
    let stopping = app.life.soft().is_cancelled();
    let exporters = if app.catalog.was_ever_filled() { Ok(()) } else { Err("no exporter has advertised anything") };
    let readiness = Readiness::from(vec![
        Dependency::from_result("process", if stopping { Err("stopping") } else { Ok(()) }),
        Dependency::from_result("database", db::ping(&app.db).await),
        Dependency::from_result("nats", app.bus.ping()),
        Dependency::from_result("exporters", exporters),
    ]);
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}
