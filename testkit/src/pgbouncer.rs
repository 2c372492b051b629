//! Starts a real PgBouncer, a connection pooler, in front of a PostgreSQL server.

use std::{env, fs, os::unix::fs::chown, path::PathBuf};

use tempfile::TempDir;

use crate::{
    db::TestDatabase,
    ports::free_port,
    postgres::{as_user, unprivileged},
    server_process::ServerProcess,
};

/// A PgBouncer in transaction mode. Dropping the value ends the process.
pub struct PgBouncer {
    process: ServerProcess,
    port: u16,
    _dir: TempDir,
}

impl PgBouncer {
    /// Starts a PgBouncer in front of the server of a database. It lends at most `pool_size` server connections for
    /// each database, each for one transaction.
    ///
    /// # Panics
    /// When PgBouncer is not installed or does not start.
    pub async fn start(database: &TestDatabase, pool_size: u32) -> Self {
        let server = address(database.url()).to_owned();
        let started = tokio::task::spawn_blocking(move || Self::start_blocking(&server, pool_size));
        match started.await {
            Ok(pooler) => pooler,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }

    /// The URL of a database, through the pooler.
    #[must_use]
    pub fn url(&self, database: &TestDatabase) -> String {
        database.url().replace(address(database.url()), &format!("127.0.0.1:{}", self.port))
    }

    /// All lines of the log so far.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.process.lines()
    }

    fn start_blocking(server: &str, pool_size: u32) -> Self {
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        let (host, server_port) = server.split_once(':').expect("an address has a port");
        let port = free_port();
        let users = dir.path().join("users.txt");
        fs::write(&users, "\"postgres\" \"\"\n").expect("a new folder is writable");
        let config = dir.path().join("pgbouncer.ini");
        // no parameter of a startup message is ignored, as in PgBouncer's defaults
        let text = format!(
            "[databases]\n* = host={host} port={server_port}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = {pool_size}\n",
            users.display()
        );
        fs::write(&config, text).expect("a new folder is writable");
        let user = unprivileged();
        if let Some(user) = &user {
            for path in [dir.path(), &users, &config] {
                let changed = chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()));
                changed.expect("root may change the owner of a file");
            }
        }
        let mut pgbouncer = as_user(&program(), user.as_ref());
        pgbouncer.arg(&config);
        let ready = |line: &str| line.contains("process up").then_some(());
        let (process, ()) =
            ServerProcess::start("pgbouncer", &mut pgbouncer, ready).expect("PgBouncer ended before it was ready");
        Self { process, port, _dir: dir }
    }
}

/// The part `host:port` of a database URL.
fn address(url: &str) -> &str {
    let rest = url.rsplit('@').next().unwrap_or_default();
    rest.split('/').next().unwrap_or_default()
}

/// The path of `pgbouncer`: `SLUICE_PGBOUNCER`, else the program on the PATH or in `/usr/sbin`.
fn program() -> PathBuf {
    if let Some(path) = env::var_os("SLUICE_PGBOUNCER").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = folders.find_map(|dir| Some(dir.join("pgbouncer")).filter(|file| file.is_file()));
    found.unwrap_or_else(|| panic!("no PgBouncer: run `cargo xtask test`, or set SLUICE_PGBOUNCER to its path"))
}
