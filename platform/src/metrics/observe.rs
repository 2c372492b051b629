//! Measures the process, the database pools, the NATS connection and the disk at regular intervals.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use async_nats::connection::State;
use sea_orm::{
    DatabaseConnection, DbBackend,
    sqlx::{Database, Pool as SqlxPool},
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{bus::Bus, store::FileStore};

/// The interval between two measurements. Prometheus rarely scrapes more often than every 10 s.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// A database connection pool to measure.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The value of the metric label `pool`, such as `shared`.
    pub name: &'static str,
    /// The connection pool itself.
    pub db: DatabaseConnection,
}

/// Measures the process, these pools, the NATS connection, and the disk of the file store, until `stop` is cancelled.
/// `client` is the label of the metrics of the NATS connection. If `store` is None, the function measures no disk.
pub async fn observe(
    client: &'static str,
    bus: Bus,
    pools: Vec<Pool>,
    store: Option<FileStore>,
    stop: CancellationToken,
) {
    let process = metrics_process::Collector::default();
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        super::aggregate_histograms();
        process.collect();
        observe_nats(client, &bus);
        if let Some(store) = &store {
            let (bytes, free) = store.disk().await.unwrap_or_default();
            metrics::gauge!("sluice_store_disk_size_bytes").set(bytes as f64);
            metrics::gauge!("sluice_store_disk_free_bytes").set(free as f64);
        }
        for pool in &pools {
            tokio::select! {
                () = stop.cancelled() => return,
                () = observe_pool(pool) => {}
            }
        }
    }
}

fn observe_nats(client: &'static str, bus: &Bus) {
    let nats = bus.client();
    let connected = nats.connection_state() == State::Connected;
    metrics::gauge!("sluice_nats_connected", "client" => client).set(f64::from(u8::from(connected)));
    let statistics = nats.statistics();
    metrics::counter!("sluice_nats_connects_total", "client" => client).absolute(statistics.connects.load(Relaxed));
    metrics::counter!("sluice_nats_slow_consumers_total", "client" => client).increment(0);
    for (direction, messages, bytes) in [
        ("in", &statistics.in_messages, &statistics.in_bytes),
        ("out", &statistics.out_messages, &statistics.out_bytes),
    ] {
        metrics::counter!("sluice_nats_messages_total", "client" => client, "direction" => direction)
            .absolute(messages.load(Relaxed));
        metrics::counter!("sluice_nats_bytes_total", "client" => client, "direction" => direction)
            .absolute(bytes.load(Relaxed));
    }
}

async fn observe_pool(pool: &Pool) {
    match pool.db.get_database_backend() {
        DbBackend::Postgres => observe_connections(pool.name, pool.db.get_postgres_connection_pool()).await,
        DbBackend::Sqlite => observe_connections(pool.name, pool.db.get_sqlite_connection_pool()).await,
        // no other database is compiled in
        _ => {}
    }
}

/// Records the size of a pool, and the time to acquire a connection. A slow acquire shows that a pool is too small,
/// before queries time out.
async fn observe_connections<D: Database>(name: &'static str, pool: &SqlxPool<D>) {
    let (size, idle) = (f64::from(pool.size()), pool.num_idle() as f64);
    let connections = |state| metrics::gauge!("sluice_database_connections", "pool" => name, "state" => state);
    connections("idle").set(idle);
    connections("used").set((size - idle).max(0.0));
    let max = pool.options().get_max_connections();
    metrics::gauge!("sluice_database_connections_max", "pool" => name).set(f64::from(max));
    metrics::counter!("sluice_database_probe_failures_total", "pool" => name).increment(0);
    let began = Instant::now();
    match pool.acquire().await {
        Ok(connection) => {
            drop(connection);
            metrics::histogram!("sluice_database_probe_acquire_seconds", "pool" => name)
                .record(began.elapsed().as_secs_f64());
        }
        Err(_) => metrics::counter!("sluice_database_probe_failures_total", "pool" => name).increment(1),
    }
}
