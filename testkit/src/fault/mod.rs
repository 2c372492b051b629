//! Faults: a process to be killed, a connection to be cut, memory to be measured.

mod memory;
mod process;
mod proxy;

pub use memory::{Memory, memory};
pub use process::{Launch, Process};
pub use proxy::Proxy;

pub use crate::ports::free_port;

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

/// SIGKILL: the process gets no chance to do anything.
///
/// # Panics
/// When there is no such process.
pub fn kill_9(pid: u32) {
    signal::kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).expect("the process is there");
}
