//! The settings of `[database]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{secret::Secret, units::HumanDuration};

/// The SQL database that all services share.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// The URL of the database: `postgres://…`, or `sqlite://…` on a single machine. It may hold a password, so it is a
    /// secret.
    pub url: Secret,
    /// The maximum number of connections that one process opens. The server must allow this number for each process.
    pub max_connections: u32,
    /// How long a query waits for a free connection before it fails: 10 s. Operators can't set it; tests raise it.
    #[serde(skip)]
    #[schemars(skip)]
    pub acquire_timeout: HumanDuration,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: Secret::new("sqlite://sluice.db?mode=rwc"),
            max_connections: 8,
            acquire_timeout: HumanDuration::from_secs(10),
        }
    }
}
