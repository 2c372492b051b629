//! Fault injection: processes that a test kills or pauses, and connections that a test breaks.

mod memory;
mod process;
mod process_tree;
mod proxy;

pub use memory::{Memory, memory, reset_peak};
pub use process::{Launch, Process};
pub use process_tree::{kill_tree, pause_tree, resume_tree};
pub use proxy::Proxy;

pub use crate::ports::free_port;

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

/// Sends SIGKILL to a process, which then ends without cleanup.
///
/// # Panics
/// When the process does not exist.
pub fn kill_9(pid: u32) {
    signal::kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).expect("the process exists");
}
