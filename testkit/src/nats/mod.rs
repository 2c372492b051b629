//! Real nats-servers with JetStream: one, or a cluster of three.

mod certificates;
mod shipped;

use std::{env, fs, path::PathBuf, process::Command};

use nix::sys::signal::Signal;
use platform::{bus::Bus, config::NatsConfig, secret::Secret};
use tempfile::TempDir;

pub use certificates::Certificates;

use crate::{DEADLINE, ports::free_port, watched::Watched};

const USER: &str = "sluice";
const PASSWORD: &str = "test-password";

/// How many servers a cluster has, and so replicas each stream.
const CLUSTER: usize = 3;

/// Servers of this test's own, on loopback, with users and passwords. They end with this value.
pub struct NatsServer {
    nodes: Vec<Node>,
    dir: TempDir,
    kind: Kind,
}

/// By which configuration servers run.
enum Kind {
    /// None: one user, who may do everything.
    Plain,
    /// `nats.conf` of `ops/nats`, with its users.
    Shipped,
    /// `cluster.conf` of `ops/nats`, with its users, encrypted with these.
    Cluster(Certificates),
}

/// One server.
struct Node {
    /// In a cluster: what the others call it.
    name: String,
    port: u16,
    /// In a cluster: where the others find it.
    routes: u16,
    /// None while it is stopped.
    server: Option<Watched>,
}

impl NatsServer {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When there is no nats-server, or it does not start.
    pub async fn start() -> Self {
        Self::begin(folder(), Kind::Plain, vec![Node::new("nats", 0)]).await
    }

    /// Starts one with the very files of `ops/nats`, and new passwords.
    ///
    /// # Panics
    /// When there is no nats-server, or it does not start.
    pub async fn start_as_shipped() -> Self {
        let dir = folder();
        shipped::copy(dir.path(), &[]);
        Self::begin(dir, Kind::Shipped, vec![Node::new("nats", 0)]).await
    }

