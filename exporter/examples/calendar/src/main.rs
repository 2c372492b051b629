//! An exporter with a dataset of its own beside those that come with Sluice.
//!
//! It takes the same settings as `sluice exporter`: a file in `SLUICE_CONFIG`, and `SLUICE_…` variables over it. Unless
//! its pool is set, it is `calendar`, so that exporters that don't know this dataset never get its jobs.

mod days;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use exporter::{Deps, ExporterConfig, Registry};
use platform::{
    bus::Bus,
    clock::SystemClock,
    config::{self, DatabaseConfig, LogConfig, NatsConfig, StoreConfig},
    lifecycle::Lifecycle,
    store::FileStore,
    telemetry,
};
use serde::Deserialize;

use crate::days::Calendar;

/// How long running exports may take to be handed over at the end.
const GRACE: Duration = Duration::from_secs(20);

/// The parts of Sluice's settings that an exporter needs; the others are not looked at.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Settings {
    log: LogConfig,
    nats: NatsConfig,
    database: DatabaseConfig,
    store: StoreConfig,
    exporter: ExporterConfig,
}

#[tokio::main]
async fn main() -> Result<()> {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        bail!("a TLS provider was installed before");
    }
    let file = std::env::var_os("SLUICE_CONFIG").map(PathBuf::from);
    let mut settings: Settings = config::load(file.as_deref())?;
    let traces = telemetry::init(&settings.log, "calendar-exporter")?;
    if settings.exporter.pool == ExporterConfig::default().pool {
        settings.exporter.pool = "calendar".into();
    }

    let life = Lifecycle::new();
    life.stop_at_signals();
    let reads = DatabaseConfig { max_connections: settings.exporter.read_connections(), ..settings.database.clone() };
    let deps = Deps {
        bus: Bus::join(&settings.nats, "calendar-exporter", &protocol::subject::EXPORTER_STREAMS).await?,
        db: platform::db::connect(&settings.database).await?,
        reads: platform::db::connect(&reads).await?,
        store: FileStore::open(&settings.store)?,
        clock: SystemClock::shared(),
    };
    let mut registry = Registry::standard(&settings.exporter.datasets_dir, &deps.reads);
    registry.datasets = vec![Arc::new(Calendar::new())];
    exporter::start_with(settings.exporter, registry, deps, &life).await?;
    life.shut_down(GRACE).await;
    traces.shut_down().await;
    match life.failure() {
        None => Ok(()),
        Some(reason) => bail!(reason),
    }
}
