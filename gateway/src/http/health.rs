//! `/healthz` and `/readyz`: liveness and readiness probes.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use platform::{
    catalog::CatalogGap,
    health::{self, Dependency, Readiness},
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

/// Liveness probe. Any answer shows that the process accepts requests.
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// Readiness probe. Lists each dependency, and answers `503` when a required dependency is unavailable or the process
/// is stopping.
async fn ready(State(app): State<AppState>) -> Response {
    let is_stopping = app.life.soft().is_cancelled();
    let readiness = Readiness::from(vec![
        Dependency::from_result("process", if is_stopping { Err("stopping") } else { Ok(()) }),
        health::database(&app.db).await,
        Dependency::from_result("nats", app.bus.ping()),
        health::jetstream(&app.bus),
        catalog(app.catalog.check()),
        Dependency::from_result("clock", app.clock.check()).optional(),
    ]);
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// Returns the entry of the catalog (the list of offered datasets) for the readiness probe. The gateway is not ready if
/// it has received no catalog since its start, or can't read the catalog. If no exporter runs, or no exporter offers a
/// dataset, the entry shows the error, but the gateway stays ready: downloads and sessions work without exporters.
fn catalog(result: Result<(), CatalogGap>) -> Dependency {
    let is_optional = matches!(result, Err(CatalogGap::NoExporter | CatalogGap::NoDataset));
    let dependency = Dependency::from_result("catalog", result);
    if is_optional { dependency.optional() } else { dependency }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_needs_a_first_catalog_and_a_readable_one() {
        let is_ready = |result| Readiness::from(vec![catalog(result)]).ready;
        assert!(is_ready(Ok(())));
        assert!(is_ready(Err(CatalogGap::NoExporter)) && is_ready(Err(CatalogGap::NoDataset)));
        assert!(!is_ready(Err(CatalogGap::NeverFilled)));
        assert!(!is_ready(Err(CatalogGap::Unreadable("timed out".into()))));
        assert!(!catalog(Err(CatalogGap::NoExporter)).ok);
    }
}