    /// Starts three as one cluster, with the very files of `ops/nats`, new passwords, and certificates for clients and
    /// between servers. They may still have to agree on who leads.
    ///
    /// # Panics
    /// When there is no nats-server, or one does not start.
    pub async fn start_as_cluster() -> Self {
        let dir = folder();
        let nodes: Vec<_> = (1..=CLUSTER).map(|n| Node::new(&format!("nats-{n}"), free_port())).collect();
        let routes: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.routes)).collect();
        shipped::copy(dir.path(), &routes);
        let place = dir.path().join("tls");
        let certificates = Certificates::make(&place);
        shipped::encrypt(dir.path(), &place);
        Self::begin(dir, Kind::Cluster(certificates), nodes).await
    }

    async fn begin(dir: TempDir, kind: Kind, nodes: Vec<Node>) -> Self {
        let mut servers = Self { nodes, dir, kind };
        for index in 0..servers.nodes.len() {
            servers.run(index).await;
        }
        servers
    }

    /// Starts this one.
    async fn run(&mut self, index: usize) {
        let mut command = self.command(&self.nodes[index]);
        self.nodes[index].server = Some(blocking(move || watch(&mut command)).await);
    }

    fn command(&self, node: &Node) -> Command {
        let mut command = Command::new(program());
        command.args(["-a", "127.0.0.1", "-p"]).arg(node.port.to_string());
        let (place, store) = (self.dir.path(), self.store(node));
        match self.kind {
            Kind::Plain => command.args(["--user", USER, "--pass", PASSWORD, "-js", "-sd"]).arg(store),
            Kind::Shipped => {
                command.args(["-m", "-1", "-c"]).arg(place.join("nats.conf")).env("SLUICE_NATS_STORE", store)
            }
            Kind::Cluster(_) => command
                .args(["-m", "-1", "-c"])
                .arg(place.join("cluster.conf"))
                .env("SLUICE_NATS_NAME", &node.name)
                .env("SLUICE_NATS_CLUSTER", format!("127.0.0.1:{}", node.routes))
                .env("SLUICE_NATS_STORE", store),
        };
        command
    }

    fn store(&self, node: &Node) -> PathBuf {
        self.dir.path().join(format!("store-{}", node.name))
    }

    /// The URL, or those of all servers.
    #[must_use]
    pub fn url(&self) -> String {
        let urls: Vec<_> = self.nodes.iter().map(|node| format!("nats://127.0.0.1:{}", node.port)).collect();
        urls.join(",")
    }

    /// How to connect.
    #[must_use]
    pub fn config(&self) -> NatsConfig {
        let plain =
            NatsConfig { url: self.url(), user: USER.into(), password: Secret::new(PASSWORD), ..NatsConfig::default() };
        match &self.kind {
            Kind::Plain | Kind::Shipped => plain,
            Kind::Cluster(certificates) => NatsConfig {
                tls_ca_file: certificates.file("ca.pem"),
                tls_cert_file: certificates.file("client.pem"),
                tls_key_file: certificates.file("client-key.pem"),
                replicas: CLUSTER,
                ..plain
            },
        }
    }

    /// How a user of `ops/nats` connects, where the servers have them.
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

    /// The lines of their logs since they started that say that somebody tried what they may not.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let lines = self.nodes.iter().filter_map(|node| node.server.as_ref()).flat_map(Watched::lines);
        lines.filter(|line| line.contains("Violation") || line.contains("authentication error")).collect()
    }

    /// A connection with the platform's streams and buckets in place.
    ///
    /// # Panics
    /// When it can't be made.
    pub async fn bus(&self) -> Bus {
        Bus::connect(&self.config(), "test").await.expect("the server of this test is up")
    }

    /// The process of the first server, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.nodes[0].server.as_ref().map(Watched::pid)
    }

    /// An outage: all servers end, and what JetStream stored stays.
    pub async fn stop(&mut self) {
        for node in &mut self.nodes {
            if let Some(server) = node.server.take() {
                blocking(move || server.stop(Signal::SIGTERM, DEADLINE)).await;
            }
        }
    }

    /// A crash: as [`NatsServer::stop`], without a chance to say goodbye.
    pub fn kill(&mut self) {
        for node in &mut self.nodes {
            node.server = None;
        }
    }

    /// A crash of the server of this name alone.
    ///
    /// # Panics
    /// When there is no such server.
    pub fn kill_one(&mut self, name: &str) {
        let index = self.index(name);
        self.nodes[index].server = None;
    }

    /// The outage is over: new servers on the same ports with the same data.
    ///
    /// # Panics
    /// When one does not start.
    pub async fn restart(&mut self) {
        self.stop().await;
        for index in 0..self.nodes.len() {
            self.run(index).await;
        }
    }

    /// The same for the server of this name alone.
    ///
    /// # Panics
    /// When there is no such server, or it does not start.
    pub async fn restart_one(&mut self, name: &str) {
        let index = self.index(name);
        self.run(index).await;
    }

    /// The disk is lost: all servers die, and new ones begin on the same ports with nothing.
    ///
    /// # Panics
    /// When one does not start.
    pub async fn restart_empty(&mut self) {
        self.kill();
        for node in &self.nodes {
            fs::remove_dir_all(self.store(node)).expect("a server has stored something");
        }
        self.restart().await;
    }

    fn index(&self, name: &str) -> usize {
        let found = self.nodes.iter().position(|node| node.name == name);
        found.unwrap_or_else(|| panic!("no server is called {name}"))
    }
}

impl Node {
    fn new(name: &str, routes: u16) -> Self {
        Self { name: name.to_owned(), port: free_port(), routes, server: None }
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("the folder for temporary files is writable")
}

/// Runs it until it takes connections.
fn watch(command: &mut Command) -> Watched {
    let ready = |line: &str| line.contains("Server is ready").then_some(());
    Watched::start("nats-server", command, ready).expect("nats-server ended before it was ready").0
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
    async fn a_lost_disk_takes_everything_with_it() {
        let mut nats = NatsServer::start().await;
        drop(nats.bus().await);
        let url = nats.url();
        nats.restart_empty().await;
        assert_eq!(nats.url(), url);
        let bus = Bus::join(&nats.config(), "test", &[]).await.unwrap();
        assert!(bus.jetstream().get_stream(protocol::subject::STREAM_OUTCOMES).await.is_err());
    }

    #[tokio::test]
    async fn a_wrong_password_is_refused() {
        let nats = NatsServer::start().await;
        let config = NatsConfig { password: Secret::new("guess"), ..nats.config() };
        assert!(Bus::connect(&config, "test").await.is_err());
    }
}
