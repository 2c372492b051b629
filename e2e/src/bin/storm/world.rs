//! The servers and services of the storm, each of which can be killed, frozen and started again.

use std::{path::PathBuf, sync::Arc, time::Duration};

use e2e::{DataDirs, Fleet, Plan, Setting};
use platform::config::{DatabaseConfig, StoreConfig};
use tempfile::TempDir;
use testkit::{
    fault::{Proxy, free_port},
    s3::{Bucket, S3Server},
    token::Issuer,
};
use tokio::{sync::Mutex, task::JoinHandle, time::Instant};

use crate::{
    args::{Backend, Options},
    clocks::{self, ServiceClock},
    disks::{self, Disk},
    faults::Fault,
    journal::Journal,
    unit::{Service, Unit},
};

const GATEWAYS: usize = 2;
const EXPORTERS: usize = 3;
const NOTIFIERS: usize = 2;
/// The time between two looks for processes that ended by themselves.
const SUPERVISE_INTERVAL: Duration = Duration::from_millis(500);
/// The time for all servers and services to run and be ready after the last fault.
const CALM_TIMEOUT: Duration = Duration::from_secs(120);

/// A unit with its name. A fault holds its lock, so that one fault at a time happens to it.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// The kind, for counts: the name without its number.
    pub(crate) kind: &'static str,
    pub(crate) unit: Arc<Mutex<Unit>>,
    pub(crate) clock: Option<ServiceClock>,
}

/// A line between a service and a server.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) proxy: Arc<Proxy>,
}

/// All servers, services, lines and disks.
pub(crate) struct World {
    pub(crate) targets: Vec<Target>,
    pub(crate) lines: Vec<Line>,
    /// The disks that can be full; empty when the machine permits no mounts.
    pub(crate) disks: Vec<Disk>,
    /// The URLs of the gateways.
    pub(crate) urls: Vec<String>,
    /// The issuer of the tokens of persons.
    pub(crate) issuer: Issuer,
    /// The settings of commands of an operator.
    pub(crate) operator: Vec<Setting>,
    /// The settings of the database, without a line between.
    pub(crate) database: DatabaseConfig,
    pub(crate) store: StoreConfig,
    /// The folder of the file store; None for a bucket.
    pub(crate) store_folder: Option<PathBuf>,
    journal: Arc<Journal>,
    _bucket: Option<Bucket>,
    _root: TempDir,
}

impl World {
    /// Starts everything and waits until the gateways are ready.
    ///
    /// # Panics
    /// When a server or service does not start.
    pub(crate) async fn start(options: &Options, mounts: bool, journal: &Arc<Journal>) -> Self {
        let root = tempfile::Builder::new().prefix("storm-").tempdir().expect("a folder for temporary files");
        // PostgreSQL runs as another user and must be able to enter
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(root.path(), readable).expect("a new folder is ours");
        let disks = disks::create(root.path(), mounts);
        let folder = |name: &str| root.path().join(name);
        let (s3, bucket, store, store_folder) = match options.backend {
            Backend::Folder => {
                let url = format!("file://{}", folder("store").display());
                (None, None, StoreConfig { url, ..StoreConfig::default() }, Some(folder("store")))
            }
            Backend::S3 => {
                let server = S3Server::start_in(&folder("store")).await;
                let bucket = server.bucket().await;
                let store = bucket.config("storm");
                (Some(server), Some(bucket), store, None)
            }
        };
        let settings = vec![
            ("SLUICE_EXPORTER__SPOOL_DIR", folder("spool").display().to_string()),
            ("SLUICE_EXPORTER__ADVERTISE_INTERVAL", "1s".to_owned()),
            ("SLUICE_NOTIFIER__COMMAND_RECONCILE_INTERVAL", "5s".to_owned()),
        ];
        let plan = Plan {
            gateways: 0,
            exporters: 0,
            notifiers: 0,
            postgres: options.backend == Backend::S3,
            settings,
            store: Some(store.clone()),
            data_dirs: Some(DataDirs { nats: folder("nats"), database: folder("database") }),
            ..Plan::default()
        };
        let fleet = Fleet::start(plan).await;
        let mut world = Self {
            targets: vec![],
            lines: vec![],
            disks: if mounts { disks } else { vec![] },
            urls: vec![],
            database: fleet.database.config.clone(),
            issuer: fleet.issuer.clone(),
            operator: fleet.settings_of("notifier"),
            store,
            store_folder,
            journal: Arc::clone(journal),
            _bucket: bucket,
            _root: root,
        };
        world.add_services(&fleet).await;
        if let Some(postgres) = fleet.postgres.clone() {
            world.add("database", "database", Unit::Postgres(postgres), None);
        }
        if let Some(server) = s3 {
            world.add("store", "store", Unit::S3(server), None);
        }
        world.add("nats", "nats", Unit::Nats(Box::new(fleet)), None);
        world.leave_out(options);
        world.calm().await;
        world
    }

