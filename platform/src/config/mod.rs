//! Settings: the loader, and the tables that every service shares.

mod database;
mod layers;
mod log;
mod nats;
mod store;

pub use self::{
    database::DatabaseConfig,
    layers::{ConfigError, SETTINGS_WITH_FILE_SUFFIX, load, load_layers},
    log::{LogConfig, LogFormat},
    nats::NatsConfig,
    store::StoreConfig,
};
