//! What a process takes of its machine, under the names that Prometheus's own clients use.

use std::{fs, sync::OnceLock};

use chrono::{DateTime, Utc};
use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage},
    time::TimeValLike,
};
use tracing::debug;

use crate::clock::{Clock, SystemClock};

static BEGAN: OnceLock<DateTime<Utc>> = OnceLock::new();

/// The process has begun.
pub(super) fn began() {
    BEGAN.get_or_init(|| SystemClock.now());
}

/// Looks at the process. What the system does not tell stays as it was.
pub(super) fn look() {
    if let Some(began) = BEGAN.get() {
        metrics::gauge!("process_start_time_seconds").set(began.timestamp_millis() as f64 / 1000.0);
    }
    match getrusage(UsageWho::RUSAGE_SELF) {
        Ok(usage) => {
            let busy = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
            metrics::counter!("process_cpu_seconds_total").absolute(busy.unsigned_abs() / 1_000_000);
        }
        Err(e) => debug!(error = %e, "the system does not tell the processor time"),
    }
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        metrics::gauge!("process_max_fds").set(soft as f64);
    }
    // Linux alone has these
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        if let Some(kib) = of(&status, "VmRSS:") {
            metrics::gauge!("process_resident_memory_bytes").set(kib * 1024.0);
        }
        if let Some(threads) = of(&status, "Threads:") {
            metrics::gauge!("process_threads").set(threads);
        }
    }
    if let Ok(fds) = fs::read_dir("/proc/self/fd") {
        // one of them is that of this look
        metrics::gauge!("process_open_fds").set(fds.count().saturating_sub(1) as f64);
    }
}

/// The number behind a name in `/proc/self/status`.
fn of(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_off_the_status() {
        let status = "Name:\tsluice\nVmRSS:\t   12345 kB\nThreads:\t7\n";
        assert_eq!(
            (of(status, "VmRSS:"), of(status, "Threads:"), of(status, "VmSwap:")),
            (Some(12345.0), Some(7.0), None)
        );
    }
}
