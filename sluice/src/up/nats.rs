//! Our own nats-server: a child on loopback with a password, whose data is in the data folder.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::timeout,
};
use tracing::{debug, warn};

use super::{
    UpError,
    data_dir::{DataDir, write_private},
    secrets::Secrets,
};

/// JetStream's per-message TTL came with this release.
pub(super) const OLDEST: Version = Version(2, 11, 0);
/// Our user at it.
pub(super) const USER: &str = "sluice";

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(10);

/// A release of nats-server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The program: `SLUICE_NATS_SERVER`, else the one on the PATH, if it is new enough.
pub(super) fn find() -> Result<PathBuf, UpError> {
    let named = env::var_os("SLUICE_NATS_SERVER").filter(|path| !path.is_empty()).map(PathBuf::from);
    let program = named.or_else(|| on_path("nats-server")).ok_or(UpError::NoNats)?;
    let bad = |detail: String| UpError::BadNats { program: program.clone(), detail };
    let said = std::process::Command::new(&program).arg("--version").stdin(Stdio::null()).output();
    let said = said.map_err(|e| bad(e.to_string()))?;
    let text = String::from_utf8_lossy(&said.stdout);
    let found = version(&text).ok_or_else(|| bad("it doesn't say its version".into()))?;
    if found < OLDEST {
        return Err(UpError::OldNats { program, found });
    }
    Ok(program)
}

fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Out of `nats-server: v2.15.1`; what follows a dash is ignored.
fn version(text: &str) -> Option<Version> {
    let numbers = text.trim().rsplit('v').next()?.split('-').next()?;
    let mut numbers = numbers.split('.').map(|number| number.trim().parse().ok());
    Some(Version(numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
}

/// The running child. Dropping it kills it; [`NatsChild::stop`] lets it finish.
pub(super) struct NatsChild {
    child: Child,
    url: String,
    pid_file: PathBuf,
}

impl NatsChild {
    /// Starts it on a free port and waits until it takes connections.
    pub(super) async fn start(program: &Path, dir: &DataDir, secrets: &Secrets) -> Result<Self, UpError> {
        write_private(&dir.nats_config(), &configuration(dir, secrets))?;
        let failed = |detail: String| UpError::NatsStart(detail);
        let mut child = command(program)
            .arg("-c")
            .arg(dir.nats_config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal reaches a whole process group; the services must drain before their broker ends
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| failed(e.to_string()))?;
        let Some(stderr) = child.stderr.take() else { return Err(failed("its log can't be read".into())) };
        let mut log = BufReader::new(stderr).lines();
        let port = match timeout(START, listening(&mut log)).await {
            Ok(port) => port.map_err(failed)?,
            Err(_) => return Err(failed(format!("not ready within {} s", START.as_secs()))),
        };
        // its log must be read, or it would wait for a reader some day
        tokio::spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                pass_on(&line);
            }
        });
        Ok(Self { child, url: format!("nats://127.0.0.1:{port}"), pid_file: dir.nats_pid() })
    }

    /// Where it listens.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Waits for its end, which should not come by itself.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => describe(status),
            Err(e) => e.to_string(),
        }
    }

    /// Lets it finish, and waits until it is gone.
    pub(super) async fn stop(mut self) {
        if let Some(pid) = self.child.id()
            && let Err(e) = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM)
        {
            warn!(error = %e, "nats-server can't be told to stop");
        }
        match timeout(STOP, self.child.wait()).await {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => warn!(error = %e, "nats-server can't be waited for"),
            Err(_) => {
                warn!("nats-server did not stop in time; killing it");
                if let Err(e) = self.child.kill().await {
                    warn!(error = %e, "nats-server can't be killed");
                }
            }
        }
        // it does so itself when it stops in good order
        if self.pid_file.exists()
            && let Err(e) = fs::remove_file(&self.pid_file)
        {
            debug!(error = %e, "the pid file of nats-server is gone already");
        }
    }
}

/// Linux ends the child with us, however we end, when `setpriv` is there to ask for that; the program takes its place,
/// so that the process is nats-server itself. Elsewhere the next start ends what was left.
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

/// Reads its log until it is ready; gives the port.
async fn listening(log: &mut Lines<BufReader<ChildStderr>>) -> Result<u16, String> {
    let mut port = None;
    let mut last = String::from("it ended at once");
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

fn pass_on(line: &str) {
    if ["[WRN]", "[ERR]", "[FTL]"].iter().any(|level| line.contains(level)) {
        warn!(target: "nats_server", "{line}");
    } else {
        debug!(target: "nats_server", "{line}");
    }
}

fn describe(status: ExitStatus) -> String {
    status.to_string()
}

fn configuration(dir: &DataDir, secrets: &Secrets) -> String {
    format!(
        "# written by `sluice up` at each start\n\
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

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(version("nats-server: v2.15.1\n"), Some(Version(2, 15, 1)));
        assert_eq!(version("nats-server: v2.12.0-RC.3"), Some(Version(2, 12, 0)));
        assert_eq!(version("nonsense"), None);
        assert!(version("nats-server: v2.9.25").unwrap() < OLDEST);
        assert!(version("nats-server: v2.11.0").unwrap() >= OLDEST);
    }

    #[tokio::test]
    async fn the_child_starts_with_a_password_and_ends_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::claim(&folder.path().join("data")).unwrap();
        let secrets = Secrets::of(&dir).unwrap();
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
    async fn what_a_killed_predecessor_left_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::claim(&folder.path().join("data")).unwrap();
        let secrets = Secrets::of(&dir).unwrap();
        let mut nats = NatsChild::start(&find().unwrap(), &dir, &secrets).await.unwrap();
        let (left, ()) = tokio::join!(nats.ended(), async {
            super::super::leftover::end(&dir.nats_pid(), &dir.nats_config()).await.unwrap();
        });
        assert!(left.contains("exit") || left.contains("signal"), "{left}");
        assert!(!dir.nats_pid().exists());
    }
}
