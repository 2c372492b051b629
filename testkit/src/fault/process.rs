//! Runs the `sluice` binary as a child process.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tempfile::TempDir;

use super::{Memory, kill_9, memory, reset_peak};
use crate::{DEADLINE, eventually};

/// The timeout of one request to a readiness URL.
const READINESS_TIMEOUT: Duration = Duration::from_secs(2);

/// A command that has not been started.
pub struct Launch {
    command: Command,
}

/// A child process. Dropping the value kills the child.
pub struct Process {
    child: Child,
    status: Option<ExitStatus>,
    dir: TempDir,
}

impl Launch {
    /// Prepares `sluice` with these arguments: the binary at `SLUICE_BIN`, else the one in the target folder of the
    /// test. The child does not inherit settings from the environment of the test.
    ///
    /// # Panics
    /// When the binary is not built.
    #[must_use]
    pub fn sluice<I: IntoIterator<Item = A>, A: AsRef<OsStr>>(args: I) -> Self {
        Self::program(&binary(), args)
    }

    /// Prepares another binary of the workspace by its name.
    ///
    /// # Panics
    /// When the binary is not built.
    #[must_use]
    pub fn sibling(name: &str) -> Self {
        let program = binary().with_file_name(name);
        assert!(program.is_file(), "no {}: run `cargo build --workspace --bins`", program.display());
        Self::program(&program, [""; 0])
    }

    fn program<I: IntoIterator<Item = A>, A: AsRef<OsStr>>(program: &Path, args: I) -> Self {
        let mut command = Command::new(program);
        command.args(args);
        let settings = env::vars_os().map(|(name, _)| name).filter(is_setting);
        for name in settings {
            command.env_remove(name);
        }
        Self { command }
    }

    /// Sets an environment variable, such as `SLUICE_GATEWAY__LISTEN`.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets several environment variables, as [`Launch::env`] does.
    #[must_use]
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self {
        self.command.envs(variables);
        self
    }

    /// Sets the working directory of the process.
    #[must_use]
    pub fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs a shell script in the process before the command, for example to set limits with `ulimit`.
    #[must_use]
    pub fn after_script(self, script: &str) -> Self {
        self.wrapped_by("sh", &["-c", &format!("{script}\nexec \"$@\""), "sh"])
    }

    /// Starts the command through another program, such as `unshare`, that executes its arguments.
    #[must_use]
    pub fn wrapped_by(self, program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args).arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(dir) = self.command.get_current_dir() {
            command.current_dir(dir);
        }
        Self { command }
    }

    /// Starts the process. Its standard output and standard error go to files.
    ///
    /// # Panics
    /// When the process can't be started.
    #[must_use]
    pub fn spawn(mut self) -> Process {
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        let file = |name: &str| File::create(dir.path().join(name)).expect("a new folder is writable");
        self.command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        let child = self.command.spawn();
        let child = child.unwrap_or_else(|e| panic!("can't start {:?}: {e}", self.command.get_program()));
        Process { child, status: None, dir }
    }

    /// Starts the process and waits for its end.
    ///
    /// # Panics
    /// When the process can't be started or does not end in time.
    pub async fn run(self) -> Process {
        let mut process = self.spawn();
        process.ended().await;
        process
    }
}

impl Process {
    /// The process id of the child.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until this URL answers with a success status.
    ///
    /// # Panics
    /// When the URL does not answer in time, or the process ends first.
    pub async fn ready(&mut self, url: &str) {
        let http = reqwest::Client::builder()
            .timeout(READINESS_TIMEOUT)
            .no_proxy()
            .build()
            .expect("an HTTP client can be created");
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let polling = async {
            loop {
                ticks.tick().await;
                if let Some(status) = self.poll() {
                    panic!("the process ended before it was ready ({status}):\n{}", self.stderr());
                }
                if http.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
            }
        };
        if tokio::time::timeout(DEADLINE, polling).await.is_err() {
            panic!("{url} did not answer within {} s:\n{}", DEADLINE.as_secs(), self.stderr());
        }
    }

    /// Sends SIGTERM, which starts the graceful stop.
    ///
    /// # Panics
    /// When the process has ended already.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Sends SIGINT, as Ctrl-C does.
    ///
    /// # Panics
    /// When the process has ended already.
    pub fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    /// Sends SIGSTOP, which pauses the process until [`Process::resume`].
    ///
    /// # Panics
    /// When the process has ended already.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Sends SIGCONT, which resumes a paused process.
    ///
    /// # Panics
    /// When the process has ended already.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Sends SIGKILL and waits until the process has ended.
    ///
    /// # Panics
    /// When the process has ended already.
    pub fn kill(&mut self) {
        kill_9(self.pid());
        self.status = self.child.wait().ok();
    }

    /// The exit status of the process; None while it runs.
    ///
    /// # Panics
    /// When the operating system does not report the state of the child.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.poll()
    }

    /// Waits until the process ends, and returns its exit status.
    ///
    /// # Panics
    /// When the process does not end in time.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually("the process ends", || {
            ended = self.poll();
            std::future::ready(ended)
        })
        .await
    }

    /// The standard output of the process so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// The standard error of the process so far, which contains its log.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// The resident memory of the process.
    ///
    /// # Panics
    /// When the process has ended.
    #[must_use]
    pub fn memory(&self) -> Memory {
        memory(self.pid())
    }

    /// Makes the current resident memory the peak that [`Process::memory`] measures from now on.
    ///
    /// # Panics
    /// When the process has ended.
    pub fn reset_peak(&self) {
        reset_peak(self.pid());
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("the state of a child can be read");
        }
        self.status
    }

    fn signal(&self, signal: Signal) {
        assert!(self.status.is_none(), "the process has ended");
        signal::kill(Pid::from_raw(self.pid().cast_signed()), signal).expect("the process exists");
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.dir.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.poll().is_none()
            && let Err(e) = self.child.kill().and_then(|()| self.child.wait().map(drop))
        {
            tracing::warn!(error = %e, "failed to kill a child process");
        }
    }
}

/// Whether an environment variable configures Sluice or its OpenTelemetry SDK.
fn is_setting(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    (name.starts_with("SLUICE_") && name != "SLUICE_NATS_SERVER") || name.starts_with("OTEL_")
}

fn binary() -> PathBuf {
    if let Some(path) = env::var_os("SLUICE_BIN").filter(|path| !path.is_empty()) {
        return path.into();
    }
    // the path of a test is <target>/<profile>/deps/<name>
    let test = env::current_exe().expect("a process knows its own program");
    let built = test.parent().and_then(Path::parent).map(|dir| dir.join("sluice"));
    built
        .filter(|path| path.is_file())
        .unwrap_or_else(|| panic!("sluice is not built: run `cargo build`, or set SLUICE_BIN to its path"))
}
