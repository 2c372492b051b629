//! The readiness of a service and its dependencies, as `/readyz` reports it.

use std::{future::Future, time::Duration};

use sea_orm::DatabaseConnection;
use serde::Serialize;

use crate::{bus::Bus, store::FileStore};

/// The state of one dependency of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// The name of the dependency, such as `database`.
    pub name: &'static str,
    /// Whether the dependency works now.
    pub ok: bool,
    /// Whether the service needs the dependency: if true, the service is ready only while the dependency works.
    #[serde(skip_serializing_if = "is_true")]
    pub required: bool,
    /// The error of the failed check; None when the dependency works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Dependency {
    /// Creates the state of a dependency from the result of a check.
    pub fn from_result<T, E: std::fmt::Display>(name: &'static str, result: Result<T, E>) -> Self {
        let detail = result.err().map(|e| e.to_string());
        Self { name, ok: detail.is_none(), required: true, detail }
    }

    /// Marks the dependency as not required. Without the dependency, the service stays ready and still does part of its
    /// work.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { required: false, ..self }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_true(value: &bool) -> bool {
    *value
}

/// The timeout of checking one dependency.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Checks that the database answers within 2 s.
pub async fn database(db: &DatabaseConnection) -> Dependency {
    Dependency::from_result("database", in_time(crate::db::ping(db)).await)
}

/// Checks that the file store answers within 2 s.
pub async fn file_store(store: &FileStore) -> Dependency {
    Dependency::from_result("file_store", in_time(store.ping()).await)
}

/// Returns whether JetStream stored the last message of this process to each stream. A failure does not make a service
/// unready: gateways accept exports, which wait, and the services repeat their messages.
#[must_use]
pub fn jetstream(bus: &Bus) -> Dependency {
    Dependency::from_result("jetstream", bus.check_writes()).optional()
}

async fn in_time<T, E: std::fmt::Display>(check: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(TIMEOUT, check).await {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
    }
}

/// The readiness of a service, which is the body of a `/readyz` response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether all required dependencies work.
    pub ready: bool,
    /// The state of each dependency.
    pub dependencies: Vec<Dependency>,
}

impl From<Vec<Dependency>> for Readiness {
    fn from(dependencies: Vec<Dependency>) -> Self {
        Self { ready: dependencies.iter().all(|d| d.ok || !d.required), dependencies }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_optional_dependency_is_named_and_leaves_the_service_ready() {
        let down = || Dependency::from_result("catalog", Err::<(), _>("no exporter runs"));
        let database = || Dependency::from_result("database", Ok::<_, String>(()));
        assert!(!Readiness::from(vec![database(), down()]).ready);
        let readiness = Readiness::from(vec![database(), down().optional()]);
        assert!(readiness.ready);
        let body = serde_json::to_value(readiness).unwrap();
        let expected =
            serde_json::json!({"name": "catalog", "ok": false, "required": false, "detail": "no exporter runs"});
        assert_eq!(body["dependencies"][1], expected);
        assert_eq!(body["dependencies"][0], serde_json::json!({"name": "database", "ok": true}));
    }
}
