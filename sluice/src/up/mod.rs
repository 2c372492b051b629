//! `sluice up`: runs all services in one process, with nats-server as its child.
//!
//! The modules, in the order of a start: `data_dir` claims the folder, `secrets` creates or reads the secrets,
//! `from_source` writes a catalog file for the source on the command line, `stale_nats` stops a nats-server that a killed
//! `sluice up` left running, `nats` runs the server, `settings_file` writes the settings that the other commands read,
//! `ready_block` prints the address and example commands, and `browser` opens the page.

mod browser;
mod data_dir;
mod error;
mod from_source;
mod nats;
mod nats_version;
mod ready_block;
mod secrets;
mod settings_file;
mod stale_nats;
mod standalone_nats;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use exporter::OwnProcess;
use migration::{Migrator, MigratorTrait};
use platform::{lifecycle::Lifecycle, secret::Secret, startup::Startup};
use tokio::net::TcpListener;

use self::{
    data_dir::DataDir, from_source::SourceCatalog, nats::NatsChild, secrets::Secrets, settings_file::CatalogChoice,
};
pub use self::{error::UpError, standalone_nats::StandaloneNats};
use crate::{
    cli::{SettingsFiles, UpOptions},
    output,
    services::{self, Common, Handles, ServiceError, ServiceKind, Starting},
    settings::Settings,
};

/// The default value of the option `--data-dir`.
const DEFAULT_DIR: &str = "data";
/// The service name in the traces of a process that runs all services.
const PROCESS: &str = "sluice";
/// The time after which `sluice up` fails if a service is not ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The interval at which the start checks the readiness of the gateway.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Runs all services until a stop signal, such as Ctrl-C.
///
/// # Errors
/// When a part can't start, or a critical part stopped by itself.
pub async fn run(options: &UpOptions, files: &SettingsFiles) -> Result<(), UpError> {
    let life = Lifecycle::new();
    life.stop_at_signals();
    let choice = catalog_choice(options)?;
    let dir = DataDir::claim(files.data_dir.as_deref().unwrap_or(Path::new(DEFAULT_DIR)))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let listener = TcpListener::bind(address).await.map_err(|source| UpError::Port { port: options.port, source })?;
    // the system chooses a free port for --port 0
    let address = listener.local_addr().map_err(|source| UpError::Port { port: options.port, source })?;
    let program = nats::find()?;
    let secrets = Secrets::load(&dir)?;
    let catalog = match &options.source {
        None => Catalog { choice, secrets: BTreeMap::new() },
        Some(source) => {
            let preparing = life.soft().run_until_cancelled(from_source::prepare(&dir, source));
            let Some(prepared) = preparing.await else { return Ok(()) };
            let SourceCatalog { path, secrets } = prepared?;
            Catalog { choice: CatalogChoice::Use(path), secrets }
        }
    };
    stale_nats::stop(&dir.nats_pid(), &dir.nats_config()).await?;

    // `setpriv --pdeathsig` ends nats-server together with the thread that started nats-server, so the main thread must
    // start nats-server
    let mut nats = NatsChild::start(&program, &dir, &secrets).await?;
    let written = settings_file::write(&dir, address, nats.url(), &secrets, &catalog.choice);
    let served = match written {
        Ok(()) => serve(&dir, address, listener, files, (&catalog, options.open), &mut nats, &life).await,
        Err(e) => Err(e),
    };
    nats.stop().await;
    served
}

/// The catalog that `sluice up` offers in this start.
struct Catalog {
    choice: CatalogChoice,
    /// The values of environment variables that the catalog file names.
    secrets: BTreeMap<String, Secret>,
}

