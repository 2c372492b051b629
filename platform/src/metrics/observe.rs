//! What nobody counts and somebody has to look at.

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

use super::process;
use crate::{bus::Bus, store::FileStore};

/// How often to look. Prometheus rarely asks more often than every ten seconds.
const EVERY: Duration = Duration::from_secs(5);

/// A pool of database connections and its name: `shared`, or `reads` of an exporter.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The name.
    pub name: &'static str,
    /// The pool.
    pub db: DatabaseConnection,
}

/// Looks at the process, at these pools, at the connection of `client` to NATS and at the disk of the file store until the
/// stop.
pub async fn observe(
    client: &'static str,
    bus: Bus,
    pools: Vec<Pool>,
    store: Option<FileStore>,
    stop: CancellationToken,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // what was measured meanwhile is kept in a list until somebody sums it up
        super::upkeep();
        process::look();
        look_at_nats(client, &bus);
        if let Some(store) = &store {
            let (bytes, free) = store.disk().await.unwrap_or_default();
            metrics::gauge!("sluice_store_disk_bytes").set(bytes as f64);
            metrics::gauge!("sluice_store_disk_free_bytes").set(free as f64);
        }
        for pool in &pools {
            tokio::select! {
                () = stop.cancelled() => return,
                () = look_at_pool(pool) => {}
            }
        }
    }
}

fn look_at_nats(client: &'static str, bus: &Bus) {
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

async fn look_at_pool(pool: &Pool) {
    match pool.db.get_database_backend() {
        DbBackend::Postgres => look_at(pool.name, pool.db.get_postgres_connection_pool()).await,
        DbBackend::Sqlite => look_at(pool.name, pool.db.get_sqlite_connection_pool()).await,
        // no other is compiled in
        _ => {}
    }
}

/// Also takes a connection for a moment, as whoever needs one does: how long that takes shows a pool that is too small
/// before anybody times out.
async fn look_at<D: Database>(name: &'static str, pool: &SqlxPool<D>) {
    let (size, idle) = (f64::from(pool.size()), pool.num_idle() as f64);
    let connections = |state| metrics::gauge!("sluice_database_connections", "pool" => name, "state" => state);
    connections("idle").set(idle);
    connections("used").set((size - idle).max(0.0));
    let most = pool.options().get_max_connections();
    metrics::gauge!("sluice_database_connections_max", "pool" => name).set(f64::from(most));
    metrics::counter!("sluice_database_acquire_failures_total", "pool" => name).increment(0);
    let began = Instant::now();
    match pool.acquire().await {
        Ok(connection) => {
            drop(connection);
            metrics::histogram!("sluice_database_acquire_seconds", "pool" => name)
                .record(began.elapsed().as_secs_f64());
        }
        Err(_) => metrics::counter!("sluice_database_acquire_failures_total", "pool" => name).increment(1),
    }
}
