//! The `sluice` binary as a child.

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

use super::{Memory, kill_9, memory};
use crate::{DEADLINE, eventually};

/// How long one look at a readiness URL may take.
const LOOK: Duration = Duration::from_secs(2);

/// A command to be started.
pub struct Launch {
    command: Command,
}

/// A running child. It is killed when this is dropped.
pub struct Process {
    child: Child,
    status: Option<ExitStatus>,
    dir: TempDir,
}

impl Launch {
    /// `sluice` with these arguments: `SLUICE_BIN`, else the one that was built beside the test. Settings of the
    /// surrounding environment don't reach it.
    ///
    /// # Panics
    /// When it isn't built.
    #[must_use]
    pub fn sluice<I: IntoIterator<Item = A>, A: AsRef<OsStr>>(args: I) -> Self {
        Self::program(&binary(), args)
    }

    /// Another program that was built beside `sluice`, by its name.
    ///
    /// # Panics
    /// When it isn't built.
    #[must_use]
    pub fn beside(name: &str) -> Self {
        let program = binary().with_file_name(name);
        assert!(program.is_file(), "no {}: run `cargo build --workspace --bins`", program.display());
        Self::program(&program, [""; 0])
    }

    fn program<I: IntoIterator<Item = A>, A: AsRef<OsStr>>(program: &Path, args: I) -> Self {
        let mut command = Command::new(program);
        command.args(args);
        let others = env::vars_os().map(|(name, _)| name).filter(is_setting);
        for name in others {
            command.env_remove(name);
        }
        Self { command }
    }

    /// With this variable, such as `SLUICE_GATEWAY__LISTEN`.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// With these variables.
    #[must_use]
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self {
        self.command.envs(variables);
        self
    }

    /// In this folder.
    #[must_use]
    pub fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// After these lines of a shell, in the same process: for limits of the system such as `ulimit`.
    #[must_use]
    pub fn after(self, script: &str) -> Self {
        self.through("sh", &["-c", &format!("{script}\nexec \"$@\""), "sh"])
    }

    /// As what another program starts in its own place, such as `unshare`.
    #[must_use]
    pub fn through(self, program: &str, args: &[&str]) -> Self {
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

    /// Starts it. Its output goes to files.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn spawn(mut self) -> Process {
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        let file = |name: &str| File::create(dir.path().join(name)).expect("a new folder is writable");
        self.command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        let child = self.command.spawn();
        let child = child.unwrap_or_else(|e| panic!("can't start {:?}: {e}", self.command.get_program()));
        Process { child, status: None, dir }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it can't be started or does not end in time.
    pub async fn run(self) -> Process {
        let mut process = self.spawn();
        process.ended().await;
        process
    }
}

impl Process {
    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until this URL answers with success.
    ///
    /// # Panics
    /// When it does not in time, or the process ends before.
    pub async fn ready(&mut self, url: &str) {
        let http = reqwest::Client::builder().timeout(LOOK).no_proxy().build().expect("an HTTP client can be made");
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let looking = async {
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
        if tokio::time::timeout(DEADLINE, looking).await.is_err() {
            panic!("{url} did not answer within {} s:\n{}", DEADLINE.as_secs(), self.stderr());
        }
    }

    /// SIGTERM.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// SIGINT, as Ctrl-C sends it.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    /// SIGSTOP: it hangs until [`Process::go_on`].
    ///
    /// # Panics
    /// When it has ended already.
    pub fn hang(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn kill(&mut self) {
        kill_9(self.pid());
        self.status = self.child.wait().ok();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually("the process ends", || {
            ended = self.poll();
            std::future::ready(ended)
        })
        .await
    }

    /// What it printed.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it logged.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// The memory it holds.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn memory(&self) -> Memory {
        memory(self.pid())
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("a child can be asked");
        }
        self.status
    }

    fn signal(&self, signal: Signal) {
        assert!(self.status.is_none(), "the process has ended");
        signal::kill(Pid::from_raw(self.pid().cast_signed()), signal).expect("the process is there");
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
            tracing::warn!(error = %e, "a child can't be killed");
        }
    }
}

fn is_setting(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("SLUICE_") && name != "SLUICE_NATS_SERVER"
}

fn binary() -> PathBuf {
    if let Some(path) = env::var_os("SLUICE_BIN").filter(|path| !path.is_empty()) {
        return path.into();
    }
    // the test itself is <target>/<profile>/deps/<name>
    let test = env::current_exe().expect("a process knows its own program");
    let beside = test.parent().and_then(Path::parent).map(|dir| dir.join("sluice"));
    beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| panic!("sluice isn't built: run `cargo build`, or name it with SLUICE_BIN"))
}
