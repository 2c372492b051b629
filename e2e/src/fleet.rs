//! Gateways, exporters and notifiers as separate processes.

use std::path::{Path, PathBuf};

use platform::config::{NatsConfig, StoreConfig};
use tempfile::TempDir;
use testkit::{
    client::{Client, Credential},
    db::{Postgres, TestDatabase},
    demo,
    fault::{Launch, Process, free_port},
    nats::NatsServer,
    rest::Rest,
    store::Folder,
    token::Issuer,
};

/// The secret with which the tokens of these tests are signed.
const SECRET: &str = "for tests alone: thirty-two bytes or more";

/// How many of each to start, and on what.
pub struct Plan {
    /// Gateways.
    pub gateways: usize,
    /// Exporters.
    pub exporters: usize,
    /// Notifiers.
    pub notifiers: usize,
    /// PostgreSQL instead of SQLite.
    pub postgres: bool,
    /// NATS with the files of `ops/nats`, and each service as its own user with its password in a file.
    pub nats_users: bool,
    /// The same on a cluster of three, encrypted.
    pub nats_cluster: bool,
    /// Further settings of every process, as environment variables.
    pub settings: Vec<(&'static str, String)>,
    /// Where datasets are; a folder with `flights` when None.
    pub datasets: Option<PathBuf>,
    /// The file store; a folder when None.
    pub store: Option<StoreConfig>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            gateways: 1,
            exporters: 1,
            notifiers: 1,
            postgres: false,
            nats_users: false,
            nats_cluster: false,
            settings: vec![],
            datasets: None,
            store: None,
        }
    }
}

/// A running platform. Everything ends when it is dropped.
pub struct Fleet {
    /// The gateways.
    pub gateways: Vec<Process>,
    /// Their URLs.
    pub urls: Vec<String>,
    /// The exporters.
    pub exporters: Vec<Process>,
    /// The notifiers.
    pub notifiers: Vec<Process>,
    /// The database, with a pool for the test.
    pub database: TestDatabase,
    /// NATS.
    pub nats: NatsServer,
    /// The file store, unless the plan named another.
    pub store: Folder,
    env: Vec<(&'static str, String)>,
    /// Settings of the services that may reach the file store, which the gateway is none of.
    store_env: Vec<(&'static str, String)>,
    nats_users: bool,
    issuer: Issuer,
    _postgres: Option<Postgres>,
    _datasets: TempDir,
}

impl Fleet {
    /// One of each on SQLite.
    pub async fn small() -> Self {
        Self::start(Plan::default()).await
    }

    /// Starts what the plan says and waits until every gateway is ready.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn start(plan: Plan) -> Self {
        let nats_users = plan.nats_users || plan.nats_cluster;
        let nats = match (plan.nats_cluster, plan.nats_users) {
            (true, _) => NatsServer::start_as_cluster().await,
            (false, true) => NatsServer::start_with_ops_config().await,
            (false, false) => NatsServer::start().await,
        };
        let (postgres, database) = if plan.postgres {
            let postgres = Postgres::start().await;
            let database = postgres.database().await;
            (Some(postgres), database)
        } else {
            (None, testkit::db::sqlite().await)
        };
        let store = testkit::store::folder();
        let own_datasets = tempfile::tempdir().expect("the folder for temporary files is writable");
        if plan.datasets.is_none() {
            link(&crate::flights(), &own_datasets.path().join("flights.parquet"));
        }
        let datasets = plan.datasets.unwrap_or_else(|| own_datasets.path().to_owned());
        let mut env = nats_env(nats.config(), nats_users);
        let catalog = match &postgres {
            Some(postgres) => {
                let menus = postgres.database().await;
                env.push((demo::POSTGRES_URL, menus.url().to_owned()));
                demo::seed_postgres(&datasets, &menus.db).await
            }
            None => demo::seed(&datasets).await,
        };
        env.extend([
            ("SLUICE_DATABASE__URL", database.url().to_owned()),
            ("SLUICE_EXPORTER__DATASETS_DIR", datasets.display().to_string()),
            ("SLUICE_EXPORTER__CATALOG", catalog.display().to_string()),
            ("SLUICE_GATEWAY__IDENTITY__LOCAL__SECRET", SECRET.to_owned()),
            // what a test counts is the same when it runs over midnight
            ("SLUICE_CREDITS__NIGHTLY", "0".to_owned()),
        ]);
        env.extend(plan.settings);
        let mut fleet = Self {
            gateways: vec![],
            urls: vec![],
            exporters: vec![],
            notifiers: vec![],
            database,
            nats,
            store_env: store_env(plan.store.unwrap_or_else(|| store.config())),
            store,
            env,
            nats_users,
            issuer: Issuer::local(SECRET),
            _postgres: postgres,
            _datasets: own_datasets,
        };
        for _ in 0..plan.notifiers {
            fleet.add_notifier();
        }
        for _ in 0..plan.exporters {
            fleet.add_exporter();
        }
        for _ in 0..plan.gateways {
            fleet.add_gateway();
        }
        for (gateway, url) in fleet.gateways.iter_mut().zip(&fleet.urls) {
            gateway.ready(&format!("{url}/readyz")).await;
        }
        fleet
    }

    /// Starts one more notifier.
    pub fn add_notifier(&mut self) {
        self.notifiers.push(self.launch("notifier").envs(self.store_env.iter().cloned()).spawn());
    }

    /// Starts one more exporter.
    pub fn add_exporter(&mut self) {
        self.exporters.push(self.launch("exporter").envs(self.store_env.iter().cloned()).spawn());
    }

    /// Starts one more gateway.
    pub fn add_gateway(&mut self) {
        let address = format!("127.0.0.1:{}", free_port());
        self.gateways.push(self.launch("gateway").env("SLUICE_GATEWAY__LISTEN", &address).spawn());
        self.urls.push(format!("http://{address}"));
    }

    /// Starts this gateway anew, at its old address.
    ///
    /// # Panics
    /// When it is not ready in time.
    pub async fn start_gateway_again(&mut self, index: usize) {
        let url = self.urls[index].clone();
        let address = url.trim_start_matches("http://");
        self.gateways[index] = self.launch("gateway").env("SLUICE_GATEWAY__LISTEN", address).spawn();
        self.gateways[index].ready(&format!("{url}/readyz")).await;
    }

    /// The binary with these arguments and all settings, those of the file store too.
    pub fn sluice(&self, args: &[&str]) -> Launch {
        Launch::sluice(args).envs(self.env.iter().cloned()).envs(self.store_env.iter().cloned())
    }

    /// The first gateway.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.urls[0]
    }

