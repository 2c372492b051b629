//! A gateway in this process, or several, with a real NATS server and database, and a catalog as an exporter would put it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use entity::credit_policy::{CreditsConfig, CreditPolicy};
use gateway::{Deps, GatewayConfig, app::StartError};
use platform::{
    bus::Bus,
    clock::{Clock, ManualClock, SystemClock},
    config::{DatabaseConfig, NatsConfig},
    lifecycle::Lifecycle,
    secret::Secret,
    units::HumanDuration,
};
use protocol::{
    access::{Access, ColumnRule, ColumnMask},
    catalog::{CatalogDataset, CatalogEntry, Column, ColumnType, DatasetInfo, TemplateInfo},
    envelope::{Envelope, EventBody, TraceContext, UserEvent},
    id::Owner,
    params::{ParamSpec, ParamType, json_schema},
    subject,
};
use testkit::{
    db::TestDatabase,
    nats::NatsServer,
    rest::Rest,
    token::{Issuer, JwksServer},
};
use tokio::net::TcpListener;

/// How long gateways wait for NATS and for a connection to the database: far longer than the tests' clients wait for
/// them, so that a slow machine makes nobody give up.
const PATIENCE: HumanDuration = HumanDuration::from_secs(200);

/// What everything of a test hangs on.
pub(crate) struct Gateway {
    pub(crate) url: String,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) credit_policy: CreditPolicy,
    pub(crate) local: Issuer,
    pub(crate) outside: [Issuer; 3],
    pub(crate) jwks: JwksServer,
    pub(crate) database: TestDatabase,
    pub(crate) nats: NatsServer,
    pub(crate) bus: Bus,
    config: GatewayConfig,
    told: AtomicU32,
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
        Self::start_in(testkit::db::sqlite().await, credits, change).await
    }

    pub(crate) async fn start_in(
        database: TestDatabase,
        credits: &CreditsConfig,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> Self {
        let credit_policy = CreditPolicy::new(credits, "UTC").expect("a test's credit_policy work");
        let nats = NatsServer::start().await;
        let local = Issuer::local("a secret of thirty-two bytes, or more");
        let outside = [Issuer::rs256(), Issuer::es256(), Issuer::eddsa()];
        let jwks = JwksServer::start(&outside).await;
        let clock = ManualClock::at(SystemClock.now());
        let mut config = GatewayConfig::default();
        config.identity.jwks_url = jwks.url().to_owned();
        config.identity.local.secret = Secret::new(local.secret().expect("a local issuer has a secret"));
        change(&mut config);
        let bus = nats.bus().await;
        advertise(&bus).await;
        let (url, told, life) = (String::new(), AtomicU32::new(0), Lifecycle::new());
        let mut gateway = Self { url, clock, credit_policy, local, outside, jwks, database, nats, bus, config, told, life };
        gateway.url = gateway.another().await;
        gateway
    }

    /// One more gateway of the same house, with connections of its own: its address.
    pub(crate) async fn another(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let url = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
        gateway::start(self.config.clone(), self.deps().await, listener, &self.life).await.expect("the gateway starts");
        let rest = Rest::new(&url, Some(&self.token("nobody", "of-the-test")));
        testkit::eventually("the catalog is read", async || {
            rest.get("/v1/datasets").await.text().contains("flights").then_some(())
        })
        .await;
        url
    }

    /// Why one more gateway, with other settings, does not start.
    pub(crate) async fn refuses(&self, change: impl FnOnce(&mut GatewayConfig)) -> StartError {
        let mut config = self.config.clone();
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        gateway::start(config, self.deps().await, listener, &self.life).await.expect_err("it is refused")
    }

    async fn deps(&self) -> Deps {
        let database = DatabaseConfig { acquire_timeout: PATIENCE, ..self.database.config.clone() };
        let db = platform::db::connect(&database).await.expect("the database of this test is up");
        let nats = NatsConfig { request_timeout: PATIENCE, ..self.nats.config() };
        let bus = Bus::connect(&nats, "test").await.expect("the server of this test is up");
        Deps { bus, db, clock: self.clock.clone(), credit_policy: self.credit_policy, metrics: None }
    }

    pub(crate) fn token(&self, sub: &str, tenant: &str) -> String {
        self.local.token(sub, tenant).sign()
    }

    pub(crate) fn rest(&self, token: &str) -> Rest {
        Rest::new(&self.url, Some(token))
    }

    /// Publishes a user event as a notifier does.
    pub(crate) async fn tell(&self, owner: &Owner, event: EventBody) {
        let id = format!("test:{}", self.told.fetch_add(1, Ordering::Relaxed));
        let subject = subject::user_event(owner, event.token());
        let trace = TraceContext::generate().traceparent();
        let message = Envelope::new(&id, trace, UserEvent { owner: owner.clone(), event });
        self.bus.publish_durable(subject, &id, &message).await.expect("the stream takes it");
    }
}

async fn advertise(bus: &Bus) {
    let specs = vec![ParamSpec {
        name: "muscles".into(),
        kind: ParamType::Strings,
        description: "Names of muscles.".into(),
        default: None,
        max_items: None,
    }];
    let template = |name: &str| TemplateInfo { name: name.into(), title: name.into(), columns: None };
    let dataset = |name: &str, credits: u32, param_specs: Vec<ParamSpec>| CatalogDataset {
        info: DatasetInfo {
            name: name.into(),
            title: name.into(),
            description: String::new(),
            columns: vec![Column::new("delay", ColumnType::Int), Column::new("origin", ColumnType::String)],
            params: json_schema(&param_specs),
            templates: vec![template("default"), template("short")],
            formats: vec!["csv".into(), "ndjson".into()],
            compressions: vec!["none".into()],
            formats_info: vec![],
            rows_estimate: Some(10),
            credits,
        },
        param_specs,
        retention_seconds: 3600,
        access: Default::default(),
        total_rows: None,
    };
    let mut people = dataset("people", 1, vec![]);
    people.info.columns = [("name", ColumnType::String), ("email", ColumnType::String), ("salary", ColumnType::Int)]
        .map(|(name, kind)| Column::new(name, kind))
        .to_vec();
    let rule = |column: &str, scope: &str, without| ColumnRule { column: column.into(), scope: scope.into(), without };
    people.access = Access {
        scopes: vec!["staff".into()],
        columns: vec![rule("email", "pii:read", ColumnMask::LastFour), rule("salary", "hr", ColumnMask::Hidden)],
    };
    let entry = CatalogEntry {
        v: 1,
        instance: "test".into(),
        pool: "default".into(),
        at: SystemClock.now().into(),
        ttl_ms: 600_000,
        slots: 5,
        bulk_slots: 4,
        draining: false,
        datasets: vec![
            dataset("flights", 1, vec![]),
            dataset("counts", 1, specs),
            dataset("dear", 3, vec![]),
            dataset("gratis", 0, vec![]),
            people,
        ],
    };
    let value = serde_json::to_vec(&entry).expect("a catalog entry serialises");
    bus.catalog().await.expect("the bucket is there").put("test", value.into()).await.expect("NATS takes it");
}
