//! A real nats-server with JetStream.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

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
    /// Whether it reads `ops/nats`, and has its users instead of one that may do everything.
    shipped: bool,
}

impl NatsServer {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When there is no nats-server, or it does not start.
    pub async fn start() -> Self {
        Self::begin(tempfile::tempdir().expect("the folder for temporary files is writable"), false).await
    }

    /// Starts one with the very files of `ops/nats`, and new passwords.
    ///
    /// # Panics
    /// When there is no nats-server, or it does not start.
    pub async fn start_as_shipped() -> Self {
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/nats"), dir.path());
        let made = Command::new(dir.path().join("make-passwords")).arg(dir.path()).status();
        assert!(made.is_ok_and(|status| status.success()), "make-passwords does not run");
        Self::begin(dir, true).await
    }

    async fn begin(dir: TempDir, shipped: bool) -> Self {
        let place = dir.path().to_path_buf();
        let (server, port) = blocking(move || run(&place, shipped, None)).await;
        Self { server: Some(server), port, dir, shipped }
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

    /// How a user of `ops/nats` connects, where the server has them.
    ///
    /// # Panics
    /// When there is no such user.
    #[must_use]
    pub fn config_of(&self, user: &str) -> NatsConfig {
        let password = fs::read_to_string(self.password_file(user)).expect("a user of ops/nats has a password");
        NatsConfig { user: user.into(), password: Secret::new(password), ..self.config() }
    }

    /// The file with the password of such a user.
    #[must_use]
    pub fn password_file(&self, user: &str) -> PathBuf {
        self.dir.path().join(format!("nats-{user}"))
    }

    /// The lines of its log since it started that say that somebody tried what they may not.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let lines = self.server.as_ref().map(Watched::lines).unwrap_or_default();
        lines.into_iter().filter(|line| line.contains("Violation") || line.contains("authentication error")).collect()
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
        let (place, port, shipped) = (self.dir.path().to_path_buf(), self.port, self.shipped);
        let (server, _) = blocking(move || run(&place, shipped, Some(port))).await;
        self.server = Some(server);
    }
}

fn run(place: &Path, shipped: bool, port: Option<u16>) -> (Watched, u16) {
    let mut command = Command::new(program());
    // -1: a free one
    command.args(["-a", "127.0.0.1", "-p"]).arg(port.map_or("-1".to_owned(), |p| p.to_string()));
    if shipped {
        command.args(["-m", "-1", "-c"]).arg(place.join("nats.conf")).env("SLUICE_NATS_STORE", place.join("store"));
    } else {
        command.args(["--user", USER, "--pass", PASSWORD, "-js", "-sd"]).arg(place);
    }
    let mut listens = None;
    let ready = move |line: &str| {
        if let Some((_, address)) = line.split_once("Listening for client connections on ") {
            listens = address.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        }
        listens.filter(|_| line.contains("Server is ready"))
    };
    Watched::start("nats-server", &mut command, ready).expect("nats-server ended before it was ready")
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("the folder can be read");
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            fs::create_dir(&copied).expect("a new folder can be made");
            copy(&path, &copied);
        } else {
            fs::copy(&path, &copied).expect("a file can be copied");
        }
    }
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
