//! Starts a real PostgreSQL server, which the tests of one process share.

mod cluster;
mod locale;
mod standby;

use std::{
    env, fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
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

use crate::{
    db::TestDatabase, fault::kill_tree, ports::free_port, server_process::ServerProcess, small_disk::SmallDisk,
};

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
    /// The running process; None while the server is killed.
    process: Mutex<Option<ServerProcess>>,
    port: u16,
    databases: AtomicU32,
    /// Further settings, each `name=value`.
    settings: &'static [&'static str],
    /// The folder of the data.
    data: PathBuf,
    /// The folder that is deleted with the server; None if the data is on `disk`.
    _dir: Option<TempDir>,
    disk: Option<Arc<SmallDisk>>,
    /// The folder with further locales; None if the server has only those of this machine.
    locales: Option<PathBuf>,
}

/// Settings of a server that is never killed: a lost commit is no loss.
const FAST: [&str; 3] = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];
/// Settings of a server whose processes are killed, on a machine that keeps running: a commit is written, but not
/// synchronised with the disk. The log files stay small.
const DURABLE: [&str; 4] = ["fsync=off", "min_wal_size=32MB", "max_wal_size=64MB", "wal_recycle=off"];

impl Postgres {
    /// Starts a server, or returns the running server of another test in this process.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub async fn start() -> Self {
        let started = tokio::task::spawn_blocking(|| {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            shared.upgrade().unwrap_or_else(|| {
                let server = Arc::new(Server::start(&env::temp_dir(), &FAST));
                *shared = Arc::downgrade(&server);
                server
            })
        });
        match started.await {
            Ok(server) => Self { server },
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }

    /// Starts a server whose data is in a new folder below this one, and whose commits survive [`Postgres::kill`].
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub async fn start_in(folder: &Path) -> Self {
        let folder = folder.to_owned();
        match tokio::task::spawn_blocking(move || Server::start(&folder, &DURABLE)).await {
            Ok(server) => Self { server: Arc::new(server) },
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }

    /// Starts a server whose data is on this disk, and whose commits survive [`Postgres::kill`]. Its folder is
    /// [`SmallDisk::folder`]. Drop the server before the disk.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub async fn start_on(disk: &Arc<SmallDisk>) -> Self {
        let disk = Arc::clone(disk);
        match tokio::task::spawn_blocking(move || Server::start_on(disk)).await {
            Ok(server) => Self { server: Arc::new(server) },
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }

    /// Kills all processes of the server, as in a crash.
    pub fn kill(&self) {
        if let Some(process) = self.server.lock().take() {
            kill_tree(process.pid());
        }
    }

    /// Starts the killed server again, on the same port with the same data. Returns false when the server ends before it
    /// is ready, for example because its disk is full.
    pub async fn try_restart(&self) -> bool {
        let server = Arc::clone(&self.server);
        match tokio::task::spawn_blocking(move || server.launch()).await {
            Ok(is_ready) => is_ready,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }

    /// The process id of the server's first process; None while it is killed.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.lock().as_ref().map(ServerProcess::pid)
    }

    /// Whether the server has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.server.lock().as_mut().is_some_and(ServerProcess::is_running)
    }

    /// The address of the server, `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.server.port)
    }

    /// Creates a database without tables, and returns its URL.
    ///
    /// # Panics
    /// When the database can't be created.
    pub async fn empty_database(&self) -> String {
        let name = format!("test_{}", self.server.databases.fetch_add(1, Ordering::Relaxed));
        let admin = Database::connect(self.url("postgres")).await.expect("PostgreSQL is up");
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("the name is new");
        admin.close().await.expect("a pool can be closed");
        self.url(&name)
    }

    /// Creates a database and applies all migrations.
    ///
    /// # Panics
    /// When the database can't be created.
    pub async fn database(&self) -> TestDatabase {
        let url = Secret::new(self.empty_database().await);
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
    fn start(folder: &Path, settings: &'static [&'static str]) -> Self {
        let user = unprivileged();
        let dir = folder_of(user.as_ref(), folder);
        let data = dir.path().join("data");
        cluster::create(&programs(), user.as_ref(), &data);
        Self::launched(data, Some(dir), None, settings, None)
    }

    fn start_on(disk: Arc<SmallDisk>) -> Self {
        // created elsewhere, because a program that runs as another user can't reach the namespace of the disk
        let user = unprivileged();
        let dir = folder_of(user.as_ref(), &env::temp_dir());
        let data = dir.path().join("data");
        cluster::create(&programs(), user.as_ref(), &data);
        let copied = Command::new("cp").arg("-a").args([&data, &disk.folder()]).status();
        assert!(copied.is_ok_and(|status| status.success()), "the disk has room for a data folder");
        let folder = if user.is_some() { disk.inner_folder().to_owned() } else { disk.folder() };
        let data = folder.join("data");
        Self::launched(data, None, Some(disk), &DURABLE, None)
    }

    fn launched(
        data: PathBuf,
        dir: Option<TempDir>,
        disk: Option<Arc<SmallDisk>>,
        settings: &'static [&'static str],
        locales: Option<PathBuf>,
    ) -> Self {
        let (process, port, databases) = (Mutex::new(None), free_port(), AtomicU32::new(0));
        let server = Self { process, port, databases, settings, data, _dir: dir, disk, locales };
        assert!(server.launch(), "PostgreSQL ended before it was ready");
        server
    }

    /// Starts the process, and returns whether it accepts connections.
    fn launch(&self) -> bool {
        let (program, user) = (programs().join("postgres"), unprivileged());
        let mut postgres = match (&self.disk, &user) {
            // only root enters the namespace, so the program changes its user afterwards
            (Some(disk), Some(user)) => {
                let mut postgres = disk.enter();
                postgres.env("LC_ALL", "C").current_dir("/").arg("setpriv");
                postgres.args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid)]);
                postgres.arg("--clear-groups").arg(program);
                postgres
            }
            _ => as_user(&program, user.as_ref()),
        };
        if let Some(locales) = &self.locales {
            postgres.env("LOCPATH", locales);
        }
        postgres.arg("-D").arg(&self.data).arg("-p").arg(self.port.to_string());
        for setting in ["listen_addresses=127.0.0.1", "max_connections=200"].iter().chain(self.settings) {
            postgres.arg("-c").arg(setting);
        }
        // tests connect over TCP; the path of a Unix socket in a deep folder would be too long
        postgres.args(["-c", "unix_socket_directories="]);
        let states = ["ready to accept connections", "ready to accept read-only connections"];
        let ready = move |line: &str| states.iter().any(|state| line.contains(state)).then_some(());
        let started = ServerProcess::start("postgres", &mut postgres, ready).map(|(process, ())| process);
        let is_ready = started.is_some();
        *self.lock() = started;
        is_ready
    }

    fn lock(&self) -> MutexGuard<'_, Option<ServerProcess>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let process = self.lock().take();
        if let Some(process) = process {
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

/// Creates a folder below `parent` that this user may write to.
fn folder_of(user: Option<&User>, parent: &Path) -> TempDir {
    let dir = tempfile::tempdir_in(parent).expect("the folder for temporary files is writable");
    if let Some(user) = user {
        let changed = chown(dir.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()));
        changed.expect("root may change the owner of a folder");
    }
    dir
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
