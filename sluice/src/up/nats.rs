//! Runs the nats-server of `sluice up` as a child process. The server listens on loopback, requires a password, and
//! stores its data in the data folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use platform::backoff::Backoff;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    sync::Notify,
    time::timeout,
};
use tracing::{debug, info, warn};

use super::{
    data_dir::{DataDir, write_private},
    error::UpError,
    nats_version::{OLDEST, Version},
    secrets::Secrets,
};

/// The user name with which Sluice connects to the server.
pub(super) const USER: &str = "sluice";

/// The time limit for the server to become ready.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// The time limit of a graceful stop. After this time, `sluice up` kills the server.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A log line with one of these texts reports that the server failed to write a message or the state of a consumer.
const WRITE_FAILURES: [&str; 2] = ["JetStream failed to store", "no space left on device"];
/// After a failed write, `sluice up` restarts the server when its disk has at least this free space, in bytes.
const MIN_FREE_BYTES: u64 = 4 << 20;
/// The number of consecutive failed restarts after which `sluice up` ends.
const MAX_RESTARTS: u32 = 10;
/// The longest pause before a restart.
const MAX_RESTART_PAUSE: Duration = Duration::from_secs(10);
/// The interval at which `sluice up` reads the free space after a failed write, and the first pause after a failed
/// restart.
const SPACE_INTERVAL: Duration = Duration::from_secs(1);

/// Finds the nats-server program, and checks its version. The environment variable `SLUICE_NATS_SERVER` names the
/// program; without it, the program is `nats-server` on the PATH.
pub(super) fn find() -> Result<PathBuf, UpError> {
    let named = env::var_os("SLUICE_NATS_SERVER").filter(|path| !path.is_empty()).map(PathBuf::from);
    let program = named.or_else(|| on_path("nats-server")).ok_or(UpError::NoNats)?;
    let bad = |detail: String| UpError::BadNats { program: program.clone(), detail };
    let output = std::process::Command::new(&program).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|e| bad(e.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found = Version::parse(&text).ok_or_else(|| bad("--version printed no version".into()))?;
    if found < OLDEST {
        return Err(UpError::OldNats { program, found });
    }
    Ok(program)
}

fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// The running server. Dropping this value kills the process; [`NatsChild::stop`] stops the server gracefully.
pub(super) struct NatsChild {
    program: PathBuf,
    /// The configuration file, which the server reads at each start.
    config: PathBuf,
    child: Child,
    port: u16,
    url: String,
    pid_file: PathBuf,
    store: PathBuf,
    /// Notified when the server logs a failed write.
    write_failed: Arc<Notify>,
}

impl NatsChild {
    /// Starts the server on a free port, and waits until the server accepts connections.
    pub(super) async fn start(program: &Path, dir: &DataDir, secrets: &Secrets) -> Result<Self, UpError> {
        let config = dir.nats_config();
        write_private(&config, &configuration(dir, secrets))?;
        let write_failed = Arc::new(Notify::new());
        let (child, port) = spawn(program, &config, None, &write_failed).await?;
        Ok(Self {
            program: program.to_owned(),
            config,
            child,
            port,
            url: format!("nats://127.0.0.1:{port}"),
            pid_file: dir.nats_pid(),
            store: dir.nats_store(),
            write_failed,
        })
    }

    /// Waits until the server exits by itself, and returns the exit status as text. After a failed write, the server
    /// stores no message in the affected stream until the server restarts. So this method restarts the server as soon
    /// as the disk has space again. If [`MAX_RESTARTS`] consecutive restarts fail, returns the last error.
    pub(super) async fn supervise(&mut self) -> String {
        loop {
            let write_failed = Arc::clone(&self.write_failed);
            tokio::select! {
                status = self.exited() => return status,
                () = write_failed.notified() => {}
            }
            warn!("nats-server could not write to its disk; it is restarted when the disk has space");
            tokio::select! {
                status = self.child.wait() => return status.map_or_else(|e| e.to_string(), |status| status.to_string()),
                () = until_free(&self.store) => {}
            }
            let mut backoff = Backoff::new(SPACE_INTERVAL, MAX_RESTART_PAUSE);
            while let Err(e) = self.restart().await {
                if backoff.failures() >= MAX_RESTARTS {
                    return e.to_string();
                }
                warn!(error = %e, "failed to restart nats-server; retrying");
                tokio::time::sleep(backoff.next_pause()).await;
                until_free(&self.store).await;
            }
            info!("restarted nats-server after its disk was full");
        }
    }

    /// Stops the server and starts it again on the same port. The NATS clients reconnect by themselves.
    async fn restart(&mut self) -> Result<(), UpError> {
        self.end().await;
        // a new handle, because failed writes of the stopped server do not concern the new server
        self.write_failed = Arc::new(Notify::new());
        (self.child, self.port) = spawn(&self.program, &self.config, Some(self.port), &self.write_failed).await?;
        Ok(())
    }

    /// Returns the client URL of the server.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Waits for the process to exit, and returns its exit status as text.
    pub(super) async fn exited(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(e) => e.to_string(),
        }
    }

    /// Stops the server gracefully, and waits until the process has exited.
    pub(super) async fn stop(mut self) {
        self.end().await;
        // the server deletes the file itself after a graceful stop
        if self.pid_file.exists()
            && let Err(e) = fs::remove_file(&self.pid_file)
        {
            debug!(error = %e, "failed to delete the pid file of nats-server");
        }
    }

    /// Sends SIGTERM to the process, and waits for its exit. Kills the process after [`STOP_TIMEOUT`].
    async fn end(&mut self) {
        if let Some(pid) = self.child.id()
            && let Err(e) = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM)
        {
            warn!(error = %e, "failed to signal nats-server");
        }
        match timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => warn!(error = %e, "failed to wait for nats-server"),
            Err(_) => {
                warn!("nats-server did not stop within 10 s, killing it");
                if let Err(e) = self.child.kill().await {
                    warn!(error = %e, "failed to kill nats-server");
                }
            }
        }
    }
}

