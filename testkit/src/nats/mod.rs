//! Starts a real nats-server with JetStream, or a cluster of three.

mod certificates;
mod ops_files;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::signal::Signal;
use platform::{bus::Bus, config::NatsConfig, secret::Secret};
use tempfile::TempDir;

pub use certificates::Certificates;

use crate::{DEADLINE, ports::free_port, server_process::ServerProcess, small_disk::permits_mounts};

const USER: &str = "sluice";
const PASSWORD: &str = "test-password";

/// The number of servers in a cluster, and of replicas of each stream.
const CLUSTER_SIZE: usize = 3;

/// A nats-server or a cluster on loopback, with users and passwords. Dropping the value ends the servers.
pub struct NatsServer {
    nodes: Vec<Node>,
    dir: TempDir,
    kind: Kind,
}

/// The configuration of the servers.
enum Kind {
    /// A single server with one user, who has all permissions.
    Plain,
    /// A server as [`Kind::Plain`], whose store is a file system of this many KiB.
    SmallDisk(u32),
    /// A single server with `nats.conf` of `ops/nats` and its users.
    OpsConfig,
    /// A cluster with `cluster.conf` of `ops/nats`, its users, and TLS with these certificates.
    Cluster(Certificates),
}

/// One nats-server process of a test.
struct Node {
    /// The name of the server in a cluster.
    name: String,
    port: u16,
    /// The port for routes between the servers of a cluster; 0 for a single server.
    route_port: u16,
    /// The port for monitoring over HTTP; 0 for none.
    monitor_port: u16,
    /// The running process; None while the server is stopped.
    server: Option<ServerProcess>,
}

impl NatsServer {
    /// Starts one server on a free port.
    ///
    /// # Panics
    /// When nats-server is not installed or does not start.
    pub async fn start() -> Self {
        Self::begin(folder(), Kind::Plain, vec![Node::new("nats", 0)]).await
    }

    /// Starts one server whose store is a new file system of `kib` KiB, and whose monitoring answers at
    /// [`Self::monitor_url`]. Returns None where [`permits_mounts`] returns false.
    ///
    /// # Panics
    /// When nats-server is not installed or does not start.
    pub async fn start_with_small_disk(kib: u32) -> Option<Self> {
        if !permits_mounts() {
            return None;
        }
        let dir = folder();
        // without this limit the server takes less than the whole disk
        let limit = "jetstream { max_file_store: 1GB, max_memory_store: 64MB }\n";
        fs::write(dir.path().join("limit.conf"), limit).expect("a new folder is writable");
        let mut node = Node::new("nats", 0);
        node.monitor_port = free_port();
        fs::create_dir(dir.path().join("store-nats")).expect("a new folder is writable");
        Some(Self::begin(dir, Kind::SmallDisk(kib), vec![node]).await)
    }

