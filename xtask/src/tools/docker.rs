//! A container engine: the one of DOCKER_HOST, or a `dockerd` with its data in the target folder that ends with xtask.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::apt;
use crate::layout::Layout;
use crate::run::{self, Run, Running};

const NAMED_BY: &str = "DOCKER_HOST";
const READY_WITHIN: Duration = Duration::from_secs(60);
/// The longest wait for `dockerd` to stop, which stops its containers first.
const STOPPED_WITHIN: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(200);
/// The folder of the programs in Debian's package.
const DAEMON: &str = "/usr/sbin/dockerd";
const CLIENT: &str = "/usr/bin/docker";

/// A container engine that answers requests.
#[derive(Debug)]
pub(crate) struct Engine {
    host: String,
    client: PathBuf,
    daemon: Option<Running>,
}

impl Engine {
    /// Connects to the engine of DOCKER_HOST, or starts one.
    pub(crate) fn start(layout: &Layout) -> Result<Self> {
        match env::var(NAMED_BY).ok().filter(|host| !host.is_empty()) {
            Some(host) => {
                let engine = Self { host, client: client()?, daemon: None };
                engine.run("the engine that DOCKER_HOST names").arg("version").output()?;
                Ok(engine)
            }
            None => Self::start_own(layout),
        }
    }

    fn start_own(layout: &Layout) -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            bail!("an engine of its own needs root: name one with DOCKER_HOST, such as unix:///var/run/docker.sock")
        }
        if !run::is_program(Path::new(DAEMON)) {
            if !apt::can_install() {
                bail!(
                    "dockerd is missing: install it (Debian: apt install docker.io), or name an engine with DOCKER_HOST"
                )
            }
            apt::install(layout, "docker.io")?;
        }
        let folder = layout.own().join("engine");
        fs::create_dir_all(&folder).with_context(|| format!("the folder {} can't be created", folder.display()))?;
        let host = format!("unix://{}", folder.join("docker.sock").display());
        let log = layout.log("dockerd");
        let daemon = Run::new("dockerd", DAEMON)
            .args(["--host", &host, "--data-root"])
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("run"))
            .arg("--pidfile")
            .arg(folder.join("dockerd.pid"))
            .spawn_quiet(&log)?;
        let mut engine = Self { host, client: client()?, daemon: Some(daemon) };
        if let Err(problem) = engine.until_ready() {
            run::show(&log);
            return Err(problem);
        }
        Ok(engine)
    }

    fn until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(ended) = self.daemon.as_mut().and_then(Running::ended) {
                ended?;
                bail!("dockerd ended before it was ready")
            }
            match self.run("docker").arg("version").output() {
                Ok(_) => return Ok(()),
                Err(problem) if Instant::now() > deadline => return Err(problem.context("dockerd isn't ready")),
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// Whether xtask started this engine, so that it contains no other images.
    pub(crate) fn is_own(&self) -> bool {
        self.daemon.is_some()
    }

    /// The Docker client with the address of this engine.
    pub(crate) fn run(&self, what: &str) -> Run {
        self.program(what, &self.client)
    }

    /// Another client program with the address of this engine.
    pub(crate) fn program(&self, what: &str, program: &Path) -> Run {
        Run::new(what, program).env(NAMED_BY, &self.host).env("DOCKER_BUILDKIT", "1")
    }

    /// Stops the engine that xtask started, and its containers.
    pub(crate) fn stop(mut self) -> Result<()> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        let pid = Pid::from_raw(i32::try_from(daemon.id()).context("dockerd has no pid")?);
        kill(pid, Signal::SIGTERM).context("dockerd can't be signalled")?;
        let deadline = Instant::now() + STOPPED_WITHIN;
        while Instant::now() < deadline {
            if daemon.ended().is_some() {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
        bail!("dockerd didn't stop within {} s", STOPPED_WITHIN.as_secs())
    }
}

/// A client that can build with BuildKit: built in for Debian's client, a plugin for newer ones.
fn client() -> Result<PathBuf> {
    let candidates = run::on_path("docker").into_iter().chain([PathBuf::from(CLIENT)]);
    for client in candidates.filter(|client| run::is_program(client)) {
        let builds = Run::new("docker", &client).args(["buildx", "version"]).output().is_ok();
        let version = Run::new("docker", &client).arg("--version").output()?;
        let built_in = super::version::Version::find(&version).is_some_and(|version| version.0 < 23);
        if builds || built_in {
            return Ok(client);
        }
    }
    bail!("a docker client that builds is missing: install docker-buildx, or Debian's docker.io")
}
