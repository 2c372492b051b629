//! Puts a notifier together.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use entity::terms::Terms;
use platform::{
    bus::Bus,
    catalog::Catalog,
    clock::SharedClock,
    health::{Dependency, Readiness},
    lifecycle::Lifecycle,
    metrics::{self, Pool, Service},
    store::FileStore,
    telemetry::PrometheusHandle,
};
use protocol::subject;
use sea_orm::DatabaseConnection;
use tokio::net::TcpListener;
use tracing::info;
use uuid::Uuid;

use crate::{
    GROUP,
    config::NotifierConfig,
    delivery::{announce, grant::Granter, metadata, mint::Minter, requests, serve},
    dispatch::Dispatcher,
    error::NotifierError,
    gauges::Gauges,
    intake::Intake,
    ops, schedule,
    settle::Settler,
};

/// How long a readiness check of one dependency may take.
const CHECK: Duration = Duration::from_secs(2);
/// An object that never exists: a store that says so answers.
const NO_OBJECT: &str = "exports/.ready";

/// What a notifier works with. Clones share it.
#[derive(Clone)]
pub struct Deps {
    /// NATS.
    pub bus: Bus,
    /// The database that all services share.
    pub db: DatabaseConnection,
    /// Where exporters put files.
    pub store: FileStore,
    /// The time.
    pub clock: SharedClock,
    /// The terms of credits.
    pub terms: Terms,
    /// How to make backups; None: not by this notifier.
    pub backup: Option<Arc<crate::backup::Setup>>,
    /// What `/metrics` renders; without it there is no such page.
    pub metrics: Option<PrometheusHandle>,
}

impl Deps {
    /// Whether each dependency can be used now.
    pub(crate) async fn readiness(&self) -> Readiness {
        let database = async {
            let ping = tokio::time::timeout(CHECK, platform::db::ping(&self.db)).await;
            Dependency::from_result("database", timed(ping))
        };
        let files = async {
            let read = tokio::time::timeout(CHECK, self.store.read(NO_OBJECT, None)).await;
            let answered = match read {
                Ok(Err(e)) if e.is_not_found() => Ok(()),
                other => timed(other).map(drop),
            };
            Dependency::from_result("file_store", answered)
        };
        let (database, files) = tokio::join!(database, files);
        vec![database, Dependency::from_result("nats", self.bus.ping()), files].into()
    }
}

fn timed<T, E: std::fmt::Display>(result: Result<Result<T, E>, tokio::time::error::Elapsed>) -> Result<T, String> {
    match result {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {} s", CHECK.as_secs())),
    }
}

/// A running notifier. It runs until the [`Lifecycle`] ends, whether or not this is kept.
#[derive(Clone, Debug)]
pub struct App {
    /// Where the internal HTTP port listens.
    pub address: SocketAddr,
    /// The base of the URLs in its grants.
    pub url: String,
}

/// Starts a notifier: all its tasks run on `life`. `listener` is its internal HTTP port.
///
/// # Errors
/// When a setting can't work, NATS does not answer, or the scheduler does not start.
pub async fn start(
    config: NotifierConfig,
    deps: Deps,
    listener: TcpListener,
    life: &Lifecycle,
) -> Result<App, NotifierError> {
    config.validate()?;
    let address = listener.local_addr()?;
    let url = advertised(&config, address)?;
    let config = Arc::new(config);
    let minter = Arc::new(Minter::new(deps.store.clone(), deps.clock.clone(), &url, config.grant_ttl())?);
    let settler = Arc::new(Settler::new(deps.clone()));
    let instance = format!("notifier-{}", Uuid::new_v4().simple());
    let catalog = Catalog::default();
    catalog.watch(deps.bus.catalog().await?, life);
    let dispatcher = Arc::new(Dispatcher::new(deps.clone(), Arc::clone(&config), catalog.clone(), &instance));

    // the HTTP port first, so that no grant is minted that nobody honours
    serve::spawn(&config, deps.clone(), Arc::clone(&minter), listener, life);

    let metadata = [("instance", instance.as_str()), ("url", url.as_str())];
    let data = || serde_json::Value::Null;
    let service =
        deps.bus.register("sluice-notifier", "Settles exports and delivers their files", &metadata, data).await?;
    let granter = Arc::new(Granter::new(deps.clone(), Arc::clone(&minter), config.grant_max));
    let grants = requests::endpoint(&service, "grant", subject::DELIVERY_GRANT).await?;
    let documents = requests::endpoint(&service, "metadata", subject::DELIVERY_METADATA).await?;
    let limit = config.delivery_concurrency;
    life.spawn_critical("delivery/grant", requests::answer(grants, granter, limit, life.clone()));
    let documents = requests::answer(documents, Arc::new(metadata::Documents::new(deps.clone())), limit, life.clone());
    life.spawn_critical("delivery/metadata", documents);
    let written = deps.bus.subscribe_group(subject::DELIVERY_WRITTEN_ALL.into(), GROUP).await?;
    life.spawn_critical("delivery/announce", announce::run(deps.bus.clone(), minter, written, life.soft().clone()));

    // whoever leads the dispatching hears them
    let hints = deps.bus.subscribe(subject::DELIVERY_SUBMITTED.into()).await?;
    let intake = Intake::new(deps.bus.clone(), Arc::clone(&settler), &config);
    life.spawn_critical("intake", Arc::new(intake).run(life.clone()));
    life.spawn_critical("dispatch", Arc::clone(&dispatcher).run(hints, life.soft().clone()));
    ops::start(&config, &deps, &settler, &catalog, &service, life).await?;
    metrics::begin(Service::Notifier);
    let pools = vec![Pool { name: "shared", db: deps.db.clone() }];
    let (bus, store) = (deps.bus.clone(), Some(deps.store.clone()));
    life.spawn(metrics::observe("notifier", bus, pools, store, life.soft().clone()));
    life.spawn_critical("gauges", Gauges::new(deps.clone(), catalog, &config).run(life.soft().clone()));
    schedule::start(&config, deps, settler, dispatcher, &instance, &service, life).await?;

    // operators see the service for as long as it takes requests
    let soft = life.soft().clone();
    life.spawn(async move {
        soft.cancelled().await;
        if let Err(e) = service.stop().await {
            tracing::warn!(error = %e, "the NATS service can't be stopped");
        }
    });
    info!(notifier.address = %address, notifier.url = %url, "notifier started");
    Ok(App { address, url })
}

/// The base of grant URLs, without a slash at its end.
fn advertised(config: &NotifierConfig, address: SocketAddr) -> Result<String, NotifierError> {
    if !config.advertise_url.is_empty() {
        return Ok(config.advertise_url.trim_end_matches('/').to_owned());
    }
    if address.ip().is_unspecified() {
        return Err(NotifierError::Config(format!(
            "notifier.advertise_url is needed, as gateways can't reach {address} by that name"
        )));
    }
    Ok(format!("http://{address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_nobody_can_reach_is_not_advertised() {
        let config = NotifierConfig::default();
        assert_eq!(advertised(&config, "127.0.0.1:80".parse().unwrap()).unwrap(), "http://127.0.0.1:80");
        assert!(advertised(&config, "0.0.0.0:80".parse().unwrap()).is_err());
        let named = NotifierConfig { advertise_url: "http://notifier:80/".into(), ..config };
        assert_eq!(advertised(&named, "0.0.0.0:80".parse().unwrap()).unwrap(), "http://notifier:80");
    }
}
