//! A real nats-server with JetStream.

use std::{env, path::PathBuf, process::Command};

use nix::sys::signal::Signal;
use platform::{bus::Bus, config::NatsConfig, secret::Secret};
use tempfile::TempDir;

use crate::{DEADLINE, watched::Watched};

const USER: &str = "sluice";
const PASSWORD: &str = "test-password";

/// A server of this test's own, on loopback, with a user and a password. It ends with this value.
pub struct NatsServer {
    /// None while it is stopped.
    server: Option<Watched>,
    port: u16,
    dir: TempDir,
}

impl NatsServer {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When there is no nats-server, or it does not start.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        let (server, port) = blocking({
            let store = dir.path().to_path_buf();
            move || run(store, None)
        })
        .await;
        Self { server: Some(server), port, dir }
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// How to connect.
    #[must_use]
    pub fn config(&self) -> NatsConfig {
        NatsConfig { url: self.url(), user: USER.into(), password: Secret::new(PASSWORD), ..NatsConfig::default() }
    }

    /// A connection with the platform's streams and buckets in place.
    ///
    /// # Panics
    /// When it can't be made.
    pub async fn bus(&self) -> Bus {
        Bus::connect(&self.config(), "test").await.expect("the server of this test is up")
    }

    /// The server's process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Watched::pid)
    }

    /// An outage: the server ends, and what JetStream stored stays.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            blocking(move || server.stop(Signal::SIGTERM, DEADLINE)).await;
        }
    }

    /// A crash: as [`NatsServer::stop`], without a chance to say goodbye.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// The outage is over: a new server on the same port with the same data.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.stop().await;
        let (store, port) = (self.dir.path().to_path_buf(), self.port);
        let (server, _) = blocking(move || run(store, Some(port))).await;
        self.server = Some(server);
    }
}

fn run(store: PathBuf, port: Option<u16>) -> (Watched, u16) {
    let mut command = Command::new(program());
    // -1: a free one
    command.args(["-a", "127.0.0.1", "-p"]).arg(port.map_or("-1".to_owned(), |p| p.to_string()));
    command.args(["--user", USER, "--pass", PASSWORD, "-js", "-sd"]).arg(&store);
    let mut listens = None;
    let ready = move |line: &str| {
        if let Some((_, address)) = line.split_once("Listening for client connections on ") {
            listens = address.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        }
        listens.filter(|_| line.contains("Server is ready"))
    };
    Watched::start("nats-server", &mut command, ready).expect("nats-server ended before it was ready")
}

/// `SLUICE_NATS_SERVER`, else the one on the PATH.
fn program() -> PathBuf {
    if let Some(path) = env::var_os("SLUICE_NATS_SERVER").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join("nats-server")).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("no nats-server: run `cargo xtask test`, or name one of 2.11 or newer with SLUICE_NATS_SERVER")
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_outage_keeps_the_port_and_what_was_stored() {
        let mut nats = NatsServer::start().await;
        let bus = nats.bus().await;
        let id = protocol::id::ExportId::generate();
        bus.publish_durable(protocol::subject::outcome(id), "once", &"hello").await.unwrap();
        let url = nats.url();
        nats.stop().await;
        assert!(Bus::connect(&nats.config(), "test").await.is_err());
        nats.restart().await;
        assert_eq!(nats.url(), url);
        let stream = nats.bus().await.jetstream().get_stream(protocol::subject::STREAM_OUTCOMES).await.unwrap();
        assert_eq!(stream.get_info().await.unwrap().state.messages, 1);
    }

    #[tokio::test]
    async fn a_wrong_password_is_refused() {
        let nats = NatsServer::start().await;
        let config = NatsConfig { password: Secret::new("guess"), ..nats.config() };
        assert!(Bus::connect(&config, "test").await.is_err());
    }
}
