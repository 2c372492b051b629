//! The worker takes export jobs from NATS and runs them.
//!
//! - [`pull`]: one durable pull consumer for each lane; a job is pulled only when a slot is free.
//! - [`job`]: one delivery of a job: claim the export, run an attempt, and acknowledge the job after its end is
//!   durable.
//! - [`attempt`]: one attempt: produce the file, renew the lease meanwhile, and report the outcome.
//! - [`cancel`]: the cancellation of running jobs.

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
