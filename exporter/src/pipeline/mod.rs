//! The pipeline of one file: data frames → projection and sort → encoding → compression → segments.
//!
//! Bounded channels connect the stages, so that a fast stage waits for a slow one. The memory of a pipeline does not
//! depend on the size of the file, unless the template sorts the rows.

mod compress;
mod content_digest;
#[cfg(test)]
mod content_digest_tests;
mod encode;
mod limits;
mod project;
mod run;
mod spool;
mod stage;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod zone_tests;

pub use self::{
    content_digest::ContentDigest,
    limits::PipelineLimits,
    run::{Pipeline, SealedFile},
};
