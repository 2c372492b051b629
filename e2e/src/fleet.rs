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

/// The name of the catalog file in the folder of datasets.
pub const CATALOG: &str = "catalog.toml";

/// The secret that signs the tokens of these tests.
const SECRET: &str = "for tests alone: thirty-two bytes or more";

/// The services of a fleet.
const SERVICES: [&str; 3] = ["gateway", "exporter", "notifier"];

/// A setting of every process of a fleet, as an environment variable.
pub type Setting = (&'static str, String);

/// The datasets of a fleet's exporters.
pub enum Datasets {
    /// The demo catalog with flights and menus.
    Demo,
    /// The demo catalog with the Parquet files of another folder, which stays unchanged.
    DemoWith(PathBuf),
    /// The catalog [`CATALOG`] of this folder.
    Catalog(PathBuf),
}

/// The processes and servers of a fleet.
pub struct Plan {
    /// The number of gateways.
    pub gateways: usize,
    /// The number of exporters.
    pub exporters: usize,
    /// The number of notifiers.
    pub notifiers: usize,
    /// Whether the database is PostgreSQL instead of SQLite.
    pub postgres: bool,
    /// The PostgreSQL server with the database; None starts one if `postgres` is true.
    pub postgres_server: Option<Postgres>,
    /// Whether NATS uses the files of `ops/nats`, with one user and one password file for each service.
    pub nats_users: bool,
    /// Whether NATS is a cluster of three encrypted servers. Implies `nats_users`.
    pub nats_cluster: bool,
    /// Further settings of every process.
    pub settings: Vec<Setting>,
    /// The datasets of the exporters.
    pub datasets: Datasets,
    /// The file store; None creates a folder.
    pub store: Option<StoreConfig>,
    /// Folders of the data of NATS and of the database, which survives a kill of its server. None creates folders, and a
    /// PostgreSQL server that other tests of the process share.
    pub data_dirs: Option<DataDirs>,
}

/// Folders of the data of servers.
pub struct DataDirs {
    /// The folder of the streams of NATS.
    pub nats: PathBuf,
    /// The folder of the database.
    pub database: PathBuf,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            gateways: 1,
            exporters: 1,
            notifiers: 1,
            postgres: false,
            postgres_server: None,
            nats_users: false,
            nats_cluster: false,
            settings: vec![],
            datasets: Datasets::Demo,
            store: None,
            data_dirs: None,
        }
    }
}

