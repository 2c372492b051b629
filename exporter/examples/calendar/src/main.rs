//! An exporter with a dataset written in Rust.
//!
//! It reads the same settings as `sluice exporter`: the file that `SLUICE_CONFIG` names, and `SLUICE_…` variables. Its
//! default pool is `calendar`, so that exporters without this dataset never get its jobs.

mod days;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use exporter::{Deps, ExporterConfig, OwnProcess, Registry, catalog::Advertisement};
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

/// The time in which running exports are handed over to other exporters at the end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(20);

/// The settings that an exporter needs; other settings are ignored.
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
        bail!("a TLS provider is already installed");
    }
    let file = std::env::var_os("SLUICE_CONFIG").map(PathBuf::from);
    let mut settings: Settings = config::load(file.as_deref())?;
    let traces = telemetry::init(&settings.log, "calendar-exporter")?;
    if settings.exporter.pool == ExporterConfig::default().pool {
        settings.exporter.pool = "calendar".into();
    }

    settings.exporter.tuning.own_process = Some(OwnProcess::of_this_command());

    let life = Lifecycle::new();
    life.stop_at_signals();
    let deps = Deps {
        bus: Bus::join(&settings.nats, "calendar-exporter", &protocol::subject::EXPORTER_STREAMS).await?,
        db: platform::db::connect(&settings.database).await?,
        store: FileStore::open(&settings.store)?,
        clock: SystemClock::shared(),
        advertisement: Advertisement::default(),
    };
    let mut registry = Registry::built_in();
    registry.datasets.push(Arc::new(Calendar::new()));
    // the fleet's catalog file is for the other exporters
    let exporter = ExporterConfig { catalog: PathBuf::new(), ..settings.exporter };
    exporter::start_with(exporter, registry, deps, &life).await?;
    life.shut_down(SHUTDOWN_GRACE).await;
    traces.shut_down().await;
    match life.failure() {
        None => Ok(()),
        Some(reason) => bail!(reason),
    }
}
