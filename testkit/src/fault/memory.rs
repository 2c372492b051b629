//! Measures the resident memory of a process.

use std::fs;

/// The resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The current resident memory (`VmRSS`).
    pub current: u64,
    /// The maximum resident memory so far (`VmHWM`).
    pub peak: u64,
}

/// Reads the resident memory of a process.
///
/// # Panics
/// When the process does not exist.
#[must_use]
pub fn memory(pid: u32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process exists");
    Memory { current: field(&status, "VmRSS:"), peak: field(&status, "VmHWM:") }
}

/// Makes the current resident memory of a process the peak that [`memory`] measures from now on.
///
/// # Panics
/// When the process does not exist or belongs to another user.
pub fn reset_peak(pid: u32) {
    // 5 resets VmHWM (proc_pid_clear_refs(5))
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the process is a child of the test");
}

fn field(status: &str, name: &str) -> u64 {
    let line =
        status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux reports the memory of each process");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
    kib * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_this_process_is_measured() {
        let memory = memory(std::process::id());
        assert!(0 < memory.current && memory.current <= memory.peak, "{memory:?}");
    }

    #[test]
    fn the_peak_starts_again_after_a_reset() {
        const LARGE: usize = 256 << 20;
        let large = vec![1_u8; LARGE];
        let while_held = memory(std::process::id());
        assert!(while_held.peak > LARGE as u64, "{while_held:?}");
        drop(std::hint::black_box(large));
        reset_peak(std::process::id());
        let after = memory(std::process::id());
        assert!(after.peak < while_held.peak, "{after:?} after {while_held:?}");
    }
}