    async fn add_services(&mut self, fleet: &Fleet) {
        let library = clocks::library();
        for (command, count) in [("notifier", NOTIFIERS), ("exporter", EXPORTERS), ("gateway", GATEWAYS)] {
            for number in 1..=count {
                let name = format!("{command}-{number}");
                let mut settings = fleet.settings_of(command);
                for setting in &mut settings {
                    self.add_line(&name, setting).await;
                }
                if command == "gateway" {
                    let address = format!("127.0.0.1:{}", free_port());
                    self.urls.push(format!("http://{address}"));
                    settings.push(("SLUICE_GATEWAY__LISTEN", address));
                }
                let clock = library.as_ref().map(|library| {
                    let clock = ServiceClock::new(self._root.path(), &name);
                    settings.extend(clock.settings(library));
                    clock
                });
                let logs = self.journal.logs().join(format!("{name}.log"));
                let service = Service::new(name.clone(), command, settings, logs);
                self.add(&name, command, Unit::Service(service), clock);
            }
        }
    }

    /// Puts a proxy before the server that this setting names, if it names one.
    async fn add_line(&mut self, service: &str, setting: &mut Setting) {
        let server = match setting.0 {
            "SLUICE_NATS__URL" => "nats",
            "SLUICE_DATABASE__URL" if setting.1.starts_with("postgres") => "database",
            "SLUICE_STORE__S3_ENDPOINT" if !setting.1.is_empty() => "store",
            _ => return,
        };
        let from = setting.1.find("127.0.0.1:").expect("servers listen on loopback");
        let address = setting.1[from..].split('/').next().expect("a first part").to_owned();
        let proxy = Arc::new(Proxy::start(&address).await);
        setting.1 = setting.1.replace(&address, &proxy.address().to_string());
        self.lines.push(Line { name: format!("{service} to {server}"), proxy });
    }

    fn add(&mut self, name: &str, kind: &'static str, unit: Unit, clock: Option<ServiceClock>) {
        self.targets.push(Target { name: name.to_owned(), kind, unit: Arc::new(Mutex::new(unit)), clock });
    }

    /// Ends all faults, starts what does not run, and waits until the gateways are ready. A gateway that is not ready in
    /// time is a violation.
    pub(crate) async fn calm(&self) {
        self.lines.iter().for_each(|line| line.proxy.restore());
        self.disks.iter().for_each(Disk::free);
        let clocks = self.targets.iter().filter_map(|target| target.clock.as_ref());
        clocks.for_each(|clock| clock.set(0));
        let deadline = Instant::now() + CALM_TIMEOUT;
        // servers first, which services need
        for target in self.targets.iter().rev() {
            let mut unit = target.unit.lock().await;
            unit.resume();
            while !unit.is_running() {
                if Instant::now() > deadline {
                    self.journal.violated("runs again", None, format!("{} does not start", target.name));
                    break;
                }
                unit.start().await;
            }
        }
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().expect("a client");
        for url in &self.urls {
            loop {
                let last = match http.get(format!("{url}/readyz")).send().await {
                    Ok(answer) if answer.status().is_success() => break,
                    Ok(answer) => answer.text().await.unwrap_or_default(),
                    Err(e) => e.to_string(),
                };
                if Instant::now() > deadline {
                    self.journal.violated("ready again", None, format!("{url}: {last}"));
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Starts again what ends by itself, until the task is aborted.
    pub(crate) fn supervise(&self) -> JoinHandle<()> {
        let (targets, journal) = (self.targets.clone(), Arc::clone(&self.journal));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SUPERVISE_INTERVAL).await;
                start_ended(&targets, &journal).await;
            }
        })
    }

    /// Writes the logs of the running services to their files.
    pub(crate) async fn save_logs(&self) {
        for target in &self.targets {
            target.unit.lock().await.save_log();
        }
    }

    /// Records the kinds of faults that don't happen.
    fn leave_out(&self, options: &Options) {
        let mut counts = self.journal.counts();
        if self.disks.is_empty() {
            counts.left_out.insert(Fault::FullDisk, "this machine permits no mounts".to_owned());
        }
        if self.targets.iter().all(|target| target.clock.is_none()) {
            counts.left_out.insert(Fault::WrongClock, "libfaketime is not installed".to_owned());
        }
        counts.left_out.extend(options.without.iter().map(|fault| (*fault, "as asked".to_owned())));
    }
}

async fn start_ended(targets: &[Target], journal: &Journal) {
    for target in targets {
        // a target under a fault is started by the fault
        let Ok(mut unit) = target.unit.try_lock() else { continue };
        if !unit.is_running() {
            journal.note(&format!("{} ended by itself: {}", target.name, unit.last_line()));
            *journal.counts().ended.entry(target.kind.to_owned()).or_default() += 1;
            unit.start().await;
        }
    }
}
