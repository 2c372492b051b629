//! A server or a service of the storm, which faults kill and freeze.

use std::{fs::OpenOptions, io::Write, path::PathBuf, time::Duration};

use e2e::{Fleet, Setting};
use testkit::{
    db::Postgres,
    fault::{Launch, Process, pause_tree, resume_tree},
    s3::S3Server,
};

/// A process of a service.
pub(crate) struct Service {
    name: String,
    command: &'static str,
    settings: Vec<Setting>,
    process: Option<Process>,
    logs: PathBuf,
}

/// A server or a service.
pub(crate) enum Unit {
    Service(Service),
    /// NATS, as a part of the fleet that owns its folder.
    Nats(Box<Fleet>),
    Postgres(Postgres),
    S3(S3Server),
}

impl Unit {
    /// Sends SIGKILL, to all processes of a server.
    pub(crate) fn kill(&mut self) {
        match self {
            Self::Service(service) => {
                if let Some(mut process) = service.process.take() {
                    if process.exit_status().is_none() {
                        process.kill();
                    }
                    service.save_log(&process);
                }
            }
            Self::Nats(fleet) => fleet.nats.kill(),
            Self::Postgres(postgres) => postgres.kill(),
            Self::S3(server) => server.kill(),
        }
    }

    /// Starts the unit, if it does not run. A server may end again, for example on a full disk.
    pub(crate) async fn start(&mut self) {
        if self.is_running() {
            return;
        }
        let started = match self {
            Self::Service(service) => {
                if let Some(ended) = service.process.take() {
                    service.save_log(&ended);
                }
                let launch = Launch::sluice([service.command]);
                service.process = Some(launch.envs(service.settings.iter().cloned()).spawn());
                true
            }
            Self::Nats(fleet) => {
                fleet.nats.kill();
                fleet.nats.try_restart().await
            }
            Self::Postgres(postgres) => {
                postgres.kill();
                postgres.try_restart().await
            }
            Self::S3(server) => {
                server.kill();
                server.try_restart().await
            }
        };
        if !started {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Appends the log of a running service to its file.
    pub(crate) fn save_log(&self) {
        if let Self::Service(service) = self
            && let Some(process) = &service.process
        {
            service.save_log(process);
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        match self {
            Self::Service(service) => service.process.as_mut().is_some_and(|process| process.exit_status().is_none()),
            Self::Nats(fleet) => fleet.nats.is_running(),
            Self::Postgres(postgres) => postgres.is_running(),
            Self::S3(server) => server.is_running(),
        }
    }

    /// Stops all threads, until [`Unit::resume`].
    pub(crate) fn pause(&self) {
        if let Some(pid) = self.pid() {
            pause_tree(pid);
        }
    }

    pub(crate) fn resume(&self) {
        if let Some(pid) = self.pid() {
            resume_tree(pid);
        }
    }

    fn pid(&self) -> Option<u32> {
        match self {
            Self::Service(service) => service.process.as_ref().map(Process::pid),
            Self::Nats(fleet) => fleet.nats.pid(),
            Self::Postgres(postgres) => postgres.pid(),
            Self::S3(server) => server.pid(),
        }
    }

    /// The last line of the log of a service.
    pub(crate) fn last_line(&self) -> String {
        let Self::Service(service) = self else { return String::new() };
        let log = service.process.as_ref().map(Process::stderr).unwrap_or_default();
        log.lines().last().unwrap_or_default().to_owned()
    }
}

impl Service {
    pub(crate) fn new(name: String, command: &'static str, settings: Vec<Setting>, logs: PathBuf) -> Self {
        Self { name, command, settings, process: None, logs }
    }

    /// Appends the log of the process to the file of the service.
    fn save_log(&self, process: &Process) {
        let opened = OpenOptions::new().create(true).append(true).open(&self.logs);
        let text = format!("--- {} {}\n{}", self.name, process.pid(), process.stderr());
        if let Err(e) = opened.and_then(|mut file| file.write_all(text.as_bytes())) {
            eprintln!("can't write {}: {e}", self.logs.display());
        }
    }
}
