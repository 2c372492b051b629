//! Dumps and loads a PostgreSQL database with `pg_dump` and `pg_restore`.

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use bytes::Bytes;
use futures::Stream;
use platform::config::DatabaseConfig;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, Statement, TransactionTrait, sqlx::postgres::PgConnectOptions,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    task::JoinHandle,
};

use super::copy_to;
use crate::{config::BackupConfig, digest::ByteStream, error::BackupError};

/// Largest number of bytes of a program's error output that an error contains.
const MAX_STDERR_BYTES: u64 = 16 * 1024;
/// Longest time that a program may run after the end of its input or output. Within this time, `pg_restore` must
/// commit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(600);

/// A running `pg_dump`. Dropping this value kills the program.
pub(crate) struct PgDump {
    child: Child,
    stderr: JoinHandle<String>,
}

impl PgDump {
    /// Starts `pg_dump` at a snapshot that another transaction exported.
    pub(crate) fn start(database: &DatabaseConfig, config: &BackupConfig, snapshot: &str) -> Result<Self, BackupError> {
        let mut command = tool_command("pg_dump", database, config)?;
        // the encoder compresses the dump
        command.args(["--format=custom", "--compress=0", "--no-owner", "--no-privileges", "--no-password"]);
        command.args(["--lock-wait-timeout=60s", &format!("--snapshot={snapshot}")]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let (child, stderr) = spawn("pg_dump", command)?;
        Ok(Self { child, stderr })
    }

    /// Returns the standard output of the program. A second call fails.
    pub(crate) fn output(&mut self) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send + use<>, BackupError> {
        let stdout = self.child.stdout.take().ok_or_else(|| tool_error("pg_dump", "the output was taken already"))?;
        Ok(tokio_util::io::ReaderStream::with_capacity(stdout, 256 * 1024))
    }

    /// Waits until the program exits. The output is a complete dump only if the program succeeds. `consumed` is true if
    /// the caller has read the whole output. If it is false, this method waits one second for the error of a failed
    /// program, and kills a program that is still running.
    pub(crate) async fn finish(mut self, consumed: bool) -> Result<(), BackupError> {
        if !consumed {
            // if the program failed, its error is the reason why its output was not consumed
            let ended = tokio::time::timeout(Duration::from_secs(1), self.child.wait()).await;
            if !matches!(ended, Ok(Ok(status)) if !status.success()) {
                self.child.kill().await.map_err(BackupError::local("pg_dump"))?;
                return Ok(());
            }
        }
        wait_for_exit("pg_dump", self.child, self.stderr).await
    }
}

/// Loads a dump into the database with `pg_restore`, in a single transaction.
pub(crate) async fn load(
    database: &DatabaseConfig,
    config: &BackupConfig,
    bytes: ByteStream,
) -> Result<(), BackupError> {
    let mut command = tool_command("pg_restore", database, config)?;
    command.args(["--single-transaction", "--no-owner", "--no-privileges", "--exit-on-error", "--no-password"]);
    command.arg(format!("--dbname={}", options(database)?.get_database().unwrap_or_default()));
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let (mut child, stderr) = spawn("pg_restore", command)?;
    let mut stdin = child.stdin.take().ok_or_else(|| tool_error("pg_restore", "its input is not available"))?;
    let copied = copy_to(bytes, &mut stdin, "pg_restore").await;
    if let Err(BackupError::Damaged { .. }) = &copied {
        // kills the program, because it would take a closed input as the end of the dump
        child.kill().await.map_err(BackupError::local("pg_restore"))?;
        return copied;
    }
    drop(stdin);
    // if the program failed, its error is the cause of a failed write to its input
    wait_for_exit("pg_restore", child, stderr).await?;
    copied
}

/// Drops all tables of the database, and the functions of the migrations. The caller has checked that the installation
/// is empty.
pub(crate) async fn drop_objects(db: &DatabaseConnection) -> Result<(), BackupError> {
    let tx = db.begin().await?;
    let tables = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1";
    for row in tx.query_all_raw(Statement::from_string(DbBackend::Postgres, tables)).await? {
        let table: String = row.try_get_by_index(0)?;
        tx.execute_unprepared(&format!("DROP TABLE {table} CASCADE")).await?;
    }
    for function in migration::FUNCTIONS {
        tx.execute_unprepared(&format!("DROP FUNCTION IF EXISTS {function}")).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Returns the host, the port, the database name, and the session options, which may select another schema.
pub(crate) fn location(database: &DatabaseConfig) -> Result<String, BackupError> {
    let options = options(database)?;
    let host = options.get_socket().map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
    let name = options.get_database().unwrap_or_else(|| options.get_username());
    let session = options.get_options().map(|set| format!(" {set}")).unwrap_or_default();
    Ok(format!("postgres {host}:{}/{name}{session}", options.get_port()))
}

fn options(database: &DatabaseConfig) -> Result<PgConnectOptions, BackupError> {
    let parsed = database.url.expose().parse::<PgConnectOptions>();
    Ok(parsed.map_err(|e| sea_orm::DbErr::Custom(format!("database.url: {e}")))?)
}

/// Returns the command that runs `pg_dump` or `pg_restore`. Environment variables pass the address and the password of
/// the database, because every user of the machine can read the arguments of a program.
fn tool_command(name: &str, database: &DatabaseConfig, config: &BackupConfig) -> Result<Command, BackupError> {
    let options = options(database)?;
    let program = if config.pg_bin_dir.is_empty() { name.into() } else { Path::new(&config.pg_bin_dir).join(name) };
    let mut command = Command::new(program);
    command.env("PGHOST", options.get_host()).env("PGPORT", options.get_port().to_string());
    command.env("PGUSER", options.get_username()).env("PGAPPNAME", format!("sluice {name}"));
    if let Some(socket) = options.get_socket() {
        command.env("PGHOST", socket);
    }
    if let Some(name) = options.get_database() {
        command.env("PGDATABASE", name);
    }
    let url = url::Url::parse(database.url.expose()).ok();
    let password = url.as_ref().and_then(url::Url::password).map(percent_decoded);
    if let Some(password) = password {
        command.env("PGPASSWORD", password);
    }
    let pairs = url.iter().flat_map(url::Url::query_pairs);
    for (key, value) in pairs {
        // the parameters that sqlx and libpq share
        let variable = match &*key {
            "sslmode" | "ssl-mode" => "PGSSLMODE",
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => "PGSSLROOTCERT",
            "sslcert" | "ssl-cert" => "PGSSLCERT",
            "sslkey" | "ssl-key" => "PGSSLKEY",
            "password" => "PGPASSWORD",
            _ => continue,
        };
        command.env(variable, &*value);
    }
    Ok(command)
}

/// Decodes a percent-encoded component of a URL.
fn percent_decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("p={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn spawn(program: &'static str, mut command: Command) -> Result<(Child, JoinHandle<String>), BackupError> {
    command.env("LC_ALL", "C").stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| {
        tool_error(
            program,
            &format!("can't be started ({e}): install PostgreSQL's client programs, or set backup.pg_bin_dir"),
        )
    })?;
    let stderr = child.stderr.take().ok_or_else(|| tool_error(program, "its error output is not available"))?;
    Ok((child, tokio::spawn(read_stderr(stderr))))
}

/// Reads the start of a program's error output and discards the rest, so that the program never blocks on a full pipe.
async fn read_stderr(mut from: impl AsyncRead + Unpin) -> String {
    let mut kept = vec![];
    let read = (&mut from).take(MAX_STDERR_BYTES).read_to_end(&mut kept).await;
    if let Err(e) = read.and(tokio::io::copy(&mut from, &mut tokio::io::sink()).await.map(drop)) {
        tracing::debug!(error = %e, "failed to read the error output of a program");
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

async fn wait_for_exit(program: &'static str, mut child: Child, stderr: JoinHandle<String>) -> Result<(), BackupError> {
    let exited: std::io::Result<ExitStatus> = match tokio::time::timeout(EXIT_TIMEOUT, child.wait()).await {
        Ok(exited) => exited,
        Err(_) => return Err(BackupError::Timeout(program)),
    };
    let status = exited.map_err(BackupError::local(program))?;
    let stderr = stderr.await.map_err(|_| BackupError::Panicked(program))?;
    if status.success() {
        return Ok(());
    }
    let hint = if stderr.contains("version mismatch") || stderr.contains("unsupported version") {
        ": set backup.pg_bin_dir to the programs of a PostgreSQL that isn't older than the server and the dump"
    } else {
        ""
    };
    Err(tool_error(program, &format!("{status}: {stderr}{hint}")))
}

fn tool_error(program: &str, detail: &str) -> BackupError {
    BackupError::Tool { program: program.to_owned(), detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use platform::secret::Secret;

    use super::*;

    #[test]
    fn the_database_is_passed_in_the_environment_and_no_password_in_an_argument() {
        let url = "postgres://sluice:p%40ss+word@db.example.com:5433/exports?sslmode=require";
        let database = DatabaseConfig { url: Secret::new(url), ..DatabaseConfig::default() };
        let config = BackupConfig { pg_bin_dir: "/opt/pg/bin".into(), ..BackupConfig::default() };
        let command = tool_command("pg_dump", &database, &config).unwrap();
        let command = command.as_std();
        assert_eq!(command.get_program(), "/opt/pg/bin/pg_dump");
        let env = |name: &str| {
            let found = command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value);
            found.map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
        };
        assert_eq!(
            [env("PGHOST"), env("PGPORT"), env("PGUSER"), env("PGDATABASE")],
            ["db.example.com", "5433", "sluice", "exports"]
        );
        assert_eq!([env("PGPASSWORD"), env("PGSSLMODE")], ["p@ss+word", "require"]);
        assert_eq!(command.get_args().count(), 0);
        assert_eq!(location(&database).unwrap(), "postgres db.example.com:5433/exports", "no credentials");
    }
}
