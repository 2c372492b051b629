//! The settings of `[log]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The log on standard error.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// The levels to log, for all crates or for single ones, such as `info` or `gateway=debug,info`.
    pub filter: String,
    /// The format of a log line: `text` for a terminal, `json` for a log collector.
    pub format: LogFormat,
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text with `key=value` fields, coloured on a terminal.
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info,sqlx=warn,async_nats=warn,tokio_cron_scheduler=warn".into(), format: LogFormat::Text }
    }
}