/// A running platform. Dropping the value stops every process.
pub struct Fleet {
    /// The gateway processes, in the order of `urls`.
    pub gateways: Vec<Process>,
    /// The URLs of the gateways.
    pub urls: Vec<String>,
    /// The exporter processes, in the order of their start.
    pub exporters: Vec<Process>,
    /// The notifier processes, in the order of their start.
    pub notifiers: Vec<Process>,
    /// The database, with a connection pool for the test.
    pub database: TestDatabase,
    /// The NATS server or cluster.
    pub nats: NatsServer,
    /// The folder of the file store, unless the plan names another store.
    pub store: Folder,
    env: Vec<Setting>,
    /// Settings of the file store, for exporters and notifiers only: a gateway has no access.
    store_env: Vec<Setting>,
    nats_users: bool,
    /// Settings of the processes of each service.
    service_env: [(&'static str, Vec<Setting>); 3],
    /// The issuer of the tokens that the gateways accept.
    pub issuer: Issuer,
    /// The PostgreSQL server, if the plan has one.
    pub postgres: Option<Postgres>,
    _demo_dir: TempDir,
}

impl Fleet {
    /// Starts one process of each service on SQLite.
    pub async fn small() -> Self {
        Self::start(Plan::default()).await
    }

    /// Starts the processes and servers of a plan and waits until every gateway is ready.
    ///
    /// # Panics
    /// When a server or a process does not start.
    pub async fn start(plan: Plan) -> Self {
        Self::start_with(plan, |_| vec![]).await
    }

    /// Starts a plan as [`Fleet::start`] does. `settings_of` returns further settings of the processes of a service, by
    /// its name: `gateway`, `exporter` or `notifier`.
    ///
    /// # Panics
    /// When a server or a process does not start.
    pub async fn start_with(plan: Plan, settings_of: impl Fn(&str) -> Vec<Setting>) -> Self {
        let nats_users = plan.nats_users || plan.nats_cluster;
        let nats = match (&plan.data_dirs, plan.nats_cluster, plan.nats_users) {
            (_, true, _) => NatsServer::start_as_cluster().await,
            (_, false, true) => NatsServer::start_with_ops_config().await,
            (None, false, false) => NatsServer::start().await,
            (Some(dirs), false, false) => NatsServer::start_in(&dirs.nats).await,
        };
        let postgres = match (plan.postgres_server, plan.postgres, &plan.data_dirs) {
            (Some(server), ..) => Some(server),
            (None, true, None) => Some(Postgres::start().await),
            (None, true, Some(dirs)) => Some(Postgres::start_in(&dirs.database).await),
            (None, false, _) => None,
        };
        let database = match (&postgres, &plan.data_dirs) {
            (Some(postgres), _) => postgres.database().await,
            (None, Some(dirs)) => testkit::db::sqlite_in(&dirs.database).await,
            (None, None) => testkit::db::sqlite().await,
        };
        let store = testkit::store::folder();
        let mut env = nats_env(nats.config(), nats_users);
        let demo_dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        let datasets = match plan.datasets {
            Datasets::Catalog(dir) => dir,
            Datasets::Demo => {
                link(&crate::flights(), &demo_dir.path().join("flights.parquet"));
                env.extend(seed_demo(demo_dir.path(), postgres.as_ref()).await);
                demo_dir.path().to_owned()
            }
            Datasets::DemoWith(files) => {
                link_parquet_files(&files, demo_dir.path());
                env.extend(seed_demo(demo_dir.path(), postgres.as_ref()).await);
                demo_dir.path().to_owned()
            }
        };
        env.extend([
            ("SLUICE_DATABASE__URL", database.url().to_owned()),
            ("SLUICE_EXPORTER__DATASETS_DIR", datasets.display().to_string()),
            ("SLUICE_EXPORTER__CATALOG", datasets.join(CATALOG).display().to_string()),
            ("SLUICE_GATEWAY__IDENTITY__LOCAL__SECRET", SECRET.to_owned()),
            // Balances must not change when a test runs over midnight.
            ("SLUICE_CREDITS__DAILY_GRANT", "0".to_owned()),
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
            service_env: SERVICES.map(|service| (service, settings_of(service))),
            issuer: Issuer::local(SECRET),
            postgres,
            _demo_dir: demo_dir,
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
        self.notifiers.push(self.launch("notifier").spawn());
    }

    /// Starts one more exporter.
    pub fn add_exporter(&mut self) {
        self.exporters.push(self.launch("exporter").spawn());
    }

    /// Starts one more gateway.
    pub fn add_gateway(&mut self) {
        let address = format!("127.0.0.1:{}", free_port());
        self.gateways.push(self.launch("gateway").env("SLUICE_GATEWAY__LISTEN", &address).spawn());
        self.urls.push(format!("http://{address}"));
    }

    /// Starts this gateway again at its previous address.
    ///
    /// # Panics
    /// When the gateway is not ready in time.
    pub async fn restart_gateway(&mut self, index: usize) {
        let url = self.urls[index].clone();
        let address = url.trim_start_matches("http://");
        self.gateways[index] = self.launch("gateway").env("SLUICE_GATEWAY__LISTEN", address).spawn();
        self.gateways[index].ready(&format!("{url}/readyz")).await;
    }

    /// The `sluice` binary with these arguments and all settings, including the file store.
    pub fn sluice(&self, args: &[&str]) -> Launch {
        Launch::sluice(args).envs(self.env.iter().cloned()).envs(self.store_env.iter().cloned())
    }

    /// The URL of the first gateway.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.urls[0]
    }

    /// A token that permits the export of every dataset.
    #[must_use]
    pub fn token(&self, sub: &str, tenant: &str) -> String {
        self.issuer.token(sub, tenant).sign()
    }

    /// A REST client of alice of acme at the first gateway.
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
    /// When the gateway refuses the session.
    pub async fn client_at(&self, url: &str) -> Client {
        let token = self.token("alice", "acme");
        Client::connect(url, Credential::Bearer(&token)).await.unwrap_or_else(|e| panic!("session refused: {e:?}"))
    }

    /// The standard error of each process, for the message of a failed test.
    #[must_use]
    pub fn logs(&self) -> String {
        let all = self.gateways.iter().chain(&self.exporters).chain(&self.notifiers);
        all.map(|process| format!("--- {}\n{}", process.pid(), process.stderr())).collect()
    }

    /// Starts another program of the workspace with the fleet's settings and these additional ones.
    #[must_use]
    pub fn launch_program(&self, program: &str, settings: &[(&str, &str)]) -> Process {
        let launch = Launch::sibling(program).envs(self.env.iter().cloned()).envs(self.store_env.iter().cloned());
        launch.envs(settings.iter().copied()).spawn()
    }

    fn launch(&self, service: &str) -> Launch {
        Launch::sluice([service]).envs(self.settings_of(service))
    }

    /// The settings of a service. A gateway has no access to the file store.
    #[must_use]
    pub fn settings_of(&self, service: &str) -> Vec<Setting> {
        let store = if service == "gateway" { vec![] } else { self.store_env.clone() };
        let own =
            self.service_env.iter().filter(|(name, _)| *name == service).flat_map(|(_, settings)| settings.clone());
        [self.env.clone(), own.collect(), self.nats_user(service), store].concat()
    }

    /// The settings of a process that connects to NATS as this user; empty when NATS has one user.
    #[must_use]
    pub fn nats_user(&self, user: &str) -> Vec<Setting> {
        if !self.nats_users {
            return vec![];
        }
        let password = self.nats.password_file(user).display().to_string();
        vec![("SLUICE_NATS__USER", user.to_owned()), ("SLUICE_NATS__PASSWORD_FILE", password)]
    }
}

/// The settings of the NATS connection; without user and password when each service has its own (`users`).
fn nats_env(config: NatsConfig, users: bool) -> Vec<Setting> {
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

fn store_env(config: StoreConfig) -> Vec<Setting> {
    vec![
        ("SLUICE_STORE__URL", config.url),
        ("SLUICE_STORE__S3_ENDPOINT", config.s3_endpoint),
        ("SLUICE_STORE__S3_REGION", config.s3_region),
        ("SLUICE_STORE__S3_ACCESS_KEY_ID", config.s3_access_key_id),
        ("SLUICE_STORE__S3_SECRET_ACCESS_KEY", config.s3_secret_access_key.expose().to_owned()),
    ]
}

/// Seeds the demo in a folder: the menu tables in PostgreSQL when there is a server, else in SQLite. Returns the settings
/// that its catalog needs.
async fn seed_demo(dir: &Path, postgres: Option<&Postgres>) -> Vec<Setting> {
    let Some(postgres) = postgres else {
        demo::seed(dir).await;
        return vec![];
    };
    let menus = postgres.database().await;
    demo::seed_postgres(dir, &menus.db).await;
    vec![(demo::POSTGRES_URL, menus.url().to_owned())]
}

/// Links the Parquet files of a folder into another one.
fn link_parquet_files(from: &Path, to: &Path) {
    let entries = std::fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    for file in paths.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")) {
        link(&file, &to.join(file.file_name().expect("an entry of a folder has a name")));
    }
}

/// Creates a hard link to a file, or a copy when the target is on another file system.
///
/// # Panics
/// When the file can be neither linked nor copied.
pub fn link(from: &Path, to: &Path) {
    if std::fs::hard_link(from, to).is_err() {
        std::fs::copy(from, to).expect("the file can be copied");
    }
}
