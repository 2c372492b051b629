//! `sluice up`: runs all services in one process, with nats-server as its child.
//!
//! The modules, in the order of a start: `data_dir` claims the folder, `secrets` creates or reads the secrets,
//! `stale_nats` stops the nats-server of a killed predecessor, `nats` runs the server, `settings_file` writes the
//! settings that the other commands read, and `ready_block` prints the address and example commands.

mod data_dir;
mod nats;
mod ready_block;
mod secrets;
mod settings_file;
mod stale_nats;
mod standalone_nats;

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use migration::{Migrator, MigratorTrait};
use platform::lifecycle::Lifecycle;
use tokio::net::TcpListener;

pub use self::standalone_nats::StandaloneNats;
use self::{data_dir::DataDir, nats::NatsChild, secrets::Secrets, settings_file::CatalogChoice};
use crate::{
    cli::{SettingsFiles, UpOptions},
    output,
    services::{self, Common, ServiceError, ServiceKind},
    settings::{Settings, SettingsError},
};

/// The default of `--data-dir`.
const DEFAULT_DIR: &str = "data";
/// The service name in traces of a process that runs all services.
const PROCESS: &str = "sluice";
/// The time limit for all services to become ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The interval at which the start checks the readiness of the gateway.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Why `sluice up` cannot start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The settings are invalid.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The folder contains files of other programs.
    #[error("{0} holds files of other programs: choose another --data-dir")]
    Foreign(PathBuf),
    /// Another process uses the folder.
    #[error("another `sluice up` runs on {0}: stop it, or choose another --data-dir")]
    Locked(PathBuf),
    /// A file can't be read or written.
    #[error("{path}: {source}")]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file that Sluice wrote has been changed.
    #[error("{0} is damaged: delete it and start again")]
    Damaged(PathBuf),
    /// The gateway can't listen on the port.
    #[error("{}", port_error(*port, source))]
    Port {
        /// The number of the port.
        port: u16,
        /// The error of the operating system.
        source: io::Error,
    },
    /// No nats-server is installed.
    #[error(
        "no nats-server: install 2.11 or newer, or set SLUICE_NATS_SERVER to its path; `cargo xtask up` downloads one"
    )]
    NoNats,
    /// The nats-server program does not work.
    #[error("{program} is not a working nats-server: {detail}")]
    BadNats {
        /// The path of the program.
        program: PathBuf,
        /// The error or the unexpected output.
        detail: String,
    },
    /// The nats-server is older than required.
    #[error(
        "{program} is nats-server {found}, but Sluice needs {} or newer: set SLUICE_NATS_SERVER to another program",
        nats::OLDEST
    )]
    OldNats {
        /// The path of the program.
        program: PathBuf,
        /// The version that the program printed.
        found: nats::Version,
    },
    /// The nats-server did not become ready.
    #[error("nats-server did not start: {0}")]
    NatsStart(String),
    /// A service failed to start, or stopped.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The database can't be migrated.
    #[error("can't migrate the database: {0}")]
    Migrate(sea_orm::DbErr),
    /// The services are not ready within the time limit.
    #[error("not ready within {} s: {last}", START_TIMEOUT.as_secs())]
    NotReady {
        /// The last answer of the readiness check.
        last: String,
    },
    /// The catalog file of `--catalog` does not exist.
    #[error("there is no catalog file {0}")]
    NoCatalog(PathBuf),
    /// Standard output is closed.
    #[error("can't print: {0}")]
    Print(io::Error),
}

impl UpError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { path, source }
    }
}

fn port_error(port: u16, source: &io::Error) -> String {
    match source.kind() {
        ErrorKind::AddrInUse => {
            format!("port {port} is taken: stop the program that uses it, or choose another with --port")
        }
        ErrorKind::PermissionDenied => {
            format!("port {port} needs privileges: choose one above 1023 with --port")
        }
        _ => format!("port {port} can't be used: {source}"),
    }
}