/// Starts the server on this port, or on a free port if `port` is None, and waits until the server accepts connections.
/// Returns the process and the port. Notifies `write_failed` when the server logs a failed write.
async fn spawn(
    program: &Path,
    config: &Path,
    port: Option<u16>,
    write_failed: &Arc<Notify>,
) -> Result<(Child, u16), UpError> {
    let failed = |detail: String| UpError::NatsStart(detail);
    let mut command = command(program);
    command.arg("-c").arg(config);
    if let Some(port) = port {
        command.arg("-p").arg(port.to_string());
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Ctrl-C in a terminal reaches a whole process group, but the services must drain before NATS stops
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    let Some(stderr) = child.stderr.take() else { return Err(failed("its log is not available".into())) };
    let mut log = BufReader::new(stderr).lines();
    let port = match timeout(START_TIMEOUT, wait_until_ready(&mut log)).await {
        Ok(port) => port.map_err(failed)?,
        Err(_) => return Err(failed(format!("not ready within {} s", START_TIMEOUT.as_secs()))),
    };
    // read the log, because the server would block on a full pipe
    let write_failed = Arc::clone(write_failed);
    tokio::spawn(async move {
        while let Ok(Some(line)) = log.next_line().await {
            if WRITE_FAILURES.iter().any(|text| line.contains(text)) {
                write_failed.notify_one();
            }
            forward_log_line(&line);
        }
    });
    Ok((child, port))
}

/// Waits until the disk of this folder has [`MIN_FREE_BYTES`] of free space.
async fn until_free(folder: &Path) {
    let mut ticks = tokio::time::interval(SPACE_INTERVAL);
    loop {
        ticks.tick().await;
        let folder = folder.to_owned();
        // `statvfs` may block on a network disk
        let stat = tokio::task::spawn_blocking(move || nix::sys::statvfs::statvfs(&folder)).await;
        if let Ok(Ok(disk)) = stat
            && disk.blocks_available().saturating_mul(disk.fragment_size()) >= MIN_FREE_BYTES
        {
            return;
        }
    }
}

/// Returns the command that starts the server. On Linux, `setpriv` makes the kernel terminate the server when this
/// process ends for any reason; `setpriv` then replaces itself by nats-server. Without `setpriv`, the server may
/// outlive this process. The next start then stops the stale server, if the system has `/proc`, see
/// [`super::stale_nats`].
fn command(program: &Path) -> Command {
    match on_path("setpriv").filter(|_| cfg!(target_os = "linux")) {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "TERM", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Reads the log of the server until the server is ready, and returns its port.
async fn wait_until_ready(log: &mut Lines<BufReader<ChildStderr>>) -> Result<u16, String> {
    let mut port = None;
    let mut last = String::from("it exited immediately");
    while let Some(line) = log.next_line().await.map_err(|e| e.to_string())? {
        if let Some((_, address)) = line.split_once("Listening for client connections on ") {
            port = address.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        }
        match port {
            Some(port) if line.contains("Server is ready") => return Ok(port),
            _ => last = line,
        }
    }
    Err(last)
}

/// Forwards warnings and errors of the server to the log of this process. Other lines become debug messages.
fn forward_log_line(line: &str) {
    if ["[WRN]", "[ERR]", "[FTL]"].iter().any(|level| line.contains(level)) {
        warn!(target: "nats_server", "{line}");
    } else {
        debug!(target: "nats_server", "{line}");
    }
}

fn configuration(dir: &DataDir, secrets: &Secrets) -> String {
    format!(
        "# Written by `sluice up` at each start.\n\
         host: \"127.0.0.1\"\n\
         port: -1\n\
         server_name: \"sluice-up\"\n\
         pid_file: {pid}\n\
         jetstream {{ store_dir: {store} }}\n\
         authorization {{ user: \"{USER}\", password: \"{password}\" }}\n",
        pid = quoted(&dir.nats_pid()),
        store = quoted(&dir.nats_store()),
        password = secrets.nats_password,
    )
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_server_requires_the_password_and_stops_gracefully() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::claim(&folder.path().join("data")).unwrap();
        let secrets = Secrets::load(&dir).unwrap();
        let nats = NatsChild::start(&find().unwrap(), &dir, &secrets).await.unwrap();
        let pid = nats.child.id().unwrap();
        assert_eq!(fs::read_to_string(dir.nats_pid()).unwrap().trim(), pid.to_string());
        let config = |password: &str| platform::config::NatsConfig {
            url: nats.url().to_owned(),
            user: USER.into(),
            password: platform::secret::Secret::new(password),
            ..Default::default()
        };
        platform::bus::Bus::connect(&config(&secrets.nats_password), "test").await.unwrap();
        assert!(platform::bus::Bus::connect(&config("guess"), "test").await.is_err());
        nats.stop().await;
        assert!(!dir.nats_pid().exists());
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[tokio::test]
    async fn a_stale_server_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::claim(&folder.path().join("data")).unwrap();
        let secrets = Secrets::load(&dir).unwrap();
        let mut nats = NatsChild::start(&find().unwrap(), &dir, &secrets).await.unwrap();
        let (status, ()) = tokio::join!(nats.exited(), async {
            super::super::stale_nats::stop(&dir.nats_pid(), &dir.nats_config()).await.unwrap();
        });
        assert!(status.contains("exit") || status.contains("signal"), "{status}");
        assert!(!dir.nats_pid().exists());
    }
}
