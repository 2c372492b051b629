//! The readiness of a service and its dependencies, as `/readyz` reports it.

use serde::Serialize;

/// The state of one dependency of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// The name of the dependency, such as `database`.
    pub name: &'static str,
    /// Whether the dependency works now.
    pub ok: bool,
    /// The error of the failed check; None when the dependency works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Dependency {
    /// Creates the state of a dependency from the result of a check.
    pub fn from_result<T, E: std::fmt::Display>(name: &'static str, result: Result<T, E>) -> Self {
        let detail = result.err().map(|e| e.to_string());
        Self { name, ok: detail.is_none(), detail }
    }
}

/// The readiness of a service: the body of a `/readyz` response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether all dependencies work.
    pub ready: bool,
    /// The state of each dependency.
    pub dependencies: Vec<Dependency>,
}

impl From<Vec<Dependency>> for Readiness {
    fn from(dependencies: Vec<Dependency>) -> Self {
        Self { ready: dependencies.iter().all(|d| d.ok), dependencies }
    }
}