/// Runs all services until a stop signal, such as Ctrl-C.
///
/// # Errors
/// When a part can't start, or a critical part stopped by itself.
pub async fn run(options: &UpOptions, files: &SettingsFiles) -> Result<(), UpError> {
    let life = Lifecycle::new();
    life.stop_at_signals();
    let catalog = catalog_choice(options)?;
    let dir = DataDir::claim(files.data_dir.as_deref().unwrap_or(Path::new(DEFAULT_DIR)))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let listener = TcpListener::bind(address).await.map_err(|source| UpError::Port { port: options.port, source })?;
    // the system chooses a free port for --port 0
    let address = listener.local_addr().map_err(|source| UpError::Port { port: options.port, source })?;
    let program = nats::find()?;
    let secrets = Secrets::load(&dir)?;
    stale_nats::stop(&dir.nats_pid(), &dir.nats_config()).await?;

    // the child ends with the thread that started it (setpriv --pdeathsig), and this is the main thread
    let mut nats = NatsChild::start(&program, &dir, &secrets).await?;
    let written = settings_file::write(&dir, address, nats.url(), &secrets, &catalog);
    let served = match written {
        Ok(()) => serve(&dir, address, listener, files, &catalog, &mut nats, &life).await,
        Err(e) => Err(e),
    };
    nats.stop().await;
    served
}

/// Returns the catalog of the command line, as an absolute path: later starts may run in another folder.
fn catalog_choice(options: &UpOptions) -> Result<CatalogChoice, UpError> {
    let Some(file) = &options.catalog else {
        return Ok(if options.no_catalog { CatalogChoice::None } else { CatalogChoice::Keep });
    };
    let path = std::path::absolute(file).map_err(UpError::file(file))?;
    if path.is_file() { Ok(CatalogChoice::Use(path)) } else { Err(UpError::NoCatalog(file.clone())) }
}

async fn serve(
    dir: &DataDir,
    address: SocketAddr,
    listener: TcpListener,
    files: &SettingsFiles,
    catalog: &CatalogChoice,
    nats: &mut NatsChild,
    life: &Lifecycle,
) -> Result<(), UpError> {
    let files = SettingsFiles { data_dir: Some(dir.path().to_path_buf()), ..files.clone() };
    let mut settings = files.load()?;
    // the command line overrides --config and the environment
    match catalog {
        CatalogChoice::Keep => {}
        CatalogChoice::Use(path) => settings.exporter.catalog.clone_from(path),
        CatalogChoice::None => settings.exporter.catalog = PathBuf::new(),
    }
    let common = Common::prepare(&settings, PROCESS).await?;
    Migrator::up(&common.db, None).await.map_err(UpError::Migrate)?;

    let started = start(&settings, &common, listener, life).await;
    if started.is_ok() {
        tokio::select! {
            ready = announce_when_ready(address, dir, &settings, life) => match ready {
                Ok(()) => tokio::select! {
                    () = life.soft().cancelled() => {}
                    status = nats.exited() => life.fail(format!("nats-server stopped by itself ({status})")),
                },
                // stop services that do not become ready
                Err(e) => {
                    life.soft().cancel();
                    services::stop(&settings, &common, Ok(()), life).await?;
                    return Err(e);
                }
            },
            status = nats.exited() => life.fail(format!("nats-server stopped by itself ({status})")),
        }
    }
    services::stop(&settings, &common, started, life).await?;
    Ok(())
}

async fn start(
    settings: &Settings,
    common: &Common,
    listener: TcpListener,
    life: &Lifecycle,
) -> Result<(), ServiceError> {
    services::start(ServiceKind::Notifier, settings, common, life).await?;
    services::start(ServiceKind::Exporter, settings, common, life).await?;
    services::start_gateway(settings, common, listener, life).await
}

/// Waits until the gateway is ready, and then prints the ready block. A stop request during the wait is not an error.
async fn announce_when_ready(
    address: SocketAddr,
    dir: &DataDir,
    settings: &Settings,
    life: &Lifecycle,
) -> Result<(), UpError> {
    let url = format!("http://{address}");
    let http = reqwest::Client::builder().no_proxy().timeout(START_TIMEOUT).build();
    let http = http.map_err(|e| UpError::NotReady { last: e.to_string() })?;
    let ready_block = async {
        let mut last = String::from("no answer");
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        let give_up = tokio::time::Instant::now() + START_TIMEOUT;
        while tokio::time::Instant::now() < give_up {
            ticks.tick().await;
            match http.get(format!("{url}/readyz")).send().await {
                Ok(answer) if answer.status().is_success() => {
                    return Ok(ready_block::text(&url, dir, settings, &http).await);
                }
                Ok(answer) => last = answer.text().await.unwrap_or_else(|e| e.to_string()),
                Err(e) => last = e.to_string(),
            }
        }
        Err(UpError::NotReady { last })
    };
    tokio::select! {
        () = life.soft().cancelled() => Ok(()),
        block = ready_block => output::print(&block?).map_err(UpError::Print),
    }
}
