//! `compose.yaml`, started with secrets of its own on a port of its own.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::images;
use crate::layout::Layout;
use crate::run::Run;
use crate::tools::docker::Engine;

/// The name of the project, so that nobody else's containers are touched.
pub(super) const PROJECT: &str = "sluice-test";
/// How long a start may take, seconds.
const HEALTHY_WITHIN_S: &str = "300";

pub(super) struct Stack<'a> {
    pub(super) layout: &'a Layout,
    pub(super) engine: &'a Engine,
    compose: PathBuf,
    secrets: PathBuf,
    pub(super) port: u16,
}

/// One running container.
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) service: String,
}

impl<'a> Stack<'a> {
    pub(super) fn new(layout: &'a Layout, engine: &'a Engine, compose: PathBuf) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = listener.map_or(18_080, |address| address.port());
        Self { layout, engine, compose, secrets: layout.own().join("compose-secrets"), port }
    }

    /// Compose on the file as it is, with the demo.
    pub(super) fn compose(&self) -> Run {
        self.without_settings()
            .env("SLUICE_SECRETS", &self.secrets)
            .env("SLUICE_DEMO", "1")
            .env("SLUICE_PORT", self.port.to_string())
            .env("SLUICE_VERSION", images::tag())
    }

    /// The same with nothing that could be set.
    fn without_settings(&self) -> Run {
        let mut run = self.engine.program("docker compose", &self.compose).dir(&self.layout.root);
        // a .env of the checkout is somebody's own
        run = run.args(["--env-file", "/dev/null", "--project-name", PROJECT]);
        env::vars()
            .filter(|(name, _)| name.starts_with("SLUICE_") || name.starts_with("COMPOSE_"))
            .fold(run, |run, (name, _)| run.env(&name, ""))
    }

    pub(super) fn refuses_without_secrets(&self) -> Result<()> {
        let started = self.without_settings().args(["up", "--no-build", "--pull", "never", "-d"]).output();
        refused(started, "run ops/compose/init-secrets first")
    }

    /// Starts all of it, or what is missing, and waits until everything is healthy.
    pub(super) fn up(&self, scale: &[&str]) -> Result<()> {
        Run::new("init-secrets", self.layout.root.join("ops/compose/init-secrets"))
            .arg(&self.secrets)
            .quiet(&self.layout.log("init-secrets"))?;
        // what a killed run left would have other passwords
        if scale.is_empty() {
            self.down()?;
        }
        let pull = if self.engine.is_own() { "never" } else { "missing" };
        self.compose()
            .args(["up", "--detach", "--no-build", "--pull", pull, "--wait", "--wait-timeout", HEALTHY_WITHIN_S])
            .args(scale.iter().flat_map(|scale| ["--scale", scale]))
            .quiet(&self.layout.log("compose-up"))
            .inspect_err(|_| self.keep_logs())
    }

    pub(super) fn keep_logs(&self) {
        let log = self.layout.log("compose-logs");
        match self.compose().args(["logs", "--no-color", "--timestamps"]).quiet(&log) {
            Ok(()) => println!("   the containers' logs are in {}", log.display()),
            Err(problem) => println!("   the containers' logs can't be had: {problem:#}"),
        }
    }

    pub(super) fn down(&self) -> Result<()> {
        self.ends(&["--profile", "*"], &["--volumes", "--remove-orphans"])
    }

    /// One container after the other: engines of before version 23 now and then miscount who is on a network when several
    /// leave it at once, and then never remove it (moby/moby#43286).
    pub(super) fn ends(&self, which: &[&str], how: &[&str]) -> Result<()> {
        let run = self.compose().args(["--parallel", "1"]).args(which.iter().copied());
        let run = run.args(["down", "--timeout", "30"]).args(how.iter().copied());
        run.quiet(&self.layout.log("compose-down"))
    }

    /// A gateway with everything but people is started beside the others, and says what is missing; so it does when the demo
    /// is turned off by a value.
    pub(super) fn refuses_without_issuer(&self) -> Result<()> {
        for demo in ["", "0", "false"] {
            let started = self.gateway_alone(&[("SLUICE_DEMO", demo)]).output();
            refused(started, "nobody can sign in").with_context(|| format!("with SLUICE_DEMO={demo:?}"))?;
        }
        Ok(())
    }

    /// The demo lets people in without a password, so it does not start on an address that others reach.
    pub(super) fn refuses_the_demo_for_others(&self) -> Result<()> {
        refused(
            self.gateway_alone(&[("SLUICE_LISTEN", "0.0.0.0")]).output(),
            "0.0.0.0 could sign in without a password",
        )
    }

    fn gateway_alone(&self, settings: &[(&str, &str)]) -> Run {
        let name = format!("{PROJECT}-nobody");
        let run = settings.iter().fold(self.compose(), |run, (name, value)| run.env(name, value));
        run.args(["run", "--rm", "--no-deps", "--name", &name, "gateway"])
    }

    /// The running containers of these services; of all when none is named.
    pub(super) fn containers(&self, services: &[&str]) -> Result<Vec<Container>> {
        let format = "{{.ID}} {{.Names}} {{.Label \"com.docker.compose.service\"}}";
        let listed = self
            .engine
            .run("docker ps")
            .args(["ps", "--no-trunc", "--filter", &format!("label=com.docker.compose.project={PROJECT}")])
            .args(["--format", format])
            .output()?;
        let read = |line: &str| -> Option<Container> {
            let mut words = line.split(' ').map(str::to_owned);
            Some(Container { id: words.next()?, name: words.next()?, service: words.next()? })
        };
        let all = listed.lines().filter_map(read);
        Ok(all.filter(|one| services.is_empty() || services.contains(&one.service.as_str())).collect())
    }

    pub(super) fn inspect(&self, container: &Container, format: &str) -> Result<String> {
        let run = self.engine.run("docker inspect").args(["inspect", "--format", format, &container.id]);
        Ok(run.output()?.trim().to_owned())
    }

    /// What the kernel says of each of our processes: whose it is, what it may do, and how its root is mounted.
    pub(super) fn have_no_rights(&self) -> Result<()> {
        let ours = self.containers(&["gateway", "exporter", "notifier"])?;
        for container in &ours {
            let pid = self.inspect(container, "{{.State.Pid}}")?;
            let read = |file: &str| {
                let path = format!("/proc/{pid}/{file}");
                fs::read_to_string(&path).with_context(|| format!("{path}: is the engine on this machine?"))
            };
            let status = read("status")?;
            let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            for (name, wanted) in [
                ("Uid:", "65532\t65532\t65532\t65532"),
                ("CapEff:", "0000000000000000"),
                ("CapBnd:", "0000000000000000"),
                ("NoNewPrivs:", "1"),
            ] {
                if line(name).trim_start_matches(name).trim() != wanted {
                    bail!("{}: {:?}, wanted {wanted}", container.name, line(name))
                }
            }
            let mounts = read("mountinfo")?;
            let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap_or_default();
            if root.split(' ').nth(5).is_none_or(|options| !options.split(',').any(|option| option == "ro")) {
                bail!("{}: its root can be written to: {root}", container.name)
            }
        }
        if ours.len() < 3 {
            bail!("only {} of the services run", ours.len())
        }
        Ok(())
    }

    /// One of the services that run when they are asked for, and what it needs.
    pub(super) fn tool(&self, service: &str, args: &[&str]) -> Run {
        self.compose().args(["--profile", "tools", "run", "--rm", "-T", service]).args(args)
    }

    /// What one statement gives.
    pub(super) fn sql(&self, statement: &str) -> Result<String> {
        let run = self.compose().args(["exec", "-T", "postgres", "psql", "-U", "sluice", "-d", "sluice", "-qAtc"]);
        Ok(run.arg(statement).output()?.trim().to_owned())
    }
}

/// A start that must fail, and say this.
fn refused(started: Result<String>, why: &str) -> Result<()> {
    match started {
        Ok(_) => bail!("it starts, and should say {why:?}"),
        Err(problem) if format!("{problem:#}").contains(why) => Ok(()),
        Err(problem) => Err(problem.context(format!("it refuses, but doesn't say {why:?}"))),
    }
}