    /// A token that may export everything.
    #[must_use]
    pub fn token(&self, sub: &str, tenant: &str) -> String {
        self.issuer.token(sub, tenant).sign()
    }

    /// REST as alice of acme, at the first gateway.
    #[must_use]
    pub fn rest(&self) -> Rest {
        Rest::new(self.url(), Some(&self.token("alice", "acme")))
    }

    /// A session of alice of acme at the first gateway.
    pub async fn client(&self) -> Client {
        self.client_at(self.url()).await
    }

    /// A session of alice of acme at this gateway.
    ///
    /// # Panics
    /// When she isn't let in.
    pub async fn client_at(&self, url: &str) -> Client {
        let token = self.token("alice", "acme");
        Client::connect(url, Credential::Bearer(&token)).await.unwrap_or_else(|e| panic!("not let in: {e:?}"))
    }

    /// What went wrong in each process, for a failed test.
    #[must_use]
    pub fn logs(&self) -> String {
        let all = self.gateways.iter().chain(&self.exporters).chain(&self.notifiers);
        all.map(|process| format!("--- {}\n{}", process.pid(), process.stderr())).collect()
    }

    /// Another program that works on this fleet's NATS, database and store, with settings of its own.
    #[must_use]
    pub fn launch_beside(&self, program: &str, settings: &[(&str, &str)]) -> Process {
        let launch = Launch::sibling(program).envs(self.env.iter().cloned()).envs(self.store_env.iter().cloned());
        launch.envs(settings.iter().copied()).spawn()
    }

    fn launch(&self, service: &str) -> Launch {
        Launch::sluice([service]).envs(self.env.iter().cloned()).envs(self.nats_user(service))
    }

    /// The settings with which a process is this user of NATS, where there are several.
    #[must_use]
    pub fn nats_user(&self, user: &str) -> Vec<(&'static str, String)> {
        if !self.nats_users {
            return vec![];
        }
        let password = self.nats.password_file(user).display().to_string();
        vec![("SLUICE_NATS__USER", user.to_owned()), ("SLUICE_NATS__PASSWORD_FILE", password)]
    }
}

/// How to connect. Where each service is a user of its own, this leaves out who.
fn nats_env(config: NatsConfig, users: bool) -> Vec<(&'static str, String)> {
    let mut env = vec![("SLUICE_NATS__URL", config.url), ("SLUICE_NATS__REPLICAS", config.replicas.to_string())];
    if !users {
        env.push(("SLUICE_NATS__USER", config.user));
        env.push(("SLUICE_NATS__PASSWORD", config.password.expose().to_owned()));
    }
    if !config.tls_ca_file.is_empty() {
        env.push(("SLUICE_NATS__TLS_CA_FILE", config.tls_ca_file));
        env.push(("SLUICE_NATS__TLS_CERT_FILE", config.tls_cert_file));
        env.push(("SLUICE_NATS__TLS_KEY_FILE", config.tls_key_file));
    }
    env
}

fn store_env(config: StoreConfig) -> Vec<(&'static str, String)> {
    vec![
        ("SLUICE_STORE__URL", config.url),
        ("SLUICE_STORE__S3_ENDPOINT", config.s3_endpoint),
        ("SLUICE_STORE__S3_REGION", config.s3_region),
        ("SLUICE_STORE__S3_ACCESS_KEY_ID", config.s3_access_key_id),
        ("SLUICE_STORE__S3_SECRET_ACCESS_KEY", config.s3_secret_access_key.expose().to_owned()),
        ("SLUICE_STORE__S3_ALLOW_HTTP", config.s3_allow_http.to_string()),
    ]
}

/// Gives a dataset a second name; a test on a foreign disk copies it instead.
///
/// # Panics
/// When neither can be done.
pub fn link(from: &Path, to: &Path) {
    if std::fs::hard_link(from, to).is_err() {
        std::fs::copy(from, to).expect("the dataset can be copied");
    }
}
