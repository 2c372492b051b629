//! Readiness of a service, which `/readyz` reports for each dependency.

use serde::Serialize;

/// The state of one dependency of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// The name of the dependency, such as `database`.
    pub name: &'static str,
    /// Whether the dependency works now.
    pub ok: bool,
    /// The error of a dependency that does not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Dependency {
    /// The state that follows from the result of a check.
    pub fn from_result<T, E: std::fmt::Display>(name: &'static str, result: Result<T, E>) -> Self {
        let detail = result.err().map(|e| e.to_string());
        Self { name, ok: detail.is_none(), detail }
    }
}

/// Whether a service can work, and the state of each of its dependencies.
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
