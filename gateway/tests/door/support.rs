//! A gateway in this process, with a real NATS server and database, and a catalog as an exporter would put it.

use std::sync::Arc;

use entity::terms::{CreditsConfig, Terms};
use gateway::{Deps, GatewayConfig};
use platform::{
    clock::{Clock, ManualClock, SystemClock},
    lifecycle::Lifecycle,
    secret::Secret,
};
use protocol::{
    catalog::{CatalogDataset, CatalogEntry, Column, ColumnType, DatasetInfo, TemplateInfo},
    params::{ParamSpec, ParamType, json_schema},
};
use testkit::{
    db::TestDatabase,
    nats::NatsServer,
    rest::Rest,
    token::{Issuer, JwksServer},
};
use tokio::net::TcpListener;

/// What everything of a test hangs on.
pub(crate) struct Gateway {
    pub(crate) url: String,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) local: Issuer,
    pub(crate) outside: [Issuer; 3],
    pub(crate) jwks: JwksServer,
    _database: TestDatabase,
    _nats: NatsServer,
    life: Lifecycle,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.life.soft().cancel();
        self.life.hard().cancel();
    }
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::start_on(&CreditsConfig::default(), change).await
    }

    pub(crate) async fn start_on(credits: &CreditsConfig, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let terms = Terms::try_from(credits).expect("a test's terms work");
        let (nats, database) = (NatsServer::start().await, testkit::db::sqlite().await);
        let local = Issuer::local("a secret of thirty-two bytes, or more");
        let outside = [Issuer::rs256(), Issuer::es256(), Issuer::eddsa()];
        let jwks = JwksServer::start(&outside).await;
        let clock = ManualClock::at(SystemClock.now());
        let mut config = GatewayConfig::default();
        config.identity.jwks_url = jwks.url().to_owned();
        config.identity.local.secret = Secret::new(local.secret().expect("a local issuer has a secret"));
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let url = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
        let bus = nats.bus().await;
        advertise(&bus).await;
        let deps = Deps { bus, db: database.db.clone(), clock: clock.clone(), terms, metrics: None };
        let life = Lifecycle::new();
        gateway::start(config, deps, listener, &life).await.expect("the gateway starts");
        let gateway = Self { url, clock, local, outside, jwks, _database: database, _nats: nats, life };
        let rest = gateway.rest(&gateway.token("alice", "acme"));
        testkit::eventually("the catalog is read", async || {
            rest.get("/v1/datasets").await.text().contains("flights").then_some(())
        })
        .await;
        gateway
    }

    pub(crate) fn token(&self, sub: &str, tenant: &str) -> String {
        self.local.token(sub, tenant).sign()
    }

    pub(crate) fn rest(&self, token: &str) -> Rest {
        Rest::new(&self.url, Some(token))
    }
}

async fn advertise(bus: &platform::bus::Bus) {
    let specs = vec![ParamSpec {
        name: "muscles".into(),
        kind: ParamType::Strings,
        description: "Names of muscles.".into(),
        default: None,
        max_items: None,
    }];
    let dataset = |name: &str, param_specs: Vec<ParamSpec>| CatalogDataset {
        info: DatasetInfo {
            name: name.into(),
            title: name.into(),
            description: String::new(),
            columns: vec![Column::new("delay", ColumnType::Int), Column::new("origin", ColumnType::String)],
            params: json_schema(&param_specs),
            templates: vec![TemplateInfo { name: "default".into(), title: "Default".into() }],
            formats: vec!["csv".into()],
            compressions: vec!["none".into()],
            rows_estimate: Some(10),
            credits: 1,
        },
        param_specs,
        retention_s: 3600,
        access: Default::default(),
    };
    let entry = CatalogEntry {
        v: 1,
        instance: "test".into(),
        pool: "default".into(),
        at: SystemClock.now().into(),
        ttl_ms: 600_000,
        slots: 5,
        bulk_slots: 4,
        datasets: vec![dataset("flights", vec![]), dataset("counts", specs)],
    };
    let value = serde_json::to_vec(&entry).expect("a catalog entry serialises");
    bus.catalog().await.expect("the bucket is there").put("test", value.into()).await.expect("NATS takes it");
}