    /// The URL of the monitoring of the first server, without a trailing slash.
    #[must_use]
    pub fn monitor_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.nodes[0].monitor_port)
    }

    /// Starts one server on a free port, whose data is in this folder.
    ///
    /// # Panics
    /// When nats-server is not installed or does not start.
    pub async fn start_in(folder: &Path) -> Self {
        Self::begin(folder_in(folder), Kind::Plain, vec![Node::new("nats", 0)]).await
    }

    /// Starts one server with the configuration of `ops/nats` and new passwords.
    ///
    /// # Panics
    /// When nats-server is not installed or does not start.
    pub async fn start_with_ops_config() -> Self {
        let dir = folder();
        ops_files::copy(dir.path(), &[]);
        Self::begin(dir, Kind::OpsConfig, vec![Node::new("nats", 0)]).await
    }

    /// Starts a cluster of three servers with the configuration of `ops/nats`, new passwords, and TLS for clients and
    /// routes. The cluster may not have elected its leader yet.
    ///
    /// # Panics
    /// When nats-server is not installed or one server does not start.
    pub async fn start_as_cluster() -> Self {
        let dir = folder();
        let nodes: Vec<_> = (1..=CLUSTER_SIZE).map(|n| Node::new(&format!("nats-{n}"), free_port())).collect();
        let routes: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.route_port)).collect();
        ops_files::copy(dir.path(), &routes);
        let tls = dir.path().join("tls");
        let certificates = Certificates::create(&tls);
        ops_files::encrypt(dir.path(), &tls);
        Self::begin(dir, Kind::Cluster(certificates), nodes).await
    }

    async fn begin(dir: TempDir, kind: Kind, nodes: Vec<Node>) -> Self {
        let mut servers = Self { nodes, dir, kind };
        for index in 0..servers.nodes.len() {
            servers.run(index).await;
        }
        servers
    }

    /// Starts the server with this index.
    async fn run(&mut self, index: usize) {
        assert!(self.try_run(index).await, "nats-server ended before it was ready");
    }

    /// Starts the server with this index. Returns false when the server ends before it is ready.
    async fn try_run(&mut self, index: usize) -> bool {
        let mut command = self.command(&self.nodes[index]);
        self.nodes[index].server = blocking(move || launch(&mut command)).await;
        self.nodes[index].server.is_some()
    }

    fn command(&self, node: &Node) -> Command {
        let (folder, store) = (self.dir.path(), self.store(node));
        let mut command = match self.kind {
            Kind::SmallDisk(kib) => {
                let mount = format!("mount -t tmpfs -o size={kib}k none '{}' && exec \"$@\"", store.display());
                let mut command = Command::new("unshare");
                command.args(["-rm", "sh", "-c", &mount, "sh"]).arg(program());
                command
            }
            _ => Command::new(program()),
        };
        command.args(["-a", "127.0.0.1", "-p"]).arg(node.port.to_string());
        match self.kind {
            Kind::SmallDisk(_) => command
                .args(["--user", USER, "--pass", PASSWORD, "-m", &node.monitor_port.to_string(), "-js", "-sd"])
                .arg(store)
                .arg("-c")
                .arg(folder.join("limit.conf")),
            Kind::Plain => command.args(["--user", USER, "--pass", PASSWORD, "-js", "-sd"]).arg(store),
            Kind::OpsConfig => {
                command.args(["-m", "-1", "-c"]).arg(folder.join("nats.conf")).env("SLUICE_NATS_STORE", store)
            }
            Kind::Cluster(_) => command
                .args(["-m", "-1", "-c"])
                .arg(folder.join("cluster.conf"))
                .env("SLUICE_NATS_NAME", &node.name)
                .env("SLUICE_NATS_CLUSTER", format!("127.0.0.1:{}", node.route_port))
                .env("SLUICE_NATS_STORE", store),
        };
        command
    }

    fn store(&self, node: &Node) -> PathBuf {
        self.dir.path().join(format!("store-{}", node.name))
    }

    /// The URLs of all servers, separated by commas.
    #[must_use]
    pub fn url(&self) -> String {
        let urls: Vec<_> = self.nodes.iter().map(|node| format!("nats://127.0.0.1:{}", node.port)).collect();
        urls.join(",")
    }

    /// The settings for a connection to the servers.
    #[must_use]
    pub fn config(&self) -> NatsConfig {
        let plain =
            NatsConfig { url: self.url(), user: USER.into(), password: Secret::new(PASSWORD), ..NatsConfig::default() };
        match &self.kind {
            Kind::Plain | Kind::SmallDisk(_) | Kind::OpsConfig => plain,
            Kind::Cluster(certificates) => NatsConfig {
                tls_ca_file: certificates.file("ca.pem"),
                tls_cert_file: certificates.file("client.pem"),
                tls_key_file: certificates.file("client-key.pem"),
                replicas: CLUSTER_SIZE,
                ..plain
            },
        }
    }

    /// The settings for a connection as this user of `ops/nats`.
    ///
    /// # Panics
    /// When the servers do not have this user.
    #[must_use]
    pub fn config_of(&self, user: &str) -> NatsConfig {
        let password = fs::read_to_string(self.password_file(user)).expect("a user of ops/nats has a password");
        NatsConfig { user: user.into(), password: Secret::new(password), ..self.config() }
    }

    /// The path of the file with the password of a user of `ops/nats`.
    #[must_use]
    pub fn password_file(&self, user: &str) -> PathBuf {
        self.dir.path().join(format!("nats-{user}"))
    }

    /// The log lines of all running servers that report a permission violation or a failed login.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let lines = self.nodes.iter().filter_map(|node| node.server.as_ref()).flat_map(ServerProcess::lines);
        lines.filter(|line| line.contains("Violation") || line.contains("authentication error")).collect()
    }

    /// Connects to the servers and creates missing streams and buckets.
    ///
    /// # Panics
    /// When the connection fails.
    pub async fn bus(&self) -> Bus {
        Bus::connect(&self.config(), "test").await.expect("the server of this test is up")
    }

    /// The process id of the first server; None while it is stopped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.nodes[0].server.as_ref().map(ServerProcess::pid)
    }

    /// Stops all servers gracefully, as in an outage. JetStream keeps its stored data.
    pub async fn stop(&mut self) {
        for node in &mut self.nodes {
            if let Some(server) = node.server.take() {
                blocking(move || server.stop(Signal::SIGTERM, DEADLINE)).await;
            }
        }
    }

    /// Makes the first server read its settings again.
    ///
    /// # Panics
    /// When the server does not run.
    pub fn reload(&self) {
        let pid = self.pid().expect("the server runs");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), Signal::SIGHUP)
            .expect("the server exists");
    }

    /// Kills all servers, as in a crash. JetStream keeps its stored data.
    pub fn kill(&mut self) {
        for node in &mut self.nodes {
            node.server = None;
        }
    }

    /// Kills the server with this name.
    ///
    /// # Panics
    /// When no server has this name.
    pub fn kill_one(&mut self, name: &str) {
        let index = self.index(name);
        self.nodes[index].server = None;
    }

    /// Restarts all servers on the same ports with the same data.
    ///
    /// # Panics
    /// When a server does not start.
    pub async fn restart(&mut self) {
        self.stop().await;
        for index in 0..self.nodes.len() {
            self.run(index).await;
        }
    }

    /// Starts the killed servers again, on the same ports with the same data. Returns false when one ends before it is
    /// ready, for example because its disk is full.
    pub async fn try_restart(&mut self) -> bool {
        let mut all = true;
        for index in 0..self.nodes.len() {
            if self.nodes[index].server.is_none() {
                all &= self.try_run(index).await;
            }
        }
        all
    }

    /// Whether all servers run.
    pub fn is_running(&mut self) -> bool {
        self.nodes.iter_mut().all(|node| node.server.as_mut().is_some_and(ServerProcess::is_running))
    }

    /// Starts the killed server with this name again, on the same port with the same data.
    ///
    /// # Panics
    /// When no server has this name, or the server does not start.
    pub async fn restart_one(&mut self, name: &str) {
        let index = self.index(name);
        self.run(index).await;
    }

    /// Kills all servers, deletes their data and starts them again on the same ports, as after the loss of a disk.
    ///
    /// # Panics
    /// When a server does not start.
    pub async fn restart_empty(&mut self) {
        self.kill();
        for node in &self.nodes {
            fs::remove_dir_all(self.store(node)).expect("the store of a server exists");
        }
        self.restart().await;
    }

    fn index(&self, name: &str) -> usize {
        let found = self.nodes.iter().position(|node| node.name == name);
        found.unwrap_or_else(|| panic!("no server has the name {name}"))
    }
}

impl Node {
    fn new(name: &str, route_port: u16) -> Self {
        Self { name: name.to_owned(), port: free_port(), route_port, monitor_port: 0, server: None }
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("the folder for temporary files is writable")
}

fn folder_in(parent: &Path) -> TempDir {
    tempfile::tempdir_in(parent).expect("the folder for the server's data is writable")
}

/// Starts a server and waits until it accepts connections. Returns None when the server ends before.
fn launch(command: &mut Command) -> Option<ServerProcess> {
    let ready = |line: &str| line.contains("Server is ready").then_some(());
    ServerProcess::start("nats-server", command, ready).map(|(server, ())| server)
}

/// The path of nats-server: `SLUICE_NATS_SERVER`, else the program on the PATH.
fn program() -> PathBuf {
    if let Some(path) = env::var_os("SLUICE_NATS_SERVER").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join("nats-server")).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("no nats-server: run `cargo xtask test`, or set SLUICE_NATS_SERVER to the path of version 2.11 or newer")
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
    async fn a_restart_keeps_the_port_and_the_stored_messages() {
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
    async fn a_restart_without_data_keeps_the_port_and_loses_the_streams() {
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