/// Returns the catalog that the options of the command line choose. The path of a catalog file is absolute, because
/// later starts may run in another folder.
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
    (catalog, open): (&Catalog, bool),
    nats: &mut NatsChild,
    life: &Lifecycle,
) -> Result<(), UpError> {
    let files = SettingsFiles { data_dir: Some(dir.path().to_path_buf()), ..files.clone() };
    let mut settings = files.load()?;
    // the command line overrides --config and the environment
    match &catalog.choice {
        CatalogChoice::Keep => {}
        CatalogChoice::Use(path) => settings.exporter.catalog.clone_from(path),
        CatalogChoice::None => settings.exporter.catalog = PathBuf::new(),
    }
    settings.exporter.tuning.secrets.clone_from(&catalog.secrets);
    settings.exporter.tuning.own_process = Some(own_process(&files, &settings));
    let startup = Startup::default();
    let common = Handles::set_up(&settings, PROCESS)?.connect(&settings, &startup).await?;
    // `Migrator::up` fails if a newer release has applied migrations that this release does not know
    if !migration::missing(&common.db).await.map_err(UpError::Migrate)?.is_empty() {
        Migrator::up(&common.db, None).await.map_err(UpError::Migrate)?;
    }

    let starting = start(&settings, &common, &startup, listener, life);
    let started = life.soft().run_until_cancelled(starting).await.unwrap_or(Ok(()));
    if started.is_ok() {
        tokio::select! {
            ready = announce_when_ready(address, dir, &settings, open, life) => match ready {
                Ok(()) => tokio::select! {
                    () = life.soft().cancelled() => {}
                    status = nats.supervise() => life.fail(format!("nats-server stopped by itself ({status})")),
                },
                // stop the services, because they did not become ready
                Err(e) => {
                    life.soft().cancel();
                    services::stop(&settings, &common.traces, Ok(()), life).await?;
                    return Err(e);
                }
            },
            status = nats.supervise() => life.fail(format!("nats-server stopped by itself ({status})")),
        }
    }
    services::stop(&settings, &common.traces, started, life).await?;
    Ok(())
}

/// Returns the command with which the exporter runs a single export in a child process. The child uses the settings of
/// this process.
fn own_process(files: &SettingsFiles, settings: &Settings) -> OwnProcess {
    let paths = [("--data-dir", &files.data_dir), ("--config", &files.config)];
    let options = paths.iter().filter_map(|(name, path)| Some([(*name).into(), path.as_ref()?.into()]));
    let args: Vec<OsString> = options.flatten().chain(["exporter".into()]).collect();
    let mut command = OwnProcess::with_args(args);
    // the settings files of the child may name another catalog than the command line of this process
    command.env.push(("SLUICE_EXPORTER__CATALOG".into(), settings.exporter.catalog.clone().into()));
    command
}

async fn start(
    settings: &Settings,
    common: &Common,
    startup: &Startup,
    listener: TcpListener,
    life: &Lifecycle,
) -> Result<(), ServiceError> {
    let starting = |listener| Starting { settings, common, startup, listener, life };
    for kind in [ServiceKind::Notifier, ServiceKind::Exporter] {
        let (setting, address) = kind.address(settings);
        let listener = if address.is_empty() { None } else { Some(services::bind(setting, address).await?.into()) };
        services::start(kind, starting(listener)).await?;
    }
    services::start_gateway(starting(Some(listener.into()))).await
}

/// Waits until the gateway is ready. Then prints the ready block, and opens the browser if `open` is set. A stop
/// request during the wait is not an error.
async fn announce_when_ready(
    address: SocketAddr,
    dir: &DataDir,
    settings: &Settings,
    open: bool,
    life: &Lifecycle,
) -> Result<(), UpError> {
    let url = format!("http://{address}");
    let http = reqwest::Client::builder().no_proxy().timeout(START_TIMEOUT).build();
    let http = http.map_err(|e| UpError::NotReady { waited: START_TIMEOUT, last: e.to_string() })?;
    let ready = async {
        let mut last = String::from("no answer");
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        let give_up = tokio::time::Instant::now() + START_TIMEOUT;
        while tokio::time::Instant::now() < give_up {
            ticks.tick().await;
            match http.get(format!("{url}/readyz")).send().await {
                Ok(answer) if answer.status().is_success() => {
                    return Ok(());
                }
                Ok(answer) => last = answer.text().await.unwrap_or_else(|e| e.to_string()),
                Err(e) => last = e.to_string(),
            }
        }
        Err(UpError::NotReady { waited: START_TIMEOUT, last })
    };
    let announced = async {
        ready.await?;
        let block = ready_block::text(&url, dir, settings, &http).await;
        output::print(&block).map_err(UpError::Print)?;
        if open {
            // without a browser on this machine, the user still has the printed link
            let opened = browser::open(&ready_block::page_address(&url, settings), dir).await;
            opened.unwrap_or_else(|e| output::note(&e.to_string()));
        }
        Ok(())
    };
    tokio::select! {
        () = life.soft().cancelled() => Ok(()),
        announced = announced => announced,
    }
}
