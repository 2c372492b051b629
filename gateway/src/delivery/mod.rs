//! File bytes: from grants to a gap-free run of bytes at their offsets, for sockets and downloads alike.

pub mod reader;
mod segment;
mod source;

pub use reader::{Reader, Step};
pub use source::Source;
