//! Starts a real PostgreSQL server, which the tests of one process share.

use std::{
    env, fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use nix::{
    sys::signal::Signal,
    unistd::{Uid, User},
};
use platform::{config::DatabaseConfig, secret::Secret};
use sea_orm::{ConnectionTrait, Database};
use tempfile::TempDir;

use crate::{db::TestDatabase, ports::free_port, server_process::ServerProcess};

/// The shared server; the weak reference is empty while no test uses the server.
static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// How long the server may take to stop before the test kills it.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A PostgreSQL server. Dropping the last clone ends the server.
#[derive(Clone)]
pub struct Postgres {
    server: Arc<Server>,
}

struct Server {
    process: Option<ServerProcess>,
    port: u16,
    databases: AtomicU32,
    _dir: TempDir,
}

impl Postgres {
    /// Starts a server, or returns the running server of another test in this process.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub async fn start() -> Self {
        let started = tokio::task::spawn_blocking(|| {
            let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            shared.upgrade().unwrap_or_else(|| {
                let server = Arc::new(Server::start());
                *shared = Arc::downgrade(&server);
                server
            })
        });
        match started.await {
            Ok(server) => Self { server },
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }

    /// Creates a database and applies all migrations.
    ///
    /// # Panics
    /// When the database can't be created.
    pub async fn database(&self) -> TestDatabase {
        let name = format!("test_{}", self.server.databases.fetch_add(1, Ordering::Relaxed));
        let admin = Database::connect(self.url("postgres")).await.expect("PostgreSQL is up");
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("the name is new");
        admin.close().await.expect("a pool can be closed");
        let url = Secret::new(self.url(&name));
        TestDatabase::migrated(DatabaseConfig { url, ..DatabaseConfig::default() }, None).await
    }

    /// The folder of the PostgreSQL programs, such as `pg_dump`.
    ///
    /// # Panics
    /// When PostgreSQL is not installed.
    #[must_use]
    pub fn programs() -> PathBuf {
        programs()
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.server.port)
    }
}

impl Server {
    fn start() -> Self {
        let bin = programs();
        let user = unprivileged();
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        if let Some(user) = &user {
            let changed = chown(dir.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()));
            changed.expect("root may change the owner of a folder");
        }
        let data = dir.path().join("data");
        let mut initdb = as_user(&bin.join("initdb"), user.as_ref());
        initdb.arg("-D").arg(&data).args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync"]);
        let created = initdb.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("can't start initdb: {e}"));
        assert!(created.status.success(), "initdb failed:\n{}", String::from_utf8_lossy(&created.stderr));
        let port = free_port();
        let mut postgres = as_user(&bin.join("postgres"), user.as_ref());
        postgres.arg("-D").arg(&data).arg("-p").arg(port.to_string());
        for setting in [
            "listen_addresses=127.0.0.1",
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "max_connections=200",
        ] {
            postgres.arg("-c").arg(setting);
        }
        // tests connect over TCP; the path of a Unix socket in a deep folder would be too long
        postgres.args(["-c", "unix_socket_directories="]);
        let ready = |line: &str| line.contains("ready to accept connections").then_some(());
        let (process, ()) =
            ServerProcess::start("postgres", &mut postgres, ready).expect("PostgreSQL ended before it was ready");
        Self { process: Some(process), port, databases: AtomicU32::new(0), _dir: dir }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            // SIGQUIT skips the checkpoint, which the deleted data does not need
            process.stop(Signal::SIGQUIT, STOP_TIMEOUT);
        }
    }
}

/// The unprivileged user that runs the server if the test runs as root; PostgreSQL refuses to run as root.
pub(crate) fn unprivileged() -> Option<User> {
    if !Uid::effective().is_root() {
        return None;
    }
    let found = ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok().flatten());
    Some(found.expect("this machine has a user `postgres` or `nobody`, as PostgreSQL refuses to run as root"))
}

/// Returns a command that runs a program as the given user in a fixed locale.
pub(crate) fn as_user(program: &Path, user: Option<&User>) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C").current_dir("/");
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

/// The folder of the PostgreSQL programs: `SLUICE_PG_BIN`, else that of the newest version in `/usr/lib/postgresql`.
fn programs() -> PathBuf {
    if let Some(dir) = env::var_os("SLUICE_PG_BIN").filter(|dir| !dir.is_empty()) {
        return dir.into();
    }
    let versions = fs::read_dir("/usr/lib/postgresql").map(|dirs| dirs.flatten().collect::<Vec<_>>());
    let mut found: Vec<(u32, PathBuf)> = versions
        .unwrap_or_default()
        .into_iter()
        .filter_map(|dir| Some((dir.file_name().to_str()?.parse().ok()?, dir.path().join("bin"))))
        .filter(|(_, bin)| bin.join("postgres").is_file())
        .collect();
    found.sort();
    let newest = found.pop().map(|(_, bin)| bin);
    newest.unwrap_or_else(|| {
        panic!("no PostgreSQL: run `cargo xtask test`, or set SLUICE_PG_BIN to the folder of its programs")
    })
}
