//! Settings: how they are read, and the tables that every service shares.

mod database;
mod layers;
mod log;
mod nats;
mod store;

pub use self::{
    database::DatabaseConfig,
    layers::{ConfigError, NAMED_AS_FILES, load, load_layers},
    log::{LogConfig, LogFormat},
    nats::NatsConfig,
    store::StoreConfig,
};
