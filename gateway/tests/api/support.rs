//! The test fixture: gateways in this process with a real NATS server, a real database and an advertised catalog.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use entity::credit_policy::{CreditPolicy, CreditsConfig};
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
    access::{Access, ColumnMask, ColumnRule},
    catalog::{CatalogDataset, Column, ColumnType, DatasetInfo, ExporterHeartbeat, TemplateColumn, TemplateInfo},
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

/// The gateways' timeout for NATS and database connections: longer than every timeout of the tests' clients, so that a
/// slow machine causes no spurious refusal.
const DEPENDENCY_TIMEOUT: HumanDuration = HumanDuration::from_secs(200);

/// One or more gateways with their dependencies.
pub(crate) struct Gateway {
    pub(crate) url: String,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) credit_policy: CreditPolicy,
    pub(crate) local: Issuer,
    pub(crate) issuers: [Issuer; 3],
    pub(crate) jwks: JwksServer,
    pub(crate) database: TestDatabase,
    pub(crate) nats: NatsServer,
    pub(crate) bus: Bus,
    config: GatewayConfig,
    published: AtomicU32,
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
        Self::start_with_credits(&CreditsConfig::default(), change).await
    }

    pub(crate) async fn start_with_credits(credits: &CreditsConfig, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::start_with_database(testkit::db::sqlite().await, credits, change).await
    }

    pub(crate) async fn start_with_database(
        database: TestDatabase,
        credits: &CreditsConfig,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> Self {
        let credit_policy = CreditPolicy::new(credits, "UTC").expect("the test's credit policy is valid");
        let nats = NatsServer::start().await;
        let local = Issuer::local("a secret of thirty-two bytes, or more");
        let issuers = [Issuer::rs256(), Issuer::es256(), Issuer::eddsa()];
        let jwks = JwksServer::start(&issuers).await;
        let clock = ManualClock::at(SystemClock.now());
        let mut config = GatewayConfig::default();
        config.identity.jwks_url = jwks.url().to_owned();
        config.identity.local.secret = Secret::new(local.secret().expect("a local issuer has a secret"));
        change(&mut config);
        let bus = nats.bus().await;
        advertise(&bus).await;
        let (url, published, life) = (String::new(), AtomicU32::new(0), Lifecycle::new());
        let mut gateway =
            Self { url, clock, credit_policy, local, issuers, jwks, database, nats, bus, config, published, life };
        gateway.url = gateway.start_another().await;
        gateway
    }

    /// Starts one more gateway with the same settings and dependencies, and returns its URL.
    pub(crate) async fn start_another(&self) -> String {
        self.another(|_| {}).await
    }

    /// Starts one more gateway with the same dependencies and changed settings, and returns its URL.
    pub(crate) async fn another(&self, change: impl FnOnce(&mut GatewayConfig)) -> String {
        let mut config = self.config.clone();
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let url = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
        gateway::start(config, self.deps().await, listener, &self.life).await.expect("the gateway starts");
        let rest = Rest::new(&url, Some(&self.token("probe", "probe")));
        testkit::eventually("the catalog is read", async || {
            rest.get("/v1/datasets").await.text().contains("flights").then_some(())
        })
        .await;
        url
    }

    /// Starts a gateway with invalid settings and returns its error.
    pub(crate) async fn start_error(&self, change: impl FnOnce(&mut GatewayConfig)) -> StartError {
        let mut config = self.config.clone();
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        gateway::start(config, self.deps().await, listener, &self.life).await.expect_err("the gateway does not start")
    }

    async fn deps(&self) -> Deps {
        let database = DatabaseConfig { acquire_timeout: DEPENDENCY_TIMEOUT, ..self.database.config.clone() };
        let db = platform::db::connect(&database).await.expect("the test's database accepts connections");
        let nats = NatsConfig { request_timeout: DEPENDENCY_TIMEOUT, ..self.nats.config() };
        let bus = Bus::connect(&nats, "test").await.expect("the test's NATS server accepts connections");
        Deps { bus, db, clock: self.clock.clone(), credit_policy: self.credit_policy, metrics: None }
    }

    pub(crate) fn token(&self, sub: &str, tenant: &str) -> String {
        self.local.token(sub, tenant).sign()
    }

    pub(crate) fn rest(&self, token: &str) -> Rest {
        Rest::new(&self.url, Some(token))
    }

    /// Publishes a user event, as a notifier does.
    pub(crate) async fn publish_event(&self, owner: &Owner, event: EventBody) {
        let id = format!("test:{}", self.published.fetch_add(1, Ordering::Relaxed));
        let subject = subject::user_event(owner, event.token());
        let trace = TraceContext::generate().traceparent();
        let message = Envelope::new(&id, trace, UserEvent { owner: owner.clone(), event });
        self.bus.publish_durable(subject, &id, &message).await.expect("the stream stores the event");
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
    let mut visits = dataset("visits", 1, vec![ParamSpec::new("since", ParamType::Datetime)]);
    visits.info.columns = vec![
        Column::new("at", ColumnType::Datetime),
        Column::new("local_at", ColumnType::Datetime).typed(ColumnType::Datetime, true),
        Column::new("day", ColumnType::Date),
    ];
    let mut people = dataset("people", 1, vec![]);
    people.info.columns = [("name", ColumnType::String), ("email", ColumnType::String), ("salary", ColumnType::Int)]
        .map(|(name, kind)| Column::new(name, kind))
        .to_vec();
    // the template calculates a column from the salary, and gives it the name of another column
    let calculated =
        |name: &str, kind, reads: &str| TemplateColumn { column: Column::new(name, kind), reads: vec![reads.into()] };
    people.info.templates.push(TemplateInfo {
        columns: Some(vec![
            calculated("name", ColumnType::String, "name"),
            calculated("email", ColumnType::Int, "salary"),
        ]),
        ..template("pay")
    });
    let rule = |column: &str, scope: &str, mask| ColumnRule { column: column.into(), scope: scope.into(), mask };
    people.access = Access {
        scopes: vec!["staff".into()],
        columns: vec![rule("email", "pii:read", ColumnMask::LastFour), rule("salary", "hr", ColumnMask::Hidden)],
        policy_claims: None,
    };
    let heartbeat = ExporterHeartbeat {
        v: 1,
        instance: "test".into(),
        pool: "default".into(),
        at: SystemClock.now().into(),
        ttl_ms: 600_000,
        slots: 5,
        bulk_slots: 4,
        draining: false,
        datasets: vec![],
    };
    let datasets = [
        dataset("flights", 1, vec![]),
        dataset("counts", 1, specs),
        dataset("expensive", 3, vec![]),
        dataset("free", 0, vec![]),
        people,
        visits,
    ];
    testkit::catalog::advertise(bus, heartbeat, &datasets).await;
}
