//! Binaries that are one service and nothing else, for images: `sluice-gateway`, `sluice-exporter`, `sluice-notifier`.
//!
//! Each is started by a function that names only its own service, so that the linker leaves the code of the others
//! away: a gateway's image holds no data engine. Their command line is `--config`, `--data-dir`, and `--health`, with
//! which a container asks the service that runs in it whether it is ready: no image needs a shell or curl for that.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use clap::{CommandFactory, FromArgMatches, Parser};
use platform::lifecycle::Lifecycle;
use tokio::runtime::Runtime;

use crate::{
    cli::Place,
    error::CliError,
    services::{self, Common, ServiceError},
    settings::Settings,
};

/// How long an answer to `--health` may take.
const HEALTH: Duration = Duration::from_secs(5);
/// The longest that is told of an answer, characters.
const TOLD: usize = 500;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    version,
    about = "One service of Sluice",
    after_help = "Settings: defaults, then --config FILE, then the environment (SLUICE_GATEWAY__LISTEN sets `listen` in \
                  [gateway], SLUICE_NATS__PASSWORD_FILE names a file with `password` in [nats])."
)]
struct Options {
    #[command(flatten)]
    place: Place,
    /// Ask the one that runs here whether it is ready, and end: 0 when it is
    #[arg(long)]
    health: bool,
}

/// Why `--health` fails.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// Nobody could ask.
    #[error("{setting} names no address and port that could be asked: `{address}`")]
    NoAddress {
        /// Which setting.
        setting: &'static str,
        /// What it holds.
        address: String,
    },
    /// No answer.
    #[error("no answer from {0}: {1}")]
    Unreachable(SocketAddr, reqwest::Error),
    /// It said no.
    #[error("{address} is not ready ({status}): {said}")]
    NotReady {
        /// Who said so.
        address: SocketAddr,
        /// The HTTP status.
        status: reqwest::StatusCode,
        /// What it said, which names the dependency that is missing.
        said: String,
    },
}

/// `sluice-gateway`
#[must_use]
pub fn gateway() -> ExitCode {
    main(
        "sluice-gateway",
        ("gateway.listen", |settings| &settings.gateway.listen),
        async |settings: &Settings, common: &Common, life: &Lifecycle| {
            services::gateway_alone(settings, common, life).await
        },
    )
}

/// `sluice-exporter`
#[must_use]
pub fn exporter() -> ExitCode {
    main(
        "sluice-exporter",
        ("exporter.internal_listen", |settings| &settings.exporter.internal_listen),
        async |settings: &Settings, common: &Common, life: &Lifecycle| services::exporter(settings, common, life).await,
    )
}

/// `sluice-notifier`
#[must_use]
pub fn notifier() -> ExitCode {
    main(
        "sluice-notifier",
        ("notifier.internal_listen", |settings| &settings.notifier.internal_listen),
        async |settings: &Settings, common: &Common, life: &Lifecycle| {
            services::notifier(settings, common, life).await.map(drop)
        },
    )
}

/// The setting of the port that tells of readiness, and how to read it.
type Port = (&'static str, fn(&Settings) -> &str);

fn main(
    name: &'static str,
    port: Port,
    start: impl AsyncFnOnce(&Settings, &Common, &Lifecycle) -> Result<(), ServiceError>,
) -> ExitCode {
    let matches = Options::command().name(name).bin_name(name).get_matches();
    let options = Options::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    crate::install_tls();
    let result = Runtime::new().map_err(CliError::Runtime).and_then(|runtime| {
        runtime.block_on(async {
            let settings = options.place.load()?;
            if options.health {
                let (setting, read) = port;
                ask(setting, read(&settings)).await?;
            } else {
                services::run(name, &settings, async |common, life| start(&settings, common, life).await).await?;
            }
            Ok(())
        })
    });
    crate::exit(result)
}

/// Asks the service that listens at this address of the machine itself.
async fn ask(setting: &'static str, listen: &str) -> Result<(), HealthError> {
    let address = reachable(listen).ok_or_else(|| HealthError::NoAddress { setting, address: listen.to_owned() })?;
    let unreachable = |e| HealthError::Unreachable(address, e);
    let client = reqwest::Client::builder().no_proxy().timeout(HEALTH).build().map_err(unreachable)?;
    let answer = client.get(format!("http://{address}/readyz")).send().await.map_err(unreachable)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let said: String = answer.text().await.map_err(unreachable)?.chars().take(TOLD).collect();
    Err(HealthError::NotReady { address, status, said })
}

/// Who listens on every address is asked on loopback.
fn reachable(listen: &str) -> Option<SocketAddr> {
    let mut address: SocketAddr = listen.parse().ok().filter(|address: &SocketAddr| address.port() > 0)?;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers one request with these bytes, after reading what it asks for.
    async fn answers(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let length = socket.read(&mut request).await.unwrap();
            socket.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned()
        });
        (address, asked)
    }

    #[tokio::test]
    async fn a_service_that_is_ready_is_healthy() {
        let (address, asked) = answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        ask("x.listen", &format!("0.0.0.0:{}", address.port())).await.unwrap();
        assert_eq!(asked.await.unwrap(), "GET /readyz HTTP/1.1");
    }

    #[tokio::test]
    async fn one_that_is_not_says_why() {
        let (address, _asked) =
            answers("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 14\r\n\r\nno database :(").await;
        let error = ask("x.listen", &address.to_string()).await.unwrap_err().to_string();
        assert!(error.contains("503") && error.ends_with("no database :("), "{error}");
    }

    #[tokio::test]
    async fn one_that_is_not_there_is_unreachable() {
        // it is ours, so that nobody else comes to listen there
        let held = tokio::net::TcpSocket::new_v4().unwrap();
        held.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = held.local_addr().unwrap();
        assert!(matches!(ask("x.listen", &address.to_string()).await, Err(HealthError::Unreachable(..))));
        assert!(matches!(ask("x.listen", "").await, Err(HealthError::NoAddress { setting: "x.listen", .. })));
    }

    #[test]
    fn addresses_that_mean_every_one_are_asked_on_loopback() {
        let asked = |listen| reachable(listen).map(|address| address.to_string());
        assert_eq!(asked("0.0.0.0:8080").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(asked("[::]:8080").as_deref(), Some("[::1]:8080"));
        assert_eq!(asked("10.0.0.1:8080").as_deref(), Some("10.0.0.1:8080"));
        for nobody in ["", "127.0.0.1:0", "gateway:8080"] {
            assert_eq!(asked(nobody), None, "{nobody}");
        }
    }
}
