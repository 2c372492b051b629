//! A server as a child process whose log is read line by line.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{DEADLINE, POLL};

/// Lines of the log that a panic shows.
const SHOWN: usize = 20;

/// A running child. It is killed when this is dropped.
pub(crate) struct Watched {
    name: &'static str,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    /// Starts it and waits for the line of its standard error for which `ready` says something. None: it ended before.
    pub(crate) fn start<T: Send + 'static>(
        name: &'static str,
        command: &mut Command,
        mut ready: impl FnMut(&str) -> Option<T> + Send + 'static,
    ) -> Option<(Self, T)> {
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|e| panic!("can't start {name} ({:?}): {e}", command.get_program()));
        let stderr = child.stderr.take().expect("standard error is piped");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (seen, first) = mpsc::channel();
        let lines = Arc::clone(&log);
        // it reads on after the line was seen, so that the child never waits for a full pipe
        thread::spawn(move || {
            let mut seen = Some(seen);
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(found) = seen.as_ref().and_then(|_| ready(&line))
                    && let Some(seen) = seen.take()
                {
                    // nobody waits any more when the test is over
                    drop(seen.send(found));
                }
                if let Ok(mut lines) = lines.lock() {
                    lines.push(line);
                }
            }
        });
        let watched = Self { name, child, log };
        match first.recv_timeout(DEADLINE) {
            Ok(found) => Some((watched, found)),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("{name} was not ready within {} s:\n{}", DEADLINE.as_secs(), watched.tail())
            }
        }
    }

    /// The last lines of its log.
    pub(crate) fn tail(&self) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    /// All lines of its log.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.lock().map(|lines| lines.clone()).unwrap_or_default()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end with this signal, and kills it when it has not done so in time.
    pub(crate) fn stop(mut self, signal: Signal, grace: Duration) {
        if kill(Pid::from_raw(self.child.id().cast_signed()), signal).is_ok() {
            let until = Instant::now() + grace;
            while Instant::now() < until {
                if matches!(self.child.try_wait(), Ok(Some(_))) {
                    return;
                }
                thread::sleep(POLL);
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Err(e) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            tracing::warn!(process.name = self.name, error = %e, "a child can't be killed");
        }
    }
}
