//! Starts programs, and reports a failure in one line.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::{env, io};

use anyhow::{Context as _, Result, anyhow, bail};

/// A program to run, with its name in messages.
#[derive(Debug)]
pub(crate) struct Run {
    what: String,
    command: Command,
}

impl Run {
    pub(crate) fn new(what: impl Into<String>, program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        // Cargo sets these variables for the package `xtask`; a child process must not inherit them.
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text.starts_with("CARGO_BIN_") {
                command.env_remove(&name);
            }
        }
        Self { what: what.into(), command }
    }

    /// The cargo that started this program, in the root of the checkout.
    pub(crate) fn cargo(what: impl Into<String>, root: &Path) -> Self {
        Self::new(what, env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).dir(root)
    }

    /// Cargo with Clippy as the compiler of this workspace: it reports lints, which fail the build, and emits the same
    /// code. Libraries are thus compiled once, where `cargo clippy` and `cargo build` compile each of them twice.
    pub(crate) fn cargo_with_lints(what: impl Into<String>, root: &Path) -> Self {
        let run = Self::cargo(what, root).env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver");
        // the separator of arguments that clippy-driver expects
        run.env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__")
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn envs(self, pairs: &[(&str, PathBuf)]) -> Self {
        pairs.iter().fold(self, |run, (name, value)| run.env(name, value))
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs the program; the terminal shows its output.
    pub(crate) fn live(mut self) -> Result<()> {
        let status = self.command.status();
        self.judge(status).map_err(|reason| anyhow!(reason))
    }

    /// Starts the program in the background; the terminal shows its output.
    pub(crate) fn spawn(mut self) -> Result<Running> {
        match self.command.spawn() {
            Ok(child) => Ok(Running { run: self, child }),
            Err(error) => bail!(not_started(&self.what, &self.command, &error)),
        }
    }

    /// Starts the program in the background; its output goes to `log`.
    pub(crate) fn spawn_quiet(mut self, log: &Path) -> Result<Running> {
        let file = create(log)?;
        let both = file.try_clone().with_context(|| format!("{} can't be written", log.display()))?;
        self.command.stdin(Stdio::null()).stdout(file).stderr(both);
        self.spawn()
    }

    /// Runs the program; its output goes to `log`, and to the terminal if it fails.
    pub(crate) fn quiet(mut self, log: &Path) -> Result<()> {
        let file = create(log)?;
        let both = file.try_clone().with_context(|| format!("{} can't be written", log.display()))?;
        let status = self.command.stdin(Stdio::null()).stdout(file).stderr(both).status();
        self.judge(status).map_err(|reason| {
            show(log);
            anyhow!("{reason}; its output is in {}", log.display())
        })
    }

    /// Runs the program and returns its standard output.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self.command.stdin(Stdio::null()).output();
        match output {
            Err(error) => bail!(not_started(&self.what, &self.command, &error)),
            Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it printed nothing");
                bail!("{} failed ({}): {last}", self.what, output.status)
            }
        }
    }

    /// Replaces this process by the program (`exec`). Returns only on failure.
    #[cfg(unix)]
    pub(crate) fn exec(mut self) -> anyhow::Error {
        use std::os::unix::process::CommandExt as _;
        let error = self.command.exec();
        anyhow!(not_started(&self.what, &self.command, &error))
    }

    fn judge(&self, status: io::Result<ExitStatus>) -> Result<(), String> {
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{} failed ({status})", self.what)),
            Err(error) => Err(not_started(&self.what, &self.command, &error)),
        }
    }
}

/// A running program, killed when this value is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    run: Run,
    child: Child,
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `None` while the program runs; then its result.
    pub(crate) fn ended(&mut self) -> Option<Result<()>> {
        let status = self.child.try_wait().transpose()?;
        Some(self.run.judge(status).map_err(|reason| anyhow!(reason)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // A child that can't be killed can't be handled further.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn not_started(what: &str, command: &Command, error: &io::Error) -> String {
    let program = command.get_program().to_string_lossy();
    match error.kind() {
        io::ErrorKind::NotFound => format!("{what} needs `{program}`, which isn't installed or isn't on the PATH"),
        _ => format!("{what}: `{program}` can't be started: {error}"),
    }
}

/// Creates a file and its parent folders.
pub(crate) fn create(path: &Path) -> Result<File> {
    make_parent(path)?;
    File::create(path).with_context(|| format!("{} can't be written", path.display()))
}

pub(crate) fn make_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    fs::create_dir_all(parent).with_context(|| format!("the folder {} can't be created", parent.display()))
}

/// Finds a program in the folders of PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| is_program(path))
}

#[cfg(unix)]
pub(crate) fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Prints the beginning of a log, where npm gives its reason, and the end, where tests give theirs.
pub(crate) fn show(log: &Path) {
    let text = fs::read(log).unwrap_or_default();
    for line in ends(&String::from_utf8_lossy(&text), 15, 100) {
        eprintln!("    {line}");
    }
}

fn ends(text: &str, first: usize, last: usize) -> Vec<&str> {
    let all: Vec<&str> = text.lines().collect();
    if all.len() <= first + last {
        return all;
    }
    [&all[..first], &["…"], &all[all.len() - last..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_reported_in_one_line() {
        let problem = Run::new("the page", "no-such-program-anywhere").live().unwrap_err().to_string();
        assert_eq!(problem, "the page needs `no-such-program-anywhere`, which isn't installed or isn't on the PATH");
    }

    #[test]
    fn a_failure_names_the_program_and_the_exit_code() {
        let problem = Run::new("the page", "sh").args(["-c", "echo first >&2; echo last >&2; exit 3"]).output();
        assert_eq!(problem.unwrap_err().to_string(), "the page failed (exit status: 3): last");
    }

    #[test]
    fn a_quiet_run_writes_its_output_to_the_log() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let log = dir.path().join("deep/x.log");
        Run::new("x", "sh").args(["-c", "echo out; echo err >&2"]).quiet(&log)?;
        assert_eq!(fs::read_to_string(&log)?, "out\nerr\n");
        Ok(())
    }

    #[test]
    fn dropping_the_handle_kills_the_program() -> Result<()> {
        let mut running = Run::new("sleep", "sleep").arg("60").spawn()?;
        assert!(running.ended().is_none());
        let id = running.id();
        drop(running);
        let left = nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(id)?), None);
        assert_eq!(left, Err(nix::errno::Errno::ESRCH));
        Ok(())
    }

    #[test]
    fn a_long_log_is_shortened_in_the_middle() {
        assert_eq!(ends("a\nb\nc\nd\n", 1, 2), ["a", "…", "c", "d"]);
        assert_eq!(ends("a\nb\nc", 1, 2), ["a", "b", "c"]);
    }
}
