//! How much memory a process holds.

use std::fs;

/// Resident memory, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Now (`VmRSS`).
    pub current: u64,
    /// At most so far (`VmHWM`).
    pub peak: u64,
}

/// The memory of a process.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn memory(pid: u32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    Memory { current: field(&status, "VmRSS:"), peak: field(&status, "VmHWM:") }
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells each process's memory");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
    kib * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_some() {
        let memory = memory(std::process::id());
        assert!(0 < memory.current && memory.current <= memory.peak, "{memory:?}");
    }
}
