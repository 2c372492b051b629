//! Starts `compose.yaml` with new secrets on an unused port.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::images;
use crate::layout::Layout;
use crate::run::Run;
use crate::tools::docker::Engine;

/// The Compose project, which keeps other containers apart.
pub(super) const PROJECT: &str = "sluice-test";
/// The longest wait for a healthy start, seconds.
const HEALTHY_WITHIN_S: &str = "300";

pub(super) struct Stack<'a> {
    pub(super) layout: &'a Layout,
    pub(super) engine: &'a Engine,
    compose: PathBuf,
    secrets: PathBuf,
    pub(super) port: u16,
}

/// A running container and its service.
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

    /// Compose with the unchanged file and the demo.
    pub(super) fn compose(&self) -> Run {
        self.without_settings()
            .env("SLUICE_SECRETS", &self.secrets)
            .env("SLUICE_DEMO", "1")
            .env("SLUICE_PORT", self.port.to_string())
            .env("SLUICE_VERSION", images::tag())
    }

    /// Compose with the unchanged file and no variables.
    fn without_settings(&self) -> Run {
        let mut run = self.engine.program("docker compose", &self.compose).dir(&self.layout.root);
        // ignores a .env file of the checkout
        run = run.args(["--env-file", "/dev/null", "--project-name", PROJECT]);
        env::vars()
            .filter(|(name, _)| name.starts_with("SLUICE_") || name.starts_with("COMPOSE_"))
            .fold(run, |run, (name, _)| run.env(&name, ""))
    }

    pub(super) fn refuses_without_secrets(&self) -> Result<()> {
        let started = self.without_settings().args(["up", "--no-build", "--pull", "never", "-d"]).output();
        refused(started, "run ops/compose/init-secrets first")
    }

    /// Starts all missing containers and waits until every container is healthy.
    pub(super) fn up(&self, scale: &[&str]) -> Result<()> {
        Run::new("init-secrets", self.layout.root.join("ops/compose/init-secrets"))
            .arg(&self.secrets)
            .quiet(&self.layout.log("init-secrets"))?;
        // volumes of a killed run have other passwords
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
            Err(problem) => println!("   the containers' logs can't be written: {problem:#}"),
        }
    }

    pub(super) fn down(&self) -> Result<()> {
        self.ends(&["--profile", "*"], &["--volumes", "--remove-orphans"])
    }

    /// Removes containers one by one: engines before version 23 may miscount the members of a network when several leave
    /// at once, and then never remove the network (moby/moby#43286).
    pub(super) fn ends(&self, which: &[&str], how: &[&str]) -> Result<()> {
        let run = self.compose().args(["--parallel", "1"]).args(which.iter().copied());
        let run = run.args(["down", "--timeout", "30"]).args(how.iter().copied());
        run.quiet(&self.layout.log("compose-down"))
    }

    /// Checks that a gateway without an identity provider refuses to start and says what is missing, also with
    /// `SLUICE_DEMO=0`.
    pub(super) fn refuses_without_issuer(&self) -> Result<()> {
        for demo in ["", "0", "false"] {
            let started = self.gateway_alone(&[("SLUICE_DEMO", demo)]).output();
            refused(started, "nobody can sign in").with_context(|| format!("with SLUICE_DEMO={demo:?}"))?;
        }
        Ok(())
    }

    /// Checks that the demo, which signs in without a password, refuses to start on a public address.
    pub(super) fn refuses_the_demo_on_public_addresses(&self) -> Result<()> {
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

    /// The running containers of these services, or of all services.
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

    /// Checks user, capabilities and root mount of each process in `/proc`.
    pub(super) fn check_process_rights(&self) -> Result<()> {
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

    /// Runs a one-off service with its dependencies.
    pub(super) fn tool(&self, service: &str, args: &[&str]) -> Run {
        self.compose().args(["--profile", "tools", "run", "--rm", "-T", service]).args(args)
    }

    /// The output of one SQL statement.
    pub(super) fn sql(&self, statement: &str) -> Result<String> {
        let run = self.compose().args(["exec", "-T", "postgres", "psql", "-U", "sluice", "-d", "sluice", "-qAtc"]);
        Ok(run.arg(statement).output()?.trim().to_owned())
    }
}

/// Checks that a start fails with this text.
fn refused(started: Result<String>, why: &str) -> Result<()> {
    match started {
        Ok(_) => bail!("it starts, and should say {why:?}"),
        Err(problem) if format!("{problem:#}").contains(why) => Ok(()),
        Err(problem) => Err(problem.context(format!("it refuses, but doesn't say {why:?}"))),
    }
}
