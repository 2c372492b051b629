//! Readiness: each dependency by name.

use serde::Serialize;

/// One dependency of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// Its name, such as `database`.
    pub name: &'static str,
    /// Whether it can be used now.
    pub ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Dependency {
    /// A dependency whose check ended so.
    pub fn from_result<T, E: std::fmt::Display>(name: &'static str, result: Result<T, E>) -> Self {
        let detail = result.err().map(|e| e.to_string());
        Self { name, ok: detail.is_none(), detail }
    }
}

/// Whether a service can do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// All dependencies can be used.
    pub ready: bool,
    /// Each of them.
    pub dependencies: Vec<Dependency>,
}

impl From<Vec<Dependency>> for Readiness {
    fn from(dependencies: Vec<Dependency>) -> Self {
        Self { ready: dependencies.iter().all(|d| d.ok), dependencies }
    }
}
