//! The pipeline of one file: frames → projection and order → encoders on several threads → compression → segments.
//!
//! Bounded channels connect the stages, and each stage waits for the next one. Memory is bounded by the frames and
//! chunks in flight, whatever the size of the file.

mod compress;
mod encode;
mod limits;
mod project;
mod run;
mod spool;
mod stage;
#[cfg(test)]
mod tests;

pub use self::{
    limits::PipelineLimits,
    run::{Pipeline, SealedFile},
};
