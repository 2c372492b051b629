//! The worker takes export jobs from NATS and runs them.
//!
//! - [`pull`] pulls jobs from one durable consumer for each lane, when a slot is free.
//! - [`job`] handles one delivery of a job: takes the lease of the export, runs an attempt, and acknowledges the job
//!   after NATS has stored the outcome.
//! - [`attempt`] produces the file of an export, renews the lease until the attempt ends, and reports the outcome.
//! - [`own_process`] runs an export in a separate child process after an attempt has ended without an outcome.
//! - [`cancel`] cancels a running job when a cancellation of its export arrives from NATS.

mod attempt;
mod cancel;
mod context;
mod job;
mod own_process;
mod pull;
mod slots;

pub use self::own_process::{OwnProcess, is_own_process};
pub(crate) use self::{
    cancel::{Cancellations, listen},
    context::WorkerContext,
    job::handle,
    own_process::Parent,
    pull::{drain, start},
};
