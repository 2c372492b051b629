//! Assembles a notifier from its modules and starts its tasks.

use std::{net::SocketAddr, sync::Arc};

use platform::{
    catalog::Catalog,
    lifecycle::Lifecycle,
    metrics::{self, Pool, Service},
    startup::{self, ServiceListener},
};
use protocol::subject;
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    GROUP,
    config::NotifierConfig,
    delivery::{announcements, grant::GrantHandler, http, metadata::MetadataHandler, minter::Minter},
    deps::Deps,
    dispatch::Dispatcher,
    error::NotifierError,
    gauges::Gauges,
    ops,
    outcomes::OutcomeConsumer,
    requests::RequestServer,
    schedule,
    settle::Settler,
};

/// The addresses of a running notifier. Dropping this value does not stop the notifier, whose tasks run until the
/// [`Lifecycle`] ends.
#[derive(Clone, Debug)]
pub struct RunningNotifier {
    /// The address on which the internal HTTP port listens.
    pub address: SocketAddr,
    /// The base URL of the segment URLs that this notifier grants, without a trailing slash.
    pub url: String,
}

/// Starts a notifier and spawns its tasks on `life`. The internal HTTP port listens on `listener`.
///
/// # Errors
/// When a setting is invalid, the address of the listener can't be read, the operating system returns no random
/// numbers, the NATS client is closed, or the cron scheduler does not start.
pub async fn start(
    config: NotifierConfig,
    deps: Deps,
    listener: impl Into<ServiceListener>,
    life: &Lifecycle,
) -> Result<RunningNotifier, NotifierError> {
    config.validate()?;
    let listener = listener.into();
    let address = listener.local_addr()?;
    let url = advertised_url(&config, address)?;
    let config = Arc::new(config);
    let minter = Arc::new(Minter::new(deps.store.clone(), deps.clock.clone(), &url, config.segment_url_ttl.get())?);
    let settler = Arc::new(Settler::new(deps.clone()));
    let instance = format!("notifier-{}", Uuid::new_v4().simple());
    let catalog = Catalog::default();
    let bucket = startup::until_open("the catalog", async || deps.bus.catalog().await).await;
    catalog.watch(bucket, life);
    let dispatcher = Dispatcher::new(deps.clone(), Arc::clone(&config), catalog.clone(), &instance);

    // the HTTP port starts before this notifier answers grant requests, so that gateways can fetch every granted URL
    let listener = listener.into_listener().await;
    http::spawn(&config, deps.clone(), Arc::clone(&minter), listener, life);

    let metadata = [("instance", instance.as_str()), ("url", url.as_str())];
    let data = || serde_json::Value::Null;
    let service =
        deps.bus.register("sluice-notifier", "Settles exports and delivers their files", &metadata, data).await?;
    let requests = RequestServer::new(&service, config.tuning.max_concurrent_requests, life);
    let grant_handler = GrantHandler::new(deps.clone(), Arc::clone(&minter), config.tuning.max_grants);
    requests.add("delivery/grant", "grant", subject::DELIVERY_GRANT, grant_handler).await?;
    let metadata_handler = MetadataHandler::new(deps.clone());
    requests.add("delivery/metadata", "metadata", subject::DELIVERY_METADATA, metadata_handler).await?;
    let written = deps.bus.subscribe_group(subject::DELIVERY_WRITTEN_ALL.into(), GROUP).await?;
    let announcing = announcements::run(deps.bus.clone(), minter, written, life.soft().clone());
    life.spawn_critical("delivery/announcements", announcing);

    // every notifier subscribes to the hints that an export may wait; only the leading dispatcher acts on them
    let hints = deps.bus.subscribe(subject::DELIVERY_SUBMITTED.into()).await?;
    let outcomes = OutcomeConsumer::new(deps.bus.clone(), Arc::clone(&settler), &config);
    life.spawn_critical("outcomes", Arc::new(outcomes).run(life.clone()));
    life.spawn_critical("dispatch", dispatcher.run(hints, life.soft().clone()));
    ops::start(&deps, &catalog, &requests).await?;
    metrics::register(Service::Notifier);
    let pools = vec![Pool { name: "shared", db: deps.db.clone() }];
    let (bus, store) = (deps.bus.clone(), Some(deps.store.clone()));
    life.spawn(metrics::observe("notifier", bus, pools, store, life.soft().clone()));
    life.spawn_critical("gauges", Gauges::new(deps.clone(), catalog, &config).run(life.soft().clone()));
    schedule::start(&config, deps, settler, &instance, &requests, life).await?;

    // `nats micro` lists the service until shutdown begins
    let shutdown = life.soft().clone();
    life.spawn(async move {
        shutdown.cancelled().await;
        if let Err(e) = service.stop().await {
            warn!(error = %e, "failed to stop the NATS service");
        }
    });
    info!(notifier.address = %address, notifier.url = %url, "notifier started");
    Ok(RunningNotifier { address, url })
}

/// Returns the base URL of segment URLs: the setting `advertise_url`, or the URL of the listening address if the
/// setting is empty. Fails if the setting is empty and the notifier listens on all interfaces.
fn advertised_url(config: &NotifierConfig, address: SocketAddr) -> Result<String, NotifierError> {
    if !config.advertise_url.is_empty() {
        return Ok(config.advertise_url.trim_end_matches('/').to_owned());
    }
    if address.ip().is_unspecified() {
        return Err(NotifierError::Config(format!(
            "notifier.advertise_url is required, because gateways can't connect to {address}"
        )));
    }
    Ok(format!("http://{address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_not_advertised() {
        let config = NotifierConfig::default();
        assert_eq!(advertised_url(&config, "127.0.0.1:80".parse().unwrap()).unwrap(), "http://127.0.0.1:80");
        assert!(advertised_url(&config, "0.0.0.0:80".parse().unwrap()).is_err());
        let named = NotifierConfig { advertise_url: "http://notifier:80/".into(), ..config };
        assert_eq!(advertised_url(&named, "0.0.0.0:80".parse().unwrap()).unwrap(), "http://notifier:80");
    }
}
