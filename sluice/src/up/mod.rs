//! `sluice up`: all of Sluice on one machine, in one process and one child.
//!
//! The rooms, in the order of a start: `data_dir` claims the folder, `secrets` makes or reads what must stay hidden,
//! `leftover` ends what a killed predecessor left, `nats` runs the server, `runtime` writes the settings that the
//! other commands read, `banner` says how to go on.

mod alone;
mod banner;
mod data_dir;
mod leftover;
mod nats;
mod runtime;
mod secrets;

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use migration::{Migrator, MigratorTrait};
use platform::lifecycle::Lifecycle;
use tokio::net::TcpListener;

pub use self::alone::Alone;
use self::{data_dir::DataDir, nats::NatsChild, secrets::Secrets};
use crate::{
    cli::{Place, UpOptions},
    output,
    services::{self, Common, Kind, ServiceError},
    settings::{Settings, SettingsError},
};

/// The data folder when none is named.
const DEFAULT_DIR: &str = "data";
/// What collectors of traces call a process that runs everything.
const PROCESS: &str = "sluice";
/// How long the services may take to be ready.
const START: Duration = Duration::from_secs(60);
/// How often to look whether they are.
const LOOK: Duration = Duration::from_millis(50);

/// Why `sluice up` can't start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The folder is somebody else's.
    #[error("{0} holds other things than Sluice's: choose another --data-dir")]
    Foreign(PathBuf),
    /// The folder is in use.
    #[error("another `sluice up` runs on {0}: stop it, or choose another --data-dir")]
    Locked(PathBuf),
    /// A file can't be used.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of ours was changed by hand.
    #[error("{0} is damaged: delete it and start again")]
    Damaged(PathBuf),
    /// The port can't be used.
    #[error("{}", port_error(*port, source))]
    Port {
        /// Which.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// There is no nats-server.
    #[error("no nats-server: install 2.11 or newer, or name one with SLUICE_NATS_SERVER; `cargo xtask up` fetches one")]
    NoNats,
    /// The nats-server does not run.
    #[error("{program} isn't a nats-server that runs: {detail}")]
    BadNats {
        /// Which.
        program: PathBuf,
        /// Why.
        detail: String,
    },
    /// The nats-server is too old.
    #[error(
        "{program} is nats-server {found}, older than the {} that Sluice needs: name another with SLUICE_NATS_SERVER",
        nats::OLDEST
    )]
    OldNats {
        /// Which.
        program: PathBuf,
        /// Its version.
        found: nats::Version,
    },
    /// The nats-server did not start.
    #[error("nats-server did not start: {0}")]
    NatsStart(String),
    /// A service failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The tables can't be brought up to date.
    #[error("can't bring the database up to date: {0}")]
    Migrate(sea_orm::DbErr),
    /// Not ready in time.
    #[error("not ready within {} s: {last}", START.as_secs())]
    NotReady {
        /// What was seen last.
        last: String,
    },
    /// Nobody reads what we print.
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
            format!("port {port} is taken: stop the program that listens there, or choose another with --port")
        }
        ErrorKind::PermissionDenied => {
            format!("port {port} may not be used without privileges: choose one above 1023 with --port")
        }
        _ => format!("port {port} can't be used: {source}"),
    }
}

/// Runs until Ctrl-C.
///
/// # Errors
/// When something can't start, or a critical part ended by itself.
pub async fn run(options: &UpOptions, place: &Place) -> Result<(), UpError> {
    let life = Lifecycle::new();
    life.stop_at_signals();
    let dir = DataDir::claim(place.data_dir.as_deref().unwrap_or(Path::new(DEFAULT_DIR)))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let listener = TcpListener::bind(address).await.map_err(|source| UpError::Port { port: options.port, source })?;
    // --port 0 takes a free one
    let address = listener.local_addr().map_err(|source| UpError::Port { port: options.port, source })?;
    let program = nats::find()?;
    let secrets = Secrets::of(&dir)?;
    leftover::end(&dir.nats_pid(), &dir.nats_config()).await?;

    // the thread that starts the child must live as long as we do; this is the main one
    let mut nats = NatsChild::start(&program, &dir, &secrets).await?;
    let done = serve(&dir, address, listener, &secrets, place, &mut nats, &life).await;
    nats.stop().await;
    done
}

async fn serve(
    dir: &DataDir,
    address: SocketAddr,
    listener: TcpListener,
    secrets: &Secrets,
    place: &Place,
    nats: &mut NatsChild,
    life: &Lifecycle,
) -> Result<(), UpError> {
    runtime::write(dir, address, nats.url(), secrets)?;
    let place = Place { data_dir: Some(dir.path().to_path_buf()), ..place.clone() };
    let settings = place.load()?;
    let common = Common::prepare(&settings, PROCESS).await?;
    Migrator::up(&common.db, None).await.map_err(UpError::Migrate)?;

    let started = start(&settings, &common, listener, life).await;
    if started.is_ok() {
        tokio::select! {
            ready = ready(address, dir, life) => match ready {
                Ok(()) => tokio::select! {
                    () = life.soft().cancelled() => {}
                    status = nats.ended() => life.fail(format!("nats-server ended by itself ({status})")),
                },
                // nobody can use it, so that it stops
                Err(e) => {
                    life.soft().cancel();
                    services::end(&settings, &common, Ok(()), life).await?;
                    return Err(e);
                }
            },
            status = nats.ended() => life.fail(format!("nats-server ended by itself ({status})")),
        }
    }
    services::end(&settings, &common, started, life).await?;
    Ok(())
}

async fn start(
    settings: &Settings,
    common: &Common,
    listener: TcpListener,
    life: &Lifecycle,
) -> Result<(), ServiceError> {
    services::start(Kind::Notifier, settings, common, life).await?;
    services::start(Kind::Exporter, settings, common, life).await?;
    services::gateway(settings, common, listener, life).await
}

/// Waits until everything can be used, then says how. An end that was asked for meanwhile is fine.
async fn ready(address: SocketAddr, dir: &DataDir, life: &Lifecycle) -> Result<(), UpError> {
    let url = format!("http://{address}");
    let looking = async {
        let mut last = String::from("no answer");
        let mut looks = tokio::time::interval(LOOK);
        let until = tokio::time::Instant::now() + START;
        let http = reqwest::Client::builder().no_proxy().timeout(START).build();
        let http = http.map_err(|e| UpError::NotReady { last: e.to_string() })?;
        while tokio::time::Instant::now() < until {
            looks.tick().await;
            match http.get(format!("{url}/readyz")).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => last = answer.text().await.unwrap_or_else(|e| e.to_string()),
                Err(e) => last = e.to_string(),
            }
        }
        Err(UpError::NotReady { last })
    };
    tokio::select! {
        () = life.soft().cancelled() => Ok(()),
        looked = looking => {
            looked?;
            output::print(&banner::text(&url, dir)).map_err(UpError::Print)
        }
    }
}
