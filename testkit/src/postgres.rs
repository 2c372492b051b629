//! A real PostgreSQL server, shared by the tests of one process.

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

use crate::{db::TestDatabase, ports::free_port, watched::Watched};

/// The server of this process, as long as a test holds it.
static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

const GRACE: Duration = Duration::from_secs(5);

/// A PostgreSQL server. It ends with the last of these values.
#[derive(Clone)]
pub struct Postgres {
    server: Arc<Server>,
}

struct Server {
    watched: Option<Watched>,
    port: u16,
    databases: AtomicU32,
    _dir: TempDir,
}

impl Postgres {
    /// Starts one, or joins the one that another test of this process started.
    ///
    /// # Panics
    /// When PostgreSQL isn't installed, or does not start.
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

    /// A fresh, migrated database.
    ///
    /// # Panics
    /// When it can't be made.
    pub async fn database(&self) -> TestDatabase {
        let name = format!("test_{}", self.server.databases.fetch_add(1, Ordering::Relaxed));
        let admin = Database::connect(self.url("postgres")).await.expect("PostgreSQL is up");
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("the name is new");
        admin.close().await.expect("a pool can be closed");
        let url = Secret::new(self.url(&name));
        TestDatabase::migrated(DatabaseConfig { url, ..DatabaseConfig::default() }, None).await
    }

    /// The folder of its programs, `pg_dump` among them.
    ///
    /// # Panics
    /// When PostgreSQL isn't installed.
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
            let given = chown(dir.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()));
            given.expect("root may give a folder away");
        }
        let data = dir.path().join("data");
        let mut initdb = as_user(&bin.join("initdb"), user.as_ref());
        initdb.arg("-D").arg(&data).args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync"]);
        let made = initdb.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("can't start initdb: {e}"));
        assert!(made.status.success(), "initdb failed:\n{}", String::from_utf8_lossy(&made.stderr));
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
        // everybody comes over TCP, and the path of a socket in a deep folder would be too long
        postgres.args(["-c", "unix_socket_directories="]);
        let ready = |line: &str| line.contains("ready to accept connections").then_some(());
        let (watched, ()) =
            Watched::start("postgres", &mut postgres, ready).expect("PostgreSQL ended before it was ready");
        Self { watched: Some(watched), port, databases: AtomicU32::new(0), _dir: dir }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(watched) = self.watched.take() {
            // at once, without a checkpoint: the data is thrown away
            watched.stop(Signal::SIGQUIT, GRACE);
        }
    }
}

/// PostgreSQL refuses to run as root, so that it gets a user of its own there.
fn unprivileged() -> Option<User> {
    if !Uid::effective().is_root() {
        return None;
    }
    let found = ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok().flatten());
    Some(found.expect("this machine has a user `postgres` or `nobody`, as PostgreSQL refuses to run as root"))
}

fn as_user(program: &Path, user: Option<&User>) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C").current_dir("/");
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

/// `SLUICE_PG_BIN`, else the newest of Debian's folders.
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
        panic!("no PostgreSQL: run `cargo xtask test`, or name its folder of programs with SLUICE_PG_BIN")
    })
}
