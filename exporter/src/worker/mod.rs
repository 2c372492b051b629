//! The worker takes export jobs from NATS and runs them.
//!
//! - [`pull`] pulls jobs from one durable consumer for each lane, when a slot is free.
//! - [`job`] handles one delivery of a job: claims the export, runs an attempt, and acknowledges the job after the
//!   outcome is stored.
//! - [`attempt`] produces the file, renews the lease until the end, and reports the outcome.
//! - [`cancel`] cancels running jobs.

mod attempt;
mod cancel;
mod context;
mod job;
mod pull;
mod slots;

pub(crate) use self::{
    cancel::{Cancellations, listen},
    context::WorkerContext,
    pull::{drain, start},
};
