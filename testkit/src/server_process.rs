//! Runs a server as a child process and collects its log lines.

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

use crate::{DEADLINE, POLL_INTERVAL};

/// The number of last log lines that a panic shows.
const TAIL_LINES: usize = 20;

/// A running server. Dropping the value kills the process.
pub(crate) struct ServerProcess {
    name: &'static str,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl ServerProcess {
    /// Starts the server, and waits for a line of its standard error for which `ready` returns a value. Returns None
    /// when the process ends before such a line.
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
        // the thread reads all lines, so that the child never blocks on a full pipe
        thread::spawn(move || {
            let mut seen = Some(seen);
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(found) = seen.as_ref().and_then(|_| ready(&line))
                    && let Some(seen) = seen.take()
                {
                    // an error means that the test has ended and dropped the receiver
                    drop(seen.send(found));
                }
                if let Ok(mut lines) = lines.lock() {
                    lines.push(line);
                }
            }
        });
        let server = Self { name, child, log };
        match first.recv_timeout(DEADLINE) {
            Ok(found) => Some((server, found)),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("{name} was not ready within {} s:\n{}", DEADLINE.as_secs(), server.tail())
            }
        }
    }

    /// The last lines of the log.
    pub(crate) fn tail(&self) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// All log lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.lock().map(|lines| lines.clone()).unwrap_or_default()
    }

    /// Whether the server has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The process id of the server.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops the server with a signal, and kills it if it still runs after the grace period.
    pub(crate) fn stop(mut self, signal: Signal, grace: Duration) {
        if kill(Pid::from_raw(self.child.id().cast_signed()), signal).is_ok() {
            let deadline = Instant::now() + grace;
            while Instant::now() < deadline {
                if matches!(self.child.try_wait(), Ok(Some(_))) {
                    return;
                }
                thread::sleep(POLL_INTERVAL);
            }
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Err(e) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            tracing::warn!(process.name = self.name, error = %e, "failed to kill a child process");
        }
    }
}
